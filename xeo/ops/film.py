"""A cube as a film to look at."""

from __future__ import annotations

import base64
import html
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xeo.cube import Cube
from xeo.errors import BandError, DateError, DimensionError, OptionError, StoreError
from xeo.kernels.caption import caption
from xeo.kernels.picture import spread, stretch_ends
from xeo.lazy import require
from xeo.ops.pixels import read_bands, step_of
from xeo.ops.place import local
from xeo.progress import bar

Bytes = npt.NDArray[np.uint8]

_MISSING = 217
#: Dates and pixels a side that the stretch is taken from.
_SAMPLE_DATES, _SAMPLE_SIZE = 12, 256
#: Bytes of values that are read at a time; more only where one date has more.
_BLOCK = 64 * 2**20
#: Smaller films are enlarged by a whole factor until their longest side has as many pixels.
_SMALL = 480
#: Larger files are not put into a notebook, which would have to be saved with them.
_INLINE = 20 * 2**20


@dataclass(frozen=True)
class Film:
    """A film that was written; a notebook plays it.

    Parameters
    ----------
    path : Path
    shape : (int, int)
        Rows and columns of its pictures.
    frames : int
    fps : float
        Pictures a second.
    """

    path: Path
    shape: tuple[int, int]
    frames: int
    fps: float

    def _repr_html_(self) -> str:
        """Return a player, with the film inside where it is small."""
        if not self.path.is_file():
            return f"<p>{html.escape(repr(self))}: the file is gone.</p>"
        rows, columns = self.shape
        if self.path.stat().st_size <= _INLINE:
            data = base64.b64encode(self.path.read_bytes()).decode("ascii")
            source = f"data:video/mp4;base64,{data}"
        else:
            source = html.escape(self.path.as_posix(), quote=True)
        return (
            f'<video controls loop muted playsinline width="{columns}" height="{rows}" '
            f'style="max-width: 100%; height: auto" src="{source}"></video>'
        )


def to_video(
    obj: xr.DataArray | xr.Dataset,
    path: str | os.PathLike[str],
    *,
    bands: str | Sequence[str] | None = None,
    fps: float = 4.0,
    percentiles: tuple[float, float] = (2, 98),
    cmap: str = "viridis",
    captions: bool = True,
    sensor: str | None = None,
    size: int = 1080,
    quality: float = 20,
    progress: bool = True,
) -> Film:
    """Make a film of a cube, a picture a date, that browsers play.

    For looking: colours are stretched and coded with loss. To store values see `compress`.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``(time, [band,] y, x)``, in any order and either orientation, lazy or not.
    path : str or path
        File to write, ``"clip.mp4"``. One that is there is replaced.
    bands : str or sequence of str, optional
        Three names for red, green and blue, canonical (``"nir"``) or the cube's own (``"B08"``), or
        one for a colour map. None for true colour, or for the only band there is.
    fps : float
        Dates a second.
    percentiles : (float, float)
        What is drawn black and what is drawn full, per band, alike for all dates: taken from at
        most 12 of them, as in ``.eo.plot.rgb``.
    cmap : str
        Colour map of matplotlib for one band; ``"gray"`` needs no matplotlib.
    captions : bool
        Whether to write the date into the upper left corner.
    sensor : str, optional
        Name of the sensor, where labels and attributes do not tell.
    size : int
        Longest side in pixels; of larger cubes every n-th pixel is drawn, small ones are enlarged
        by a whole factor.
    quality : float
        From 0 (as is) to 51 (worst), the CRF of x264.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Film
        Shown as a player in a notebook. Missing pixels are grey. H.264 in MP4, without sound.

    Raises
    ------
    BandError
        If there are neither one nor three bands, or one is not in the cube.
    DateError
        If there is no dimension of time.
    DimensionError
        If there are no rows and columns.
    OptionError
        If an option has a value that cannot be used.
    StoreError
        If the file cannot be written.

    See Also
    --------
    to_xarrayvideo

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=4, size=64)
    >>> film = cube.eo.to_video("clip.mp4", bands=["nir", "red", "green"])  # doctest: +SKIP
    """
    target = _target(path)
    _check(fps, percentiles, size, quality)
    cube = _ordered(_choose(Cube.of(obj, sensor=sensor), bands))
    coloured = len(cube.layers) == 3
    paint = _colours(cmap) if not coloured else None
    step = step_of(cube, size)
    ends = _ends(cube, percentiles)
    texts = _texts(cube) if captions else [""] * cube.sizes[0]
    with (
        _Mp4(target, fps, quality) as film,
        bar(total=cube.sizes[0], desc=target.name, unit="date", disable=not progress) as shown,
    ):
        for values, text in zip(_dates(cube, step), texts, strict=True):
            spread_out = spread(values, ends)
            picture = _rgb(spread_out if paint is None else paint(spread_out[..., 0]))
            film.write(caption(_fitted(picture), text))
            shown.update()
    return Film(target, film.shape, cube.sizes[0], float(fps))


def _target(path: str | os.PathLike[str]) -> Path:
    text = local(path)
    if "://" in text or not text.lower().endswith(".mp4"):
        raise OptionError(f"expected a local file .mp4 to write, got {text!r}. Try: 'clip.mp4'")
    target = Path(text)
    if not target.parent.is_dir():
        raise StoreError(f"expected a folder at {str(target.parent)!r} to write in, found none")
    return target


def _check(fps: float, percentiles: tuple[float, float], size: int, quality: float) -> None:
    if not 0.05 <= fps <= 120:
        raise OptionError(f"expected 0.05 to 120 dates a second, got {fps}")
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise OptionError(f"expected percentiles from 0 to 100, got {percentiles}")
    if not 16 <= size <= 8192:
        raise OptionError(f"expected a size of 16 to 8192 pixels, got {size}")
    if not 0 <= quality <= 51:
        raise OptionError(f"expected a quality of 0 to 51, got {quality}")


def _choose(cube: Cube, bands: str | Sequence[str] | None) -> Cube:
    if not cube.has_place:
        raise DimensionError(
            f"expected dimensions y and x (or their common names), got {tuple(cube.obj.dims)}"
        )
    if "time" not in cube.roles:
        raise DateError("expected a cube with a time dimension, got none. Try: obj.eo.plot.rgb()")
    if bands is None:
        return cube if len(cube.layers) == 1 else _true_colour(cube)
    wanted = [bands] if isinstance(bands, str) else list(bands)
    if len(wanted) not in (1, 3):
        raise BandError(
            f"expected one band or three, got {wanted}. Try: bands=('nir', 'red', 'green')"
        )
    return cube.select_bands(wanted)


def _true_colour(cube: Cube) -> Cube:
    try:
        return cube.select_bands(("red", "green", "blue"))
    except BandError as err:
        raise BandError(
            f"expected bands red, green and blue, or one, got {cube.labels}. "
            f"Try: bands={cube.labels[0]!r}, or three names"
        ) from err


def _ordered(cube: Cube) -> Cube:
    """Put dates in the order of time."""
    dates = cube.dates
    order = np.arange(cube.sizes[0]) if dates is None else np.argsort(dates, kind="stable")
    return replace(cube, picked=order.astype(np.int64))


def _texts(cube: Cube) -> list[str]:
    dates = cube.dates
    if dates is None:
        return [str(i) for i in range(cube.sizes[0])]
    days = [str(date)[:10] for date in dates]
    if len(set(days)) == len(days):
        return days
    return [str(date)[:16].replace("T", " ") for date in dates]


def _only(cube: Cube, positions: npt.NDArray[np.int64]) -> Cube:
    assert cube.picked is not None
    return replace(cube, picked=cube.picked[positions])


def _ends(cube: Cube, percentiles: tuple[float, float]) -> npt.NDArray[np.floating]:
    """Return the ends of the stretch, from a few dates and pixels read one date at a time."""
    count = cube.sizes[0]
    few = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE_DATES)).astype(np.int64))
    step = step_of(cube, _SAMPLE_SIZE)
    read = [
        np.stack(read_bands(one, one.layers, step), axis=-1)
        for one in (_only(cube, few[i : i + 1]) for i in range(len(few)))
    ]
    return stretch_ends(np.concatenate(read), percentiles)


def _dates(cube: Cube, step: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield dates as ``(y, x, band)``; a few are read at once, so that chunks are read once."""
    count, ny, nx = cube.sizes
    each = max(1, _BLOCK // (8 * ny * nx * len(cube.layers)))
    for start in range(0, count, each):
        some = _only(cube, np.arange(start, min(start + each, count)))
        yield from np.stack(read_bands(some, some.layers, step), axis=-1)


def _colours(name: str) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Return a function from 0 to 1 to colours, NaN where it is NaN."""
    if name == "gray":
        return lambda x: np.repeat(x[..., None], 3, axis=-1)
    maps: Any = require("matplotlib", purpose="colour one band").colormaps
    if name not in maps:
        raise OptionError(f"expected a colour map of matplotlib, got {name!r}. Try: 'viridis'")
    table = maps[name](np.linspace(0, 1, 256))[:, :3].astype(np.float32)

    def paint(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        missing = np.isnan(x)
        drawn = table[np.where(missing, 0, np.nan_to_num(x) * 255 + 0.5).astype(np.uint8)]
        return np.where(missing[..., None], np.nan, drawn)

    return paint


def _rgb(colours: npt.NDArray[Any]) -> Bytes:
    """Return bytes; a pixel of which a band is missing is grey."""
    missing = np.isnan(colours).any(axis=-1, keepdims=True)
    scaled = np.rint(255 * np.where(missing, 0, colours))
    return np.where(missing, _MISSING, scaled).astype(np.uint8)


def _fitted(picture: Bytes) -> Bytes:
    """Enlarge small pictures by a whole factor; repeat a row or column until both are even."""
    factor = max(1, _SMALL // max(picture.shape[:2]))
    large = np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
    ny, nx = large.shape[:2]
    return np.pad(large, ((0, ny % 2), (0, nx % 2), (0, 0)), mode="edge")


class _Mp4:
    """Writes pictures to a file that takes its place when it is whole."""

    def __init__(self, target: Path, fps: float, quality: float) -> None:
        self.target, self.quality = target, quality
        self.rate = Fraction(fps).limit_denominator(1000)
        self.part = target.with_name(f".{target.stem}-{uuid.uuid4().hex[:12]}.mp4")
        self.shape = (0, 0)
        self._av: Any = None
        self._container: Any = None
        self._stream: Any = None

    def __enter__(self) -> _Mp4:
        self._av = require("av", purpose="make a film")
        # The index in front: browsers start before they have all of it.
        options = {"movflags": "+faststart"}
        try:
            self._container = self._av.open(str(self.part), "w", options=options)
        except OSError as err:
            raise StoreError(f"writing {str(self.target)!r} failed: {err}") from err
        return self

    def write(self, picture: Bytes) -> None:
        if self._stream is None:
            self._start(picture.shape[0], picture.shape[1])
        frame = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        # Browsers take BT.709 of what does not say otherwise, FFmpeg would write BT.601.
        self._encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709"))

    def _start(self, rows: int, columns: int) -> None:
        self.shape = (rows, columns)
        try:
            stream = self._container.add_stream("libx264", rate=self.rate)
        except ValueError as err:
            raise StoreError(f"expected an FFmpeg with libx264 to make a film: {err}") from err
        stream.width, stream.height, stream.pix_fmt = columns, rows, "yuv420p"
        stream.options = {"crf": str(self.quality), "preset": "medium"}
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        self._stream = stream

    def _encode(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._av.FFmpegError as err:
            raise StoreError(f"writing {str(self.target)!r} failed: {err}") from err

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._encode(None)
            self._container.close()
            if kind is None:
                os.replace(self.part, self.target)
        finally:
            self.part.unlink(missing_ok=True)
