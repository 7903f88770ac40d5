"""The geometric median of spectra: robust as a median, and true to the shape of spectra."""

from __future__ import annotations

from typing import Any

from xeo.kernels.composites import largest, mean_of, medoid_score, take
from xeo.kernels.namespace import namespace_of

#: Steps reach so much farther than Weiszfeld's: they converge up to 2 (Ostresh, L. M. 1978,
#: doi:10.1287/opre.26.4.597), and this took the fewest.
_REACH = 1.5


def geomedian_of(x: Any, bad: Any, *, tolerance: float = 1e-4, iterations: int = 200) -> Any:
    """Return the spectrum whose distances to the good spectra of a group add up to the least.

    Parameters
    ----------
    x : array of float, shape (time, band, pixel)
        Of one group of at least one date.
    bad : array of bool, shape (time, 1 or band, pixel)
        A date counts where no band is bad.
    tolerance : float
        A pixel is done when a step is shorter than this share of the mean distance to its
        spectra.
    iterations : int
        The most steps.

    Returns
    -------
    array, shape (band, pixel)
        Of the kind and dtype of ``x``; NaN where no date is good.

    Notes
    -----
    Weiszfeld's iteration from the mean, as Vardi and Zhang made it safe where it meets one of
    the spectra. Where one of the spectra is the answer, which the iteration would approach
    ever more slowly, that is seen beforehand and it is returned as it is. Pixels that are done
    leave the work.

    References
    ----------
    .. [1] Roberts, D., Mueller, N. and McIntyre, A. (2017). High-dimensional pixel composites
       from Earth observation time series. *IEEE TGRS* 55. doi:10.1109/TGRS.2017.2723896
    .. [2] Vardi, Y. and Zhang, C.-H. (2000). The multivariate L1-median and associated data
       depth. *PNAS* 97. doi:10.1073/pnas.97.4.1423
    """
    xp = namespace_of(x)
    hidden = bad.any(axis=1)
    x = xp.where(hidden[:, None], 0, x)
    y = mean_of(x, hidden[:, None])
    weight = xp.asarray(~hidden, dtype=x.dtype)
    y, busy = _settle_on_spectra(x, weight, y)
    (active,) = xp.where(busy & (weight.sum(axis=0) > 2))
    for _ in range(iterations):
        if not len(active):
            break
        here = y[:, active]
        moved, scale = _step(x[:, :, active], weight[:, active], here)
        y[:, active] = moved
        length = xp.sqrt(((moved - here) ** 2).sum(axis=0))
        active = active[length > tolerance * scale]
    return y


def _step(x: Any, weight: Any, y: Any) -> tuple[Any, Any]:
    """Return the next estimate, and the mean distance of the spectra to this one."""
    xp = namespace_of(x)
    toward, pull, same, distance = _forces(x, weight, y)
    # On a spectrum its own pull holds the estimate back, by its share of that of the others.
    hold = xp.where(same > 0, xp.clip(same / xp.where(pull > 0, pull, same + 1), 0, 1), 0)
    return y + _REACH * (1 - hold) * (toward - y), distance / weight.sum(axis=0)


def _forces(x: Any, weight: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """Return the weighted mean of the other spectra, their pull, how many are here, and how far.

    Weights are inverse distances; a spectrum where the estimate is has none.
    """
    xp = namespace_of(x)
    apart = xp.sqrt(((x - y) ** 2).sum(axis=1))
    elsewhere = apart > 0
    near = xp.where(elsewhere, weight / xp.where(elsewhere, apart, 1), 0)
    total = near.sum(axis=0)
    toward = (near[:, None] * x).sum(axis=0) / xp.where(total > 0, total, 1)
    toward = xp.where(total > 0, toward, y)
    pull = xp.sqrt(((toward - y) ** 2).sum(axis=0)) * total
    same = xp.where(elsewhere, 0, weight).sum(axis=0)
    return toward, pull, same, (weight * apart).sum(axis=0)


def _settle_on_spectra(x: Any, weight: Any, y: Any) -> tuple[Any, Any]:
    """Put the estimate on a spectrum that holds against the pull of all others.

    Only the medoid can. Returns the estimate, and which pixels have no such spectrum.
    """
    xp = namespace_of(x)
    gone = weight == 0
    _, place = largest(xp.where(gone, -xp.inf, medoid_score(x, gone)))
    medoid = take(x, place)
    _, pull, same, _ = _forces(x, weight, medoid)
    # Between two, or amid pairs, many spectra are as good: there the mean decides.
    holds = pull < same * (1 - 1e-5)
    return xp.where(holds, medoid, y), ~holds
