"""Statistics of the squares that tile the last two axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xeo.errors import DimensionError
from xeo.kernels.namespace import as_float, namespace_of


def _columns(x: Any, stride: int) -> Iterator[Any]:
    """Yield the columns of all squares, first to last, as views ``(..., Y / s, s, X / s)``.

    Adding a handful of strided views is some four times faster in numpy than reducing an
    innermost axis of a few elements.
    """
    *lead, ny, nx = x.shape
    if ny % stride or nx % stride:
        raise DimensionError(
            f"expected sizes that are multiples of {stride} pixels, got ({ny}, {nx}). "
            f"Try: padding or cutting to ({ny // stride * stride}, {nx // stride * stride})"
        )
    rows = x.reshape(*lead, ny // stride, stride, nx)
    return (rows[..., j::stride] for j in range(stride))


def block_count(x: Any, stride: int) -> Any:
    """Count the values that are not NaN in every square of the last two axes.

    Parameters
    ----------
    x : array, shape (..., Y, X)
        Y and X are multiples of ``stride``.
    stride : int
        Side of the square, in pixels.

    Returns
    -------
    array, shape (..., Y / stride, X / stride)
        Floats of the kind and device of ``x``.

    Raises
    ------
    DimensionError
        If a size is no multiple of ``stride``.
    """
    x = as_float(x)
    xp = namespace_of(x)
    return sum(xp.sum(c == c, axis=-2, dtype=x.dtype) for c in _columns(x, stride))


def _mean(terms: Iterator[Any], count: Any) -> Any:
    """Divide the sum of columns, without their NaN, by a count; NaN where it is 0."""
    xp = namespace_of(count)
    total = sum(xp.where(xp.isnan(c), xp.zeros_like(c), c).sum(axis=-2) for c in terms)
    missing = xp.full_like(total, float("nan"))
    return xp.where(count > 0, total, missing) / xp.where(count > 0, count, xp.ones_like(count))


def block_mean(x: Any, stride: int) -> Any:
    """Average the squares of the last two axes, skipping NaN.

    Parameters
    ----------
    x : array, shape (..., Y, X)
        Y and X are multiples of ``stride``; NaN is missing.
    stride : int
        Side of the square, in pixels.

    Returns
    -------
    array, shape (..., Y / stride, X / stride)
        Of the kind and device of ``x``, float32 or float64; NaN where a square has no value.

    Raises
    ------
    DimensionError
        If a size is no multiple of ``stride``.
    """
    x = as_float(x)
    return _mean(_columns(x, stride), block_count(x, stride))


def block_std(x: Any, stride: int) -> Any:
    """Measure the standard deviation of the squares of the last two axes, skipping NaN.

    Parameters
    ----------
    x : array, shape (..., Y, X)
        Y and X are multiples of ``stride``; NaN is missing.
    stride : int
        Side of the square, in pixels.

    Returns
    -------
    array, shape (..., Y / stride, X / stride)
        Of the kind and device of ``x``, float32 or float64, with the divisor n; NaN where a
        square has no value.

    Raises
    ------
    DimensionError
        If a size is no multiple of ``stride``.
    """
    x = as_float(x)
    count = block_count(x, stride)
    mean = _mean(_columns(x, stride), count)[..., None, :]
    # Two passes: the mean of squares less the square of the mean loses all digits on DN.
    return _mean(((c - mean) ** 2 for c in _columns(x, stride)), count) ** 0.5
