"""Index arithmetic of windows: where they lie, what they read, how they are blended."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def inside(positions: NDArray[np.int64], size: int, padding: str) -> NDArray[np.int64]:
    """Map positions on an axis to the pixels that stand in for those outside it.

    Parameters
    ----------
    positions : array of int
        Pixel positions, negative or beyond the end too.
    size : int
        Pixels on the axis, 1 or more.
    padding : {"reflect", "edge"}
        ``reflect`` mirrors at the first and last pixel without repeating them, as often as
        it takes; ``edge`` repeats them.

    Returns
    -------
    array of int
        Each within ``[0, size)``.
    """
    if padding == "edge" or size == 1:
        return np.clip(positions, 0, size - 1)
    period = 2 * (size - 1)
    folded = np.mod(positions, period)
    mirrored: NDArray[np.int64] = np.minimum(folded, period - folded)
    return mirrored


def covering(first: int, last: int, step: int, kept: int, count: int) -> tuple[int, int]:
    """Return the range of windows whose kept squares meet ``[first, last)``.

    Window ``k`` keeps ``[k * step, k * step + kept)``, ``k`` from 0 to ``count - 1``.
    """
    low = max(0, (first - kept) // step + 1)
    high = min(count, -(-last // step))
    return low, max(high, low + 1)


def count_windows(size: int, step: int, kept: int) -> int:
    """Return how many windows it takes to keep ``size`` pixels."""
    return max(1, -(-(size - kept) // step) + 1)


def blend_weight(cells: int, overlap: int) -> NDArray[np.float32]:
    """Return the weight of each cell along one side of a blended window.

    Parameters
    ----------
    cells : int
        Output cells on the kept side.
    overlap : int
        Cells shared with each neighbour; the weight rises over them as a squared sine, so
        that two neighbours sum to one.

    Returns
    -------
    array, shape (cells,)
        Above 0, up to 1.
    """
    weight = np.ones(cells)
    if overlap:
        rise = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
        weight[:overlap] = rise
        weight[-overlap:] = np.minimum(weight[-overlap:], rise[::-1])
    return weight.astype(np.float32)
