"""Bins for numbers under a guaranteed error: each stands for all values near enough to it.

All arithmetic that a reader repeats is of integers, or of float64 without functions, but for the
exponential of `LogBins`, whose bins leave room for the last bit that libraries differ in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.lattice import Lattice

#: Entries that a table of bins may have.
_MOST = 1 << 17
_EXACT = 2**53


@dataclass(frozen=True)
class IntegerBins:
    """Bins of ``2 * half + 1`` integers.

    Parameters
    ----------
    low, high : int
        The smallest and the largest value; none beyond comes back.
    half : int
        The largest error.
    """

    low: int
    high: int
    half: int

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the bin of each integer."""
        above = values.astype(np.uint64) - np.uint64(self.low % 2**64)
        return np.asarray(above // np.uint64(2 * self.half + 1))

    def values(self, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the middle of each bin."""
        step, half = np.uint64(2 * self.half + 1), np.uint64(self.half)
        top = np.uint64(self.high - self.low)
        above = np.minimum(numbers.astype(np.uint64), top // step) * step
        above = np.where(top - above < half, top, above + half)
        return (above + np.uint64(self.low % 2**64)).astype(dtype)


@dataclass(frozen=True)
class FloatBins:
    """Bins of one width.

    Parameters
    ----------
    low, high : float
        The smallest and the largest value; none beyond comes back.
    step : float
        Width of a bin.
    """

    low: float
    high: float
    step: float

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the bin of each float."""
        return np.rint((values.astype(np.float64) - self.low) / self.step).astype(np.int64)

    def values(self, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the middle of each bin."""
        middle = self.low + numbers.astype(np.float64) * self.step
        return np.clip(middle, self.low, self.high).astype(dtype)


@dataclass(frozen=True)
class LatticeBins:
    """Bins of floats that stand for integers.

    Parameters
    ----------
    lattice : Lattice
        What the floats sit on.
    bins : IntegerBins
        Of their integers.
    """

    lattice: Lattice
    bins: IntegerBins

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the bin of each float."""
        return self.bins.numbers(self.lattice.numbers(values))

    def values(self, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the middle of each bin."""
        return self.lattice.values(self.bins.values(numbers, np.dtype(np.int64)), dtype)


@dataclass(frozen=True)
class LogBins:
    """Bins that grow with the magnitude of floats; zero is its own.

    Parameters
    ----------
    low, high : float
        The smallest magnitude that is not zero, and the largest.
    ratio : float
        The largest relative error, between 0 and 1.
    """

    low: float
    high: float
    ratio: float

    @property
    def _width(self) -> float:
        # As a difference of logarithms: a tiny ratio would vanish beside 1.
        return math.log1p(self.ratio) - math.log1p(-self.ratio)

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the bin of each float, negative ones below zero."""
        wide = values.astype(np.float64)
        size = np.abs(wide)
        # Logarithms are taken apart: a quotient of far apart magnitudes overflows.
        log = np.log(np.where(size > 0, size, self.low)) - math.log(self.low)
        number = np.floor(np.maximum(log, 0) / self._width).astype(np.int64) + 1
        return np.asarray(np.where(size > 0, np.where(wide < 0, -number, number), 0))

    def values(self, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the middle of each bin."""
        most = math.ceil((math.log(self.high) - math.log(self.low)) / self._width) + 1
        number = np.minimum(np.abs(numbers), most)
        log = math.log(self.low) + math.log1p(self.ratio) + (number - 1) * self._width
        with np.errstate(over="ignore"):
            size = np.clip(np.exp(log), self.low, self.high)
        return np.asarray(np.sign(numbers) * size).astype(dtype)


@dataclass(frozen=True)
class FineLogBins:
    """Steps of logarithms of positive floats, so many of which stay within an error.

    Parameters
    ----------
    low, high : float
        The smallest value, and the largest.
    ratio : float
        The largest relative error, between 0 and 1.
    width : int
        How many steps may share a code, which stands for the one in the middle.
    """

    low: float
    high: float
    ratio: float
    width: int

    @property
    def _step(self) -> float:
        return (math.log1p(self.ratio) - math.log1p(-self.ratio)) / (self.width + 1)

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the step of each float."""
        wide = np.maximum(values.astype(np.float64), self.low)
        return np.rint((np.log(wide) - math.log(self.low)) / self._step).astype(np.int64)

    def values(self, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the float at each step."""
        # Errors are of the same ratio above and below not in the middle, but a little lower.
        middle = math.log(self.low) + (math.log1p(self.ratio) + math.log1p(-self.ratio)) / 2
        most = math.ceil((math.log(self.high) - math.log(self.low)) / self._step) + 1
        size = np.exp(middle + np.clip(numbers, 0, most) * self._step)
        return np.asarray(np.clip(size, self.low, self.high)).astype(dtype)


@dataclass(frozen=True)
class TableBins:
    """Bins that grow with the magnitude of integers, none of them empty.

    Parameters
    ----------
    low, high : int
        The smallest magnitude that is not zero, and the largest.
    ratio : float
        The largest relative error, between 0 and 1.
    """

    low: int
    high: int
    ratio: float

    def _table(self) -> tuple[list[int], list[int]]:
        first = self.low
        starts: list[int] = []
        middles: list[int] = []
        while first <= self.high and len(starts) <= _MOST:
            middle = min(math.floor(first * (1 + self.ratio)), self.high)
            while middle - first > self.ratio * first:
                middle -= 1
            last = math.floor(middle / (1 - self.ratio))
            while last - middle > self.ratio * last:
                last -= 1
            starts.append(first)
            middles.append(middle)
            first = max(last, middle) + 1
        return starts, middles

    @property
    def fits(self) -> bool:
        """Whether the table is of a size to handle."""
        return self.high < _EXACT and len(self._table()[0]) <= _MOST

    def numbers(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the bin of each integer, negative ones below zero."""
        wide = values.astype(np.int64)
        starts = np.array(self._table()[0], np.int64)
        number = np.searchsorted(starts, np.abs(wide), side="right")
        return np.asarray(np.sign(wide) * number)

    def values(self, numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the integer that each bin stands for."""
        middles = np.array([0, *self._table()[1]], np.int64)
        number = np.minimum(np.abs(numbers), len(middles) - 1)
        return np.asarray(np.sign(numbers) * middles[number]).astype(dtype)
