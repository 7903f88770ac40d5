"""Square patches of pixels and ragged token sequences, as transformers read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def fill_patches(x: Any, patch: int) -> tuple[Any, Any]:
    """Fill the missing pixels of each square patch with the mean of its others.

    Parameters
    ----------
    x : array of float, shape (..., Y, X)
        NaN where missing; Y and X are multiples of ``patch``.
    patch : int
        Side of a patch, in pixels.

    Returns
    -------
    filled : array, shape (..., Y, X)
        Free of NaN; 0 in patches without any pixel.
    share : array, shape (..., Y / patch, X / patch)
        Part of each patch that was there, 0 to 1.
    """
    *lead, ny, nx = x.shape
    if ny % patch or nx % patch:
        raise ValueError(f"cannot cut ({ny}, {nx}) pixels into patches of {patch}")
    tiles = x.reshape(*lead, ny // patch, patch, nx // patch, patch)
    there = ~np.isnan(tiles)
    count = there.sum(axis=(-3, -1), keepdims=True)
    total = np.where(there, tiles, 0).sum(axis=(-3, -1), keepdims=True)
    mean = (total / np.maximum(count, 1)).astype(x.dtype, copy=False)
    filled = np.where(there, tiles, mean).reshape(x.shape)
    share = (count / patch**2).reshape(*lead, ny // patch, nx // patch)
    return filled, share


def equal_batches(lengths: Any, budget: int) -> Iterator[Any]:
    """Group sequences of equal length, so that a batch needs no padding.

    Parameters
    ----------
    lengths : array of int, shape (N,)
        Tokens of each sequence; a sequence without tokens is in no group.
    budget : int
        The most tokens in a group; a longer sequence is a group of its own.

    Yields
    ------
    array of int
        Positions in ``lengths``, ascending; each position with tokens comes once.
    """
    for length in np.unique(lengths[lengths > 0]):
        members = np.flatnonzero(lengths == length)
        size = max(1, budget // int(length))
        yield from (members[at : at + size] for at in range(0, len(members), size))
