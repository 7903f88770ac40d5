"""A cube as pictures for a video encoder, and back: whole numbers, the same on every machine."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import Shape, Unfit
from xeo.codecs.inflating import inflate
from xeo.errors import CodecError
from xeo.kernels.gaps import fill
from xeo.kernels.likeness import order_dates
from xeo.kernels.mosaic import Mosaic
from xeo.kernels.spectral import Rotation, covariance

#: Means of dates are kept in units of so many steps.
_COARSE = 4
#: Steps left free at either end, for means that are rounded.
_MARGIN = _COARSE // 2 + 1
_LEVEL = 9
_HEAD = struct.Struct("<ddB")
#: No mean is further off than this, in steps: beyond, sums would not be exact.
_MOST_MEAN = 1 << 40


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
    rotation : Rotation
        From bands to components.
    step, gain : float
        Values times ``gain`` are rotated, then counted in steps.
    offset : array, shape (B,)
        Mean of each band.
    means : array of int64, shape (T, B)
        Of each component of each picture.
    low, high : int or float
        Range of the values.
    """

    shape: Shape
    dtype: np.dtype[Any]
    bits: int
    order: NDArray[np.intp]
    rotation: Rotation
    step: float
    gain: float
    offset: NDArray[np.float64]
    means: NDArray[np.int64]
    low: int | float
    high: int | float

    @property
    def mosaic(self) -> Mosaic:
        """Where components are."""
        return Mosaic.of(self.shape[1], *self.shape[2:])

    @property
    def range(self) -> tuple[int | float, int | float]:
        """Lowest and highest value."""
        return self.low, self.high

    def header(self) -> list[int | float]:
        """Return what JSON says best."""
        return [self.low, self.high]

    def side(self) -> bytes:
        """Return the rest as bytes."""
        dates = len(self.order)
        kind = "u1" if dates <= 256 else "<u4"
        order = self.order.astype(kind)
        means = np.diff(self.means, axis=0, prepend=0).T
        wide = 2 if np.abs(means).max() < 2**15 else 8
        # Bytes of one significance together: the high ones are mostly alike.
        planes = means.astype(f"<i{wide}").reshape(-1, 1).view(np.uint8).T
        body = b"".join(
            [
                _HEAD.pack(self.step * self.rotation.unit, self.gain, wide),
                self.offset.astype("<f8").tobytes(),
                self.rotation.back.astype(f"<i{self.rotation.back.itemsize}").tobytes(),
                order.tobytes(),
                np.ascontiguousarray(planes).tobytes(),
            ]
        )
        return zlib.compress(body, _LEVEL)

    @classmethod
    def read(
        cls,
        header: Sequence[Any],
        side: bytes | memoryview,
        shape: Shape,
        dtype: np.dtype[Any],
        bits: int,
    ) -> Scene:
        """Read what `header` and `side` wrote, checked.

        Raises
        ------
        CodecError
            If it cannot be.
        """
        dates, bands = shape[:2]
        back = np.dtype("i1") if bands <= 32 else np.dtype("<i2")
        kind = np.dtype("u1") if dates <= 256 else np.dtype("<u4")
        fixed = _HEAD.size + 8 * bands + back.itemsize * bands * bands + kind.itemsize * dates
        body = inflate(bytes(side), fixed + 8 * bands * dates)
        if len(body) < fixed:
            raise CodecError("a chunk of video lacks what its pictures mean: it is damaged")
        unit, gain, wide = _HEAD.unpack_from(body)
        if wide not in (2, 8) or len(body) != fixed + wide * bands * dates:
            raise CodecError("a chunk of video does not say its means: it is damaged")
        if not (0 < unit < math.inf and 0 < gain < math.inf):
            raise CodecError(f"steps of {unit} and {gain} in a chunk cannot be: it is damaged")
        at = _HEAD.size
        offset = np.frombuffer(body, "<f8", bands, at)
        at += 8 * bands
        matrix = np.frombuffer(body, back, bands * bands, at).reshape(bands, bands)
        at += matrix.nbytes
        order = np.frombuffer(body, kind, dates, at).astype(np.intp)
        at += kind.itemsize * dates
        planes = np.frombuffer(body, np.uint8, offset=at).reshape(wide, -1)
        steps = np.ascontiguousarray(planes.T).view(f"<i{wide}").reshape(bands, dates).T
        means = np.cumsum(steps.astype(np.int64), axis=0)
        if not np.isfinite(offset).all() or (np.abs(means) > _MOST_MEAN).any():
            raise CodecError("means of a chunk cannot be: it is damaged")
        if not (np.sort(order) == np.arange(dates)).all():
            raise CodecError("the order of dates in a chunk is none: it is damaged")
        low, high = _range(header, dtype)
        rotation = Rotation(matrix, 1.0)
        return cls(shape, dtype, bits, order, rotation, unit, gain, offset, means, low, high)

    def values(self, date: int, components: NDArray[np.uint16]) -> NDArray[Any]:
        """Return the values of one picture's date.

        Parameters
        ----------
        date : int
            Position in the order of coding.
        components : array of uint16, shape (component, Y, X)
            As they were decoded.

        Returns
        -------
        array of ``dtype``, shape (B, Y, X)
            Alike on every machine: sums are of whole numbers, and exact.
        """
        exact = self.rotation.exact
        numbers = components.reshape(len(components), -1).astype(exact)
        numbers -= 1 << (self.bits - 1)
        back = np.ascontiguousarray(self.rotation.back.T)
        made = back.astype(exact) @ numbers
        scale = self.step * self.rotation.unit / self.gain
        means = (back.astype(np.int64) * self.means[date]).sum(1) * _COARSE
        base = self.offset + means.astype(np.float64) * scale
        narrow = self.dtype.itemsize <= 2 or self.dtype == np.float32
        work = np.float32 if narrow and exact == np.float32 else np.float64
        made = made.astype(work, copy=False)
        # A product and a sum, each rounded by itself: nothing that a machine may fuse.
        np.multiply(made, work(scale), out=made)
        np.add(made, base.astype(work)[:, None], out=made)
        return self._cast(made).reshape(self.shape[1:])

    def _cast(self, made: NDArray[Any]) -> NDArray[Any]:
        if self.dtype.kind == "f":
            np.clip(made, made.dtype.type(self.low), made.dtype.type(self.high), out=made)
            return made.astype(self.dtype, copy=False)
        np.rint(made, out=made)
        if self.dtype.itemsize < 8:
            np.clip(made, self.low, self.high, out=made)
            return made.astype(self.dtype)
        # Beyond 2**53 floats skip integers, and the largest one is none that fits.
        limits = np.iinfo(self.dtype)
        np.clip(made, float(limits.min), np.nextafter(float(limits.max), 0), out=made)
        whole: NDArray[Any] = np.clip(made.astype(self.dtype), self.low, self.high)
        return whole


def _range(header: Sequence[Any], dtype: np.dtype[Any]) -> tuple[Any, Any]:
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


def analyse(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, bits: int
) -> tuple[Scene, NDArray[np.uint16]]:
    """Turn a cube into components.

    Parameters
    ----------
    values : array, shape (T, B, Y, X)
        Integers or floats.
    valid : array of bool, optional
        Where values mean something.
    bits : int
        Of a pixel.

    Returns
    -------
    scene : Scene
        What leads back.
    components : array of uint16, shape (T, B, Y, X)
        In the order of coding.

    Raises
    ------
    Unfit
        If the numbers are beyond what floats can be scaled to.
    """
    there = values if valid is None else values[valid]
    low, high = there.min().item(), there.max().item()
    order = order_dates(values, valid)
    cube = values[order] if valid is None else fill(values[order], valid[order])
    offset, gain = _level(cube)
    work = _normal(cube, offset, gain)
    found = covariance(work, None if valid is None else valid[order])
    rotation = Rotation.of(found)
    forward = rotation.forward.astype(np.float32)
    dates, bands = values.shape[:2]
    centres = np.empty((dates, bands))
    for date in range(dates):
        plane = work[date].reshape(bands, -1)
        plane[...] = forward @ plane
        centres[date] = plane.mean(1, dtype=np.float64)
    largest = max(
        float(np.abs(work[d].reshape(bands, -1) - centres[d][:, None].astype("f4")).max())
        for d in range(dates)
    )
    half = 1 << (bits - 1)
    step = max(largest / (half - 1 - _MARGIN), float(np.finfo(np.float32).tiny))
    means = np.rint(centres / (step * _COARSE))
    if not math.isfinite(step) or np.abs(means).max() >= _MOST_MEAN:
        raise Unfit
    scene = Scene(
        shape_of(values), values.dtype, bits, order, rotation, step, gain, offset,
        means.astype(np.int64), low, high,
    )  # fmt: skip
    components = np.empty(values.shape, np.uint16)
    for date in range(dates):
        plane = work[date]
        plane -= (means[date] * step * _COARSE).astype(np.float32)[:, None, None]
        plane *= np.float32(1 / step)
        np.rint(plane, out=plane)
        plane += half
        np.clip(plane, 0, 2 * half - 1, out=plane)
        components[date] = plane
    return scene, components


def _level(cube: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Return the mean of each band, and what brings values near one."""
    with np.errstate(over="raise", invalid="raise"):
        try:
            wide = np.float64 if cube.dtype.itemsize > 2 else np.float32
            offset = np.stack([cube[:, b].mean(dtype=np.float64) for b in range(cube.shape[1])])
            spread = max(
                float(np.abs(plane.astype(wide) - offset[band]).max())
                for date in cube
                for band, plane in enumerate(date)
            )
        except FloatingPointError as err:
            raise Unfit from err
    if cube.dtype.kind in "iu":
        offset = np.rint(offset)
    if not math.isfinite(spread):
        raise Unfit
    usual = cube.dtype.itemsize <= 2 and cube.dtype.kind in "iu"
    if usual or spread == 0:
        return offset, 1.0
    exponent = math.floor(math.log2(spread))
    if abs(exponent) > 1000:
        raise Unfit
    return offset, 2.0**-exponent


def _normal(cube: NDArray[Any], offset: NDArray[np.float64], gain: float) -> NDArray[np.float32]:
    made = np.empty(cube.shape, np.float32)
    narrow = cube.dtype.itemsize <= 2
    for date, planes in enumerate(cube):
        for band, plane in enumerate(planes):
            if narrow and gain == 1:
                np.subtract(plane, np.float32(offset[band]), out=made[date, band], dtype="f4")
            else:
                made[date, band] = (plane.astype(np.float64) - offset[band]) * gain
    return made


def pictures(
    components: NDArray[np.uint16], mosaic: Mosaic, dates: slice
) -> Iterator[NDArray[np.uint16]]:
    """Yield the pictures of some dates: all first ones, then all second ones.

    Parameters
    ----------
    components : array of uint16, shape (T, B, Y, X)
        In the order of coding.
    mosaic : Mosaic
        Where they are.
    dates : slice
        Of a group.

    Yields
    ------
    array of uint16
    """
    for picture in range(mosaic.pictures):
        for planes in components[dates]:
            yield mosaic.join(planes, picture)


def shape_of(values: NDArray[Any]) -> Shape:
    """Return the shape of a cube as four sizes."""
    times, bands, rows, columns = values.shape
    return times, bands, rows, columns
