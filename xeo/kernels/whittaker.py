"""Whittaker's smoother: the curve between the values and the smoothest one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.banded import divided_differences, factorize, solve
from xeo.kernels.namespace import empty, namespace_of
from xeo.kernels.robust import Doubt, trust
from xeo.kernels.smoothness import Rule, choose_penalty, penalty_grid

Days = NDArray[np.float64]

#: Pixels handled together: enough to forget the cost of a call, few enough for the cache.
_BLOCK = 4096
#: Days nearer than a minute are one: their distance is divided by.
_SAME = 1 / 1440
#: Of the smallest difference: the penalty with which a curve is interpolated.
_EXACT = 1e-10
#: Of the mean of a series: what is nearer to the curve is no outlier.
_RELATIVE = 1e-6


def whittaker(
    values: Any,
    bad: Any,
    days: Days,
    at: Days,
    *,
    lmbda: float | Rule = 5e4,
    order: int = 2,
    weights: Any = None,
    upper_envelope: float | None = None,
    robust: Doubt | None = None,
    iterations: int = 3,
) -> Any:
    """Smooth series and fill their gaps with Whittaker's smoother.

    Minimises ``sum w (y - z)**2 + lmbda sum (D z)**2``, D being the divided differences of the
    dates, as the package whittaker-eilers does: a polynomial of degree ``order - 1`` costs
    nothing. The work is in float64.

    Parameters
    ----------
    values : array of float, shape (time, ..., pixel)
        Anything where bad.
    bad : array of bool
        As many axes as ``values``; all but the first may be 1: where bands share their gaps,
        they share the work too.
    days : array of float64, shape (time,)
        Strictly rising.
    at : array of float64, shape (date,)
        Wanted days, rising. Between the own ones it is the smoothest curve through these, which
        do not depend on what is wanted.
    lmbda : float or {"gcv", "vcurve"}
        How much smoothness counts, in days to the power of ``2 * order``; or how it is chosen
        for each series.
    order : int
        Of the differences, 1 to 3.
    weights : array, optional
        Of the values, zero or more; broadcasts to ``values``.
    upper_envelope : float, optional
        Share of the weight of values above the curve, 0.5 to 1; the others get the rest.
        Repeated ``iterations`` times, it draws the curve towards the upper values.
    robust : {"huber", "bisquare"}, optional
        How values far from the curve, on either side, lose their weight: clouds that the mask
        has missed.
    iterations : int
        Repetitions of ``upper_envelope`` and ``robust``.

    Returns
    -------
    array, shape (date, ..., pixel)
        Of the kind and dtype of ``values``. A series with fewer good values than ``order`` gets
        the polynomial through them; without any, NaN.

    References
    ----------
    .. [1] Eilers, P. (2003). A perfect smoother. *Analytical Chemistry* 75.
       doi:10.1021/ac034173t
    .. [2] Eilers, P., Boelens, H. (2005). Baseline correction with asymmetric least squares
       smoothing. Leiden University Medical Centre.
    """
    order = min(order, len(days))
    fit = _Fit(divided_differences(days, order), days, lmbda, upper_envelope, robust, iterations)
    places = _Places(days, at)
    made = empty((len(at), *values.shape[1:]), values)
    for start in range(0, values.shape[-1], _BLOCK):
        part = slice(start, start + _BLOCK)
        curve = fit(values[..., part], _part(bad, part), _part(weights, part))
        for number, row in enumerate(places.pick(curve, order)):
            made[number, ..., part] = row
    return made


def _part(x: Any, part: slice) -> Any:
    return x if x is None or x.shape[-1] == 1 else x[..., part]


def _masked(row: Any, good: Any) -> Any:
    """Return float64 values, zero where they are not good."""
    # By their bits, which is several times faster than to choose, and rids of NaN too.
    xp = namespace_of(row)
    bits = xp.asarray(row, dtype=xp.float64).view(xp.int64)
    return (bits & -xp.asarray(good, dtype=xp.int64)).view(xp.float64)


class _Places:
    """Where wanted days are among own ones, and the curve through the own ones."""

    def __init__(self, days: Days, at: Days) -> None:
        after = np.searchsorted(days, at)
        near = np.stack([np.maximum(after - 1, 0), np.minimum(after, len(days) - 1)])
        nearest = near[np.abs(days[near] - at).argmin(0), range(len(at))]
        taken = np.where(np.abs(days[nearest] - at) < _SAME, days[nearest], at)
        self.days = np.union1d(days, taken)
        self.own = np.searchsorted(self.days, days).tolist()
        self.wanted = np.searchsorted(self.days, taken).tolist()

    def pick(self, curve: list[Any], order: int) -> list[Any]:
        """Return the curve at the wanted days."""
        if len(self.days) == len(self.own):
            return [curve[date] for date in self.wanted]
        xp = namespace_of(curve[0])
        weights: list[float | None] = [None] * len(self.days)
        right = [xp.zeros_like(curve[0]) if date is None else None for date in weights]
        for date, row in zip(self.own, curve, strict=True):
            weights[date], right[date] = 1.0, row
        # So little that the curve goes through its own dates.
        least = (math.factorial(order) * float(np.diff(self.days).min()) ** order) ** 2
        # By its span each difference counts as in an integral, however the days are spread.
        span = self.days[order:] - self.days[:-order]
        rows = divided_differences(self.days, order) * np.sqrt(span / span.min())[:, None]
        solve(factorize(weights, rows, _EXACT * least), right)
        return [right[date] for date in self.wanted]


@dataclass(frozen=True)
class _Fit:
    """Fits the curves of a block of pixels."""

    rows: NDArray[np.float64]
    days: Days
    lmbda: float | Rule
    upper_envelope: float | None
    robust: Doubt | None
    iterations: int

    def __call__(self, values: Any, bad: Any, weights: Any) -> list[Any]:
        """Return one array ``(..., pixel)`` for each date."""
        xp = namespace_of(values)
        good = ~bad if weights is None else ~bad & (weights > 0)
        base = xp.asarray(good, dtype=xp.float64)
        if weights is not None:
            base = xp.where(good, weights, base)
        count = xp.asarray(good, dtype=xp.int64).sum(0)
        few = count < self._order
        scarce = bool(few.any())
        y = [_masked(row, mine) for row, mine in zip(values, good, strict=True)]
        # Where too little is known any weights will do: the answer is made below.
        curve = self._curve(y, xp.where(few, 1.0, base) if scarce else base, good)
        if scarce:
            self._complete(curve, y, good, count)
        return curve

    @property
    def _order(self) -> int:
        return int(self.rows.shape[1]) - 1

    def _curve(self, y: list[Any], base: Any, good: Any) -> list[Any]:
        xp = namespace_of(base)
        penalty: Any = self.lmbda
        if self.lmbda in ("gcv", "vcurve"):
            grid = penalty_grid(self.days, self._order)
            penalty = choose_penalty(y, base, self.rows, grid, self.lmbda)
        curve = self._solve(y, base, penalty)
        floor: Any = _RELATIVE * abs(xp.stack(y)).mean(0) if self.robust else 0.0
        for _ in range(self.iterations if self.robust or self.upper_envelope else 0):
            apart = xp.stack([value - row for value, row in zip(y, curve, strict=True)])
            share = base
            if self.upper_envelope:
                share = share * xp.where(apart > 0, self.upper_envelope, 1 - self.upper_envelope)
            if self.robust:
                share = share * trust(apart, good, floor, self.robust)
            curve = self._solve(y, share, penalty)
        return curve

    def _solve(self, y: list[Any], weights: Any, penalty: Any) -> list[Any]:
        factors = factorize(weights, self.rows, penalty)
        curve = [value * weight for value, weight in zip(y, weights, strict=True)]
        solve(factors, curve)
        return curve

    def _complete(self, curve: list[Any], y: list[Any], good: Any, count: Any) -> None:
        """Put polynomials of a lower degree, or NaN, where good values are few."""
        xp = namespace_of(y[0])
        count = xp.broadcast_to(count, y[0].shape)
        for known in range(self._order):
            here = count == known
            if known == 0:
                made: Any = [math.nan] * len(curve)
            else:
                mine = [xp.broadcast_to(row, here.shape)[here] for row in good]
                rows = divided_differences(self.days, known)
                lower = _Fit(rows, self.days, 1.0, None, None, 0)
                made = lower(xp.stack([row[here] for row in y]), ~xp.stack(mine), None)
            for row, answer in zip(curve, made, strict=True):
                row[here] = answer
