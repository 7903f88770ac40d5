"""Whittaker's smoother: the curve between the values and the smoothest one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.banded import divided_differences, factorize, solve
from xeo.kernels.namespace import empty, namespace_of
from xeo.kernels.robust import bisquare
from xeo.kernels.smoothness import Rule, choose_penalty, penalty_grid

Days = NDArray[np.float64]

#: Pixels handled together: enough to forget the cost of a call, few enough for the cache.
_BLOCK = 4096
#: Days nearer than a minute are one: their distance is divided by.
_SAME = 1 / 1440
#: Of the mean of a series: what is nearer to the curve is no outlier.
_RELATIVE = 1e-6


def whittaker(
    values: Any,
    bad: Any,
    days: NDArray[np.float64],
    at: NDArray[np.float64],
    *,
    lmbda: float | Rule = "vcurve",
    order: int = 2,
    weights: Any = None,
    upper_envelope: float | None = None,
    robust: bool = False,
    iterations: int = 5,
) -> Any:
    """Smooth series and fill their gaps with Whittaker's smoother.

    Minimises ``sum w (y - z)**2 + lmbda sum (D z)**2``, D being the divided differences of the
    dates, as the package whittaker-eilers does: a polynomial of degree ``order - 1`` costs
    nothing.

    Parameters
    ----------
    values : array of float, shape (time, ..., pixel)
        Anything where bad.
    bad : array of bool
        Broadcasts to ``values``; axes of length 1 in the middle share the work on gaps.
    days : array of float64, shape (time,)
        Strictly rising.
    at : array of float64, shape (date,)
        Wanted days, rising. Those that are not among ``days`` join the curve without a weight.
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
    robust : bool
        Whether values far from the curve, on either side, lose their weight, by Tukey's
        bisquare.
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
    merged, own, wanted = _one_axis(days, at)
    fit = _Fit(merged, own, lmbda, min(order, len(merged)), upper_envelope, robust, iterations)
    made = empty((len(at), *values.shape[1:]), values)
    for start in range(0, values.shape[-1], _BLOCK):
        part = slice(start, start + _BLOCK)
        curve = fit(values[..., part], _part(bad, part), _part(weights, part))
        for number, date in enumerate(wanted):
            made[number, ..., part] = curve[date]
    return made


def _part(x: Any, part: slice) -> Any:
    return x if x is None or x.shape[-1] == 1 else x[..., part]


def _one_axis(days: Days, at: Days) -> tuple[Days, list[int], list[int]]:
    """Return all days, and where among them the own and the wanted ones are."""
    after = np.searchsorted(days, at)
    near = np.stack([np.maximum(after - 1, 0), np.minimum(after, len(days) - 1)])
    nearest = near[np.abs(days[near] - at).argmin(0), range(len(at))]
    taken = np.where(np.abs(days[nearest] - at) < _SAME, days[nearest], at)
    merged = np.union1d(days, taken)
    return merged, *(np.searchsorted(merged, part).tolist() for part in (days, taken))


@dataclass(frozen=True)
class _Fit:
    """Fits the curves of a block of pixels."""

    days: Days
    own: list[int]
    lmbda: float | Rule
    order: int
    upper_envelope: float | None
    robust: bool
    iterations: int

    def __call__(self, values: Any, bad: Any, weights: Any) -> list[Any]:
        """Return one array ``(..., pixel)`` for each date."""
        xp = namespace_of(values)
        good = ~bad if weights is None else ~bad & (weights > 0)
        base = xp.asarray(good, dtype=xp.float64)
        if weights is not None:
            base = xp.where(good, weights, base)
        count = xp.asarray(good, dtype=xp.int64).sum(0)
        few = count < self.order
        scarce = bool(few.any())
        y = [
            xp.asarray(xp.where(mine, row, 0), dtype=xp.float64)
            for mine, row in zip(good, values, strict=True)
        ]
        # Where too little is known any weights will do: the answer is made below.
        curve = self._curve(y, xp.where(few, 1.0, base) if scarce else base, good)
        if scarce:
            self._complete(curve, y, good, count)
        return curve

    def _curve(self, y: list[Any], base: Any, good: Any) -> list[Any]:
        xp = namespace_of(base)
        rows = divided_differences(self.days, self.order)
        penalty: Any = self.lmbda
        if isinstance(penalty, str):
            grid = penalty_grid(self.days, self.order)
            penalty = choose_penalty(
                self._spread(y),
                self._spread(base),
                rows,
                grid,
                self.lmbda,  # type: ignore[arg-type]
            )
        curve = self._solve(y, base, rows, penalty)
        floor: Any = _RELATIVE * abs(xp.stack(y)).mean(0) if self.robust else 0.0
        for _ in range(self.iterations if self.robust or self.upper_envelope else 0):
            apart = xp.stack([value - curve[date] for value, date in zip(y, self.own, strict=True)])
            share = base
            if self.upper_envelope:
                above = self.upper_envelope
                share = share * xp.where(apart > 0, above, 1 - above)
            if self.robust:
                share = share * bisquare(apart, good, floor)
            curve = self._solve(y, share, rows, penalty)
        return curve

    def _solve(self, y: list[Any], weights: Any, rows: Any, penalty: Any) -> list[Any]:
        xp = namespace_of(weights)
        factors = factorize(self._spread(weights), rows, penalty)
        curve = [xp.zeros_like(y[0]) for _ in self.days]
        for date, value, weight in zip(self.own, y, weights, strict=True):
            xp.multiply(value, weight, out=curve[date])
        solve(factors, curve)
        return curve

    def _spread(self, given: Any) -> list[Any]:
        """Put what own dates have on the axis of all days."""
        spread: list[Any] = [None] * len(self.days)
        for date, mine in zip(self.own, given, strict=True):
            spread[date] = mine
        return spread

    def _complete(self, curve: list[Any], y: list[Any], good: Any, count: Any) -> None:
        """Put polynomials of a lower degree, or NaN, where good values are few."""
        xp = namespace_of(y[0])
        count = xp.broadcast_to(count, y[0].shape)
        for known in range(self.order):
            here = count == known
            if known == 0:
                made: Any = [math.nan] * len(curve)
            else:
                mine = [xp.broadcast_to(row, here.shape)[here] for row in good]
                lower = _Fit(self.days, self.own, 1.0, known, None, False, 0)
                made = lower(xp.stack([row[here] for row in y]), ~xp.stack(mine), None)
            for row, answer in zip(curve, made, strict=True):
                row[here] = answer
