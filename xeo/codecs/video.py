"""Lossy coding of cubes as video, as a codec of Zarr v3 and as a filter of Zarr v2."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import ChunkCodec, Shape, Twin, Unfit
from xeo.codecs.components import analyse
from xeo.codecs.exact import decode_exact, encode_exact, wanted_exact
from xeo.codecs.integers import wanted_parts
from xeo.codecs.labels import encode_labels
from xeo.codecs.rest import add_rest, encode_rest, within
from xeo.codecs.scene import read_range, read_scene, shape_of
from xeo.codecs.streams import ENCODERS, check_encoder, encode_stream
from xeo.codecs.trials import (
    Made,
    Trial,
    decode_group,
    mean_square,
    search_psnr,
    search_size,
    spread,
)
from xeo.errors import CodecError, OptionError
from xeo.kernels.mosaic import MOST_SIDE

_USUAL_QUALITY = 75.0
_EXACT_EFFORT = 7
#: What a video leaves is noise, in which more effort finds little.
_REST_EFFORT = 5
#: Parts of the step that a PSNR lets expect which are tried in turn.
_SHARES = (1.0, 0.9, 0.5)


@dataclass(frozen=True, kw_only=True)
class VideoCodec(ChunkCodec):
    """Bands rotated into components, side by side in the pictures of a video, dates by likeness.

    Parameters
    ----------
    quality : float, optional
        0 to 100, bigger is better; 75 where nothing else is aimed at.
    psnr : float, optional
        Decibels to reach in each chunk; by finer steps of the values where no video reaches it.
    bpppb : float, optional
        Bits a value to stay below in each chunk.
    peak : float, optional
        For ``psnr``, in stored numbers; None for the largest integer of the dtype, for floats
        the range of each chunk.
    max_error : float or tuple of float, optional
        No value is further off than this; a tuple gives each band its own. Beside another aim
        it adds what the video leaves; alone it needs no video, and takes fewer bits without.
    encoder : str
        ``"x265"``, ``"svtav1"`` or ``"x264"``.
    preset : str
        Speed, in the encoder's own words.
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
            aimless = self.quality is None and self.psnr is None and self.bpppb is None
            coded = None
            if bounds is None or not aimless:
                coded = self._encode_video(values, valid, bounds)
            # A bound alone takes fewer bits without a video below it, at any bound tried.
            return coded or self._encode_steps(values, valid, bounds)
        except Unfit:
            # Whatever neither can promise is kept exactly.
            exact, parts = encode_exact(values, valid, _EXACT_EFFORT)
            return {"exact": exact}, parts

    def _encode_video(
        self,
        values: NDArray[Any],
        valid: NDArray[np.bool_] | None,
        bounds: NDArray[np.float64] | None,
    ) -> tuple[dict[str, Any], list[bytes]] | None:
        """Code as video, unless that cannot be or does not reach the aim."""
        if values.dtype.kind == "b" or max(values.shape[2:]) > MOST_SIDE:
            return None
        analysis = analyse(values, valid, ENCODERS[self.encoder].bits)
        trial = Trial(values, valid, analysis, self._groups(len(values)), self.encoder, self._code)
        made: Made | None
        if self.psnr is not None:
            made = search_psnr(trial, self.psnr, self._peak(values, valid))
        elif self.bpppb is not None:
            # The plane that says what is missing counts, and at least one byte has to be left.
            size = self.bpppb * values.size / 8 - _labels_size(valid)
            made = search_size(trial, max(size, 1.0))
        else:
            quality = _USUAL_QUALITY if self.quality is None else self.quality
            kind = ENCODERS[self.encoder]
            made = trial.at(kind.worst + (kind.best - kind.worst) * quality / 100)
        if made is None:
            return None
        header: dict[str, Any] = {"v": self.encoder, **made.scene.header()}
        starts = [group.start for group in trial.groups]
        if len(starts) > 1:
            header["k"] = starts
            header["at"] = np.argsort(made.scene.order).tolist()
        parts = [made.side, *made.streams]
        if bounds is not None:
            header["rest"], rest = encode_rest(values, made.values, valid, bounds, _REST_EFFORT)
            parts += rest
            self._check(values, valid, header, parts, bounds)
        elif self._bad(made.values, valid):
            raise Unfit
        return header, parts

    def _encode_steps(
        self,
        values: NDArray[Any],
        valid: NDArray[np.bool_] | None,
        bounds: NDArray[np.float64] | None,
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Code as multiples of a step, without a video."""
        if values.dtype.kind == "b":
            raise Unfit
        there = values if valid is None else values[valid]
        limits = [there.min().item(), there.max().item()]
        base = np.broadcast_to(values.dtype.type(limits[0]), values.shape)
        most = math.inf
        if self.psnr is not None:
            most = self._peak(values, valid) * 10 ** (-self.psnr / 20)
        for share in _SHARES:
            # Errors that are spread evenly are that much smaller than the largest, on average.
            wide = np.full(values.shape[1], share * most * math.sqrt(3))
            narrow = wide if bounds is None else np.minimum(wide, bounds)
            if not np.isfinite(narrow).all():
                raise Unfit
            rest, parts = encode_rest(values, base, valid, narrow, _EXACT_EFFORT)
            header = {"range": limits, "rest": rest}
            made = self._check(values, valid, header, parts, narrow)
            if most == math.inf or math.sqrt(mean_square(values, made, valid)) <= most:
                return header, parts
        raise Unfit

    def _groups(self, dates: int) -> list[slice]:
        each = self.keyframes or dates
        return [slice(n, min(n + each, dates)) for n in range(0, dates, each)]

    def _code(
        self, pictures: Iterator[NDArray[np.uint16]], size: tuple[int, int], rate: float, safe: bool
    ) -> tuple[bytes, bytes]:
        return encode_stream(pictures, size, self.encoder, self.preset, rate, safe=safe)

    def _check(
        self,
        values: NDArray[Any],
        valid: NDArray[np.bool_] | None,
        header: Mapping[str, Any],
        parts: Sequence[bytes],
        bounds: NDArray[np.float64],
    ) -> NDArray[Any]:
        """Decode what was written, and check every value that matters."""
        views = [memoryview(part) for part in parts]
        made = self._decode(header, views, shape_of(values), values.dtype, None)
        if self._bad(made, valid) or not within(values, made, valid, bounds):
            raise Unfit
        return made

    def _bad(self, made: NDArray[Any], valid: NDArray[np.bool_] | None) -> bool:
        """Tell whether a usual value came out as one that stands for nothing."""
        if not any((made == value).any() for value in self.nodata):
            return False
        wrong = np.isin(made, self.nodata)
        return bool((wrong if valid is None else wrong & valid).any())

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
        if "v" not in header:
            low, high = read_range(header["range"], dtype)
            some = shape[0] if dates is None else len(dates)
            made = np.full((some, *shape[1:]), low, dtype)
            add_rest(made, header["rest"], parts, shape, dates, (low, high))
            return made
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
            more = parts[len(groups) + 1 :]
            add_rest(made, header["rest"], more, shape, dates, reader.scene.range)
        return made

    @classmethod
    def _wanted(
        cls, header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape
    ) -> Collection[int] | None:
        if "exact" in header:
            return wanted_exact(header["exact"], dates, shape)
        found: set[int] = set()
        first = 0
        if "v" in header:
            starts = [group.start for group in _read_groups(header, shape[0])]
            places = np.asarray(header["at"])[dates] if "k" in header else np.zeros(1)
            found |= {0, *(int(n) for n in np.searchsorted(starts, places, side="right"))}
            first = len(starts) + 1
        if "rest" in header:
            found |= {first + n for n in wanted_parts(header["rest"]["own"], dates, shape)}
        return found


def _labels_size(valid: NDArray[np.bool_] | None) -> int:
    """Return how many bytes it takes to say what is missing."""
    if valid is None:
        return 0
    labels = (~valid).astype(np.uint8)
    shared = bool((labels == labels[:, :1]).all())
    return len(encode_labels(labels[:, :1] if shared else labels))


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
