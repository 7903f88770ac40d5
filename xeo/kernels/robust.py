"""Weights of series that doubt what lies far from a fit."""

from __future__ import annotations

from typing import Any, Literal

from xeo.kernels.namespace import namespace_of

#: ``huber``: what is far counts as if it lay at the border. ``bisquare``: not at all.
Doubt = Literal["huber", "bisquare"]

#: Standard deviations of the border, at which 95 % of the knowledge in normal errors is kept.
_BORDER: dict[Doubt, float] = {"huber": 1.345, "bisquare": 4.685}


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
    # Half the digits are enough to sort by, and twice as fast.
    made = xp.sort(xp.asarray(xp.where(good, abs(x), float("inf")), dtype=xp.float32), axis=0)
    # torch returns the order too.
    ordered = getattr(made, "values", made)
    count = xp.asarray(good, dtype=xp.int64).sum(0)
    middle = [xp.clip((count - 1) // 2, 0, None), xp.clip(count // 2, None, len(x) - 1)]
    places = xp.broadcast_to(xp.stack(middle), (2, *x.shape[1:]))
    if hasattr(ordered, "gather"):
        both = ordered.gather(0, places)
    else:
        both = xp.take_along_axis(ordered, places, axis=0)
    return xp.asarray(both, dtype=x.dtype).mean(0)


def trust(residuals: Any, good: Any, floor: Any, doubt: Doubt = "bisquare") -> Any:
    """Return the weights of residuals, scaled by their median size.

    Parameters
    ----------
    residuals : array of float, shape (n, ...)
        Finite, also where not good.
    good : array of bool
        Broadcasts to ``residuals``.
    floor : array or float, shape (...)
        Least standard deviation: what is nearer than it is no outlier.
    doubt : {"huber", "bisquare"}
        Of M-estimation.

    Returns
    -------
    array, shape (n, ...)
        1 for no residual; beyond the border ever less [1]_, or 0 [2]_.

    References
    ----------
    .. [1] Huber, P. (1964). Robust estimation of a location parameter. *Annals of Mathematical
       Statistics* 35. doi:10.1214/aoms/1177703732
    .. [2] Beaton, A., Tukey, J. (1974). The fitting of power series. *Technometrics* 16.
       doi:10.1080/00401706.1974.10489171
    """
    xp = namespace_of(residuals)
    scale = xp.maximum(1.4826 * median_size(residuals, good), xp.zeros_like(residuals[0]) + floor)
    # A series without a good value has no median size.
    fine = xp.isfinite(scale) & (scale > 0)
    border = _BORDER[doubt] * xp.where(fine, scale, 1.0)
    if doubt == "huber":
        return border / xp.maximum(abs(residuals), border)
    far = residuals / border
    return xp.where(abs(far) < 1, (1 - far * far) ** 2, 0.0)
