"""Penalised least squares on series: banded systems, one for each pixel, solved together.

The system is ``W + penalty D'D`` with weights W on the diagonal and rows of D a few dates wide.
It is factorised from the rows of W and D themselves, by rotations without square roots: the
product ``D'D`` is never formed, so nothing cancels, however large the penalty is or however
long no date has a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.namespace import namespace_of

#: What is known of a date before its first row: so little that it never counts, yet no zero.
_NOTHING = 1e-200


@dataclass(frozen=True)
class Factors:
    """What the elimination of a system leaves, date by date.

    Attributes
    ----------
    lower : list of list of array
        ``lower[i][k - 1]`` is the factor between dates ``i`` and ``i + k``.
    inverse : list of array
        One over the pivots.
    """

    lower: list[list[Any]]
    inverse: list[Any]


def divided_differences(days: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Return the rows of divided differences on an uneven axis.

    Parameters
    ----------
    days : array, shape (n,)
        Strictly rising.
    order : int
        1 or more.

    Returns
    -------
    array, shape (n - order, order + 1)
        Row ``i`` holds the factors of dates ``i`` to ``i + order``. Evenly spaced by h, they
        are those of the differences over ``order! h**order``.

    Examples
    --------
    >>> divided_differences(np.array([0.0, 1.0, 3.0]), 2).round(4)
    array([[ 0.3333, -0.5   ,  0.1667]])
    """
    count = max(0, len(days) - order)
    nodes = np.stack([days[k : k + count] for k in range(order + 1)], 1)
    apart = nodes[:, :, None] - nodes[:, None]
    apart[:, range(order + 1), range(order + 1)] = 1
    return np.asarray(1 / apart.prod(2))


def factorize(weights: Sequence[Any], rows: NDArray[np.float64], penalty: Any) -> Factors:
    """Factorise ``W + penalty D'D``, by Givens rotations, for many pixels at once.

    Parameters
    ----------
    weights : sequence of n floats or arrays of float64, each (..., pixel); None for zero
        Diagonal of W, zero or more; as many of a pixel above zero as D has orders.
    rows : array, shape (n - order, order + 1)
        Of D, as from `divided_differences`.
    penalty : float or array, shape (..., pixel)
        Above zero.

    Returns
    -------
    Factors

    References
    ----------
    .. [1] Gill, P., Golub, G., Murray, W., Saunders, M. (1974). Methods for modifying matrix
       factorizations. *Mathematics of Computation* 28. doi:10.1090/S0025-5718-1974-0343558-6
    """
    order = rows.shape[1] - 1
    # The dates ahead: what is known of each, and how each hangs on those after it.
    known: list[Any] = [_NOTHING] * order
    links: list[list[Any]] = [[0.0] * (order - 1 - j) for j in range(order)]
    made = Factors([], [])
    for date, weight in enumerate(weights):
        if weight is not None:
            _add_row(known, links, [1.0] + [0.0] * (len(known) - 1), weight)
        if date < len(rows):
            known.append(_NOTHING)
            links = [*([*link, 0.0] for link in links), []]
            _add_row(known, links, rows[date].tolist(), penalty)
        made.lower.append(links.pop(0))
        made.inverse.append(1 / known.pop(0))
    return made


def _add_row(known: list[Any], links: list[list[Any]], row: list[Any], weight: Any) -> None:
    """Add ``weight (row z)**2`` to the sum of ``known[j] (z[j] + links[j] z[j + 1:])**2``."""
    for j, factor in enumerate(row):
        before = known[j]
        known[j] = before + _times(weight, _times(factor, factor))
        after = range(j + 1, len(row))
        if all(_is_zero(links[j][k - j - 1]) and _is_zero(row[k]) for k in after):
            return
        inverse = 1 / known[j]
        # Of the old links this stays: no difference of near numbers, however weights differ.
        stays = before * inverse
        share = _times(weight, factor) * inverse if any(not _is_zero(row[k]) for k in after) else 0
        for k in after:
            link, old = links[j][k - j - 1], row[k]
            if _is_zero(link):
                links[j][k - j - 1] = share * old
                continue
            apart = _times(link, factor)
            row[k] = -apart if _is_zero(old) else old - apart
            link = link * stays
            links[j][k - j - 1] = link if _is_zero(old) else link + share * old
        weight = weight * stays


def _times(a: Any, factor: Any) -> Any:
    return a if isinstance(factor, float) and factor == 1 else a * factor


def _is_zero(factor: Any) -> bool:
    # Zeros that are known beforehand spare most of the work.
    return isinstance(factor, float) and factor == 0


def solve(factors: Factors, right: list[Any]) -> None:
    """Solve a factorised system in place.

    Parameters
    ----------
    factors : Factors
        From `factorize`.
    right : list of n arrays of float64, each (..., pixel)
        Weights times values, zeros where there are none; replaced by the solution.
    """
    xp = namespace_of(right[0])
    scratch = xp.empty_like(right[0])
    for date, links in enumerate(factors.lower):
        for k, link in enumerate(links, 1):
            xp.multiply(right[date], link, out=scratch)
            right[date + k] -= scratch
    for date in reversed(range(len(right))):
        right[date] *= factors.inverse[date]
        for k, link in enumerate(factors.lower[date], 1):
            xp.multiply(right[date + k], link, out=scratch)
            right[date] -= scratch


def inverse_diagonal(factors: Factors) -> list[Any]:
    """Return the diagonal of the inverse of a factorised system.

    Parameters
    ----------
    factors : Factors
        From `factorize`.

    Returns
    -------
    list of n arrays, each (..., pixel)

    References
    ----------
    .. [1] Hutchinson, M., de Hoog, F. (1985). Smoothing noisy data with spline functions.
       *Numerische Mathematik* 47. doi:10.1007/BF01389878
    """
    # ahead[j][k - j]: of the inverse, between the dates j + 1 and k + 1 after this one.
    ahead: list[list[Any]] = []
    diagonal: list[Any] = []
    for links, inverse in zip(reversed(factors.lower), reversed(factors.inverse), strict=True):
        beside = [
            -sum(link * ahead[min(j, k)][abs(j - k)] for j, link in enumerate(links))
            for k in range(len(links))
        ]
        own = inverse - sum(link * entry for link, entry in zip(links, beside, strict=True))
        diagonal.append(own)
        order = len(factors.lower[0])
        ahead = [[own, *beside], *ahead][:order]
        ahead = [row[: order - j] for j, row in enumerate(ahead)]
    return diagonal[::-1]
