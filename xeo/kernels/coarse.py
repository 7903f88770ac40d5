"""Bands whose pixels were repeated to reach the grid of others, found and kept once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.upsampling import Repeats, find_period

Grid = tuple[Repeats, Repeats]


def grids_of(cube: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> dict[Grid, list[int]]:
    """Tell which bands share a grid.

    Parameters
    ----------
    cube : array, shape (T, B, Y, X)
        Numbers.
    valid : array of bool, optional
        Where numbers mean something; what means nothing repeats anything.

    Returns
    -------
    dict
        How pixels repeat along y and x, and the bands where they do; the finest grid first.
    """
    found: dict[Grid, list[int]] = {}
    for band in range(cube.shape[1]):
        there = None if valid is None else valid[:, band]
        rows = find_period(_repeats(cube[:, band], there))
        columns = find_period(_repeats(cube[:, band].swapaxes(1, 2), _turned(there)))
        found.setdefault((rows, columns), []).append(band)
    return dict(sorted(found.items(), key=lambda item: (area(item[0]), item[0])))


def area(grid: Grid) -> int:
    """Return how many pixels of the cube one pixel of a grid stands for."""
    return grid[0].factor * grid[1].factor


def _turned(there: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return None if there is None else there.swapaxes(1, 2)


def _repeats(planes: NDArray[Any], there: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Tell of each row but the first whether it repeats the one before it."""
    size = planes.shape[1]
    same = np.ones(size - 1, bool)
    for number, plane in enumerate(planes):
        alike = plane[1:] == plane[:-1]
        if there is not None:
            alike |= ~(there[number, 1:] & there[number, :-1])
        same &= alike.all(1)
        if not same.any():
            break
    return same


def coarsen(
    cube: NDArray[Any], grid: Grid, valid: NDArray[np.bool_] | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Keep one of the pixels that repeat.

    Parameters
    ----------
    cube : array, shape (T, B, Y, X)
        Bands of one grid.
    grid : (Repeats, Repeats)
        Along y and x.
    valid : array of bool, optional
        Where numbers mean something.

    Returns
    -------
    cube : array, shape (T, B, Y', X')
        What a square holds in any of its valid pixels.
    valid : array of bool or None
        Whether it holds any.
    """
    if area(grid) == 1:
        return cube, valid
    rows, columns = (r.firsts(n) for r, n in zip(grid, cube.shape[2:], strict=True))
    if valid is None:
        return np.ascontiguousarray(cube[:, :, rows][..., columns]), None
    least = cube.dtype.type(-np.inf) if cube.dtype.kind == "f" else np.iinfo(cube.dtype).min
    known = np.where(valid, cube, least)
    known = np.maximum.reduceat(np.maximum.reduceat(known, rows, 2), columns, 3)
    there = np.logical_or.reduceat(np.logical_or.reduceat(valid, rows, 2), columns, 3)
    return np.where(there, known, cube.dtype.type(0)), there


def refine(planes: NDArray[Any], grid: Grid, shape: tuple[int, int]) -> NDArray[Any]:
    """Repeat pixels again.

    Parameters
    ----------
    planes : array, shape (..., Y', X')
        Of `coarsen`.
    grid : (Repeats, Repeats)
        As given to it.
    shape : tuple of int
        Rows and columns of the result.

    Returns
    -------
    array, shape (..., Y, X)
    """
    if area(grid) == 1:
        return planes
    return planes[..., grid[0].source(shape[0]), :][..., grid[1].source(shape[1])]
