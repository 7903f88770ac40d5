"""Random convolutional features: convolve, rectify, average."""

from __future__ import annotations

import math
from typing import Any

from xeo.errors import DimensionError
from xeo.kernels.namespace import as_float, namespace_of

# Pixels whose responses are held at once. 2048 of them by 128 filters are 1 MB: they stay in
# the second cache until they are averaged; the whole image's would go through memory.
_PIXELS = 2048
# Pixels of one matrix product: one vector of AVX-512, for a BLAS rounds differently in the loops
# that follow (OpenBLAS on Zen 5 does so in 64 columns), and a pixel's
# features must not depend on the size of the chunk it came in.
_COLUMNS = 16
# Multiplications of one product, at most: OpenBLAS does so many on one thread. Tasks run side by
# side already, and its threads, which spin while they wait, made this 50 times slower.
_MULTIPLICATIONS = 200_000


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
    (samples, _, ny, nx), (count, *_, side) = x.shape, filters.shape
    height, width = _tile(stride, nx)
    groups = _groups(filters)
    x = _pad(x, (side - 1) // 2, side // 2, side // 2 + -nx % width)
    columns = -(-nx // width) * width // stride
    out = xp.empty((samples, 2, count, ny // stride, columns), x.dtype)
    for sample in range(samples):
        for i in range(ny // stride):
            for left in range(0, nx, width):
                strip = x[sample, :, i * stride :, left : left + width + side - 1]
                cells = slice(left // stride, (left + width) // stride)
                made = _squares(strip, groups, side, stride, height, bias)
                out[sample, :, :, i, cells] = made[:, :count]
    return out[..., : nx // stride].reshape(samples, 2 * count, ny // stride, nx // stride)


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
    """Return the rows and columns of pixels to do at once; rows divide ``stride``.

    The rows do not depend on the image, or else the order of its sums would.
    """
    height = max(n for n in range(1, min(stride, 32) + 1) if stride % n == 0)
    unit = math.lcm(stride, _COLUMNS)
    return height, unit * min(max(1, _PIXELS // (unit * height)), -(-nx // unit))


def _groups(filters: Any) -> Any:
    """Return filters as matrices ``(group, 1, filter, weight)``, filled up with zeros."""
    xp = namespace_of(filters)
    count = len(filters)
    flat = filters.reshape(count, -1)
    size = min(count, max(1, _MULTIPLICATIONS // (_COLUMNS * flat.shape[1])))
    padded = xp.zeros((-(-count // size) * size, flat.shape[1]), flat.dtype)
    padded[:count] = flat
    return padded.reshape(-1, 1, size, flat.shape[1])


def _pad(x: Any, before: int, bottom: int, right: int) -> Any:
    edges = ((0, 0), (0, 0), (before, bottom), (before, right))
    return namespace_of(x).pad(x, edges, mode="edge")


def _unfold(x: Any, side: int, height: int, width: int) -> Any:
    """Return the neighbourhoods of pixels as columns of matrices ``(tile, weight, column)``."""
    bands, tiles = x.shape[0], width // _COLUMNS
    out = namespace_of(x).empty((height, tiles, bands, side, side, _COLUMNS), x.dtype)
    for i in range(side):
        for j in range(side):
            shifted = x[:, i : i + height, j : j + width]
            runs = shifted.reshape(bands, height, tiles, _COLUMNS)
            out[:, :, :, i, j] = runs.transpose(1, 2, 0, 3)
    return out.reshape(height * tiles, -1, _COLUMNS)


def _squares(strip: Any, groups: Any, side: int, stride: int, height: int, bias: float) -> Any:
    """Return the features of one row of squares, ``(2, filter, square)``."""
    xp = namespace_of(strip)
    size, width = groups.shape[2], strip.shape[-1] - side + 1
    sums = xp.zeros((2, len(groups), width // _COLUMNS, size, _COLUMNS), strip.dtype)
    for top in range(0, stride, height):
        columns = _unfold(strip[:, top : top + height + side - 1], side, height, width)
        response = (groups @ columns).reshape(len(groups), height, *sums.shape[2:])
        if bias == 0:
            # max(-r, 0) = max(r, 0) - r: the sum of the responses is cheaper to take.
            sums[1] -= response.sum(axis=1)
        else:
            sums[1] += xp.maximum(-response - bias, 0).sum(axis=1)
            response -= bias
        sums[0] += xp.maximum(response, 0, out=response).sum(axis=1)
    if bias == 0:
        sums[1] = xp.maximum(sums[1] + sums[0], 0)
    pixels = sums.transpose(0, 1, 3, 2, 4).reshape(2, -1, width // stride, stride)
    return pixels.sum(axis=-1) / (stride * stride)
