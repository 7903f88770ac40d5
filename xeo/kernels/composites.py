"""Composites of series: one value for each group of dates, bad values left out.

Dates rise, so a group is a run of dates: work goes over slices, not over copies. Values are
``(time, band, pixel)``, and bands may share what is bad, ``(time, 1, pixel)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from xeo.kernels.namespace import namespace_of

#: Values ``(time, band, pixel)`` of one group and which are bad, to ``(band, pixel)``.
Reduce = Callable[[Any, Any], Any]
#: The same to a score ``(time, pixel)``: the date with the largest one is taken.
Score = Callable[[Any, Any], Any]
#: Bytes of a group's values that are worked on at once, to stay in the CPU's cache.
_ROOM = 1 << 20


def spans(groups: Any, count: int) -> list[slice]:
    """Return the dates of each group.

    Parameters
    ----------
    groups : array of int, shape (time,)
        Number of each date's group, rising; negative for dates of none.
    count : int
        How many groups there are.

    Returns
    -------
    list of slice
        One for each group; of length 0 where it has no date.
    """
    edges = np.searchsorted(np.asarray(groups), np.arange(count + 1)).tolist()
    return [slice(first, last) for first, last in pairwise(edges)]


def reduce_groups(values: Any, bad: Any, groups: Any, count: int, reduce: Reduce) -> Any:
    """Reduce each group of dates to one value for each band.

    Parameters
    ----------
    values : array of float, shape (time, band, pixel)
        Those that are bad may be anything.
    bad : array of bool, shape (time, 1 or band, pixel)
        True where a value shall not count.
    groups, count :
        As for `spans`.
    reduce : callable
        `median_of`, `mean_of`, or one like them.

    Returns
    -------
    array, shape (count, band, pixel)
        Of the kind and dtype of ``values``; NaN where a group has no good value.
    """
    out = _missing(values, count)
    for number, dates in enumerate(spans(groups, count)):
        for part in _blocks(values, dates):
            out[number, :, part] = reduce(values[dates, :, part], bad[dates, :, part])
    return out


def select(values: Any, bad: Any, groups: Any, count: int, score: Score | Any) -> tuple[Any, Any]:
    """Take all bands of a pixel from one date of each group: the one that scores highest.

    Parameters
    ----------
    values, bad, groups, count :
        As for `reduce_groups`. A date can be taken where no band is bad.
    score : callable or array, shape (time, pixel)
        Numbers, or what makes them of a group's values ``(time, band, pixel)`` and which pixels
        are bad in any band, ``(time, pixel)``. Of equal ones the earliest wins.

    Returns
    -------
    values : array, shape (count, band, pixel)
        NaN where no date of the group is good.
    chosen : array of int, shape (count, pixel)
        Position of the date that was taken; -1 where none was.
    """
    xp = namespace_of(values)
    out = _missing(values, count)
    hidden = bad.any(axis=1)
    chosen = xp.zeros_like(out[:, 0], dtype=xp.int64) - 1
    for number, dates in enumerate(spans(groups, count)):
        for part in _blocks(values, dates):
            x, gone = values[dates, :, part], hidden[dates, part]
            best, place = largest(xp.where(gone, -xp.inf, _scored(score, x, gone, dates, part)))
            out[number, :, part] = xp.where(best > -xp.inf, take(x, place), xp.nan)
            chosen[number, part] = xp.where(best > -xp.inf, place + dates.start, -1)
    return out, chosen


def _scored(score: Any, x: Any, gone: Any, dates: slice, part: slice) -> Any:
    return score(x, gone) if callable(score) else score[dates, part]


def largest(scores: Any) -> tuple[Any, Any]:
    """Return the largest score along the first axis, and the first place that has it."""
    xp = namespace_of(scores)
    best, place = scores[0], xp.zeros_like(scores[0], dtype=xp.int64)
    for date in range(1, len(scores)):
        better = scores[date] > best
        best, place = xp.where(better, scores[date], best), xp.where(better, date, place)
    return best, place


def take(x: Any, place: Any) -> Any:
    """Return the spectra ``(band, pixel)`` of the dates at ``place`` ``(pixel,)``."""
    xp = namespace_of(x)
    found = x[0]
    for date in range(1, len(x)):
        found = xp.where(place == date, x[date], found)
    return found


def count_clear(bad: Any, groups: Any, count: int) -> Any:
    """Count the dates of each group on which no band is bad, ``(count, pixel)``."""
    xp = namespace_of(bad)
    clear = ~bad.any(axis=1)
    return xp.stack([clear[dates].sum(axis=0) for dates in spans(groups, count)])


def median_of(x: Any, bad: Any) -> Any:
    """Return the median of the good values of a group.

    Parameters
    ----------
    x : array of float, shape (time, band, pixel)
        Of one group of at least one date.
    bad : array of bool, shape (time, 1 or band, pixel)
        True where a value does not count.

    Returns
    -------
    array, shape (band, pixel)
        Of two middle values the mean; NaN where all are bad.

    Notes
    -----
    A network of exchanges sorts all pixels at once. Over groups of some ten dates that is twice
    as fast as sorting each pixel's values, and twenty times as fast as a grouped quantile.
    """
    xp = namespace_of(x)
    rows = [xp.where(gone, xp.inf, one) for one, gone in zip(x, bad, strict=True)]
    for i, j in _exchanges(len(rows)):
        rows[i], rows[j] = xp.minimum(rows[i], rows[j]), xp.maximum(rows[i], rows[j])
    seen = (~bad).sum(axis=0)
    low, high = (seen - 1) // 2, seen // 2
    below = above = rows[0]
    for rank in range(1, len(rows) // 2 + 1):
        above = xp.where(high == rank, rows[rank], above)
        below = xp.where(low == rank, rows[rank], below) if 2 * rank < len(rows) else below
    return xp.where(seen > 0, 0.5 * (below + above), xp.nan)


def mean_of(x: Any, bad: Any) -> Any:
    """Return the mean of the good values of a group; parameters as for `median_of`."""
    xp = namespace_of(x)
    total = xp.where(bad, 0, x).sum(axis=0)
    seen = (~bad).sum(axis=0)
    weight = xp.asarray(xp.where(seen > 0, seen, 1), dtype=x.dtype)
    return xp.where(seen > 0, total / weight, xp.nan)


def medoid_score(x: Any, hidden: Any) -> Any:
    """Score dates by how near they are to all others of the group.

    Parameters
    ----------
    x : array of float, shape (time, band, pixel)
        Of one group.
    hidden : array of bool, shape (time, pixel)
        True where a date does not count.

    Returns
    -------
    array, shape (time, pixel)
        Minus the sum of Euclidean distances to the other good dates.

    References
    ----------
    .. [1] Flood, N. (2013). Seasonal composite Landsat TM/ETM+ images using the medoid (a
       multi-dimensional median). *Remote Sensing* 5. doi:10.3390/rs5126481
    """
    xp = namespace_of(x)
    far = [xp.zeros_like(one) for one in x[:, 0]]
    for i in range(len(x)):
        for j in range(i):
            apart = xp.sqrt(((x[i] - x[j]) ** 2).sum(axis=0))
            apart = xp.where(hidden[i] | hidden[j], 0, apart)
            far[i], far[j] = far[i] + apart, far[j] + apart
    return -xp.stack(far)


def likeness_score(values: Any, bad: Any, groups: Any, count: int) -> Any:
    """Score dates by how near they are to the median of their group, for all groups at once.

    Parameters
    ----------
    values, bad, groups, count :
        As for `reduce_groups`.

    Returns
    -------
    array, shape (time, pixel)
        1 on the median, a half at three times the usual distance from it, near 0 for a cloud
        that a mask missed; 0 for dates that are bad or of no group.
    """
    xp = namespace_of(values)
    hidden = bad.any(axis=1)
    out = xp.zeros_like(values[:, 0])
    for dates in spans(groups, count):
        for part in _blocks(values, dates):
            x, gone = values[dates, :, part], hidden[dates, None, part]
            apart = xp.sqrt(((x - median_of(x, gone)) ** 2).sum(axis=1))
            usual = 3 * median_of(apart[:, None], gone)
            score = 1 / (1 + (apart / xp.where(usual > 0, usual, 1)) ** 2)
            out[dates, part] = xp.where(gone[:, 0], 0, score)
    return out


def _missing(values: Any, count: int) -> Any:
    """Return NaN in the shape of as many composites."""
    xp = namespace_of(values)
    nothing = xp.full_like(values[:1], xp.nan)
    return xp.stack([nothing[0]] * count)


def _blocks(values: Any, dates: slice) -> Iterator[slice]:
    """Yield runs of pixels whose values of the dates fit into a cache; none without dates."""
    length, pixels = dates.stop - dates.start, values.shape[2]
    if not length:
        return
    step = max(64, _ROOM // (length * values.shape[1] * 4))
    if namespace_of(values) is not np:
        step = pixels
    for first in range(0, pixels, max(1, step)):
        yield slice(first, min(pixels, first + step))


@cache
def _exchanges(count: int) -> tuple[tuple[int, int], ...]:
    """Return which places to exchange so that any values end up in order: odd-even merges.

    Batcher, K. E. (1968). Sorting networks and their applications. doi:10.1145/1468075.1468121
    """
    found = []
    run = 1
    while run < count:
        gap = run
        while gap:
            for first in range(gap % run, count - gap, 2 * gap):
                for i in range(first, min(first + gap, count - gap)):
                    if i // (2 * run) == (i + gap) // (2 * run):
                        found.append((i, i + gap))
            gap //= 2
        run *= 2
    return tuple(found)
