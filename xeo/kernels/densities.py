"""Tables of symbols under bell-shaped densities, the same on every machine.

Student's t with an even number of degrees of freedom has a distribution of sums, products,
quotients and a square root, which IEEE arithmetic rounds in one way only; logarithms and
exponentials would differ in their last bit from library to library.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.rans import PRECISION, Tables

#: Degrees of freedom: from heavy tails to nearly normal.
FREEDOMS = (2, 4, 8, 20)
#: Scales are powers of the fourth root of two.
SCALES = 36
#: Eighths of a symbol by which a density may be off its middle.
PHASES = 8
#: Symbols from -31 to 31, then one for all others.
SYMBOLS = 64
REACH = 31
_FIRST = -20
_ROOTS = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429)


def scale(number: int) -> float:
    """Return a scale: 1 for number 20, twice as much for each four beyond."""
    octave, quarter = divmod(number + _FIRST, 4)
    return _ROOTS[quarter] * 2.0**octave


def distribution(x: NDArray[np.floating[Any]], freedom: int) -> NDArray[np.floating[Any]]:
    """Return Student's t below ``x``, less one half.

    Parameters
    ----------
    x : array of float
        Where.
    freedom : int
        Degrees of freedom, even.

    Returns
    -------
    array of float, from -0.5 to 0.5
    """
    cosine = freedom / (freedom + x * x)
    term = np.ones_like(x)
    total = np.ones_like(x)
    for k in range(2, freedom, 2):
        term = term * cosine * ((k - 1) / k)
        total = total + term
    return np.asarray(0.5 * total * x / np.sqrt(freedom + x * x))


@lru_cache(maxsize=1)
def frequencies() -> NDArray[np.int64]:
    """Return the table of every freedom, scale and phase.

    Returns
    -------
    array of int, shape (freedoms * scales * phases, 64)
        Each row adds up to ``2**PRECISION``, no entry is 0.
    """
    rows = [
        _row(freedom, scale(number), phase / PHASES)
        for freedom in FREEDOMS
        for number in range(SCALES)
        for phase in range(PHASES)
    ]
    return np.stack(rows)


@lru_cache(maxsize=1)
def tables() -> Tables:
    """Return `frequencies`, ready for decoding."""
    return Tables(frequencies())


def _row(freedom: int, width: float, middle: float) -> NDArray[np.int64]:
    edges = (np.arange(-REACH, REACH + 2) - 0.5 - middle) / width
    below = distribution(edges, freedom)
    inside = np.diff(below)
    share = np.append(inside, max(0.0, 1.0 - float(below[-1] - below[0])))
    total = 1 << PRECISION
    counts = np.floor(np.maximum(share, 0) * (total - SYMBOLS)).astype(np.int64) + 1
    counts[REACH if middle <= 0.5 else REACH + 1] += total - counts.sum()
    return np.asarray(counts)
