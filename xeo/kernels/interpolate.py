"""Fill gaps in many series at once from the clear dates around them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.namespace import as_float, empty, namespace_of

#: What lies before the first and after the last clear date: that date's value, or nothing.
Ends = Literal["hold", "nan"]
Days = NDArray[np.float64]

#: Pixels that are worked on at a time.
_BLOCK = 16_384
#: Days to a clear date that does not exist: next to it, the step between two dates is nothing.
_FAR = 1e30


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
    for part in _parts(x):
        gaps = _Gaps(mask[:, part], days, x)
        before = gaps.weights_before()
        for band in range(x.shape[1]):
            target = out[:, band, part]
            filled = target if own else empty((len(days), target.shape[1]), x)
            _fill(x[:, band, part], gaps, before, filled)
            if ends == "nan":
                gaps.cut(filled)
            if not own:
                _resample(filled, days, at, target)
    return _like(out, values)


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


def _parts(x: Any) -> Iterator[slice]:
    for start in range(0, x.shape[-1], _BLOCK):
        yield slice(start, min(start + _BLOCK, x.shape[-1]))


def _like(out: Any, values: Any) -> Any:
    shaped = out.reshape(out.shape[0], *values.shape[1:])
    return namespace_of(values).asarray(shaped, dtype=values.dtype)


class _Gaps:
    """What the mask of a block says, once for all bands.

    Parameters
    ----------
    bad : array of bool, shape (time, pixel)
    days : array of float64, shape (time,)
    like : array
        Whose dtype and device the arrays of the work get.
    """

    def __init__(self, bad: Any, days: Days, like: Any) -> None:
        xp = namespace_of(bad)
        count = xp.count_nonzero(bad, 1).tolist()
        #: Dates on which no pixel is bad, and on which all are.
        self.clear = [number == 0 for number in count]
        self.dark = [number == bad.shape[1] for number in count]
        self.bad, self.days, self.like = bad, days, like
        #: All bits set where bad: choosing by bits is twice as fast as by conditions.
        whole = xp.int64 if like.dtype == xp.float64 else xp.int32
        self.bits = -xp.asarray(bad, dtype=whole)
        #: Of the first dates, the pixels that no date so far has seen.
        self.unseen = self._runs(range(len(days)))

    def _runs(self, dates: range) -> list[Any]:
        made: list[Any] = []
        for date in dates:
            run = self.bad[date] & made[-1] if made else self.bad[date]
            if self.clear[date] or not bool(run.any()):
                break
            made.append(run)
        return made

    def choose(self, date: int, clear: Any, other: Any, out: Any) -> None:
        """Write one value where a date is clear, another where it is bad."""
        xp, bits = namespace_of(out), self.bits[date]
        left, right, made = (array.view(bits.dtype) for array in (clear, other, out))
        xp.bitwise_xor(left, right, out=made)
        xp.bitwise_and(made, bits, out=made)
        xp.bitwise_xor(made, left, out=made)

    def weights_before(self) -> Any:
        """Return the weight of the date before against the next clear one, (time, pixel)."""
        xp = namespace_of(self.bad)
        steps = np.diff(self.days, append=self.days[-1])
        until, made = (empty(self.bits.shape, self.like) for _ in range(2))
        for date in range(len(self.days) - 1, -1, -1):
            row = until[date]
            if self.clear[date]:
                row[...] = 0
                continue
            if date + 1 < len(self.days):
                xp.add(until[date + 1], float(steps[date]), out=row)
            else:
                row[...] = _FAR
            whole = row.view(self.bits.dtype)
            xp.bitwise_and(whole, self.bits[date], out=whole)
            if date:
                xp.add(row, float(steps[date - 1]), out=made[date])
                xp.divide(row, made[date], out=made[date])
        for date, unseen in enumerate(self.unseen):
            made[date] = xp.where(unseen, 0.0, made[date])
        return made

    def ahead(self, values: Any, out: Any) -> list[Any]:
        """Return the next clear values, one row a date, written to ``out`` where they are new."""
        xp = namespace_of(values)
        row = xp.zeros_like(values[0])
        if len(self.unseen) == len(self.days):
            row = xp.where(self.unseen[-1], xp.nan, row)
        rows = []
        for date in range(len(self.days) - 1, -1, -1):
            if self.clear[date]:
                row = values[date]
            elif not self.dark[date]:
                self.choose(date, values[date], row, out[date])
                row = out[date]
            rows.append(row)
        return rows[::-1]

    def cut(self, filled: Any) -> None:
        """Set what lies before the first and after the last clear date to NaN."""
        xp = namespace_of(filled)
        last = len(self.days) - 1
        for date, run in enumerate(self.unseen):
            filled[date] = xp.where(run, xp.nan, filled[date])
        for back, run in enumerate(self._runs(range(last, -1, -1))):
            filled[last - back] = xp.where(run, xp.nan, filled[last - back])


def _fill(values: Any, gaps: _Gaps, before: Any, out: Any) -> None:
    """Fill one band of a block in place, on its own dates."""
    xp = namespace_of(values)
    ahead = gaps.ahead(values, out)
    out[0] = ahead[0]
    for date in range(1, len(ahead)):
        if gaps.clear[date]:
            out[date] = values[date]
            continue
        # From the far end: a weight of 0 or 1 gives back either value to the last bit.
        slope = out[date - 1] - ahead[date]
        xp.multiply(slope, before[date], out=slope)
        xp.add(ahead[date], slope, out=out[date])


def _resample(filled: Any, days: Days, at: Days, out: Any) -> None:
    """Write what a series without gaps is on other days; beyond its ends, what it is there."""
    for place, day in enumerate(at):
        left = int(np.clip(np.searchsorted(days, day, side="right") - 1, 0, len(days) - 1))
        right = min(left + 1, len(days) - 1)
        if right == left or day <= days[left]:
            out[place] = filled[left]
            continue
        share = float((day - days[left]) / (days[right] - days[left]))
        out[place] = filled[left] * (1 - share) + filled[right] * share
