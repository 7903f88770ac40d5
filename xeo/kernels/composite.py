"""Composites of an irregular date axis: one value per calendar month, bad values left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: Reduces values and badness along one axis, leaving out the bad; NaN where all are bad.
Reduce = Callable[[Any, Any, int], Any]


def month_window(dates: Any, count: int, start: str | None = None) -> Any:
    """Return the calendar months of a series, at most ``count`` of them.

    Parameters
    ----------
    dates : array of datetime64, shape (T,)
        In any order; not empty.
    count : int
        The most months to return.
    start : str, optional
        First month, ``"2018-11"``. None: the first month with a date, or, where the dates
        span more than ``count`` months, the month that makes the window end with the last date.

    Returns
    -------
    array of datetime64[M], shape (M,)
        Consecutive months, none after the last date; empty where ``start`` lies after it.
    """
    stamps = np.asarray(dates).astype("datetime64[M]")
    first, last = stamps.min(), stamps.max()
    month = np.timedelta64(1, "M")
    first = max(first, last - (count - 1) * month) if start is None else np.datetime64(start, "M")
    return np.arange(first, min(first + count * month, last + month), dtype="datetime64[M]")


def masked_median(x: Any, bad: Any, axis: int) -> Any:
    """Return the median of the values that are not bad.

    Parameters
    ----------
    x : array of float
        Values; those that are bad may be anything.
    bad : array of bool
        Of the shape of ``x``.
    axis : int
        Axis to reduce.

    Returns
    -------
    array
        Without ``axis``; of two middle values the mean; NaN where all values are bad.
    """
    # Infinity sorts the bad values to the end, several times faster than NaN does.
    ordered = np.sort(np.where(bad, np.inf, x).astype(x.dtype, copy=False), axis=axis)
    count = np.expand_dims((~bad).sum(axis=axis), axis)
    below = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=axis)
    above = np.take_along_axis(ordered, np.minimum(count // 2, x.shape[axis] - 1), axis=axis)
    middle = np.where(count > 0, (below + above) / 2, np.nan)
    return np.squeeze(middle, axis=axis).astype(x.dtype, copy=False)


def masked_mean(x: Any, bad: Any, axis: int) -> Any:
    """Return the mean of the values that are not bad, NaN where all are.

    Parameters and shapes are those of `masked_median`.
    """
    count = (~bad).sum(axis=axis)
    total = np.where(bad, 0, x).sum(axis=axis)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean.astype(x.dtype, copy=False)


def masked_total(x: Any, bad: Any, axis: int) -> Any:
    """Return the sum along an axis, its bad values taken to be as the others on average.

    Parameters and shapes are those of `masked_median`; NaN where all values are bad.
    """
    return masked_mean(x, bad, axis) * x.dtype.type(x.shape[axis])


def monthly(x: Any, bad: Any, dates: Any, months: Any, reduce: Reduce = masked_median) -> Any:
    """Reduce a series to one value per calendar month.

    Parameters
    ----------
    x : array of float, shape (sample, time, ...)
        Values; those that are bad may be anything.
    bad : array of bool
        Of the shape of ``x``, True where a value shall not count.
    dates : array of datetime64, shape (time,)
        In any order, doubles allowed.
    months : array of datetime64[M], shape (M,)
        Months to return; dates outside of them do not count.
    reduce : callable
        `masked_median`, `masked_mean`, `masked_total` or one like them.

    Returns
    -------
    array, shape (sample, M, ...)
        Of the kind and type of ``x``; NaN where a month has no good value.
    """
    stamps = np.asarray(dates).astype("datetime64[M]")
    out = np.full_like(x, np.nan, shape=(x.shape[0], len(months), *x.shape[2:]))
    for step, month in enumerate(months):
        inside = np.flatnonzero(stamps == month)
        if inside.size:
            out[:, step] = reduce(x[:, inside], bad[:, inside], 1)
    return out


def normalized_difference(a: Any, b: Any) -> Any:
    """Return ``(a - b) / (a + b)``, 0 where the sum is not positive, NaN where either is."""
    total = a + b
    safe = np.where(total > 0, total, 1)
    ratio = np.where(total > 0, (a - b) / safe, 0)
    return np.where(np.isnan(total), np.nan, ratio).astype(a.dtype, copy=False)
