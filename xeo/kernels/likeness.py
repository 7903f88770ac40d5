"""The order of dates in which each resembles the one before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Pixels along a side that distances are taken from.
_SIDE = 48
#: With more dates than this the order is not improved: it would take longer than coding them.
_MOST = 400
_ROUNDS = 20


def order_dates(cube: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
    """Order dates so that neighbours are alike.

    Parameters
    ----------
    cube : array, shape (T, B, Y, X)
        Numbers.
    valid : array of bool, optional
        Where numbers mean something; what means nothing is taken as like anything.

    Returns
    -------
    array of int, shape (T,)
        The dates in their new order: a chain from the most typical date to the nearest that is
        left, improved by turning pieces of it around (2-opt).

    References
    ----------
    .. [1] Croes, G. A. (1958). A method for solving traveling-salesman problems. Operations
       Research 6. doi:10.1287/opre.6.6.791
    """
    dates = len(cube)
    if dates < 3:
        return np.arange(dates)
    distances = _distances(cube, valid)
    chain = _nearest(distances)
    return _improved(chain, distances) if dates <= _MOST else chain


def _distances(cube: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Mean squared differences between dates, each less its own mean."""
    steps = [max(1, -(-size // _SIDE)) for size in cube.shape[2:]]
    few = cube[:, :, :: steps[0], :: steps[1]].astype(np.float64)
    if valid is None:
        seen = np.ones(few.shape)
    else:
        seen = valid[:, :, :: steps[0], :: steps[1]].astype(np.float64)
        few = np.where(seen > 0, few, 0.0)
    # Sums of the largest floats are beyond them; only the order of distances counts.
    few /= max(float(np.abs(few).max()), np.finfo(np.float64).tiny)
    count = np.maximum(seen.sum((2, 3), keepdims=True), 1)
    few = (few - few.sum((2, 3), keepdims=True) / count) * seen
    few /= max(float(np.abs(few).max()), np.finfo(np.float64).tiny)
    flat, there = few.reshape(len(few), -1), seen.reshape(len(few), -1)
    squares = (flat * flat) @ there.T
    both = np.maximum(there @ there.T, 1)
    found: NDArray[np.float64] = (squares + squares.T - 2 * flat @ flat.T) / both
    return np.maximum(found, 0)


def _nearest(distances: NDArray[np.float64]) -> NDArray[np.intp]:
    dates = len(distances)
    left = np.ones(dates, bool)
    chain = [int(np.argmin(distances.sum(1)))]
    left[chain[0]] = False
    while len(chain) < dates:
        far = np.where(left, distances[chain[-1]], np.inf)
        chain.append(int(np.argmin(far)))
        left[chain[-1]] = False
    return np.array(chain, np.intp)


def _improved(chain: NDArray[np.intp], distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """Turn pieces around as long as the chain gets shorter."""
    dates = len(chain)
    for _ in range(_ROUNDS):
        changed = False
        for first in range(dates - 1):
            last = np.arange(first + 1, dates)
            ends = np.minimum(last + 1, dates - 1)
            inner = last < dates - 1
            gain = np.where(
                inner,
                distances[chain[first], chain[ends]] - distances[chain[last], chain[ends]],
                0.0,
            )
            if first:
                before = chain[first - 1]
                gain = gain + distances[before, chain[last]] - distances[before, chain[first]]
            best = int(np.argmin(gain))
            if gain[best] < -1e-9:
                piece = slice(first, last[best] + 1)
                chain[piece] = chain[piece][::-1].copy()
                changed = True
        if not changed:
            break
    return chain
