"""How smooth a series should be, from the series itself: penalties chosen on a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.banded import Factors, factorize, inverse_diagonal, solve
from xeo.kernels.namespace import namespace_of

Rule = Literal["gcv", "vcurve"]

#: Powers of ten of the penalties tried, for dates one unit apart and plain differences.
_POWERS = np.arange(-2.0, 6.1, 0.5)
_TINY = 1e-300


def penalty_grid(days: NDArray[np.float64], order: int) -> list[float]:
    """Return the penalties worth trying for dates like these, rising.

    Parameters
    ----------
    days : array, shape (n,)
        Strictly rising.
    order : int
        Of the differences.

    Returns
    -------
    list of float
        From 0.01 to 1e6 times what counts as 1 at the mean distance of the dates.
    """
    apart = (days[-1] - days[0]) / (len(days) - 1) if len(days) > 1 else 1.0
    unit = (math.factorial(order) * apart**order) ** 2
    return [float(unit * 10**power) for power in _POWERS]


def choose_penalty(
    y: Sequence[Any],
    weights: Sequence[Any],
    rows: NDArray[np.float64],
    grid: Sequence[float],
    rule: Rule,
) -> Any:
    """Return the penalty of a grid that suits each series best.

    Parameters
    ----------
    y : sequence of n arrays, each (..., pixel)
        Finite values.
    weights : sequence of n arrays
        Each broadcasts to those of ``y``.
    rows : array, shape (n - order, order + 1)
        Of the differences.
    grid : sequence of float
        Rising.
    rule : {"gcv", "vcurve"}
        Least generalised cross-validation error [1]_, or the shortest step of the V-curve [2]_,
        which is not misled by errors that last from one date to the next.

    Returns
    -------
    array, shape (..., pixel)

    References
    ----------
    .. [1] Craven, P., Wahba, G. (1978). Smoothing noisy data with spline functions.
       *Numerische Mathematik* 31. doi:10.1007/BF01404567
    .. [2] Frasso, G., Eilers, P. (2015). L- and V-curves for optimal smoothing.
       *Statistical Modelling* 15. doi:10.1177/1471082X14549288
    """
    xp = namespace_of(y[0])
    best: Any = None
    worth: Any = None
    last: Any = None
    for number, penalty in enumerate(grid):
        factors = factorize(weights, rows, penalty)
        z = [value * weight for value, weight in zip(y, weights, strict=True)]
        solve(factors, z)
        misfit: Any = sum(w * (v - row) ** 2 for v, w, row in zip(y, weights, z, strict=True))
        if rule == "gcv":
            score, here = _cross_validation(xp, factors, misfit, weights), penalty
        else:
            point = xp.log(misfit + _TINY), xp.log(_roughness(z, rows) + _TINY)
            before, last = last, point
            if before is None:
                continue
            score = (point[0] - before[0]) ** 2 + (point[1] - before[1]) ** 2
            here = math.sqrt(penalty * grid[number - 1])
        if worth is None:
            best, worth = xp.full_like(score, here), score
        else:
            best = xp.where(score < worth, here, best)
            worth = xp.minimum(score, worth)
    return best


def _cross_validation(xp: Any, factors: Factors, misfit: Any, weights: Sequence[Any]) -> Any:
    diagonal = inverse_diagonal(factors)
    freedom: Any = sum(w * (1 - own) for w, own in zip(weights, diagonal, strict=True))
    count: Any = sum(weights)
    # A curve through every value leaves nothing to judge by.
    judged = freedom > 1e-6 * count
    return xp.where(judged, misfit / xp.where(judged, freedom, 1.0) ** 2, math.inf)


def _roughness(z: Sequence[Any], rows: NDArray[np.float64]) -> Any:
    total = 0.0
    for first, row in enumerate(rows.tolist()):
        total = total + sum(factor * z[first + k] for k, factor in enumerate(row)) ** 2
    return total
