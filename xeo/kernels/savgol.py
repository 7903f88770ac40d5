"""Local polynomials through the clear dates around each wanted day."""

from __future__ import annotations

from typing import Any

import numpy as np

from xeo.kernels.interpolate import Days, as_series, like, linear, parts
from xeo.kernels.namespace import as_like, empty, namespace_of

#: Pixels and wanted days that are worked on at a time: what they need stays in the cache.
_PIXELS, _DATES = 4096, 8
#: A date at the very edge of the window is inside, whatever the rounding of its distance.
_EDGE = 1 + 1e-9
#: Below this part of its own size, a power says no more than the lower ones do.
_ALONE = 1e-9
#: Variance of the curve's value, in those of one observation, up to which a degree is taken.
_NOISE = 1 + 1e-6


def savgol(
    values: Any,
    bad: Any,
    days: Days,
    at: Days,
    *,
    window: float = 25.0,
    degree: int = 2,
    upper_envelope: int = 0,
) -> Any:
    """Smooth by a polynomial fitted to the clear dates around each wanted day.

    Parameters
    ----------
    values : array of float, shape (time, ..., pixel)
        Finite where clear, anything where bad.
    bad : array of bool
        True where a value does not count. As many axes as ``values``; axes in the middle may
        be 1 where bands share their gaps.
    days : array of float64, shape (time,)
        Dates in days, strictly rising; any spacing.
    at : array of float64, shape (out,)
        Days that are wanted, rising; they may be ``days``.
    window : float
        Days on each side whose clear dates are fitted.
    degree : int
        Of the polynomial.
    upper_envelope : int
        How many times clear values below the curve are raised to it before the next fit.

    Returns
    -------
    array, shape (out, ..., pixel)
        Of the kind and dtype of ``values``; NaN in a series without a clear date.

    Notes
    -----
    On evenly spaced dates without gaps this is the filter of Savitzky and Golay [1]_. A degree
    is taken only where it is worth it: where there are points for it, and where the value on
    the curve is known no worse than one observation would tell it; elsewhere the polynomial is
    of a lower degree. Without a clear date on both sides in the window (the day itself is on
    both) the value is that of `linear`, which repeats the first and last clear ones.

    For the upper envelope, of vegetation indices whose errors are mostly too low, the clear
    values that lie below the curve are raised to it and fitted again, as in Chen et al. [2]_,
    but for a fixed number of times.

    The polynomial is built from orthogonal ones, degree by degree; their coefficients depend on
    the mask alone, so bands that share gaps share that work, and all sums are products of
    matrices.

    References
    ----------
    .. [1] Savitzky, A. and Golay, M. J. E. (1964). Smoothing and differentiation of data by
       simplified least squares procedures. *Analytical Chemistry*, 36(8), 1627-1639.
       doi:10.1021/ac60214a047
    .. [2] Chen, J. et al. (2004). A simple method for reconstructing a high-quality NDVI
       time-series data set based on the Savitzky-Golay filter. *Remote Sensing of
       Environment*, 91(3-4), 332-344. doi:10.1016/j.rse.2004.03.014
    """
    x, mask = as_series(values, bad)
    xp = namespace_of(x)
    out = empty((len(at), *x.shape[1:]), x)
    for part in parts(x, _PIXELS):
        hidden = mask[:, part]
        series = xp.where(hidden[:, None], 0.0, x[:, :, part])
        for _ in range(upper_envelope):
            raised = xp.maximum(series, _curves(series, hidden, days, days, window, degree))
            series = xp.where(hidden[:, None], 0.0, raised)
        out[:, :, part] = _curves(series, hidden, days, at, window, degree)
    return like(out, values)


def _curves(values: Any, bad: Any, days: Days, at: Days, window: float, degree: int) -> Any:
    """Return the curves of a block ``(time, band, pixel)``, whose bad values are 0."""
    xp = namespace_of(values)
    seen = xp.asarray(~bad, dtype=xp.float64)
    out = linear(values, bad[:, None], days, at)
    for start in range(0, len(at), _DATES):
        some = slice(start, start + _DATES)
        near, powers = _powers(days, at[some], window, degree)
        count = powers.shape[1]
        rows = as_like(powers.reshape(-1, powers.shape[-1]), seen)
        moments = xp.matmul(rows, seen[near]).reshape(-1, count, bad.shape[1])
        rows = xp.asarray(rows[: (degree + 1) * count], dtype=values.dtype)
        sums = xp.matmul(rows, values[near].reshape(rows.shape[1], -1))
        sums = sums.reshape(degree + 1, count, *values.shape[1:])
        made = 0.0
        for weight, total in zip(_weights(moments[:-2], degree), sums, strict=True):
            made = made + xp.asarray(weight[:, None], dtype=values.dtype) * total
        inside = (moments[-2:] > 0).all(0)
        out[some] = xp.where(inside[:, None], made, out[some])
    return out


def _powers(days: Days, at: Days, window: float, degree: int) -> tuple[slice, Days]:
    """Return the dates near some days, and powers of their distances in windows.

    Powers 0 to twice the degree, ``(power, out, near)``; 0 where a date is outside the window.
    Then 1 where it is inside and not later, and where it is inside and not earlier.
    """
    first, last = at[0] - window * _EDGE, at[-1] + window * _EDGE
    near = slice(*(int(edge) for edge in np.searchsorted(days, [first, last])))
    steps = (days[near] - at[:, None]) / window
    powers = [steps**order for order in range(2 * degree + 1)] + [steps <= 0, steps >= 0]
    return near, np.where(np.abs(steps) <= _EDGE, np.stack(powers), 0.0)


def _weights(moments: Any, degree: int) -> list[Any]:
    """Return what the weighted sums of each power are multiplied by to give the curve's value.

    Parameters
    ----------
    moments : array of float64, shape (2 * degree + 1, out, pixel)
        Sums of the powers of the distances of clear dates.
    degree : int
        The highest that is tried.
    """
    xp = namespace_of(moments)
    weights = [xp.zeros_like(moments[0]) for _ in range(degree + 1)]
    worth, variance = moments[0] > 0, xp.zeros_like(moments[0])
    rows: list[list[Any]] = []
    norms: list[Any] = []
    for power in range(degree + 1):
        row: list[Any] = [0.0] * power + [1.0]
        for other, norm in zip(rows, norms, strict=True):
            along = sum(part * moments[power + k] for k, part in enumerate(other)) / norm
            for k, part in enumerate(other):
                row[k] = row[k] - along * part
        norm = sum(part * moments[power + k] for k, part in enumerate(row))
        worth = worth & (norm > _ALONE * moments[2 * power])
        norm = xp.where(worth, norm, 1.0)
        variance = variance + row[0] * row[0] / norm
        worth = worth & (variance <= _NOISE)
        gain = xp.where(worth, row[0] / norm, 0.0)
        for k, part in enumerate(row):
            weights[k] += gain * part
        rows.append(row)
        norms.append(norm)
    return weights
