"""Lossy coding of cubes as video, as a codec of Zarr v3 and as a filter of Zarr v2."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import ChunkCodec, Shape, Twin, Unfit
from xeo.codecs.exact import decode_exact, encode_exact, wanted_exact
from xeo.codecs.rest import add_rest, encode_rest, within
from xeo.codecs.scene import analyse, read_scene, shape_of
from xeo.codecs.streams import ENCODERS, check_encoder, encode_stream, rate_for
from xeo.codecs.trials import Trial, decode_group, search_psnr, search_size, spread
from xeo.errors import CodecError, OptionError
from xeo.kernels.mosaic import MOST_SIDE

_USUAL_QUALITY = 75.0
_EXACT_EFFORT = 7
#: Root mean square error of the video under a bound, in parts of it: more costs more in the
#: residual, less in the video.
_BASE = 1.0


@dataclass(frozen=True, kw_only=True)
class VideoCodec(ChunkCodec):
    """Bands rotated into components, side by side in the pictures of a video, dates by likeness.

    Parameters
    ----------
    quality : float, optional
        0 to 100, bigger is better; 75 where nothing else is aimed at.
    psnr : float, optional
        Decibels to reach in each chunk.
    bpppb : float, optional
        Bits a value to stay below in each chunk.
    peak : float, optional
        For ``psnr``, in stored numbers; None for the largest integer of the dtype, for floats
        the range of each chunk.
    max_error : float or tuple of float, optional
        What the video leaves is coded beside it, so that no value is further off than this; a
        tuple gives each band its own.
    encoder : str
        ``"x265"``, ``"svtav1"`` or ``"x264"``.
    preset : str
        Speed, in the encoder's own words.
    layout : str
        ``"auto"`` or ``"mosaic"``: all components of a date in one picture.
    keyframes : int
        Dates of a group that can be decoded alone; 0 for one group.
    axes : str, optional
        Which axis of a chunk is which; see `xeo.codecs.base.ChunkCodec`.
    nodata : tuple of float
        Values that stand for "nothing here", kept exactly.

    Raises
    ------
    OptionError
        If a setting has no meaning.

    References
    ----------
    .. [1] Sullivan, G. J. et al. (2012). Overview of the High Efficiency Video Coding (HEVC)
       standard. IEEE Transactions on Circuits and Systems for Video Technology 22.
       doi:10.1109/TCSVT.2012.2221191
    .. [2] Pellicer-Valero, O. J. et al. (2025). Video compression for spatiotemporal Earth
       system data. arXiv:2506.19656
    """

    name: ClassVar[str] = "xeo.video"
    short: ClassVar[str] = "video"

    quality: float | None = None
    psnr: float | None = None
    bpppb: float | None = None
    peak: float | None = None
    max_error: float | tuple[float, ...] | None = None
    encoder: str = "x265"
    preset: str = "medium"
    layout: str = "auto"
    keyframes: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        aims = {n: v for n in ("quality", "psnr", "bpppb") if (v := getattr(self, n)) is not None}
        if len(aims) > 1:
            raise OptionError(f"expected one of quality, psnr and bpppb, got {sorted(aims)}")
        _check("quality", self.quality, 0, 100)
        for name in ("psnr", "bpppb", "peak"):
            _check(name, getattr(self, name), 0, math.inf)
        for bound in self.max_error if isinstance(self.max_error, tuple) else (self.max_error,):
            _check("max_error", bound, 0, math.inf)
        if self.layout not in ("auto", "mosaic"):
            raise OptionError(f"expected layout to be 'auto' or 'mosaic', got {self.layout!r}")
        if isinstance(self.keyframes, bool) or not (
            isinstance(self.keyframes, int) and self.keyframes >= 0
        ):
            raise OptionError(f"expected keyframes to be 0 or more dates, got {self.keyframes!r}")
        check_encoder(self.encoder, self.preset)

    def _encode(
        self, values: NDArray[Any], valid: NDArray[np.bool_] | None
    ) -> tuple[dict[str, Any], list[bytes]]:
        bounds = self._bounds(values)
        try:
            header, parts = self._encode_video(values, valid, bounds)
            if bounds is None or self._holds(values, valid, header, parts, bounds):
                return header, parts
        except Unfit:
            pass
        # Whatever video cannot promise is kept exactly.
        exact, parts = encode_exact(values, valid, _EXACT_EFFORT)
        return {"exact": exact}, parts

    def _encode_video(
        self,
        values: NDArray[Any],
        valid: NDArray[np.bool_] | None,
        bounds: NDArray[np.float64] | None,
    ) -> tuple[dict[str, Any], list[bytes]]:
        if values.dtype.kind == "b" or max(values.shape[2:]) > MOST_SIDE:
            raise Unfit
        scene, components = analyse(values, valid, ENCODERS[self.encoder].bits)
        groups = self._groups(len(values))
        trial = Trial(values, valid, scene, components, groups, self.encoder, self._code)
        if self.psnr is not None:
            made = search_psnr(trial, self.psnr, self._peak(values, valid))
        elif self.bpppb is not None:
            made = search_size(trial, self.bpppb * values.size / 8)
        elif bounds is not None and self.quality is None:
            made = trial.at(rate_for(_BASE * float(bounds.min()) / scene.step, self.encoder))
        else:
            quality = _USUAL_QUALITY if self.quality is None else self.quality
            kind = ENCODERS[self.encoder]
            made = trial.at(kind.worst + (kind.best - kind.worst) * quality / 100)
        header: dict[str, Any] = {"v": self.encoder, **scene.header()}
        starts = [group.start for group in trial.groups]
        if len(starts) > 1:
            header["k"] = starts
            header["at"] = np.argsort(scene.order).tolist()
        parts = [made.side, *made.streams]
        if bounds is None:
            return header, parts
        header["rest"], rest = encode_rest(values, made.values, valid, bounds)
        return header, [*parts, *rest]

    def _groups(self, dates: int) -> list[slice]:
        each = self.keyframes or dates
        return [slice(n, min(n + each, dates)) for n in range(0, dates, each)]

    def _code(
        self, pictures: Iterator[NDArray[np.uint16]], size: tuple[int, int], rate: float, safe: bool
    ) -> tuple[bytes, bytes]:
        return encode_stream(pictures, size, self.encoder, self.preset, rate, safe=safe)

    def _holds(
        self,
        values: NDArray[Any],
        valid: NDArray[np.bool_] | None,
        header: Mapping[str, Any],
        parts: Sequence[bytes],
        bounds: NDArray[np.float64],
    ) -> bool:
        """Decode what was written, and check every value that matters."""
        views = [memoryview(part) for part in parts]
        shape = shape_of(values)
        made = self._decode(header, views, shape, values.dtype, None)
        if any((made == value).any() for value in self.nodata):
            # A usual value must not come out as one that stands for nothing.
            wrong = np.isin(made, self.nodata)
            if (wrong if valid is None else wrong & valid).any():
                return False
        return within(values, made, valid, bounds)

    def _bounds(self, values: NDArray[Any]) -> NDArray[np.float64] | None:
        if self.max_error is None:
            return None
        bounds = np.ravel(np.asarray(self.max_error, float))
        if len(bounds) not in (1, values.shape[1]):
            raise OptionError(
                f"expected a max_error for all bands or for each of {values.shape[1]}, got "
                f"{len(bounds)}"
            )
        return np.broadcast_to(bounds, values.shape[1:2])

    def _peak(self, values: NDArray[Any], valid: NDArray[np.bool_] | None) -> float:
        if self.peak is not None:
            return self.peak
        if values.dtype.kind in "iu":
            return float(np.iinfo(values.dtype).max)
        there = values if valid is None else values[valid]
        return float(there.max()) - float(there.min()) or 1.0

    @classmethod
    def _decode(
        cls,
        header: Mapping[str, Any],
        parts: Sequence[memoryview],
        shape: Shape,
        dtype: np.dtype[Any],
        dates: NDArray[np.intp] | None,
    ) -> NDArray[Any]:
        if "exact" in header:
            return decode_exact(header["exact"], parts, shape, dtype, dates)
        encoder = str(header["v"])
        if encoder not in ENCODERS:
            raise CodecError(f"expected a video of one of {sorted(ENCODERS)}, got {encoder!r}")
        bits = ENCODERS[encoder].bits
        reader, rest = read_scene(header, parts[0], shape, dtype, bits)
        head = spread(rest)
        groups = _read_groups(header, shape[0])
        places = np.argsort(reader.scene.order)
        places = places if dates is None else places[dates]
        made = np.empty((len(places), *shape[1:]), dtype)
        for group, part in zip(groups, parts[1 : len(groups) + 1], strict=True):
            decode_group(reader, group, head, part, encoder, places, made)
        if "rest" in header:
            add_rest(
                made, header["rest"], parts[len(groups) + 1 :], shape, dates, reader.scene.range
            )
        return made

    @classmethod
    def _wanted(
        cls, header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape
    ) -> Collection[int] | None:
        if "exact" in header:
            return wanted_exact(header["exact"], dates, shape)
        if "k" not in header or "rest" in header:
            return None
        starts = [group.start for group in _read_groups(header, shape[0])]
        places = np.asarray(header["at"])[dates]
        return {0, *(int(n) for n in np.searchsorted(starts, places, side="right"))}


def _check(name: str, value: Any, least: float, most: float) -> None:
    if value is None:
        return
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not good or not (least <= value <= most) or math.isinf(value):
        raise OptionError(f"expected {name} to be a number from {least} to {most}, got {value!r}")
    if name != "quality" and value == 0:
        raise OptionError(f"expected {name} to be above 0, got {value!r}")


def _read_groups(header: Mapping[str, Any], dates: int) -> list[slice]:
    starts = header.get("k", [0])
    ends = [*starts[1:], dates]
    good = all(type(n) is int for n in starts) and starts[:1] == [0]
    if not good or any(first >= last for first, last in zip(starts, ends, strict=True)):
        raise CodecError(f"groups of dates that begin at {starts} cannot be: the chunk is damaged")
    return [slice(first, last) for first, last in zip(starts, ends, strict=True)]


class VideoTwin(Twin):
    """`VideoCodec` for Zarr v2.

    Parameters
    ----------
    **settings :
        Of `VideoCodec`.
    """

    codec_id = "xeo.video"
    codec = VideoCodec
