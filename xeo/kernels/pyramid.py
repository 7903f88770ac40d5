"""The order in which a cube is refined, and what is known of each pixel by then.

Pixels come from coarse to fine: a grid, the middles of its squares, the middles of what is between,
and so on, so that most pixels lie between known ones. Dates come likewise, first and last, then the
middles, so that most dates lie between known ones and none needs more than a few others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Kinds of steps that are predicted alike: the first grid, then two a level, coarse levels shared.
KINDS = 7
_NEAR = (
    ((-1, -1), (1, 1), (-1, 1), (1, -1)),
    ((-1, 0), (1, 0), (0, -1), (0, 1)),
)
_FAR = (
    ((-1, -3), (1, 3), (-1, 3), (1, -3), (-3, -1), (3, 1), (-3, 1), (3, -1)),
    ((-1, -2), (1, 2), (-1, 2), (1, -2), (-2, -1), (2, 1), (-2, 1), (2, -1)),
)


@dataclass(frozen=True, eq=False)
class Step:
    """Pixels that are refined at once.

    Parameters
    ----------
    kind : int
        Which steps are predicted alike; 0 is the first grid.
    at : array of int
        Positions of the pixels, in a flat plane.
    near : array of int, shape (4, N)
        Positions of known neighbours; opposite ones follow one another.
    far : array of int, shape (8, N)
        Positions of those beyond, as pairs of opposite ones.
    """

    kind: int
    at: NDArray[np.intp]
    near: NDArray[np.intp]
    far: NDArray[np.intp]


@lru_cache(maxsize=8)
def steps(rows: int, columns: int) -> tuple[Step, ...]:
    """Return the steps that refine a plane.

    Parameters
    ----------
    rows, columns : int
        Size of the plane.

    Returns
    -------
    tuple of Step
        Which together have every pixel once.
    """
    side = 16 if max(rows, columns) >= 128 else 8
    found = [_step(0, side, (0, 0), (rows, columns), side)]
    half = side // 2
    while half:
        level = {1: 5, 2: 3}.get(half, 1)
        found.append(_step(level, half, (half, half), (rows, columns), 2 * half))
        found.append(_step(level + 1, half, (0, half), (rows, columns), 2 * half))
        found.append(_step(level + 1, half, (half, 0), (rows, columns), 2 * half))
        half //= 2
    return tuple(step for step in found if step.at.size)


def _step(kind: int, half: int, first: tuple[int, int], size: tuple[int, int], stride: int) -> Step:
    y, x = (
        grid.ravel()
        for grid in np.meshgrid(
            np.arange(first[0], size[0], stride),
            np.arange(first[1], size[1], stride),
            indexing="ij",
        )
    )
    at = y * size[1] + x
    if not kind:
        empty = np.zeros((0, len(at)), np.intp)
        return Step(0, at, empty, empty)
    cross = kind % 2 == 0
    # Some neighbour towards the origin is always there.
    usual = (-1, -1) if not cross else ((0, -1) if first[1] else (-1, 0))
    near = [_inside(y, x, tap, usual, half, size) for tap in _NEAR[cross]]
    far = [_inside(y, x, tap, usual, half, size) for tap in _FAR[cross]]
    return Step(kind, at, np.stack(near), np.stack(far))


def _inside(
    y: NDArray[np.intp],
    x: NDArray[np.intp],
    tap: tuple[int, int],
    usual: tuple[int, int],
    half: int,
    size: tuple[int, int],
) -> NDArray[np.intp]:
    """Return neighbours, mirrored where they are beyond an edge."""
    dy, dx = tap
    out = (y + usual[0] * half) * size[1] + x + usual[1] * half
    for sy, sx in ((-dy, -dx), (dy, -dx), (-dy, dx), (dy, dx)):
        row, column = y + sy * half, x + sx * half
        there = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
        out = np.where(there, row * size[1] + column, out)
    return out


def date_tree(count: int) -> tuple[list[tuple[int, ...]], list[int]]:
    """Return from which others each of ``count`` dates is predicted, and in which round.

    Parameters
    ----------
    count : int
        Number of dates.

    Returns
    -------
    sources : list of tuple of int
        None for the first date, one for the last, two for those between.
    rounds : list of int
        All sources are of earlier rounds.
    """
    sources: list[tuple[int, ...]] = [()] * count
    rounds = [0] * count
    if count > 1:
        sources[-1], rounds[-1] = (0,), 1
    spans = [(0, count - 1, 2)]
    while spans:
        low, high, depth = spans.pop()
        if high - low > 1:
            middle = (low + high) // 2
            sources[middle], rounds[middle] = (low, high), depth
            spans += [(low, middle, depth + 1), (middle, high, depth + 1)]
    return sources, rounds


def likeness_order(sample: NDArray[np.float64]) -> list[int]:
    """Order dates so that neighbours resemble one another.

    Parameters
    ----------
    sample : array of float, shape (T, N)
        Some values of each date.

    Returns
    -------
    list of int
        From the first date, always to the nearest that is left.
    """
    left = np.ones(len(sample), bool)
    order = [0]
    left[0] = False
    for _ in range(len(sample) - 1):
        away = np.abs(sample - sample[order[-1]]).mean(axis=1)
        order.append(int(np.where(left, away, np.inf).argmin()))
        left[order[-1]] = False
    return order
