"""A cube turned into components, in whole numbers for pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import Unfit
from xeo.codecs.scene import BLOCK, MOST_MEAN, Family, Scene, is_plain, shape_of
from xeo.kernels.coarse import coarsen, grids_of
from xeo.kernels.gaps import fill
from xeo.kernels.likeness import order_dates
from xeo.kernels.spectral import Rotation, covariance

#: Free steps at either end of a picture's range.
_MARGIN = 3
#: Components can be counted in steps of a picture's range over ``2**FINEST``.
FINEST = 4


@dataclass(frozen=True)
class Rotated:
    """The components of bands of one grid.

    Parameters
    ----------
    family : Family
        The bands.
    planes : array of float32, shape (T, component, Y, X)
        Less their means, in the order of coding.
    means : array, shape (component, T)
        What was taken off.
    """

    family: Family
    planes: NDArray[np.float32]
    means: NDArray[np.float64]

    def counted(self, unit: float) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        """Return planes and means as whole numbers of a unit; planes hold what means round."""
        level = self.means / unit
        if np.abs(level).max() >= MOST_MEAN:
            raise Unfit
        whole = np.rint(level)
        rest = (level - whole).T.astype(np.float32)
        codes = np.empty(self.planes.shape, np.int16)
        for date, (planes, part) in enumerate(zip(self.planes, rest, strict=True)):
            scaled = planes * np.float32(1 / unit)
            scaled += part[:, None, None]
            codes[date] = np.rint(scaled, out=scaled)
        return codes, whole.astype(np.int64)


@dataclass(frozen=True)
class Analysis:
    """A cube as components.

    Parameters
    ----------
    values : array, shape (T, B, Y, X)
        The cube.
    bits : int
        Of a pixel.
    order : array of int, shape (T,)
        The order of coding.
    parts : tuple of Rotated
        Of all bands.
    gain, offset, low, high :
        As in `Scene`.
    """

    values: NDArray[Any]
    bits: int
    order: NDArray[np.intp]
    parts: tuple[Rotated, ...]
    gain: int
    offset: NDArray[np.float64]
    low: int | float
    high: int | float

    @property
    def limit(self) -> int:
        """The largest number that a picture's pixel is from its middle."""
        return (1 << (self.bits - 1)) - 1 - _MARGIN

    @property
    def unit(self) -> float:
        """In which the largest component just fits a picture."""
        largest = max(float(max(p.planes.max(), -p.planes.min())) for p in self.parts)
        if not math.isfinite(largest):
            raise Unfit
        return largest / self.limit or 1.0

    @property
    def step(self) -> float:
        """The unit in values."""
        return self.unit * 2.0**-self.gain

    def counted(self, fine: int) -> tuple[Scene, list[NDArray[np.int16]]]:
        """Count components in steps.

        Parameters
        ----------
        fine : int
            Steps are ``2**fine`` times finer than what fits one picture; at most `FINEST`.

        Returns
        -------
        scene : Scene
            What leads back.
        layers : list of array of int16, shape (T, Y, X)
            Of all components, in the order of coding.

        Raises
        ------
        Unfit
            If the numbers are beyond what floats can be scaled to.
        """
        unit = self.unit / (1 << fine)
        families, layers, counts, means = [], [], [], []
        for part in self.parts:
            codes, whole = part.counted(unit)
            # What is less than half a step everywhere, and has no mean, need not be in a picture.
            used = [n for n in range(len(whole)) if codes[:, n].any() or whole[n].any()] or [0]
            kept = used[-1] + 1
            families.append(part.family.keeping(kept))
            means.append(whole[:kept])
            for number in range(kept):
                found = _layers(codes[:, number], self.limit)
                layers += found
                counts.append(len(found))
        scene = Scene(
            shape_of(self.values), self.values.dtype, self.bits, self.order, tuple(families),
            unit, self.gain, self.offset, np.concatenate(means), self.low, self.high,
            tuple(counts),
        )  # fmt: skip
        return scene, layers


def _layers(codes: NDArray[np.int16], limit: int) -> list[NDArray[np.int16]]:
    """Cut numbers into layers within a limit, whose sum they are."""
    largest = max(int(codes.max()), -int(codes.min()))
    if largest <= limit:
        return [codes]
    found = []
    for _ in range(-(-largest // limit)):
        layer = np.clip(codes, -limit, limit)
        found.append(layer)
        codes = codes - layer
    return found


def analyse(values: NDArray[Any], valid: NDArray[np.bool_] | None, bits: int) -> Analysis:
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
    Analysis

    Raises
    ------
    Unfit
        If the numbers are beyond what floats can be scaled to.
    """
    there = values if valid is None else values[valid]
    low, high = there.min().item(), there.max().item()
    order = order_dates(values, valid)
    offset, gain = _level(values, valid)
    parts = []
    for grid, bands in grids_of(values, valid).items():
        some = None if valid is None else valid[:, bands]
        cube, some = coarsen(
            values if len(bands) == values.shape[1] else values[:, bands], grid, some
        )
        cube = cube[order]
        some = None if some is None else some[order]
        work, centres = _centred(cube, some, offset[bands], gain)
        family = Family(tuple(bands), grid, Rotation.of(covariance(work, some)))
        parts.append(Rotated(family, work, _rotated(family, work, centres)))
    return Analysis(values, bits, order, tuple(parts), gain, offset, low, high)


def _rotated(
    family: Family, work: NDArray[np.float32], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rotate a cube in place, and return the means of its components, shape (component, T)."""
    forward = family.rotation.forward * family.weight
    single = forward.astype(np.float32)
    for date in work:
        flat = date.reshape(len(date), -1)
        for start in range(0, flat.shape[1], BLOCK):
            part = slice(start, start + BLOCK)
            flat[:, part] = single @ flat[:, part]
    levels: NDArray[np.float64] = forward @ centres.T
    return levels


def _level(
    values: NDArray[Any], valid: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], int]:
    """Return what is taken off each band, and the power of two that brings values near one."""
    bands = values.shape[1]
    if is_plain(values.dtype):
        return np.zeros(bands), 0
    offset = np.zeros(bands)
    spread = 0.0
    with np.errstate(over="raise", invalid="raise"):
        try:
            for band in range(bands):
                plane = values[:, band] if valid is None else values[:, band][valid[:, band]]
                if not plane.size:
                    continue
                low, high = float(plane.min()), float(plane.max())
                offset[band] = low + (high - low) / 2
                spread = max(spread, high - low)
        except FloatingPointError as err:
            raise Unfit from err
    if not math.isfinite(spread):
        raise Unfit
    exponent = math.floor(math.log2(spread)) if spread else 0
    if abs(exponent) > 900:
        raise Unfit
    return offset, -exponent


def _centred(
    cube: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    offset: NDArray[np.float64],
    gain: int,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return a cube less the mean of each date and band, without gaps; and the means."""
    work = np.empty(cube.shape, np.float32)
    centres = np.zeros(cube.shape[:2])
    plain = is_plain(cube.dtype)
    for date, planes in enumerate(cube):
        for band, plane in enumerate(planes):
            some = work[date, band]
            if plain:
                some[...] = plane
            else:
                if valid is not None:
                    plane = np.where(valid[date, band], plane, 0)
                some[...] = (plane.astype(np.float64) - offset[band]) * 2.0**gain
            there = some if valid is None else some[valid[date, band]]
            if there.size:
                centres[date, band] = there.mean(dtype=np.float64)
            some -= np.float32(centres[date, band])
    # What single precision took off is what has to be added again.
    centres = centres.astype(np.float32).astype(np.float64)
    return (work if valid is None else fill(work, valid)), centres
