"""Pixels that were repeated to reach a finer grid: find them, keep one each, repeat them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Sides of repeated squares that are looked for, the largest first.
_MOST = 16
#: Share of pixels that equal their neighbour in a square, where most are repeated.
_USUALLY = 0.85


@dataclass(frozen=True, order=True)
class Repeats:
    """How pixels of an axis repeat.

    Parameters
    ----------
    factor : int
        Number of times that each pixel is there; 1 is no repetition.
    phase : int
        Number of pixels before the first whole square, less than ``factor``.
    """

    factor: int = 1
    phase: int = 0

    def firsts(self, size: int) -> NDArray[np.intp]:
        """Return the first position of each pixel on an axis of ``size`` positions."""
        starts = np.arange(self.phase, size, self.factor, dtype=np.intp)
        return np.concatenate([np.zeros(1, np.intp), starts]) if self.phase else starts

    def source(self, size: int) -> NDArray[np.intp]:
        """Return which pixel each of ``size`` positions repeats."""
        skipped = (self.factor - self.phase) % self.factor
        return (np.arange(size, dtype=np.intp) + skipped) // self.factor


def find_repeats(values: Any) -> tuple[Repeats, Repeats]:
    """Find by how much pixels are repeated along the last two axes.

    Parameters
    ----------
    values : array, shape (..., Y, X)
        Compared as they are: NaN differs from itself.

    Returns
    -------
    rows, columns : Repeats
        The largest factors of at most 16 that hold everywhere.
    """
    rows = (values[..., 1:, :] == values[..., :-1, :]).all(axis=-1)
    # Along x, rows that repeat need not be compared again.
    found = find_period(_all(rows))
    kept = values[..., found.firsts(values.shape[-2]), :] if found.factor > 1 else values
    columns = (kept[..., 1:] == kept[..., :-1]).all(axis=-2)
    return found, find_period(_all(columns))


def _all(same: Any) -> NDArray[np.bool_]:
    return np.asarray(same.all(axis=tuple(range(same.ndim - 1))))


def find_period(same: NDArray[np.bool_]) -> Repeats:
    """Find the largest period of positions that equal the one before them.

    Parameters
    ----------
    same : array of bool, shape (N - 1,)
        Whether position ``n + 1`` equals position ``n``.

    Returns
    -------
    Repeats
        A factor of 1 where there is none.
    """
    breaks = np.flatnonzero(~same) + 1
    size = len(same) + 1
    for factor in range(min(_MOST, size // 2), 1, -1):
        phase = int(breaks[0]) % factor if len(breaks) else 0
        if (breaks % factor == phase).all():
            return Repeats(factor, phase)
    return Repeats()


def find_near_repeats(values: Any) -> tuple[Repeats, Repeats]:
    """Find by how much most pixels are repeated along the last two axes.

    Parameters
    ----------
    values : array, shape (..., Y, X)
        Compared as they are.

    Returns
    -------
    rows, columns : Repeats
        The largest factors of at most 16 that hold for most pixels, and say something.
    """
    rows = (values[..., 1:, :] == values[..., :-1, :]).mean(axis=-1)
    columns = (values[..., 1:] == values[..., :-1]).mean(axis=-2)
    return _near_period(_average(rows)), _near_period(_average(columns))


def _average(share: Any) -> NDArray[np.float64]:
    return np.asarray(share.mean(axis=tuple(range(share.ndim - 1))))


def _near_period(share: NDArray[np.float64]) -> Repeats:
    size = len(share) + 1
    for factor in range(min(_MOST, size // 4), 1, -1):
        for phase in range(factor):
            inside = np.arange(1, size) % factor != phase
            # Flat fields repeat everywhere, which a picture coder sees by itself.
            if share[inside].mean() > _USUALLY and share[~inside].mean() < 0.5:
                return Repeats(factor, phase)
    return Repeats()


def keep_usual(values: Any, rows: Repeats, columns: Repeats) -> Any:
    """Keep, of pixels that are repeated with exceptions, the usual one of each square.

    Parameters
    ----------
    values : array, shape (..., Y, X)
        With repeated pixels.
    rows, columns : Repeats
        Of `find_near_repeats`.

    Returns
    -------
    array
    """
    *_, ny, nx = values.shape
    every = [values[..., y, :][..., x] for y in _members(rows, ny) for x in _members(columns, nx)]
    middle = (len(every) - 1) // 2
    # What more than half of them have is in the middle when they are sorted.
    return np.partition(np.stack(every), middle, axis=0)[middle]


def _members(repeats: Repeats, size: int) -> list[NDArray[np.intp]]:
    first = repeats.firsts(size)
    last = np.append(first[1:], size) - 1
    return [np.minimum(first + n, last) for n in range(repeats.factor)]


def keep_once(values: Any, rows: Repeats, columns: Repeats) -> Any:
    """Keep one of the repeated pixels each.

    Parameters
    ----------
    values : array, shape (..., Y, X)
        With repeated pixels.
    rows, columns : Repeats
        Of `find_repeats`.

    Returns
    -------
    array
    """
    *_, ny, nx = values.shape
    return values[..., rows.firsts(ny), :][..., columns.firsts(nx)]


def repeat(values: Any, rows: Repeats, columns: Repeats, shape: tuple[int, int]) -> Any:
    """Repeat pixels again.

    Parameters
    ----------
    values : array
        Of `keep_once`.
    rows, columns : Repeats
        As given to it.
    shape : tuple of int
        Sizes of the last two axes of the result.

    Returns
    -------
    array
    """
    return values[..., rows.source(shape[0]), :][..., columns.source(shape[1])]
