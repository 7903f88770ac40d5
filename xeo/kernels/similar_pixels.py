"""Gaps filled from time first, then from pixels nearby that look alike and were seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.kalman import foretell
from xeo.kernels.namespace import namespace_of

Days = NDArray[np.float64]
#: How much less the pixels of the next larger window count, and the weight at which those of a
#: date count as much as no correction at all.
_FADE, _DOUBT = 1 / 16, 0.01
#: What a slope is held back by, in parts of the differences' mean square.
_STIFF = 0.1


def similar_pixels(
    values: Any,
    bad: Any,
    days: Days,
    at: Days,
    *,
    reach: int = 4,
    length: float = 60.0,
    ratio: float | None = None,
    rounds: int = 2,
    freedom: float | None = None,
) -> Any:
    """Fill gaps from time, corrected by how similar pixels nearby differ from their own past.

    What `kalman` foretells of a date is compared with what was seen of it. Around every hidden
    pixel, the difference is fitted as a line in what was foretold, the nearer pixels counting
    more: pixels that should look alike are taken to differ alike.

    Parameters
    ----------
    values : array, shape (time, band, y, x)
        Anything where bad.
    bad : array of bool, shape (time, 1 or band, y, x)
    days, at : array of float, shape (time,) and (date,)
        Rising.
    reach : int
        Pixels up to ``2 ** reach - 1`` rows and columns away are looked at.
    length, ratio, rounds, freedom :
        As in `kalman`.

    Returns
    -------
    array, shape (date, band, y, x)
        NaN where neither the pixel nor one within reach has a clear date.
    """
    xp = namespace_of(values)
    time, band, rows, columns = values.shape
    others, every = (
        found.reshape(len(at), band, rows, columns)
        for found in foretell(
            values.reshape(time, band, rows * columns),
            bad.reshape(time, bad.shape[1], rows * columns),
            days,
            at,
            length=length,
            ratio=ratio,
            rounds=rounds,
            freedom=freedom,
        )
    )
    own = {day: n for n, day in enumerate(days.tolist())}
    for n, day in enumerate(at.tolist()):
        base = _spread(others[n], reach)
        gone = bad[own[day]] if day in own else xp.ones_like(bad[0])
        if day in own and bool(gone.any()) and not bool(gone.all()):
            base = base + _correction(base, values[own[day]], ~gone, reach)
        every[n] = xp.where(gone, base, every[n])
    return every


def _spread(plane: Any, reach: int) -> Any:
    """Give pixels that know nothing the mean of those near them that do."""
    xp = namespace_of(plane)
    unknown = xp.isnan(plane)
    if not bool(unknown.any()):
        return plane
    count = _near(xp.asarray(~unknown, dtype=plane.dtype), reach)
    total = _near(xp.where(unknown, xp.zeros_like(plane), plane), reach)
    near = total / xp.where(count > 0, count, xp.nan)
    return xp.where(unknown, near, plane)


def _correction(base: Any, seen: Any, usable: Any, reach: int) -> Any:
    """Return by how much pixels differ from what was foretold, fitted to those near them."""
    xp = namespace_of(base)
    zero = xp.zeros_like(base)
    clear = xp.asarray(usable, dtype=base.dtype)
    x = xp.where(usable, base, zero)
    y = xp.where(usable, seen - base, zero)
    weight = _near(clear, reach)
    per = 1 / xp.where(weight > 0, weight, 1)
    mean_x, mean_y = _near(x, reach) * per, _near(y, reach) * per
    power = _near(x * x, reach) * per - mean_x * mean_x
    along = _near(x * y, reach) * per - mean_x * mean_y
    # A line needs a spread of values that is well above that of a single field.
    slope = along / (power + _STIFF * _near(y * y, reach) * per + xp.finfo(base.dtype).tiny)
    found = mean_y + xp.clip(slope, -1, 1) * (base - mean_x)
    return found * weight / (weight + _DOUBT)


def _near(planes: Any, reach: int) -> Any:
    """Sum the values around each pixel, the nearer ones counting more; zeros lie outside."""
    total = planes
    for level in range(reach):
        step = 2**level
        for axis in (-2, -1):
            planes = _three(planes, step, axis)
        total = total + planes * _FADE ** (level + 1)
    return total


def _three(planes: Any, step: int, axis: int) -> Any:
    """Sum each value and those so many pixels before and after it."""
    xp = namespace_of(planes)
    size = planes.shape[axis]
    if step >= size:
        return planes
    line = xp.moveaxis(planes, axis, -1)
    made = line * 1
    made[..., step:] += line[..., :-step]
    made[..., :-step] += line[..., step:]
    return xp.moveaxis(made, -1, axis)
