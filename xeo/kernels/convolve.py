"""Random convolutional features: convolve, rectify, average."""

from __future__ import annotations

import math
from typing import Any

from xeo.errors import DimensionError
from xeo.kernels.namespace import as_float, namespace_of

# Pixels of one matrix product. 2048 of them by 128 filters are 1 MB: they stay in the second
# cache until they are averaged, where the whole image's responses would go through memory.
_PIXELS = 2048
# Products have a multiple of so many columns: a BLAS rounds differently in its remainder
# loops, and a pixel's features must not depend on the size of the chunk it came in.
_COLUMNS = 64


def rectified_features(x: Any, filters: Any, stride: int, bias: float = 0.0) -> Any:
    """Average the positive and the negative part of filter responses over squares.

    Parameters
    ----------
    x : array, shape (sample, band, Y, X)
        Of numpy or CuPy; Y and X are multiples of ``stride``. The outermost pixels are
        repeated outwards.
    filters : array, shape (filter, band, side, side)
        Correlated with ``x``, not flipped.
    stride : int
        Side of the square, in pixels.
    bias : float
        Subtracted from the response and from its negative before rectifying.

    Returns
    -------
    array, shape (sample, 2 * filter, Y / stride, X / stride)
        First the means of ``max(response - bias, 0)``, then those of
        ``max(-response - bias, 0)``; float32, or float64 for such an ``x``. The same for
        a pixel, to the last bit, whatever the size of ``x``.

    Raises
    ------
    DimensionError
        If a size is no multiple of ``stride``, or ``x`` has not the bands of the filters.
    """
    xp = namespace_of(x)
    x = as_float(x)
    filters = xp.asarray(filters, dtype=x.dtype)
    _check(x.shape, filters.shape, stride)
    samples, _, ny, nx = x.shape
    side, (height, width) = filters.shape[-1], _tile(stride, nx)
    x = _pad(x, (side - 1) // 2, side // 2, side // 2 + -nx % width)
    out = xp.empty(
        (samples, 2 * len(filters), ny // stride, -(-nx // width) * width // stride), x.dtype
    )
    for sample in range(samples):
        for i in range(out.shape[2]):
            for left in range(0, nx, width):
                strip = x[sample, :, i * stride :, left : left + width + side - 1]
                cells = slice(left // stride, (left + width) // stride)
                out[sample, :, i, cells] = _squares(strip, filters, stride, height, bias)
    return out[..., : nx // stride]


def _check(shape: tuple[int, ...], filters: tuple[int, ...], stride: int) -> None:
    if len(shape) != 4 or shape[1] != filters[1]:
        raise DimensionError(
            f"expected (sample, band, y, x) with {filters[1]} bands, got {tuple(shape)}"
        )
    if shape[2] % stride or shape[3] % stride:
        raise DimensionError(
            f"expected sizes that are multiples of {stride} pixels, got {tuple(shape[2:])}"
        )


def _tile(stride: int, nx: int) -> tuple[int, int]:
    """Return rows and columns of a matrix product's pixels; rows divide ``stride``.

    The rows do not depend on the image, or else the order of its sums would.
    """
    height = max(n for n in range(1, min(stride, 32) + 1) if stride % n == 0)
    unit = stride * (_COLUMNS // math.gcd(_COLUMNS, stride * height))
    most = max(1, _PIXELS // (unit * height))
    return height, unit * min(most, -(-nx // unit))


def _pad(x: Any, before: int, bottom: int, right: int) -> Any:
    xp = namespace_of(x)
    edges = ((0, 0), (0, 0), (before, bottom), (before, right))
    return xp.pad(x, edges, mode="edge")


def _unfold(x: Any, side: int, height: int, width: int) -> Any:
    """Return the neighbourhoods of ``height`` x ``width`` pixels as columns of a matrix."""
    out = namespace_of(x).empty((x.shape[0], side, side, height, width), x.dtype)
    for i in range(side):
        for j in range(side):
            out[:, i, j] = x[:, i : i + height, j : j + width]
    return out.reshape(-1, height * width)


def _squares(strip: Any, filters: Any, stride: int, height: int, bias: float) -> Any:
    """Return the features of one row of squares, ``(2 * filter, square)``."""
    xp = namespace_of(strip)
    count, _, side, _ = filters.shape
    width = strip.shape[-1] - side + 1
    flat = filters.reshape(count, -1)
    sums = xp.zeros((2, count, width), strip.dtype)
    for top in range(0, stride, height):
        columns = _unfold(strip[:, top : top + height + side - 1], side, height, width)
        response = (flat @ columns).reshape(count, height, width)
        if bias == 0:
            # max(-r, 0) = max(r, 0) - r: the sum of the responses is cheaper to take.
            sums[1] -= response.sum(axis=1)
        else:
            sums[1] += xp.maximum(-response - bias, 0).sum(axis=1)
            response -= bias
        sums[0] += xp.maximum(response, 0, out=response).sum(axis=1)
    if bias == 0:
        sums[1] += sums[0]
    cells = sums.reshape(2 * count, width // stride, stride).sum(axis=-1)
    return cells / (stride * stride)
