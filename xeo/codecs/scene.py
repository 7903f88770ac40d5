"""A cube as pictures for a video encoder, and back: whole numbers, the same on every machine."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import Shape
from xeo.errors import CodecError
from xeo.kernels.coarse import Grid, area, refine
from xeo.kernels.mosaic import Mosaic
from xeo.kernels.spectral import Rotation
from xeo.kernels.terse import order_size, pack_order, pack_rows, unpack_order, unpack_rows
from xeo.kernels.upsampling import Repeats

_HEAD = struct.Struct("<dhB")
#: No mean is further off than this, in steps: beyond, sums would not be exact.
MOST_MEAN = 1 << 40
_MOST_COARSE = 16
#: Of 12 bits each, for 16 bits.
MOST_LAYERS = 17
#: Products are made for so many pixels at once: they stay in the cache, and with one thread.
BLOCK = 1 << 14


@dataclass(frozen=True)
class Family:
    """Bands of one grid, rotated together.

    Parameters
    ----------
    bands : tuple of int
        Their places in the cube.
    grid : (Repeats, Repeats)
        How their pixels repeat along y and x.
    rotation : Rotation
        From bands to components.
    """

    bands: tuple[int, ...]
    grid: Grid
    rotation: Rotation

    def keeping(self, components: int) -> Family:
        """Return it with the first components only."""
        return Family(self.bands, self.grid, Rotation(self.rotation.back[:components]))

    def size(self, shape: Shape) -> tuple[int, int]:
        """Return height and width of the pictures, in a cube of a shape."""
        rows, columns = (r.firsts(n) for r, n in zip(self.grid, shape[2:], strict=True))
        return len(rows), len(columns)

    @property
    def weight(self) -> float:
        """Times that its components are larger in a picture: errors count for each repetition."""
        return math.sqrt(area(self.grid))


@dataclass(frozen=True)
class Scene:
    """All that decoding needs beside the video.

    Parameters
    ----------
    shape : tuple of int
        Of the cube.
    dtype : numpy.dtype
        Of its values.
    bits : int
        Of a pixel.
    order : array of int, shape (T,)
        The date that each picture shows.
    families : tuple of Family
        Of all bands; those of the finest grid first.
    unit : float
        Values times ``2**gain`` are rotated, then counted in units.
    gain : int
        Brings floats near one.
    offset : array, shape (B,)
        Taken off each band before.
    means : array of int64, shape (component, T)
        Of each picture, in units.
    low, high : int or float
        Range of the values.
    layers : tuple of int
        How many pictures each component is spread over: what is beyond the range of the first is
        in the next.
    """

    shape: Shape
    dtype: np.dtype[Any]
    bits: int
    order: NDArray[np.intp]
    families: tuple[Family, ...]
    unit: float
    gain: int
    offset: NDArray[np.float64]
    means: NDArray[np.int64]
    low: int | float
    high: int | float
    layers: tuple[int, ...]

    @cached_property
    def mosaic(self) -> Mosaic:
        """Where layers of components are."""
        kinds, first = [], 0
        for family in self.families:
            last = first + family.rotation.components
            kinds.append((sum(self.layers[first:last]), family.size(self.shape)))
            first = last
        return Mosaic.of(kinds)

    @property
    def range(self) -> tuple[int | float, int | float]:
        """Lowest and highest value."""
        return self.low, self.high

    @property
    def step(self) -> float:
        """What a step of a picture's pixel is in values."""
        return self.unit * 2.0**-self.gain

    def rounded(self, coarse: int) -> NDArray[np.int64]:
        """Return means as multiples of ``2**coarse`` steps."""
        return (self.means + (1 << coarse >> 1)) >> coarse

    def header(self) -> dict[str, Any]:
        """Return what JSON says best."""
        own: dict[str, Any] = {"range": [self.low, self.high]}
        if len(self.families) > 1 or area(self.families[0].grid) > 1:
            own["grids"] = [
                [list(f.bands), [n for r in f.grid for n in (r.factor, r.phase)]]
                for f in self.families
            ]
        counts = [f.rotation.components for f in self.families]
        if counts != [len(f.bands) for f in self.families]:
            own["kept"] = counts
        if max(self.layers) > 1:
            own["layers"] = list(self.layers)
        return own

    def side(self, coarse: int) -> bytes:
        """Return the rest as bytes, with means in ``2**coarse`` steps."""
        pieces = [_HEAD.pack(self.unit, self.gain, coarse)]
        if not is_plain(self.dtype):
            pieces.append(self.offset.astype("<f8").tobytes())
        for family in self.families:
            back = family.rotation.back
            pieces.append(back.astype(back.dtype.newbyteorder("<")).tobytes())
        pieces.append(pack_order(self.order))
        means = self.rounded(coarse)
        pieces.append(pack_rows(np.diff(means, axis=1, prepend=0)))
        return b"".join(pieces)

    def reader(self, coarse: int) -> Reader:
        """Return what `side` would be read as."""
        return Reader(self, self.rounded(coarse) << coarse)


@dataclass(frozen=True)
class Reader:
    """The way back from pictures to values.

    Parameters
    ----------
    scene : Scene
        What pictures mean.
    means : array of int64, shape (component, T)
        As they were stored.
    """

    scene: Scene
    means: NDArray[np.int64]

    def values(
        self, date: int, components: Sequence[NDArray[np.uint16]], out: NDArray[Any]
    ) -> None:
        """Give the values of one picture's date.

        Parameters
        ----------
        date : int
            Position in the order of coding.
        components : sequence of array of uint16
            Layers of components, as they were decoded.
        out : array, shape (B, Y, X)
            Takes the values, alike on every machine: sums are of whole numbers, and exact.
        """
        first = 0
        waiting = iter(components)
        for family in self.scene.families:
            last = first + family.rotation.components
            planes = [list(islice(waiting, n)) for n in self.scene.layers[first:last]]
            target = out if len(family.bands) == len(out) and area(family.grid) == 1 else None
            made = self._family(family, planes, self.means[first:last, date], target)
            if target is None:
                fine = refine(made, family.grid, (out.shape[1], out.shape[2]))
                for band, plane in zip(family.bands, fine, strict=True):
                    out[band] = plane
            first = last

    def _family(
        self,
        family: Family,
        planes: Sequence[Sequence[NDArray[np.uint16]]],
        means: NDArray[np.int64],
        target: NDArray[Any] | None,
    ) -> NDArray[Any]:
        scene = self.scene
        rotation = family.rotation
        rows, columns = family.size(scene.shape)
        bands = len(family.bands)
        made = np.empty((bands, rows, columns), scene.dtype) if target is None else target
        # Sums of layers are too large for products in single precision.
        exact = rotation.exact if max(map(len, planes)) == 1 else np.dtype(np.float64)
        half = exact.type(1 << (scene.bits - 1))
        back = np.ascontiguousarray(rotation.back.T)
        scale = scene.step * rotation.unit / family.weight
        levels = (back.astype(np.int64) * means).sum(1).astype(np.float64) * scale
        levels += scene.offset[list(family.bands)]
        narrow = scene.dtype.itemsize <= 2 or scene.dtype == np.float32
        work = np.dtype(np.float32 if narrow and exact == np.float32 else np.float64)
        factors = back.astype(exact)
        each = max(1, BLOCK // columns)
        numbers = np.empty((len(planes), each, columns), exact)
        for row in range(0, rows, each):
            part = slice(row, min(row + each, rows))
            some = numbers[:, : part.stop - part.start]
            for number, (plane, *more) in zip(some, planes, strict=True):
                np.subtract(plane[part], half, out=number)
                for layer in more:
                    number += layer[part]
                    number -= half
            products = factors @ some.reshape(len(planes), -1)
            flat = products.astype(work, copy=False)
            # A product and a sum, each rounded by itself: nothing that a machine may fuse.
            with np.errstate(over="ignore"):
                # The largest floats may overflow here, and are clipped.
                np.multiply(flat, work.type(scale), out=flat)
                np.add(flat, levels.astype(work)[:, None], out=flat)
            made[:, part] = self._cast(flat).reshape(bands, -1, columns)
        return made

    def _cast(self, made: NDArray[Any]) -> NDArray[Any]:
        scene = self.scene
        if scene.dtype.kind == "f":
            np.clip(made, made.dtype.type(scene.low), made.dtype.type(scene.high), out=made)
            return made
        np.rint(made, out=made)
        if scene.dtype.itemsize < 8:
            return np.clip(made, scene.low, scene.high, out=made)
        # Beyond 2**53 floats skip integers, and the largest one is none that fits.
        limits = np.iinfo(scene.dtype)
        np.clip(made, float(limits.min), np.nextafter(float(limits.max), 0), out=made)
        whole: NDArray[Any] = np.clip(made.astype(scene.dtype), scene.low, scene.high)
        return whole


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Tell whether single precision holds all numbers of a dtype."""
    return dtype.kind in "iu" and dtype.itemsize <= 2


def read_scene(
    header: Mapping[str, Any],
    side: bytes | memoryview,
    shape: Shape,
    dtype: np.dtype[Any],
    bits: int,
) -> tuple[Reader, memoryview]:
    """Read what `Scene.header` and `Scene.side` wrote, checked.

    Parameters
    ----------
    header, side :
        Of a scene.
    shape, dtype :
        Of the cube.
    bits : int
        Of a pixel.

    Returns
    -------
    Reader
        What leads back to values.
    memoryview
        What comes after it.

    Raises
    ------
    CodecError
        If it cannot be.
    """
    low, high = read_range(header["range"], dtype)
    data = memoryview(side)
    if len(data) < _HEAD.size:
        raise CodecError("a chunk of video lacks what its pictures mean: it is damaged")
    unit, gain, coarse = _HEAD.unpack_from(data)
    if not 2.0**-900 < unit < 2.0**900 or abs(gain) > 1000 or coarse > _MOST_COARSE:
        raise CodecError(f"steps of {unit}, {gain}, {coarse} in a chunk cannot be: it is damaged")
    at = _HEAD.size
    offset = np.zeros(shape[1])
    if not is_plain(dtype):
        offset = np.frombuffer(data, "<f8", shape[1], at)
        at += offset.nbytes
    if not np.isfinite(offset).all():
        raise CodecError("means of a chunk cannot be: it is damaged")
    families = []
    for bands, grid, kept in _families(header, shape):
        kind = Rotation.kind(len(bands))
        back = np.frombuffer(data, kind.newbyteorder("<"), kept * len(bands), at)
        at += back.nbytes
        families.append(Family(bands, grid, Rotation(back.astype(kind).reshape(kept, -1))))
    size = order_size(shape[0])
    order = unpack_order(data[at : at + size], shape[0])
    count = sum(f.rotation.components for f in families)
    steps, used = unpack_rows(data[at + size :], count, shape[0])
    means = np.cumsum(steps, axis=1) << coarse
    if (np.abs(steps) > MOST_MEAN).any() or (np.abs(means) > 2 * MOST_MEAN).any():
        raise CodecError("means of a chunk cannot be: it is damaged")
    layers = tuple(header.get("layers") or [1] * count)
    if len(layers) != count or not all(type(n) is int and 1 <= n <= MOST_LAYERS for n in layers):
        raise CodecError(f"layers of {layers} in a chunk cannot be: it is damaged")
    scene = Scene(
        shape, dtype, bits, order, tuple(families), unit, gain, offset, means, low, high, layers
    )
    return Reader(scene, means), data[at + size + used :]


def _families(header: Mapping[str, Any], shape: Shape) -> list[tuple[tuple[int, ...], Grid, int]]:
    grids = header.get("grids") or [[list(range(shape[1])), [1, 0, 1, 0]]]
    kept = header.get("kept") or [len(bands) for bands, _ in grids]
    found = []
    for (bands, numbers), count in zip(grids, kept, strict=True):
        good = len(numbers) == 4 and all(type(n) is int for n in (*numbers, *bands, count))
        rows, columns = Repeats(*numbers[:2]), Repeats(*numbers[2:])
        if (
            not good
            or not 1 <= count <= len(bands)
            or not all(0 <= r.phase < r.factor <= 16 for r in (rows, columns))
        ):
            raise CodecError(f"grids of {grids} in a chunk cannot be: it is damaged")
        found.append((tuple(bands), (rows, columns), count))
    if sorted(band for bands, _, _ in found for band in bands) != list(range(shape[1])):
        raise CodecError(f"grids of {grids} are not those of {shape[1]} bands: damaged")
    return found


def read_range(header: Sequence[Any], dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return the lowest and highest value that a header tells, if the dtype holds them."""
    low, high = header
    if dtype.kind == "f":
        good = all(isinstance(n, (int, float)) and math.isfinite(n) for n in (low, high))
        most = float(np.finfo(dtype).max)
        least = -most
    else:
        good = all(type(n) is int for n in (low, high))
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    if not good or not least <= low <= high <= most:
        raise CodecError(
            f"values from {low!r} to {high!r} do not fit {dtype}: the chunk is damaged"
        )
    return low, high


def shape_of(values: NDArray[Any]) -> Shape:
    """Return the shape of a cube as four sizes."""
    times, bands, rows, columns = values.shape
    return times, bands, rows, columns
