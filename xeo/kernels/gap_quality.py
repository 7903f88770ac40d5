"""How far a filled value is from what was seen, and how wrong it may be."""

from __future__ import annotations

import math
from typing import Any

from xeo.kernels.interpolate import FAR, Days, Gaps, as_series, like, parts
from xeo.kernels.namespace import empty, namespace_of

#: Pixels whose errors are worked on at a time.
_PIXELS = 8192
#: Growth a day of the variance, of one of noise, before anything is known of a series.
_GROWTH = 0.1
#: Squares beyond so many times what is expected count as if they were there: a cloud that the
#: mask missed would else set the scale of the whole series.
_LIMIT = 100.0
#: E|x|^(1/2) of a normal x of standard deviation 1: a mean that outliers hardly move.
_MEAN_ROOT = 2**0.25 * math.gamma(0.75) / math.sqrt(math.pi)


def gap_days(bad: Any, days: Days, at: Days) -> Any:
    """Return how many days the nearest clear date is away.

    Parameters
    ----------
    bad : array of bool, shape (time, ..., pixel)
        True where a value does not count.
    days : array of float64, shape (time,)
        Dates in days, strictly rising.
    at : array of float64, shape (out,)
        Days that are wanted, rising; they may be ``days``.

    Returns
    -------
    array of float32, shape (out, ..., pixel)
        0 on clear dates; NaN in a series without one.
    """
    xp = namespace_of(bad)
    mask = bad.reshape(bad.shape[0], -1)
    kind = xp.asarray(mask[:0], dtype=xp.float32)
    out = empty((len(at), mask.shape[1]), kind)
    for part in parts(mask):
        for place, (left, right) in enumerate(Gaps(mask[:, part], days, kind).sides(at)):
            near = xp.minimum(left, right)
            out[place, part] = xp.where(near >= FAR, xp.nan, near)
    return out.reshape(len(at), *bad.shape[1:])


def span(bad: Any, days: Days) -> tuple[Any, Any]:
    """Return the first and the last clear day.

    Parameters are those of `gap_days`.

    Returns
    -------
    tuple of array of float64, shape (..., pixel)
        NaN in a series without a clear date.
    """
    xp = namespace_of(bad)
    first = xp.asarray(bad[0], dtype=xp.float64) * 0 + xp.nan
    last = first
    for date, day in enumerate(days):
        last = xp.where(bad[date], last, float(day))
        back = len(days) - 1 - date
        first = xp.where(bad[back], first, float(days[back]))
    return first, last


def uncertainty(values: Any, bad: Any, days: Days, at: Days) -> Any:
    """Return the standard deviation of the error of an interpolated value.

    Parameters
    ----------
    values : array of float, shape (time, ..., pixel)
        Finite where clear, anything where bad.
    bad : array of bool
        As many axes as ``values``; axes in the middle may be 1 where bands share their gaps.
    days, at : array of float64
        As in `gap_days`.

    Returns
    -------
    array, shape (out, ..., pixel)
        Of the kind, dtype and units of ``values``: against a new observation on that day. On
        clear dates, the noise of one observation. NaN in a series of fewer than 3 clear dates.

    Notes
    -----
    A series is taken for a random walk, whose variance grows by g a day, seen through white
    noise of variance n. A value interpolated between clear dates a days before and b days after
    it, L = a + b apart, then has an error of variance ``n (1 + (a^2 + b^2) / L^2) + g a b / L``.
    Every clear date between two others is left out in turn, and its squared error gives one
    equation for n and g: least squares, weighted by what the mean root of the errors lets
    expect, neither below zero, errors limited to 10 standard deviations. Beyond the ends, where
    the nearest value is held, it is ``2 n + g a``.
    """
    x, mask = as_series(values, bad)
    xp = namespace_of(x)
    out = empty((len(at), *x.shape[1:]), x)
    for part in parts(x, _PIXELS):
        gaps = Gaps(mask[:, part], days, x)
        left_out = _LeftOut(gaps)
        forms = [_forms(left, right) for left, right in gaps.sides(at)]
        for band in range(x.shape[1]):
            noise, growth = left_out.fit(x[:, band, part])
            for place, (one, other) in enumerate(forms):
                out[place, band, part] = xp.sqrt(noise * one + growth * other)
    return like(out, values)


def _forms(left: Any, right: Any) -> tuple[Any, Any]:
    """Return what noise and growth are multiplied by, so many days from clear dates."""
    xp = namespace_of(left)
    near = xp.minimum(left, right)
    both = xp.maximum(left, right) < FAR
    a, b = xp.where(both, left, 1.0), xp.where(both, right, 1.0)
    whole = a + b
    # Two clear sides of no length are a clear date itself.
    whole = xp.where(whole > 0, whole, 1.0)
    noise = xp.where(both, 1 + (a * a + b * b) / (whole * whole), 2.0)
    growth = xp.where(both, a * b / whole, near)
    return xp.where(near == 0, 1.0, noise), xp.where(near == 0, 0.0, growth)


class _LeftOut:
    """The clear dates of a block, each seen from its clear neighbours.

    Errors, and what noise and growth add to them, are in parts of what is expected before
    anything is known of a series.

    Parameters
    ----------
    gaps : Gaps
        Of the block.
    """

    def __init__(self, gaps: Gaps) -> None:
        xp = namespace_of(gaps.bad)
        self.gaps = gaps
        self.dates = [date for date in range(1, len(gaps.days) - 1) if not gaps.dark[date]]
        shape = (len(self.dates), gaps.bad.shape[1])
        self.share, self.weight, self.noise, self.growth = (
            empty(shape, gaps.like) for _ in range(4)
        )
        since, until = gaps.since(), gaps.until()
        nothing = xp.zeros_like(since[0])
        self.count, self.sums = nothing, [nothing] * 3
        for row, date in enumerate(self.dates):
            left = since[date - 1] + float(gaps.days[date] - gaps.days[date - 1])
            right = until[date + 1] + float(gaps.days[date + 1] - gaps.days[date])
            used = ~gaps.bad[date] & (xp.maximum(left, right) < FAR)
            noise, growth = _forms(left, right)
            weight = used / (noise + _GROWTH * growth)
            self.share[row], self.weight[row] = left / (left + right), weight
            self.noise[row], self.growth[row] = n, g = noise * weight, growth * weight
            self.count = self.count + used
            self.sums = [
                total + part for total, part in zip(self.sums, (n * n, n * g, g * g), strict=True)
            ]

    def squares(self, values: Any) -> Any:
        """Return the squared errors, ``(date, pixel)``; 0 on dates that have none."""
        xp = namespace_of(values)
        nothing = xp.zeros_like(values[0])
        behind, ahead = self.gaps.behind(values, nothing), self.gaps.ahead(values, nothing)
        made = empty(self.share.shape, values)
        for row, date in enumerate(self.dates):
            wrong = (ahead[date + 1] - behind[date - 1]) * self.share[row]
            wrong += behind[date - 1]
            wrong -= xp.where(self.gaps.bad[date], 0.0, values[date])
            wrong *= wrong
            xp.multiply(wrong, self.weight[row], out=made[row])
        return made

    def fit(self, values: Any) -> tuple[Any, Any]:
        """Return the variance of the noise, and its growth a day, ``(pixel,)``."""
        xp = namespace_of(values)
        squares = self.squares(values)
        root = xp.zeros_like(values[0])
        for row in squares:
            root += xp.sqrt(xp.sqrt(row))
        # A series without an error to learn from has no answer.
        count = xp.where(self.count > 0, self.count, xp.nan)
        limit = _LIMIT * (root / (_MEAN_ROOT * count)) ** 4
        ny, gy = count * 0, count * 0
        for row, square in enumerate(squares):
            least = xp.minimum(square, limit)
            ny += self.noise[row] * least
            gy += self.growth[row] * least
        return _solve([*self.sums, ny, gy])


def _solve(sums: list[Any]) -> tuple[Any, Any]:
    """Return noise and growth, neither below zero, that fit best."""
    nn, ng, gg, ny, gy = sums
    xp = namespace_of(nn)
    nn, gg = xp.where(nn > 0, nn, 1.0), xp.where(gg > 0, gg, 1.0)
    rest = nn * gg - ng * ng
    # Where all gaps are as long, they do not tell noise from growth.
    told = rest > 1e-4 * nn * gg
    rest = xp.where(told, rest, 1.0)
    alike = ny / (nn + _GROWTH * ng)
    noise = xp.where(told, (ny * gg - gy * ng) / rest, alike)
    growth = xp.where(told, (gy * nn - ny * ng) / rest, _GROWTH * alike)
    return (
        xp.where(growth < 0, ny / nn, xp.where(noise < 0, 0.0, noise)),
        xp.where(noise < 0, gy / gg, xp.where(growth < 0, 0.0, growth)),
    )
