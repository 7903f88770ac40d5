"""Find the grid that floats sit on, as those that came from packed integers do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Decimal places that are tried, as in "rounded to three digits" and ``scale_factor=0.001``.
_PLACES = range(8)
#: Integers beyond this are not exact in float64, which all is computed in.
_MOST = 2.0**52
_SAMPLE = 256


@dataclass(frozen=True)
class Lattice:
    """Numbers ``offset + n * step``, or ``n / step``.

    Parameters
    ----------
    offset, step : float
        Of the grid.
    divide : bool
        Whether values are ``n / step`` instead, which rounds otherwise than a product.
    """

    offset: float
    step: float
    divide: bool = False

    @property
    def spacing(self) -> float:
        """Distance of neighbouring values."""
        return 1 / self.step if self.divide else self.step

    def values(self, numbers: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the floats at integer positions."""
        n = numbers.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            exact = n / self.step if self.divide else self.offset + n * self.step
            return exact.astype(dtype)

    def numbers(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return the integer positions that are nearest to floats."""
        wide = values.astype(np.float64)
        exact = wide * self.step if self.divide else (wide - self.offset) / self.step
        return np.rint(exact).astype(np.int64)


def find_lattice(values: NDArray[Any]) -> Lattice | None:
    """Find a grid that gives values back to the last bit.

    Parameters
    ----------
    values : array of float, one axis
        Finite, at least one.

    Returns
    -------
    Lattice or None
        The coarsest one found; None where there is none coarser than the floats themselves.
    """
    largest = np.abs(values).max()
    if not float(largest) < float(np.finfo(values.dtype).max) / 4:
        return None
    sample = values[:: -(-len(values) // _SAMPLE)]
    finest = 2 * float(np.spacing(largest))
    span = float(values.max().astype(np.float64) - values.min().astype(np.float64))
    for lattice in _candidates(sample, span, finest):
        if not float(largest) < _MOST * lattice.spacing:
            continue
        # The sample tells most grids off.
        if _settle(lattice, sample) is not None:
            settled = _settle(lattice, values)
            if settled is not None:
                return settled
    return None


def _candidates(sample: NDArray[Any], span: float, finest: float) -> list[Lattice]:
    """Return grids to try, coarsest first."""
    found = []
    for places in _PLACES:
        # A literal such as 0.001 is the nearest float, and so is this quotient.
        found += [Lattice(0.0, 10.0**places, divide=True), Lattice(0.0, 1 / 10.0**places)]
    # A packed field has its own offset; the value nearest zero says it with most digits.
    nearest = float(sample[np.abs(sample).argmin()])
    top = math.ceil(math.log2(span)) if span > 0 else 0
    steps = [2.0**k for k in range(max(top - 52, -1022), min(top, 1000) + 1)]
    steps += [1 / 10.0**places for places in _PLACES]
    for step in steps:
        if abs(nearest) < _MOST * step:
            found.append(Lattice(nearest - math.floor(nearest / step + 0.5) * step, step))
    usable = [lattice for lattice in found if lattice.spacing >= finest]
    return sorted(usable, key=lambda lattice: -lattice.spacing)


def _settle(lattice: Lattice, values: NDArray[Any]) -> Lattice | None:
    """Narrow the offset down to what the rounding of every value leaves open."""
    if not lattice.divide and not _holds(lattice, values):
        rest = values.astype(np.float64) - lattice.numbers(values) * lattice.step
        half = np.abs(np.spacing(values)).astype(np.float64) / 2
        low, high = float((rest - half).max()), float((rest + half).min())
        lattice = Lattice((low + high) / 2, lattice.step)
    return lattice if _holds(lattice, values) else None


def _holds(lattice: Lattice, values: NDArray[Any]) -> bool:
    made = lattice.values(lattice.numbers(values), values.dtype)
    bits = f"u{values.dtype.itemsize}"
    # Bits, not values: -0.0 has to come back as it was.
    return bool((made.view(bits) == values.view(bits)).all())
