"""Weights of series that doubt what lies far from a fit."""

from __future__ import annotations

from typing import Any

from xeo.kernels.namespace import namespace_of

#: Residuals in standard deviations beyond which Tukey's bisquare gives no weight.
CUT = 4.685


def median_size(x: Any, good: Any) -> Any:
    """Return the median of the sizes of good values along the first axis.

    Parameters
    ----------
    x : array of float, shape (n, ...)
    good : array of bool
        Broadcasts to ``x``.

    Returns
    -------
    array, shape (...)
        Of two middle values the mean; infinity where no value is good.
    """
    xp = namespace_of(x)
    made = xp.sort(xp.where(good, abs(x), float("inf")), axis=0)
    # torch returns the order too.
    ordered = getattr(made, "values", made)
    count = xp.where(good, xp.ones_like(x), 0.0).sum(0)
    below, above = (count - 1) // 2, count // 2
    middle = xp.where(count > 0, 0.0, ordered[0])
    for place in range(len(x)):
        share = 0.5 * (below == place) + 0.5 * (above == place)
        middle = middle + share * xp.where(share > 0, ordered[place], 0.0)
    return middle


def bisquare(residuals: Any, good: Any, floor: Any) -> Any:
    """Return Tukey's weights of residuals, scaled by their median size.

    Parameters
    ----------
    residuals : array of float, shape (n, ...)
        Finite, also where not good.
    good : array of bool
        Broadcasts to ``residuals``.
    floor : array or float, shape (...)
        Least standard deviation: below it nothing is an outlier.

    Returns
    -------
    array, shape (n, ...)
        1 for no residual, 0 from `CUT` standard deviations on; also where not good.

    References
    ----------
    .. [1] Beaton, A., Tukey, J. (1974). The fitting of power series. *Technometrics* 16.
       doi:10.1080/00401706.1974.10489171
    """
    xp = namespace_of(residuals)
    scale = xp.maximum(1.4826 * median_size(residuals, good), xp.zeros_like(residuals[0]) + floor)
    far = residuals / xp.where(scale > 0, CUT * scale, 1.0)
    return xp.where(abs(far) < 1, (1 - far * far) ** 2, 0.0)
