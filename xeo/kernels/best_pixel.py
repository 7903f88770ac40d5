"""Scores of observations for best-available-pixel composites."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def day_score(days: Any, middle: Any, length: Any) -> NDArray[np.float32]:
    """Score dates by how near they are to the middle of their period.

    Parameters
    ----------
    days, middle : array of float, shape (time,)
        Each date, and the middle of its period, in days.
    length : array of float, shape (time,)
        Of its period, in days.

    Returns
    -------
    array of float32, shape (time,)
        A Gaussian: 1 in the middle, 0.14 at the ends (two standard deviations).
    """
    away = (np.asarray(days, float) - middle) / (np.asarray(length, float) / 4)
    return np.asarray(np.exp(-0.5 * away**2), np.float32)


def cloud_score(bad: Any, distance: int) -> NDArray[np.float32]:
    """Score pixels by how far they are from what is bad on the same date.

    Parameters
    ----------
    bad : array of bool, shape (..., y, x)
        True where a pixel is bad.
    distance : int
        Pixels beyond which farther is no better.

    Returns
    -------
    array of float32
        Of the shape of ``bad``; near 0 beside bad pixels, 1 from ``distance`` on.

    References
    ----------
    .. [1] Griffiths, P. et al. (2013). A pixel-based Landsat compositing algorithm for large area
       land cover mapping. *IEEE JSTARS* 6. doi:10.1109/JSTARS.2012.2228167
    .. [2] White, J. C. et al. (2014). Pixel-based image compositing for large-area dense time
       series applications and science. *Canadian Journal of Remote Sensing* 40.
       doi:10.1080/07038992.2014.945827
    """
    from scipy.ndimage import distance_transform_edt

    flat = np.asarray(bad).reshape(-1, *bad.shape[-2:])
    away = np.full(flat.shape, distance, np.float32)
    for one, hidden in zip(away, flat, strict=True):
        if hidden.any():
            one[:] = np.minimum(distance_transform_edt(~hidden), distance)
    # A logistic curve that is at its middle half-way, as in White et al.
    steep = 10 / max(1, distance)
    score = 1 / (1 + np.exp(-steep * (away - distance / 2)))
    return np.where(away >= distance, 1, score).astype(np.float32).reshape(bad.shape)
