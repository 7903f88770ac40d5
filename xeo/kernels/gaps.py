"""Fill what means nothing with what costs least to code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def fill(cube: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Fill gaps from the dates around them, else smoothly from the pixels around them.

    Parameters
    ----------
    cube : array, shape (T, B, Y, X)
        In the order in which dates are coded: what repeats the one before costs nothing.
    valid : array of bool, shape (T, B, Y, X)
        Where values mean something.

    Returns
    -------
    array, shape (T, B, Y, X)
        Of the dtype of ``cube``, whose valid values it keeps.
    """
    made = cube.copy()
    known = valid.copy()
    for dates in (range(1, len(cube)), range(len(cube) - 2, -1, -1)):
        step = -1 if dates.step > 0 else 1
        for date in dates:
            take = ~known[date] & known[date + step]
            np.copyto(made[date], made[date + step], where=take)
            known[date] |= take
    # What no date has is now the same gap in all of them.
    first = made[0].astype(np.float64)
    for band in range(cube.shape[1]):
        gap = ~known[0, band]
        if gap.any():
            smooth = _smooth(first[band], ~gap)[gap]
            if cube.dtype.kind in "iu":
                smooth = np.rint(smooth)
            made[:, band, gap] = smooth.astype(cube.dtype)
    return made


def _smooth(plane: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fill a plane from ever coarser means (pull), brought back to pixels (push)."""
    if known.all():
        return plane
    if not known.any():
        return np.zeros_like(plane)
    rows, columns = plane.shape
    even = ((0, rows % 2), (0, columns % 2))
    weights = np.pad(known.astype(np.float64), even)
    values = np.pad(np.where(known, plane, 0.0), even) * weights
    blocks = weights.shape[0] // 2, 2, weights.shape[1] // 2, 2
    count = weights.reshape(blocks).sum((1, 3))
    means = values.reshape(blocks).sum((1, 3)) / np.maximum(count, 1)
    coarse = _smooth(means, count > 0)
    return np.where(known, plane, coarse.repeat(2, 0).repeat(2, 1)[:rows, :columns])
