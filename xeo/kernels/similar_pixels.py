"""Gaps filled from time first, then from pixels nearby that look alike and were seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.kalman import foretell, known
from xeo.kernels.namespace import namespace_of

Days = NDArray[np.float64]
#: How much less the pixels of the next larger window count, and the weight at which those of a
#: date count as much as no correction at all.
_FADE, _DOUBT = 1 / 16, 0.01
#: What a slope is held back by, in parts of the differences' mean square.
_STIFF = 0.1
#: Values of bands that are fitted at once: their temporaries stay in the cache.
_BLOCK = 131_072


def similar_pixels(
    values: Any,
    bad: Any,
    days: Days,
    at: Days,
    *,
    reach: int = 5,
    length: float | None = None,
    ratio: float | None = None,
    rounds: int = 2,
    freedom: float | None = None,
) -> Any:
    """Fill gaps from time, corrected by how similar pixels nearby differ from their own past.

    What `kalman` foretells of a date is compared with what was seen of it. Around every hidden
    pixel, the difference is fitted as a plane in what was foretold and in what is usual there,
    the nearer pixels counting more: pixels that should look alike are taken to differ alike.
    Before, the change since the usual is drawn halfway to its mean over 3 by 3 pixels: a field
    changes as a whole, noise does not.

    Parameters
    ----------
    values : array, shape (time, band, y, x)
        Anything where bad.
    bad : array of bool, shape (time, 1 or band, y, x)
    days, at : array of float, shape (time,) and (date,)
        Rising.
    reach : int
        Pixels up to ``2 ** reach`` rows and columns away are looked at.
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
    x, clear = known(values, bad)
    total, count = x.sum(0), clear.sum(0)
    own = {day: n for n, day in enumerate(days.tolist())}
    for n, day in enumerate(at.tolist()):
        seen = own.get(day)
        if seen is None:
            every[n] = _spread(_calm(others[n], _mean(total, count)), reach)
        elif bool(bad[seen].any()):
            # Of the usual, too, only what the other dates tell of it.
            usual = _mean(total - x[seen], count - clear[seen])
            found = _of_date(others[n], usual, values[seen], ~bad[seen], reach)
            every[n] = xp.where(bad[seen], found, every[n])
    return every


def _of_date(told: Any, usual: Any, seen: Any, clear: Any, reach: int) -> Any:
    """Return what other dates and the clear pixels of its own tell of a date."""
    xp = namespace_of(told)
    base = _spread(_calm(told, usual), reach)
    if not bool(clear.any()):
        return base
    # What only this date tells of a pixel cannot differ from what others foretold.
    lost = xp.isnan(told) & clear
    usable = clear & ~lost if bool(lost.any()) else clear
    return base + _correction(base, _spread(usual, reach), seen, usable, reach)


def _mean(total: Any, count: Any) -> Any:
    xp = namespace_of(total)
    return total / xp.where(count > 0, count, xp.nan)


def _calm(plane: Any, usual: Any) -> Any:
    """Draw changes halfway to their mean over the pixels around; unknown ones stay so."""
    xp = namespace_of(plane)
    change = plane - usual
    unknown = xp.isnan(change)
    count = xp.asarray(~unknown, dtype=plane.dtype)
    total = xp.where(unknown, xp.zeros_like(plane), change)
    for axis in (-2, -1):
        count, total = _three(count, 1, axis), _three(total, 1, axis)
    return plane + (total / xp.where(count > 0, count, 1) - change) / 2


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


def _correction(base: Any, usual: Any, seen: Any, usable: Any, reach: int) -> Any:
    """Return by how much pixels differ from what was foretold, fitted to those near them."""
    xp = namespace_of(base)
    weight = _near(xp.asarray(usable, dtype=base.dtype), reach)
    per = 1 / xp.where(weight > 0, weight, 1)
    shared = len(usable) == 1
    step = max(1, _BLOCK // (base.shape[-2] * base.shape[-1]))
    made = []
    for start in range(0, len(base), step):
        part = slice(start, start + step)
        own = slice(0, 1) if shared else part
        found = _plane(base[part], usual[part], seen[part], usable[own], per[own], reach)
        made.append(found * weight[own] / (weight[own] + _DOUBT))
    return xp.concatenate(made)


def _plane(base: Any, usual: Any, seen: Any, usable: Any, per: Any, reach: int) -> Any:
    """Fit the differences around each pixel; ``per`` is 1 over their weights' sum."""
    xp = namespace_of(base)
    zero = xp.zeros_like(base)
    x, z, y = (xp.where(usable, one, zero) for one in (base, usual, seen - base))
    mean_x, mean_z, mean_y = (_near(one, reach) * per for one in (x, z, y))
    xx = _near(x * x, reach) * per - mean_x * mean_x
    xz = _near(x * z, reach) * per - mean_x * mean_z
    zz = _near(z * z, reach) * per - mean_z * mean_z
    xy = _near(x * y, reach) * per - mean_x * mean_y
    zy = _near(z * y, reach) * per - mean_z * mean_y
    # A plane needs a spread of values that is well above that of a single field.
    stiff = _STIFF * _near(y * y, reach) * per + xp.finfo(base.dtype).tiny
    xx = xx + stiff
    share = xz / xx
    rest = zz - share * xz
    second = (zy - share * xy) / (xp.where(rest > 0, rest, zero) + stiff)
    second = xp.clip(second, -1, 1)
    first = xp.clip((xy - xz * second) / xx, -1, 1)
    return mean_y + first * (base - mean_x) + second * (usual - mean_z)


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
