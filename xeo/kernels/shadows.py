"""Where clouds can throw their shadows.

References
----------
.. [1] Zhu, Z., Woodcock, C. E. (2012). Object-based cloud and cloud shadow detection in Landsat
   imagery. *Remote Sensing of Environment* 118, 83-94. doi:10.1016/j.rse.2011.10.028
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xeo.errors import OptionError
from xeo.kernels.namespace import namespace_of


def cast_shadow(
    mask: Any,
    zenith: ArrayLike,
    azimuth: ArrayLike,
    heights: Sequence[float],
    gsd: Sequence[float],
) -> Any:
    """Find the pixels that clouds of unknown height can shade.

    The mask is swept over flat ground away from the sun, from the shadow of the lowest cloud
    to that of the highest: the candidates of Fmask [1]_, among which the dark ones are shadow.

    Parameters
    ----------
    mask : array of bool, shape (..., y, x)
        True where cloud; rows from north to south, columns from west to east.
    zenith, azimuth : float or array, shape (...)
        Of the sun, in degrees; azimuth clockwise from north. One each, or one for each image.
    heights : pair of float
        Of the lowest and the highest cloud above the ground, in metres.
    gsd : pair of float
        Size of a pixel along y and x, in metres.

    Returns
    -------
    array of bool, shape (..., y, x)
        True where some cloud of the image can shade the pixel; a cloud's own pixels are among
        them only where they are shaded.

    Raises
    ------
    OptionError
        If the sun is not above the horizon, or heights or pixel sizes cannot be.
    """
    low, high = _checked_heights(heights)
    lead, size = mask.shape[:-2], mask.shape[-2:]
    angles = np.broadcast_arrays(_checked_zenith(zenith), np.asarray(azimuth, np.float64))
    zeniths, azimuths = (np.broadcast_to(angle, lead).ravel() for angle in angles)
    images = mask.reshape(-1, *size)
    out = namespace_of(mask).zeros_like(images)
    for target, image, down, around in zip(out, images, zeniths, azimuths, strict=True):
        for dy, dx in shadow_offsets(down, around, (low, high), gsd):
            _add_shifted(target, image, dy, dx)
    return out.reshape(mask.shape)


def shadow_offsets(
    zenith: float, azimuth: float, heights: Sequence[float], gsd: Sequence[float]
) -> list[tuple[int, int]]:
    """Return how many rows and columns shadows lie from their clouds.

    Parameters
    ----------
    zenith, azimuth, heights, gsd :
        As in `cast_shadow`, of one image.

    Returns
    -------
    list of pairs of int
        Each once, from the lowest cloud to the highest, neighbours touching.
    """
    angle = math.radians(azimuth)
    slope = math.tan(math.radians(zenith))
    # North is up, so a sun in the south throws shadows to smaller row numbers.
    per_metre = np.array([math.cos(angle) / gsd[0], -math.sin(angle) / gsd[1]]) * slope
    low, high = heights
    steps = math.ceil((high - low) * float(np.abs(per_metre).max()))
    places = np.linspace(low, high, steps + 1)[:, None] * per_metre
    rounded = np.floor(places + 0.5).astype(int).tolist()
    return list(dict.fromkeys((dy, dx) for dy, dx in rounded))


def shadow_reach(zenith: ArrayLike, high: float, gsd: Sequence[float]) -> int:
    """Return how many pixels the farthest shadow lies from its cloud, at most.

    Parameters
    ----------
    zenith : float or array
        Of the sun, in degrees.
    high : float
        Of the highest cloud above the ground, in metres.
    gsd : pair of float
        Size of a pixel along y and x, in metres.

    Returns
    -------
    int
        Rows or columns, for any azimuth.

    Raises
    ------
    OptionError
        If the sun is not above the horizon.
    """
    slope = np.tan(np.radians(_checked_zenith(zenith))).max()
    return math.ceil(high * float(slope) / min(gsd))


def _checked_zenith(zenith: ArrayLike) -> NDArray[np.float64]:
    angles = np.asarray(zenith, np.float64)
    if not ((angles >= 0) & (angles < 90)).all():
        raise OptionError(
            f"expected a sun above the horizon, zenith from 0 to below 90 degrees, got "
            f"{angles[~((angles >= 0) & (angles < 90))].ravel()[0]}. Try: leave shadows out on "
            "such dates"
        )
    return angles


def _checked_heights(heights: Sequence[float]) -> tuple[float, float]:
    low, high = heights
    if not 0 <= low <= high < math.inf:
        raise OptionError(
            f"expected heights of clouds in metres, the lowest first, got {tuple(heights)}"
        )
    return low, high


def _add_shifted(target: Any, image: Any, dy: int, dx: int) -> None:
    height, width = image.shape
    if abs(dy) >= height or abs(dx) >= width:
        return
    into = np.s_[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    of = np.s_[max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)]
    target[into] |= image[of]
