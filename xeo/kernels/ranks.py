"""Integers of which many are never used: each plane's own ones, numbered without gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Bits that the lists of used integers may take.
_MOST = 1 << 26


def used_integers(values: NDArray[np.uint64], span: int) -> NDArray[np.bool_] | None:
    """Return which integers each plane uses, where so many are not that numbering them pays.

    Parameters
    ----------
    values : array of uint64, shape (T, B, Y, X)
        From 0 to ``span``.
    span : int
        The largest value.

    Returns
    -------
    array of bool, shape (T, B, span + 1), or None
    """
    times, bands, rows, columns = values.shape
    if times * bands * (span + 1) > _MOST:
        return None
    used = np.zeros((times, bands, span + 1), bool)
    planes = np.arange(times * bands, dtype=np.int64).reshape(times, bands, 1, 1)
    used.reshape(-1)[(planes * (span + 1) + values.astype(np.int64)).ravel()] = True
    count = used.sum(axis=2)
    reach = span + 1 - used.argmax(axis=2) - used[..., ::-1].argmax(axis=2)
    saved = float(np.log2(reach / count).sum()) * rows * columns
    # A list of which each integer is or is not there costs at most a bit each.
    return used if saved > 4 * float(reach.sum()) else None


def to_ranks(values: NDArray[np.uint64], used: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return which of the used integers of its plane each value is.

    Parameters
    ----------
    values : array of uint64, shape (T, B, Y, X)
        All used.
    used : array of bool, shape (T, B, span + 1)
        Of `used_integers`.

    Returns
    -------
    array of uint64
    """
    ranks = np.empty_like(values)
    for plane in np.ndindex(used.shape[:2]):
        numbers = np.cumsum(used[plane], dtype=np.uint64) - np.uint64(1)
        ranks[plane] = numbers[values[plane].astype(np.int64)]
    return ranks


def from_ranks(ranks: NDArray[np.uint64], used: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return the integers of numbers.

    Parameters
    ----------
    ranks : array of uint64, shape (T, B, Y, X)
        Of `to_ranks`; numbers beyond the last stand for the last.
    used : array of bool, shape (T, B, span + 1)
        As given to it.

    Returns
    -------
    array of uint64
    """
    values = np.zeros_like(ranks)
    for plane in np.ndindex(used.shape[:2]):
        table = np.flatnonzero(used[plane]).astype(np.uint64)
        if len(table):
            last = np.uint64(len(table) - 1)
            values[plane] = table[np.minimum(ranks[plane], last).astype(np.int64)]
    return values
