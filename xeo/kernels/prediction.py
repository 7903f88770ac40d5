"""Prediction of integers from known ones, in arithmetic that has one result everywhere.

All quantities are integers that float64 holds exactly, so that neither the order of sums nor the
machine matters. Predictions are in units of an eighth, so that a coder knows where in between the
integers they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.pyramid import Step

#: Values may be so large: with weights and sums all stays below ``2**53``.
MOST = 1 << 32
#: Weights are in units of 1 / 128, those of activities of 1 / 64.
_UNIT = 128
MOST_WEIGHT = 1023
_ACTIVE = 64
MOST_ACTIVE = 255
_SAMPLE = 8_192
#: Bits that a weight has to save.
_WORTH = 10

#: Of 32 bits where all quantities fit, which is faster.
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Known:
    """Planes that are known when a plane is refined, each ``(date, pixel)``.

    Parameters
    ----------
    own : array
        The plane itself, as far as it is known.
    bands : sequence of array
        Other bands of the same dates.
    dates : sequence of array
        The same band at other dates.
    both : sequence of array
        The first of ``bands`` at other dates.
    """

    own: Floats
    bands: Sequence[Floats]
    dates: Sequence[Floats]
    both: Sequence[Floats]


def features(known: Known, step: Step, level: int) -> tuple[Floats, Floats]:
    """Return an anchor and what may correct it, all four times as large.

    Parameters
    ----------
    known : Known
        Planes of values.
    step : Step
        Which pixels.
    level : int
        Of a plane of which nothing is known.

    Returns
    -------
    anchor : array, one axis
        A first guess.
    features : array, shape (F, N)
        Differences that vanish where all is flat.
    """
    return _first(known, step, level) if step.kind == 0 else _between(known, step)


def _first(known: Known, step: Step, level: int) -> tuple[Floats, Floats]:
    count = known.own.shape[0] * len(step.at)
    dates = [_take(plane, step.at) for plane in known.dates]
    both = [_take(plane, step.at) for plane in known.both]
    anchor = np.full(count, 4.0 * level)
    found = [np.full(count, 4.0)]
    if dates:
        anchor = 4 / len(dates) * sum(dates, np.zeros(count))
    if len(dates) == 2:
        found.append(4 * (dates[0] - dates[1]))
    for number, plane in enumerate(known.bands):
        here = 4 * _take(plane, step.at)
        usual = np.full(count, 4.0 * level)
        if both and not number:
            usual = 4 / len(both) * sum(both, np.zeros(count))
        if not (dates and number):
            found.append(here - usual)
    return anchor, np.stack(found)


def _between(known: Known, step: Step) -> tuple[Floats, Floats]:
    near = [_take(known.own, at) for at in step.near]
    total = near[0] + near[1] + near[2] + near[3]
    found = [4 * one - total for one in near[:3]]
    for one, two in zip(step.far[::2], step.far[1::2], strict=True):
        found.append(2 * (_take(known.own, one) + _take(known.own, two)) - total)
    for plane in known.bands:
        around = [_take(plane, at) for at in step.near]
        level = around[0] + around[1] + around[2] + around[3]
        found += [4 * one - level for one in (_take(plane, step.at), *around[:3])]
    for plane in known.dates:
        around = [_take(plane, at) for at in step.near]
        level = around[0] + around[1] + around[2] + around[3]
        found += [4 * one - level for one in (_take(plane, step.at), *around[:3])]
        found.append(level - total)
    for plane in known.both:
        level = sum((_take(plane, at) for at in step.near), np.zeros_like(total))
        found.append(4 * _take(plane, step.at) - level)
    found.append(np.full_like(total, 4.0))
    return total, np.stack(found)


def activities(errors: Known, values: Known, step: Step) -> Floats:
    """Return what tells how far off a prediction may be.

    Parameters
    ----------
    errors, values : Known
        Magnitudes of errors made so far, and the values themselves.
    step : Step
        Which pixels.

    Returns
    -------
    array, shape (A, N)
        None negative.
    """
    count = values.own.shape[0] * len(step.at)
    found = [np.ones(count)]
    if step.kind:
        near = [_take(values.own, at) for at in step.near]
        found.append(np.abs(near[0] - near[1]) + np.abs(near[2] - near[3]))
        found.append(sum((_take(errors.own, at) for at in step.near), np.zeros(count)))
    for number, plane in enumerate(errors.bands):
        found.append(_take(plane, step.at))
        if step.kind and not number:
            found.append(sum((_take(plane, at) for at in step.near), np.zeros(count)))
    if errors.dates:
        found.append(sum((_take(plane, step.at) for plane in errors.dates), np.zeros(count)))
    if len(values.dates) == 2:
        one, two = values.dates
        found.append(np.abs(_take(one, step.at) - _take(two, step.at)))
    return np.stack(found)


def _take(planes: Floats, at: NDArray[np.intp]) -> NDArray[Any]:
    return planes.take(at, axis=1).ravel()


def predict(anchor: Floats, found: Floats, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return predictions in eighths.

    Parameters
    ----------
    anchor, found : array
        Of `features`.
    weights : array of int
        Of `fit_weights`.

    Returns
    -------
    array of int
    """
    total = weights.astype(np.float64) @ found + _UNIT * anchor
    # Four times 128 units are one: 64 of them an eighth.
    return np.floor((total + 32) / 64).astype(np.int64)


def expect(found: Floats, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which class of activity each pixel is of.

    Parameters
    ----------
    found : array
        Of `activities`.
    weights : array of int
        Of `fit_activity`.

    Returns
    -------
    array of int
        Twice the logarithm to base 2, rounded down.
    """
    total = weights.astype(np.float64) @ found
    mantissa, exponent = np.frexp(np.maximum(total, 1.0))
    # The square of a mantissa between a half and 1 tells the half octave, exactly enough.
    return 2 * (exponent.astype(np.int64) - 1) + (mantissa >= 0.7071067811865476)


#: More classes than any activity is of.
CLASSES = 128


def counts_of_weights(known: Known) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return how many features and activities there are, at the first step and at others.

    Parameters
    ----------
    known : Known
        What there is to predict from.

    Returns
    -------
    features, activities : tuple of int
    """
    bands, dates, both = len(known.bands), len(known.dates), len(known.both)
    used = min(bands, 1) if dates else bands
    apart = int(dates == 2)
    first, usual = 1 + apart + used, 8 + 4 * bands + 5 * dates + both
    return (first, usual), (
        1 + bands + min(dates, 1) + apart,
        3 + bands + min(bands, 1) + min(dates, 1) + apart,
    )


def fit_weights(anchor: Floats, found: Floats, values: Floats) -> NDArray[np.int64]:
    """Return the weights that predict values best, in the sense of most bits saved.

    Parameters
    ----------
    anchor, found : array
        Of `features`.
    values : array
        What is to be predicted.

    Returns
    -------
    array of int
    """
    thin = slice(None, None, -(-len(values) // _SAMPLE) or 1)
    kept, target = found[:, thin], (4 * values - anchor)[thin]
    if not kept.shape[1]:
        return np.zeros(len(found), np.int64)
    solved = _least_squares(kept, target, np.ones(kept.shape[1]))
    solved = _least_squares(kept, target, _trust(target, solved @ kept))
    trust = _trust(target, solved @ kept)
    solved = _worthwhile(kept, target, trust, len(values) / len(target))
    made = np.rint(solved * _UNIT)
    made[np.abs(made) < 2] = 0
    return np.clip(made, -MOST_WEIGHT, MOST_WEIGHT).astype(np.int64)


def _trust(target: Floats, made: Floats) -> Floats:
    # Far off values cost their logarithm, not their square.
    off = np.abs(target - made)
    return np.asarray(1 / (off + 1 + np.median(off) / 2))


def _worthwhile(found: Floats, target: Floats, trust: Floats, share: float) -> Floats:
    """Solve for weights without those that save less than they cost."""
    weighted = found * trust
    gram, aim = _regular(weighted @ found.T, trust), weighted @ target
    total = float(trust @ target**2)
    used = np.arange(len(found))
    while len(used):
        inverse = np.linalg.inv(gram[np.ix_(used, used)])
        solved = inverse @ aim[used]
        # The rise of the squared error without a weight, in bits of all that is coded.
        left = max(total - float(aim[used] @ solved), 1e-9 * total) + 1e-9
        rise = solved**2 / np.diag(inverse)
        saved = share * len(target) / 2 * np.log2(1 + rise / left)
        poor = saved < _WORTH
        if not poor.any():
            break
        # The least useful half goes first: what it told the others may tell as well.
        used = used[~(poor & (saved <= np.median(saved[poor])))]
    made = np.zeros(len(found))
    if len(used):
        made[used] = solved
    return made


def fit_activity(found: Floats, errors: Floats) -> NDArray[np.int64]:
    """Return the weights, none negative, that tell magnitudes of errors best.

    Parameters
    ----------
    found : array
        Of `activities`.
    errors : array
        Magnitudes, in units of values.

    Returns
    -------
    array of int
    """
    thin = slice(None, None, -(-len(errors) // _SAMPLE) or 1)
    kept, target = found[:, thin], errors[thin]
    if not kept.shape[1]:
        return np.ones(len(found), np.int64)
    target = np.minimum(target, np.quantile(target, 0.999))
    solved = np.zeros(len(found))
    usable = np.ones(len(found), bool)
    trust = np.ones(len(target))
    for _ in range(4):
        part = _least_squares(kept[usable], target, trust)
        solved = np.zeros(len(found))
        solved[usable] = part
        usable = solved > 0
        solved = np.maximum(solved, 0)
        if not usable.any():
            break
        # Errors scatter as much as they are large.
        trust = 1 / (solved @ kept + 0.1 + target.mean() / 4) ** 2
    made = np.clip(np.rint(solved * _ACTIVE), 0, MOST_ACTIVE).astype(np.int64)
    made[0] = max(made[0], 1)
    return made


def _least_squares(found: Floats, target: Floats, trust: Floats) -> Floats:
    weighted = found * trust
    gram = _regular(weighted @ found.T, trust)
    return np.asarray(np.linalg.solve(gram, weighted @ target))


def _regular(gram: Floats, trust: Floats) -> Floats:
    gram[np.diag_indices(len(gram))] *= 1 + 1e-7
    gram[np.diag_indices(len(gram))] += 1e-3 * trust.sum() + 1e-9
    return gram
