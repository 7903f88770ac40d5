"""Masks made larger, and cleaned of small objects and small holes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xeo.errors import OptionError
from xeo.kernels.namespace import namespace_of
from xeo.lazy import require

# A radius that is a quotient of metres may fall short of a pixel's centre by a rounding.
_TOLERANCE = 1e-9


def dilate(mask: Any, radius: float | Sequence[float]) -> Any:
    """Set every pixel whose centre is near a set pixel's centre.

    Parameters
    ----------
    mask : array of bool, shape (..., y, x)
    radius : float or pair of float
        Of the disk, in pixels; two for an ellipse along y and x, where pixels are not square.
        0 changes nothing.

    Returns
    -------
    array of bool, shape (..., y, x)
        True where ``(dy / ry)**2 + (dx / rx)**2 <= 1`` to some set pixel of the image.

    Raises
    ------
    OptionError
        If a radius is negative or not finite.
    """
    ry, rx = _pair(radius)
    if not all(mask.shape):
        return mask != mask
    images = mask.reshape(-1, *mask.shape[-2:])
    out = namespace_of(mask).zeros_like(images)
    # One image at a time stays in a processor's cache; other devices want all of them at once.
    parts = range(len(images)) if namespace_of(mask) is np else [slice(None)]
    for part in parts:
        _add_dilated(out[part], images[part], ry, rx)
    return out.reshape(mask.shape)


def _add_dilated(out: Any, mask: Any, ry: float, rx: float) -> None:
    height, width = mask.shape[-2:]
    before, reach = _counted(mask, min(int(rx + _TOLERANCE), width))
    for dy in range(min(int(ry + _TOLERANCE), height - 1) + 1):
        half = min(_half_width(dy, ry, rx), reach)
        low, high = reach - half, reach + half + 1
        # A row's window holds a set pixel where the running count changes across it.
        near = before[..., low : low + width] != before[..., high : high + width]
        out[..., dy:, :] |= near[..., : height - dy, :]
        if dy:
            out[..., : height - dy, :] |= near[..., dy:, :]


def _pair(radius: float | Sequence[float]) -> tuple[float, float]:
    ry, rx = (radius, radius) if isinstance(radius, int | float) else radius
    if not (0 <= ry < math.inf and 0 <= rx < math.inf):
        raise OptionError(f"expected a radius of 0 pixels or more, got {radius}")
    return ry, rx


def _half_width(dy: int, ry: float, rx: float) -> int:
    share = 1.0 if dy == 0 else max(0.0, 1 - (dy / ry) ** 2)
    return int(rx * math.sqrt(share) + _TOLERANCE)


def _counted(mask: Any, reach: int) -> tuple[Any, int]:
    """Count the set pixels to the left of each, on rows continued by ``reach`` either way."""
    xp = namespace_of(mask)
    lead = mask.shape[:-1]
    counts = xp.cumsum(xp.asarray(mask, dtype=xp.int32), -1)
    left = xp.broadcast_to(xp.zeros_like(counts[..., :1]), (*lead, reach + 1))
    right = xp.broadcast_to(counts[..., -1:], (*lead, reach))
    return xp.concatenate([left, counts, right], -1), reach


def remove_small(mask: Any, pixels: int) -> Any:
    """Clear the objects of fewer than so many pixels.

    Pixels that touch by a side or a corner are of one object.

    Parameters
    ----------
    mask : array of bool, shape (..., y, x)
        Of numpy or CuPy.
    pixels : int
        Size of the smallest object that stays; 1 or less changes nothing.

    Returns
    -------
    array of bool, shape (..., y, x)

    Notes
    -----
    The answer at a pixel depends on no pixel that is ``pixels`` rows or columns away: an object
    that reaches so far has enough pixels on the way.
    """
    return _without_small(mask, pixels, corners=True)


def fill_small(mask: Any, pixels: int) -> Any:
    """Set the holes of fewer than so many pixels.

    Clear pixels that touch by a side are of one hole. A gap at the image's edge counts with
    the pixels that the image has of it.

    Parameters
    ----------
    mask : array of bool, shape (..., y, x)
        Of numpy or CuPy.
    pixels : int
        Size of the smallest hole that stays; 1 or less changes nothing.

    Returns
    -------
    array of bool, shape (..., y, x)
        As local as `remove_small`.
    """
    return ~_without_small(~mask, pixels, corners=False)


def _without_small(mask: Any, pixels: int, corners: bool) -> Any:
    xp = namespace_of(mask)
    if pixels <= 1:
        return mask.copy()
    images = mask.reshape(-1, *mask.shape[-2:])
    within = np.ones((3, 3), bool) if corners else np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
    # Nothing connects one image to the next.
    links = np.zeros((3, 3, 3), bool)
    links[1] = within
    labels, count = _ndimage(xp.__name__).label(images, xp.asarray(links))
    large = xp.bincount(labels.ravel(), minlength=int(count) + 1) >= pixels
    large[0] = False
    return large[labels].reshape(mask.shape)


def _ndimage(library: str) -> Any:
    names = {"numpy": "scipy.ndimage", "cupy": "cupyx.scipy.ndimage"}
    if library not in names:
        raise TypeError(f"expected a mask of numpy or cupy, got one of {library}")
    return require(names[library], purpose="find the objects of a mask")
