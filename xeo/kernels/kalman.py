"""Series as Gaussian processes, by a Kalman filter that runs forwards and backwards."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.namespace import as_float, namespace_of

Days = NDArray[np.float64]
#: State before a date: level and slope ``(band, pixel)``, and their covariance.
State = tuple[Any, Any, Any, Any, Any]
#: Values of a date that are worked on at once: their temporaries stay in the cache.
_BLOCK = 32_768


def kalman(
    values: Any,
    bad: Any,
    days: Days,
    at: Days,
    *,
    length: float | None = None,
    ratio: float | None = None,
    rounds: int = 2,
    freedom: float | None = None,
) -> Any:
    """Fill gaps with the mean of Gaussian processes, down-weighting doubtful dates.

    Every series is a Gaussian process with a Matern 3/2 covariance around its mean: a curve
    with a slope, which returns to the mean where nothing is known. Values that the others do
    not foretell weigh less; of several bands, only what shifts them all one way is in doubt,
    as haze and shadows do and a harvest does not.

    Parameters
    ----------
    values : array, shape (time, band, pixel)
        Anything where bad.
    bad : array of bool, shape (time, 1 or band, pixel)
    days : array of float, shape (time,)
        Rising.
    at : array of float, shape (date,)
        Days that are wanted, rising.
    length : float, optional
        Days over which the covariance falls to 0.48 of its value. Default: 40; 60 for a single
        band, where more dates must make up for haze that goes unnoticed.
    ratio : float, optional
        Variance of the process in units of the noise's. Default: 10; 20 for a single band:
        indices are less noisy than what they are made of.
    rounds : int
        How often the weights are found anew; 0 trusts all dates alike.
    freedom : float, optional
        Degrees of freedom of the noise's Student distribution: fewer trust outliers less.
        Default: 0.5; 10 for a single band, which cannot tell haze from a change.

    Returns
    -------
    array, shape (date, band, pixel)
        NaN for series without a clear date.

    References
    ----------
    .. [1] Hartikainen, J. and Sarkka, S. (2010). Kalman filtering and smoothing solutions to
       temporal Gaussian process regression models. *IEEE MLSP*.
       doi:10.1109/MLSP.2010.5589113
    .. [2] Lange, K. L., Little, R. J. A. and Taylor, J. M. G. (1989). Robust statistical
       modeling using the t distribution. *J. Am. Stat. Assoc.*
       doi:10.1080/01621459.1989.10478852
    """
    return foretell(
        values, bad, days, at, length=length, ratio=ratio, rounds=rounds, freedom=freedom
    )[1]


def foretell(
    values: Any,
    bad: Any,
    days: Days,
    at: Days,
    *,
    length: float | None = None,
    ratio: float | None = None,
    rounds: int = 2,
    freedom: float | None = None,
) -> tuple[Any, Any]:
    """Return what the other dates tell of each date, and what all dates do.

    Parameters
    ----------
    values, bad, days, at, length, ratio, rounds, freedom :
        As in `kalman`.

    Returns
    -------
    others, all : array, shape (date, band, pixel)
        They differ at clear dates only.
    """
    xp = namespace_of(values)
    single = values.shape[1] == 1
    if length is None:
        length = 60.0 if single else 40.0
    if freedom is None:
        freedom = 10.0 if single else 0.5
    if ratio is None:
        ratio = 20.0 if single else 10.0
    settings = {"length": length, "ratio": ratio}
    step = max(1, _BLOCK // values.shape[1])
    # What is joined here is written over below: it has the kind and place of the values.
    others = xp.concatenate([values[:1]] * len(at))
    every = xp.concatenate([values[:1]] * len(at))
    for start in range(0, values.shape[2], step):
        part = slice(start, start + step)
        x, w = known(values[..., part], bad[..., part])
        w = trust(x, w, days, rounds=rounds, freedom=freedom, **settings)
        means, variances = left_out(x, w, days, at, **settings)
        others[..., part] = means
        every[..., part] = _take_in(means, variances, x, w, days, at)
    return others, every


def known(values: Any, bad: Any) -> tuple[Any, Any]:
    """Return values that are 0 where bad, and their weights: 0 where bad, else 1."""
    xp = namespace_of(values)
    x = as_float(values)
    return xp.where(bad, xp.zeros_like(x), x), xp.asarray(~bad, dtype=x.dtype)


def trust(
    x: Any,
    weight: Any,
    days: Days,
    *,
    length: float = 40.0,
    ratio: float = 10.0,
    rounds: int = 2,
    freedom: float = 0.5,
) -> Any:
    """Lower the weights of values that all the others do not foretell.

    Parameters
    ----------
    x, weight :
        As `known` returns them.
    days, length, ratio, rounds, freedom :
        As in `kalman`.

    Returns
    -------
    array, shape of ``weight``
        At most 1; 0 where ``weight`` is.
    """
    xp = namespace_of(x)
    w = weight
    bands = (weight + 0 * x).sum(1)[:, None]
    for _ in range(rounds):
        mean, variance = left_out(x, w, days, days, length=length, ratio=ratio)
        error = (x - mean) / (variance + 1) ** 0.5
        total = w.sum(0)
        spread = (w * xp.abs(error)).sum(0) / xp.where(total > 0, total, 1)
        # 0.8 standard deviations of a normal distribution are its mean absolute one.
        spread = spread / 0.8 + xp.finfo(x.dtype).tiny
        doubt = (weight * error / spread).sum(1)[:, None] / xp.where(bands > 0, bands, 1)
        factor = (freedom + 1) / (freedom + doubt * doubt)
        w = weight * xp.where(factor < 1, factor, 1)
    return w


def left_out(
    x: Any, weight: Any, days: Days, at: Days, *, length: float = 40.0, ratio: float = 10.0
) -> tuple[Any, Any]:
    """Predict series on some days, each from the values of all other days.

    Parameters
    ----------
    x : array, shape (time, band, pixel)
        Finite, also where the weight is 0.
    weight : array, shape (time, 1 or band, pixel)
        Inverse variances of the values' noise, in units of the usual one's; 0 where missing.
    days, at, length, ratio :
        As in `kalman`.

    Returns
    -------
    mean : array, shape (date, band, pixel)
        NaN for series without any weight.
    variance : array, shape (date, 1 or band, pixel)
        In units of the usual noise's, which is not included.
    """
    xp = namespace_of(x)
    total = weight.sum(0)
    centre = (x * weight).sum(0) / xp.where(total > 0, total, xp.nan)
    every = np.union1d(days, at)
    own = {day: n for n, day in enumerate(days.tolist())}
    seen = [own.get(day) for day in every.tolist()]
    dates = [None if n is None else (x[n] - centre, weight[n]) for n in seen]
    gaps = (np.diff(every) * (math.sqrt(3) / length)).tolist()
    start = _prior(0 * x[0], 0 * weight[0], ratio)
    wanted = set(at.tolist())
    ask = [day in wanted for day in every.tolist()]
    ahead = _predictions(start, dates, [0.0, *gaps], ask, ratio)
    behind = _predictions(start, dates[::-1], [0.0, *gaps[::-1]], ask[::-1], ratio)
    means, variances = [], []
    for one, other in zip(ahead, reversed(behind), strict=True):
        mean, variance = _join(one, other, ratio)
        means.append(mean + centre)
        variances.append(variance)
    return xp.stack(means), xp.stack(variances)


def _take_in(means: Any, variances: Any, x: Any, weight: Any, days: Days, at: Days) -> Any:
    """Return what `left_out` says, and at dates with a value the weighted mean of both."""
    own = {day: n for n, day in enumerate(days.tolist())}
    xp = namespace_of(x)
    made = []
    for mean, variance, day in zip(means, variances, at.tolist(), strict=True):
        if day in own:
            w = weight[own[day]]
            mean = mean + variance * w / (variance * w + 1) * (x[own[day]] - mean)
        made.append(mean)
    return xp.stack(made)


def _prior(zero: Any, none: Any, ratio: float) -> State:
    return zero, zero, none + ratio, none, none + ratio


def _predictions(
    state: State,
    dates: list[tuple[Any, Any] | None],
    gaps: list[float],
    ask: list[bool],
    ratio: float,
) -> list[State]:
    """Return the state before the dates asked for; slopes are in units of the length."""
    found = []
    for date, gap, wanted in zip(dates, gaps, ask, strict=True):
        state = _move(state, gap, ratio)
        if wanted:
            found.append(state)
        if date is not None:
            state = _update(state, *date)
    return found


def _move(state: State, gap: float, ratio: float) -> State:
    """Let time pass: ``gap`` is in units of the length over the root of 3."""
    if gap == 0:
        return state
    level, slope, p, q, r = state
    e = math.exp(-gap)
    a, b, c = e * (1 + gap), e * gap, e * (1 - gap)
    lost = ratio * (1 - a * a - b * b), ratio * b * (a - c), ratio * (1 - b * b - c * c)
    return (
        a * level + b * slope,
        c * slope - b * level,
        (a * a) * p + (2 * a * b) * q + (b * b) * r + lost[0],
        (a * c - b * b) * q - (a * b) * p + (b * c) * r + lost[1],
        (b * b) * p - (2 * b * c) * q + (c * c) * r + lost[2],
    )


def _update(state: State, value: Any, weight: Any) -> State:
    """Take in the values of a date."""
    level, slope, p, q, r = state
    scale = 1 / (weight * p + 1)
    gain = weight * scale
    news = value - level
    along = gain * q
    return (
        level + (gain * p) * news,
        slope + along * news,
        p * scale,
        q * scale,
        r - along * q,
    )


def _join(ahead: State, behind: State, ratio: float) -> tuple[Any, Any]:
    """Join what the dates before and after tell; both know the process: it counts once."""
    one, other = _precision(ahead), _precision(behind)
    # Time runs the other way behind: slopes and their covariance with levels change sign.
    p = one[0] + other[0] - 1 / ratio
    q = one[1] - other[1]
    r = one[2] + other[2] - 1 / ratio
    size = p * r - q * q
    # The first row of the joint covariance, times the two precisions.
    first, second = r / size, -q / size
    mean = (first * one[0] + second * one[1]) * ahead[0]
    mean += (first * one[1] + second * one[2]) * ahead[1]
    mean += (first * other[0] - second * other[1]) * behind[0]
    mean += (first * other[1] - second * other[2]) * behind[1]
    return mean, first


def _precision(state: State) -> tuple[Any, Any, Any]:
    _, _, p, q, r = state
    size = p * r - q * q
    return r / size, -q / size, p / size
