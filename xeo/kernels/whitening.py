"""Small squares drawn from images, whitened to serve as filters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.errors import DimensionError, OptionError
from xeo.kernels.namespace import namespace_of


def draw_patches(x: Any, n: int, side: int, seed: int = 0) -> Any:
    """Draw squares of complete pixels at random places.

    Parameters
    ----------
    x : array, shape (sample, band, Y, X)
        NaN is missing; a square that holds one is never drawn.
    n : int
        Number of squares, all at different places.
    side : int
        Side of the square, in pixels.
    seed : int
        Of the draw.

    Returns
    -------
    array, shape (n, band, side, side)
        In random order, of the kind and device of ``x``.

    Raises
    ------
    OptionError
        If fewer than ``n`` places have a value in all bands and pixels.
    """
    xp = namespace_of(x)
    free = _free_places(xp.isfinite(x).all(1), side)
    if len(free) < n:
        raise OptionError(
            f"expected {n} places with a complete square of {side} pixels, got {len(free)}. "
            "Try: fewer patches, or a larger or clearer part of the cube"
        )
    chosen = np.random.default_rng(seed).choice(len(free), n, replace=False)
    found = [tuple(int(number) for number in free[int(i)]) for i in chosen]
    return xp.stack([x[s, :, i : i + side, j : j + side] for s, i, j in found])


def _free_places(whole: Any, side: int) -> Any:
    """Return ``(sample, y, x)`` of the corners of all squares without a bad pixel."""
    rows, columns = max(0, whole.shape[1] - side + 1), max(0, whole.shape[2] - side + 1)
    free = whole[:, :rows, :columns]
    for i in range(side):
        for j in range(side):
            free = free & whole[:, i : i + rows, j : j + columns]
    return namespace_of(whole).argwhere(free)


def whiten_patches(patches: Any, floor: float = 1e-3) -> NDArray[np.float32]:
    """Whiten patches for use as the filters of random convolutional features.

    Each patch loses its mean and is scaled to length 1; then all are multiplied by the
    inverse of their covariance. That is ZCA whitening twice: once for the patch, and once
    for the pixels that it will be compared with.

    Parameters
    ----------
    patches : array, shape (n, band, side, side)
        Complete values, any units.
    floor : float
        Added to the eigenvalues of the covariance: directions with less variance than this
        are noise and are not blown up.

    Returns
    -------
    array, shape (n, band, side, side)
        In float32.

    Raises
    ------
    DimensionError
        If there is not a stack of square patches.

    References
    ----------
    .. [1] Rolf, E. et al. (2021). A generalizable and accessible approach to machine
       learning with global satellite imagery. *Nature Communications* 12, 4392.
       doi:10.1038/s41467-021-24638-z
    .. [2] Coates, A. & Ng, A. Y. (2012). Learning feature representations with k-means.
       *Neural Networks: Tricks of the Trade*. doi:10.1007/978-3-642-35289-8_30
    """
    if patches.ndim != 4 or patches.shape[2] != patches.shape[3] or not len(patches):
        raise DimensionError(f"expected patches (n, band, side, side), got {tuple(patches.shape)}")
    flat = np.asarray(patches, np.float64).reshape(len(patches), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = flat / np.where(length < 1e-8, 1.0, length)
    covariance = flat.T @ flat / len(flat) + floor * np.eye(flat.shape[1])
    white = np.linalg.solve(covariance, flat.T).T
    return white.reshape(patches.shape).astype(np.float32)
