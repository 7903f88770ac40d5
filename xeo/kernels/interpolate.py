"""Fill gaps in many series at once from the clear dates around them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.namespace import as_float, empty, namespace_of

#: Before the first and after the last clear date: that date's value, or nothing.
Ends = Literal["hold", "nan"]
Days = NDArray[np.float64]

#: Pixels that are worked on at a time: rows long enough that calls cost little, short enough
#: that those at hand stay in the cache.
_BLOCK = 32_768
#: Days to a clear date that does not exist: next to it, the step between two dates is nothing.
FAR = 1e30


def linear(values: Any, bad: Any, days: Days, at: Days, *, ends: Ends = "hold") -> Any:
    """Interpolate linearly between the clear dates on both sides.

    Parameters
    ----------
    values : array of float, shape (time, ..., pixel)
        Finite where clear, anything where bad.
    bad : array of bool
        True where a value does not count. As many axes as ``values``; axes in the middle may
        be 1 where bands share their gaps, which are then looked at once for all of them.
    days : array of float64, shape (time,)
        Dates in days, strictly rising.
    at : array of float64, shape (out,)
        Days that are wanted, rising; they may be ``days``.
    ends : {"hold", "nan"}
        Before the first and after the last clear date: that date's value, or NaN.

    Returns
    -------
    array, shape (out, ..., pixel)
        Of the kind and dtype of ``values``; on clear dates what was observed; NaN in a series
        without a clear date.

    Notes
    -----
    Each missing value lies on the line from the value before it, filled or not, to the next
    clear one. So one pass back in time finds the next clear values, one pass forward fills, and
    nothing is searched for. Between two dates a filled series is a straight line, which gives
    the days that are no dates.
    """
    x, mask = as_series(values, bad)
    out = empty((len(at), *x.shape[1:]), x)
    own = np.array_equal(days, at)
    for part in parts(x):
        gaps = Gaps(mask[:, part], days, x)
        before = gaps.weights_before()
        for band in range(x.shape[1]):
            target = out[:, band, part]
            filled = target if own else empty((len(days), target.shape[1]), x)
            _fill(x[:, band, part], gaps, before, filled)
            if ends == "nan":
                gaps.cut(filled)
            if not own:
                _resample(filled, days, at, target, ends)
    return like(out, values)


def nearest(values: Any, bad: Any, days: Days, at: Days, *, ends: Ends = "hold") -> Any:
    """Repeat the clear value that is nearest in days, of two the earlier.

    Parameters and returns are those of `linear`.
    """
    x, mask = as_series(values, bad)
    xp = namespace_of(x)
    out = empty((len(at), *x.shape[1:]), x)
    for part in parts(x):
        gaps = Gaps(mask[:, part], days, x)
        sides = gaps.sides(at)
        chosen = [bits_of(left > right, x) for left, right in sides]
        for band in range(x.shape[1]):
            target, series = out[:, band, part], x[:, band, part]
            nothing = xp.full_like(series[0], xp.nan)
            behind, ahead = gaps.behind(series, nothing), gaps.ahead(series, nothing)
            for place, (left, right) in enumerate(brackets(days, at)):
                one = nothing if left is None else behind[left]
                other = nothing if right is None else ahead[right]
                choose(one, other, chosen[place], target[place])
                if ends == "nan":
                    beyond = (sides[place][0] >= FAR) | (sides[place][1] >= FAR)
                    target[place] = xp.where(beyond, xp.nan, target[place])
    return like(out, values)


def previous(values: Any, bad: Any, days: Days, at: Days, *, ends: Ends = "hold") -> Any:
    """Repeat the last clear value.

    Parameters and returns are those of `linear`, but ``ends`` says only what comes before the
    first clear date: after the last one, its value is the previous one.
    """
    x, mask = as_series(values, bad)
    xp = namespace_of(x)
    out = empty((len(at), *x.shape[1:]), x)
    for part in parts(x):
        gaps = Gaps(mask[:, part], days, x)
        for band in range(x.shape[1]):
            series = x[:, band, part]
            start = xp.full_like(series[0], xp.nan)
            if ends == "hold":
                start = gaps.ahead(series, start, len(gaps.unseen) + 1)[0]
            behind = gaps.behind(series, start)
            for place, (left, _) in enumerate(brackets(days, at)):
                out[place, band, part] = start if left is None else behind[left]
    return like(out, values)


def as_series(values: Any, bad: Any) -> tuple[Any, Any]:
    """Return values ``(time, band, pixel)`` and the mask ``(time, pixel)`` of all bands.

    Where bands do not share their gaps, they become pixels of one band.
    """
    xp = namespace_of(values)
    x = as_float(values)
    time, *middle, pixel = x.shape
    if math.prod(bad.shape[1:-1]) == 1:
        mask = xp.broadcast_to(bad.reshape(bad.shape[0], bad.shape[-1]), (time, pixel))
        return x.reshape(time, math.prod(middle), pixel), mask
    return x.reshape(time, 1, -1), xp.broadcast_to(bad, x.shape).reshape(time, -1)


def parts(x: Any, size: int | None = None) -> Iterator[slice]:
    """Yield slices of the last axis that are worked on one after the other."""
    step = size or _BLOCK
    for start in range(0, x.shape[-1], step):
        yield slice(start, min(start + step, x.shape[-1]))


def like(out: Any, values: Any) -> Any:
    """Return ``(out, band, pixel)`` with the axes and dtype of the values it was made from."""
    shaped = out.reshape(out.shape[0], *values.shape[1:])
    return namespace_of(values).asarray(shaped, dtype=values.dtype)


def brackets(days: Days, at: Days) -> list[tuple[int | None, int | None]]:
    """Return the dates on both sides of each wanted day: twice the same one, or none."""
    left = np.searchsorted(days, at, side="right") - 1
    right = np.searchsorted(days, at, side="left")
    return [
        (None if one < 0 else int(one), None if other == len(days) else int(other))
        for one, other in zip(left, right, strict=True)
    ]


def bits_of(condition: Any, like: Any) -> Any:
    """Return integers as wide as the floats of an array: all bits set where True, else none."""
    xp = namespace_of(condition)
    return -xp.asarray(condition, dtype=xp.int64 if like.dtype == xp.float64 else xp.int32)


def choose(one: Any, other: Any, bits: Any, out: Any) -> None:
    """Write one value where no bit is set, another where all are.

    Twice as fast as `where`, and on any mask; ``out`` may be ``other``.
    """
    xp = namespace_of(out)
    one, made = one.view(bits.dtype), out.view(bits.dtype)
    xp.bitwise_xor(one, other.view(bits.dtype), out=made)
    xp.bitwise_and(made, bits, out=made)
    xp.bitwise_xor(made, one, out=made)


class Gaps:
    """What the mask of a block says, once for all bands.

    Parameters
    ----------
    bad : array of bool, shape (time, pixel)
    days : array of float64, shape (time,)
    like : array
        Whose dtype and device the arrays of the work get.

    Attributes
    ----------
    clear, dark : list of bool
        Dates on which no pixel is bad, and on which all are.
    unseen : list of array of bool, shape (pixel,)
        Of the first dates, the pixels that no date so far has seen; as many as have any.
    """

    def __init__(self, bad: Any, days: Days, like: Any) -> None:
        count = namespace_of(bad).count_nonzero(bad, 1).tolist()
        self.clear = [number == 0 for number in count]
        self.dark = [number == bad.shape[1] for number in count]
        self.bad, self.days, self.like = bad, days, like
        self.bits = bits_of(bad, like)
        self.unseen = self._runs(range(len(days)))

    def _runs(self, dates: range) -> list[Any]:
        made: list[Any] = []
        for date in dates:
            run = self.bad[date] & made[-1] if made else self.bad[date]
            if self.clear[date] or not bool(run.any()):
                break
            made.append(run)
        return made

    def until(self) -> Any:
        """Return the days to the next clear date, ``(time, pixel)``; `FAR` where none is."""
        return self._distances(range(len(self.days) - 1, -1, -1))

    def since(self) -> Any:
        """Return the days from the last clear date, ``(time, pixel)``; `FAR` where none is."""
        return self._distances(range(len(self.days)))

    def _distances(self, dates: range) -> Any:
        # Sums of steps: small numbers, which float32 holds better than days since 1970.
        xp = namespace_of(self.bad)
        made = empty(self.bits.shape, self.like)
        for date in dates:
            row = made[date]
            if self.clear[date]:
                row[...] = 0
                continue
            if date == dates[0]:
                row[...] = FAR
            else:
                known = date - dates.step
                xp.add(made[known], float(abs(self.days[date] - self.days[known])), out=row)
            whole = row.view(self.bits.dtype)
            xp.bitwise_and(whole, self.bits[date], out=whole)
        return made

    def sides(self, at: Days) -> list[tuple[Any, Any]]:
        """Return the days from the last and to the next clear date, for each wanted day."""
        since, until = self.since(), self.until()
        nothing = namespace_of(since).full_like(since[0], FAR)
        made = []
        for day, (left, right) in zip(at, brackets(self.days, at), strict=True):
            one = nothing if left is None else since[left] + float(day - self.days[left])
            other = nothing if right is None else until[right] + float(self.days[right] - day)
            made.append((one, other))
        return made

    def weights_before(self) -> Any:
        """Return the weight of the date before against the next clear one, (time, pixel)."""
        xp = namespace_of(self.bad)
        made, total = self.until(), empty(self.bits.shape[1:], self.like)
        for date in range(1, len(self.days)):
            if not self.clear[date]:
                xp.add(made[date], float(self.days[date] - self.days[date - 1]), out=total)
                xp.divide(made[date], total, out=made[date])
        for date, unseen in enumerate(self.unseen):
            made[date] = xp.where(unseen, 0.0, made[date])
        return made

    def ahead(self, values: Any, row: Any, count: int | None = None, out: Any = None) -> list[Any]:
        """Return the next clear value of each of the first dates, and a row where none is.

        What is new is written to ``out``, which saves memory where that is given.
        """
        return self._held(values, row, range(len(self.days))[:count][::-1], out)[::-1]

    def behind(self, values: Any, row: Any) -> list[Any]:
        """Return the last clear value of each date, and a row where none is."""
        return self._held(values, row, range(len(self.days)), None)

    def _held(self, values: Any, row: Any, dates: Sequence[int], out: Any) -> list[Any]:
        rows = []
        for date in dates:
            if self.clear[date]:
                row = values[date]
            elif not self.dark[date]:
                made = empty(row.shape, row) if out is None else out[date]
                choose(values[date], row, self.bits[date], made)
                row = made
            rows.append(row)
        return rows

    def cut(self, filled: Any) -> None:
        """Set what lies before the first and after the last clear date to NaN."""
        xp = namespace_of(filled)
        last = len(self.days) - 1
        for date, run in enumerate(self.unseen):
            filled[date] = xp.where(run, xp.nan, filled[date])
        for back, run in enumerate(self._runs(range(last, -1, -1))):
            filled[last - back] = xp.where(run, xp.nan, filled[last - back])


def _fill(values: Any, gaps: Gaps, before: Any, out: Any) -> None:
    """Fill one band of a block, on its own dates."""
    xp = namespace_of(values)
    nothing = xp.zeros_like(values[0])
    if len(gaps.unseen) == len(gaps.days):
        nothing = xp.where(gaps.unseen[-1], xp.nan, nothing)
    ahead, step = gaps.ahead(values, nothing, out=out), empty(nothing.shape, nothing)
    out[0] = ahead[0]
    for date in range(1, len(ahead)):
        if gaps.clear[date]:
            out[date] = values[date]
            continue
        # From the far end: a weight of 0 or 1 gives back either value to the last bit.
        xp.subtract(out[date - 1], ahead[date], out=step)
        xp.multiply(step, before[date], out=step)
        xp.add(ahead[date], step, out=out[date])


def _resample(filled: Any, days: Days, at: Days, out: Any, ends: Ends) -> None:
    """Write what a series without gaps is on other days."""
    for place, (left, right) in enumerate(brackets(days, at)):
        if left is None or right is None:
            out[place] = math.nan if ends == "nan" else filled[-1 if right is None else 0]
        elif left == right:
            out[place] = filled[left]
        else:
            share = float((at[place] - days[left]) / (days[right] - days[left]))
            out[place] = filled[left] * (1 - share) + filled[right] * share
