"""Harmonic series: a constant, a trend and waves of the year, fitted to what is clear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.interpolate import linear
from xeo.kernels.namespace import empty, namespace_of
from xeo.kernels.robust import trust
from xeo.kernels.whittaker import whittaker

Days = NDArray[np.float64]
#: Which outliers lose their weight: those below the fit, above it, or both.
Outliers = Literal["low", "high", "both"]
#: What comes on top of the fit: what it leaves, smoothed or as it is, between the dates.
Residuals = Literal["smooth", "linear"]

#: Pixels handled together.
_BLOCK = 4096
#: Clear dates that each term of a fit asks for, as in CCDC.
_PER_TERM = 3
#: Relative to the count of clear dates: holds a term at zero.
_HOLD = 1e6
#: Of the mean of a series: what is nearer to the fit is no outlier.
_RELATIVE = 1e-6
_TINY = 1e-12
#: Penalty of residuals, in square days: best of 10 to 100 on hidden pixels in Flanders.
_SMOOTH = 30.0


def harmonic(
    values: Any,
    bad: Any,
    days: Days,
    at: Days,
    *,
    frequencies: int = 2,
    trend: bool = True,
    period: float = 365.25,
    ridge: float = 0.05,
    outliers: Outliers | None = "both",
    iterations: int = 1,
    residuals: Residuals | None = "smooth",
    decay: float | None = 60.0,
) -> Any:
    """Fit harmonic series, and take the wanted days from them.

    Parameters
    ----------
    values : array of float, shape (time, ..., pixel)
        Anything where bad.
    bad : array of bool
        Broadcasts to ``values``; axes of length 1 in the middle share the work on gaps.
    days : array of float64, shape (time,)
        Strictly rising.
    at : array of float64, shape (date,)
        Wanted days, rising.
    frequencies : int
        Waves of 1, 2, ... cycles in a period; fewer where clear dates are few or the series
        is short, see Notes.
    trend : bool
        Whether a straight line is fitted too.
    period : float
        Days.
    ridge : float
        Share of the clear dates by which waves and trend are drawn to zero.
    outliers : {"low", "high", "both"}, optional
        What loses its weight by Tukey's bisquare: values below the fit (clouds in a vegetation
        index, as HANTS does), above it (clouds in reflectance) or both.
    iterations : int
        Fits after the first one, with those weights.
    residuals : {"smooth", "linear"}, optional
        How what the fit leaves at clear dates is added: smoothed by Whittaker's smoother of
        first order, with the weights of the last fit; or interpolated, so that the curve goes
        through the values that have a weight.
    decay : float, optional
        Days to the nearest clear date after which 1/e of a residual is left. None: all of it.

    Returns
    -------
    array, shape (date, ..., pixel)
        Of the kind and dtype of ``values``; NaN in a series without a clear date.

    Notes
    -----
    The wave of f cycles is fitted where 3 clear dates or more come to each term up to it, as in
    CCDC, and where the clear dates span ``period / (2 f)`` or more; the trend, where they
    span a period. What remains is a constant, so a short series does not blow up.

    References
    ----------
    .. [1] Roerink, G., Menenti, M., Verhoef, W. (2000). Reconstructing cloudfree NDVI
       composites using Fourier analysis of time series. *International Journal of Remote
       Sensing* 21. doi:10.1080/014311600209814
    .. [2] Zhu, Z., Woodcock, C. (2014). Continuous change detection and classification of land
       cover using all available Landsat data. *Remote Sensing of Environment* 144.
       doi:10.1016/j.rse.2014.01.011
    """
    fit = _Fit(days, at, frequencies, trend, period, ridge, outliers, iterations, residuals, decay)
    time, *_, pixels = values.shape
    shared = math.prod(bad.shape[1:-1]) == 1
    made = empty((len(at), *values.shape[1:]), values)
    for start in range(0, pixels, _BLOCK):
        part = slice(start, start + _BLOCK)
        x = values[..., part]
        mask = bad if bad.shape[-1] == 1 else bad[..., part]
        xp = namespace_of(x)
        mask = xp.broadcast_to(mask, (time, *(mask if shared else x).shape[1:-1], x.shape[-1]))
        flat = mask.reshape(time, -1, x.shape[-1])
        curve = fit(x.reshape(time, -1, x.shape[-1]), flat)
        made[..., part] = curve.reshape(made[..., part].shape)
    return made


@dataclass(frozen=True)
class _Fit:
    """Fits a block of series ``(time, band, pixel)``, masks having one band or all."""

    days: Days
    at: Days
    frequencies: int
    trend: bool
    period: float
    ridge: float
    outliers: Outliers | None
    iterations: int
    residuals: Residuals | None
    decay: float | None

    def __call__(self, values: Any, bad: Any) -> Any:
        """Return the curves at the wanted days, ``(date, band, pixel)``."""
        xp = namespace_of(values)
        good = ~bad
        y = xp.asarray(xp.where(good, values, 0), dtype=xp.float64)
        held = self._held(good)
        own, wanted = _alike(self._design(self.days), y), _alike(self._design(self.at), y)
        weights = xp.asarray(good, dtype=xp.float64)
        terms = _least_squares(own, weights, y, held)
        share: Any = None
        floor = _RELATIVE * abs(y).mean(0) if self.outliers else 0.0
        for _ in range(self.iterations if self.outliers else 0):
            share = self._trust(y - _product(own, terms), good, floor)
            terms = _least_squares(own, weights * share, y, held)
        curve = _product(wanted, terms)
        if self.residuals:
            curve = curve + self._left(y - _product(own, terms), good, share)
        return xp.where(good.any(0), curve, math.nan)

    def _left(self, left: Any, good: Any, share: Any) -> Any:
        """Return what the fit leaves, at the wanted days."""
        # A cloud that was missed shall not come back with it.
        trusted = good if share is None else good & (share > 0)
        if self.residuals == "smooth":
            own, xp = self.days, namespace_of(left)
            left = whittaker(left, ~good, own, own, lmbda=_SMOOTH, order=1, weights=share)
            added = linear(left, xp.broadcast_to(~good.any(0), good.shape), own, self.at)
        else:
            added = linear(left, ~trusted, self.days, self.at)
        return added * self._fading(trusted)

    def _design(self, days: Days) -> NDArray[np.float64]:
        """Return the terms, ``(date, term)``: a constant, the trend, cosines and sines."""
        middle, half = (self.days[0] + self.days[-1]) / 2, np.ptp(self.days) / 2
        columns = [np.ones_like(days)]
        if self.trend:
            columns.append((days - middle) / max(half, 1.0))
        for cycles in range(1, self.frequencies + 1):
            phase = 2 * math.pi * cycles * (days - middle) / self.period
            columns += [np.cos(phase), np.sin(phase)]
        return np.stack(columns, 1)

    def _held(self, good: Any) -> list[Any]:
        """Return how strongly each term is drawn to zero, ``(1 or band, pixel)``."""
        xp = namespace_of(good)
        count = xp.asarray(good, dtype=xp.float64).sum(0)
        ends = self.days[:1], self.days[-1:]
        span = float(np.ptp(self.days)) - (
            _days_since(good, -self.days[::-1], -ends[0], reverse=True)[0]
            + _days_since(good, self.days, ends[1])[0]
        )
        loose, tight = self.ridge * count, _HOLD * (count + 1)
        # Next to nothing, so that the pivot of an empty series is not zero.
        held = [_TINY * (count + 1)]
        if self.trend:
            held.append(xp.where(span >= self.period, loose, tight))
        for cycles in range(1, self.frequencies + 1):
            enough = count >= _PER_TERM * (1 + self.trend + 2 * cycles)
            held += 2 * [xp.where(enough & (span >= self.period / 2), loose, tight)]
        return held

    def _trust(self, left: Any, good: Any, floor: Any) -> Any:
        xp = namespace_of(left)
        share = trust(left, good, floor)
        if self.outliers == "both":
            return share
        return xp.where(left < 0 if self.outliers == "low" else left > 0, share, 1.0)

    def _fading(self, good: Any) -> Any:
        """Return what is left of a residual at the wanted days, by the nearest good date."""
        if self.decay is None:
            return 1.0
        xp = namespace_of(good)
        ahead = _days_since(good, -self.days[::-1], -self.at[::-1], reverse=True)
        return xp.exp(-xp.minimum(_days_since(good, self.days, self.at), ahead) / self.decay)


def _days_since(good: Any, days: Days, at: Days, reverse: bool = False) -> Any:
    """Return the days from the last good date; in reverse, to the next."""
    xp = namespace_of(good)
    rows = list(good)[::-1] if reverse else list(good)
    last = xp.where(rows[0], -math.inf, -math.inf)
    made, seen = [], 0
    for day in at.tolist():
        while seen < len(days) and days[seen] <= day:
            last = xp.where(rows[seen], float(days[seen]), last)
            seen += 1
        made.append(day - last)
    return xp.stack(made[::-1] if reverse else made)


def _alike(x: NDArray[np.float64], like: Any) -> Any:
    xp = namespace_of(like)
    return like.new_tensor(x) if hasattr(like, "new_tensor") else xp.asarray(x)


def _product(design: Any, terms: Any) -> Any:
    return (design @ terms.reshape(terms.shape[0], -1)).reshape(-1, *terms.shape[1:])


def _least_squares(design: Any, weights: Any, y: Any, held: list[Any]) -> Any:
    """Return the terms of weighted least squares, ``(term, band, pixel)``."""
    xp = namespace_of(y)
    count = design.shape[1]
    pairs = [(i, j) for i in range(count) for j in range(i + 1)]
    products = xp.stack([design[:, i] * design[:, j] for i, j in pairs])
    normal = dict(zip(pairs, _product(products, weights), strict=True))
    right = list(_product(design.T, weights * y))
    pivots: list[Any] = []
    for i in range(count):
        for j in range(i):
            for k in range(j):
                normal[i, j] = normal[i, j] - normal[i, k] * normal[j, k]
        own = normal[i, i] + held[i]
        for k in range(i):
            normal[i, k] = normal[i, k] / pivots[k]
            own = own - normal[i, k] * normal[i, k] * pivots[k]
            right[i] = right[i] - normal[i, k] * right[k]
        pivots.append(own)
    for i in reversed(range(count)):
        right[i] = right[i] / pivots[i]
        for k in range(i + 1, count):
            right[i] = right[i] - normal[k, i] * right[k]
    return xp.stack(right)
