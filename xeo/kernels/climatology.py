"""What a pixel usually is at a time of the year, and how this year differs."""

from __future__ import annotations

from typing import Any

import numpy as np

from xeo.kernels.gap_quality import gap_days
from xeo.kernels.interpolate import Days, as_series, like, linear, parts
from xeo.kernels.namespace import as_like, empty, namespace_of

#: Days of a mean year.
_YEAR = 365.2425
#: Standard deviations beyond which a clear value tells nothing.
_REACH = 3.0
#: Pixels that are worked on at a time.
_PIXELS = 2048


def climatology(
    values: Any,
    bad: Any,
    days: Days,
    at: Days,
    *,
    sigma: float = 20.0,
    anomaly: bool = True,
    decay: float = 90.0,
) -> Any:
    """Fill with what is usual at that time of the year, shifted to agree with this year.

    Parameters
    ----------
    values : array of float, shape (time, ..., pixel)
        Finite where clear, anything where bad.
    bad : array of bool
        True where a value does not count. As many axes as ``values``; axes in the middle may
        be 1 where bands share their gaps.
    days : array of float64, shape (time,)
        Dates in days, strictly rising.
    at : array of float64, shape (out,)
        Days that are wanted, rising; they may be ``days``.
    sigma : float
        Standard deviation, in days, of the Gaussian weight by day of the year.
    anomaly : bool
        Whether to add how the clear dates on both sides differ from what is usual.
    decay : float
        Days to the nearest clear date at which that difference has shrunk to 1 / e.

    Returns
    -------
    array, shape (out, ..., pixel)
        Of the kind and dtype of ``values``; with ``anomaly``, what was observed on clear dates.
        NaN where no clear value of any year lies within 3 sigma of that day of the year.

    Notes
    -----
    What is usual is the weighted mean of the clear values of all years, its weight falling with
    the distance in days of the year, around the turn of the year too. How clear dates differ
    from it is interpolated linearly and decays with the distance to the nearest one: a short
    gap follows this year, a long one the usual year.
    """
    x, mask = as_series(values, bad)
    xp = namespace_of(x)
    out = empty((len(at), *x.shape[1:]), x)
    for part in parts(x, _PIXELS):
        hidden = mask[:, part]
        series = xp.where(hidden[:, None], 0.0, x[:, :, part])
        usual = _usual(series, hidden, days, at, sigma)
        out[:, :, part] = usual
        if anomaly:
            own = usual if np.array_equal(days, at) else _usual(series, hidden, days, days, sigma)
            unlike = linear(series - own, hidden[:, None], days, at)
            left = xp.exp(-gap_days(hidden, days, at) / decay)
            out[:, :, part] += unlike * xp.asarray(left, dtype=x.dtype)[:, None]
    return like(out, values)


def _usual(values: Any, bad: Any, days: Days, at: Days, sigma: float) -> Any:
    """Return what is usual in a block ``(time, band, pixel)``, whose bad values are 0."""
    xp = namespace_of(values)
    apart = np.abs(at[:, None] - days) % _YEAR
    apart = np.minimum(apart, _YEAR - apart) / sigma
    weights = as_like(np.where(apart <= _REACH, np.exp(-0.5 * apart**2), 0.0), values)
    total = xp.matmul(weights, values.reshape(len(days), -1)).reshape(-1, *values.shape[1:])
    count = xp.matmul(weights, xp.asarray(~bad, dtype=values.dtype))
    return total / xp.where(count > 0, count, xp.nan)[:, None]
