"""Scores of filled gaps: on hidden pixels alone, in float64, exact on cases worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.errors import DimensionError, OptionError

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: Side of the windows of structural similarity in pixels, and its constants (Wang et al. 2004).
_SIDE, _C1, _C2 = 7, 0.01**2, 0.03**2


def _errors(truth: NDArray[Any], filled: NDArray[Any], hidden: Mask) -> Numbers:
    """Return filled less true values, of hidden pixels that have both."""
    if truth.shape != filled.shape or hidden.shape != truth.shape:
        raise DimensionError(
            f"expected true and filled values and a mask of one shape, got {truth.shape}, "
            f"{filled.shape} and {hidden.shape}. Try: np.broadcast_to(mask, values.shape)"
        )
    error = filled[hidden].astype(np.float64) - truth[hidden].astype(np.float64)
    return error[np.isfinite(error)]


def _mean(x: Numbers) -> float:
    return float(x.mean()) if x.size else math.nan


def mae(truth: NDArray[Any], filled: NDArray[Any], hidden: Mask) -> float:
    """Return the mean absolute error of hidden pixels.

    Parameters
    ----------
    truth, filled : array, shape (...)
        Pixels that lack a value in either do not count.
    hidden : array of bool, shape (...)
        Where to look.

    Returns
    -------
    float
        In units of the values; NaN where no pixel counts.

    Examples
    --------
    >>> mae(np.array([1.0, 2.0]), np.array([2.0, 5.0]), np.array([True, True]))
    2.0
    """
    return _mean(np.abs(_errors(truth, filled, hidden)))


def rmse(truth: NDArray[Any], filled: NDArray[Any], hidden: Mask) -> float:
    """Return the root mean square error of hidden pixels.

    Parameters
    ----------
    truth, filled, hidden :
        As in `mae`.

    Returns
    -------
    float
        In units of the values; NaN where no pixel counts.
    """
    return math.sqrt(_mean(_errors(truth, filled, hidden) ** 2))


def bias(truth: NDArray[Any], filled: NDArray[Any], hidden: Mask) -> float:
    """Return the mean error of hidden pixels: above 0 where what is filled in is too high.

    Parameters
    ----------
    truth, filled, hidden :
        As in `mae`.

    Returns
    -------
    float
        In units of the values; NaN where no pixel counts.
    """
    return _mean(_errors(truth, filled, hidden))


def psnr(truth: NDArray[Any], filled: NDArray[Any], hidden: Mask, peak: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio of hidden pixels.

    Parameters
    ----------
    truth, filled, hidden :
        As in `mae`.
    peak : float
        Range of the values; 1 for reflectance.

    Returns
    -------
    float
        Decibels: 20 times the decimal logarithm of the peak over the root mean square error;
        infinite where nothing is wrong, NaN where no pixel counts.

    Raises
    ------
    OptionError
        If the peak is not above 0.
    """
    _check_peak(peak)
    error = rmse(truth, filled, hidden)
    return math.inf if error == 0 else 20 * math.log10(peak / error)


def _check_peak(peak: float) -> None:
    if not peak > 0:
        raise OptionError(f"peak is the range of the values, above 0, got {peak}. Try: peak=1.0")


def ssim(truth: NDArray[Any], filled: NDArray[Any], hidden: Mask, peak: float = 1.0) -> float:
    """Return the structural similarity around hidden pixels: the mean of `similarities`.

    Parameters
    ----------
    truth, filled, hidden, peak :
        As in `similarities`.

    Returns
    -------
    float
        -1 to 1; NaN where no window counts.
    """
    found = similarities(truth, filled, hidden, peak)
    return _mean(found[~np.isnan(found)])


def similarities(
    truth: NDArray[Any], filled: NDArray[Any], hidden: Mask, peak: float = 1.0
) -> Numbers:
    """Return the structural similarity of the window around each hidden pixel.

    Parameters
    ----------
    truth, filled : array, shape (..., y, x)
        Outside hidden pixels, the true values are taken for both.
    hidden : array of bool, shape (..., y, x)
        Windows of 7 x 7 pixels count whose centre is hidden and which lack no value.
    peak : float
        Range of the values; 1 for reflectance.

    Returns
    -------
    array of float64, shape (..., y, x)
        -1 to 1; NaN where no window counts.

    Raises
    ------
    OptionError
        If the peak is not above 0.

    References
    ----------
    .. [1] Wang, Z. et al. (2004). Image quality assessment: from error visibility to
       structural similarity. *IEEE Trans. Image Process.* doi:10.1109/TIP.2003.819861
    """
    _check_peak(peak)
    _errors(truth, filled, hidden)
    out = np.full(truth.shape, np.nan)
    places = (_pictures(one) for one in (truth, filled, hidden, out))
    for x, y, mask, target in zip(*places, strict=True):
        _similar(x, y, mask, peak, target)
    return out


def _pictures(x: NDArray[Any]) -> NDArray[Any]:
    return x.reshape(-1, *x.shape[-2:])


def _similar(
    truth: NDArray[Any], filled: NDArray[Any], hidden: Mask, peak: float, out: Numbers
) -> None:
    """Write the similarity of the windows of one picture that count."""
    half = _SIDE // 2
    inner = hidden[half:-half, half:-half]
    if min(truth.shape) < _SIDE or not inner.any():
        return
    x = truth.astype(np.float64) / peak
    y = np.where(hidden, filled.astype(np.float64) / peak, x)
    xs, ys = (_windows(one)[inner] for one in (x, y))
    mx, my = xs.mean((1, 2)), ys.mean((1, 2))
    dx, dy = xs - mx[:, None, None], ys - my[:, None, None]
    share = 1 / (_SIDE**2 - 1)
    vx, vy, both = (share * (a * b).sum((1, 2)) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    light = (2 * mx * my + _C1) / (mx**2 + my**2 + _C1)
    found = light * (2 * both + _C2) / (vx + vy + _C2)
    out[half:-half, half:-half][inner] = np.where(np.isfinite(found), found, np.nan)


def _windows(x: Numbers) -> Numbers:
    return np.lib.stride_tricks.sliding_window_view(x, (_SIDE, _SIDE))


def sam(truth: NDArray[Any], filled: NDArray[Any], hidden: Mask) -> float:
    """Return the mean angle between true and filled spectra: the mean of `angles`.

    Parameters
    ----------
    truth, filled, hidden :
        As in `angles`.

    Returns
    -------
    float
        Degrees; NaN where no pixel counts, and where there is one band only.

    Examples
    --------
    >>> sam(np.ones((2, 1, 1)), np.array([[[1.0]], [[0.0]]]), np.array([[True]]))
    45.0
    """
    found = angles(truth, filled, hidden)
    return _mean(found[~np.isnan(found)])


def angles(truth: NDArray[Any], filled: NDArray[Any], hidden: Mask) -> Numbers:
    """Return the angle between the true and the filled spectrum of each hidden pixel.

    Parameters
    ----------
    truth, filled : array, shape (..., band, y, x)
        Spectra that lack a value, or are zero, do not count.
    hidden : array of bool, shape (..., y, x)
        Where to look.

    Returns
    -------
    array of float64, shape (..., y, x)
        Degrees; NaN where a pixel does not count, and everywhere where there is one band only.

    References
    ----------
    .. [1] Kruse, F. A. et al. (1993). The spectral image processing system (SIPS).
       *Remote Sens. Environ.* doi:10.1016/0034-4257(93)90013-N
    """
    same = truth.ndim >= 3 and truth.shape == filled.shape
    if not same or hidden.shape != (*truth.shape[:-3], *truth.shape[-2:]):
        raise DimensionError(
            f"expected true and filled values (..., band, y, x) and a mask (..., y, x), got "
            f"{truth.shape}, {filled.shape} and {hidden.shape}. Try: mask[..., 0, :, :]"
        )
    out = np.full(hidden.shape, np.nan)
    if truth.shape[-3] < 2:
        return out
    x, y = (np.moveaxis(one, -3, -1)[hidden].astype(np.float64) for one in (truth, filled))
    sizes = [np.linalg.norm(one, axis=1, keepdims=True) for one in (x, y)]
    fine = np.isfinite(sizes[0] + sizes[1])[:, 0] & (sizes[0] > 0)[:, 0] & (sizes[1] > 0)[:, 0]
    a, b = x[fine] / sizes[0][fine], y[fine] / sizes[1][fine]
    # The arc cosine loses half of the digits of small angles (Kahan).
    angle = 2 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    found = np.full(len(fine), np.nan)
    found[fine] = np.degrees(angle)
    out[hidden] = found
    return out


def interval(
    statistic: Callable[[NDArray[np.intp]], float],
    blocks: int,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return a confidence interval by a bootstrap of whole blocks.

    Pixels of one date are not independent: they share a haze and a gap. Dates are drawn with
    replacement instead.

    Parameters
    ----------
    statistic : callable
        From the drawn blocks, ``(blocks,)`` numbers from 0, to a figure.
    blocks : int
        How many there are to draw from: the dates on which something was hidden.
    level : float
        Share of the draws inside, in 0 to 1.
    draws : int
    seed : int

    Returns
    -------
    low, high : float
        NaN where there is no block. Draws without a figure (NaN) are left out.

    Raises
    ------
    OptionError
        If the level is not in 0 to 1, or there is no draw.

    References
    ----------
    .. [1] Efron, B. and Tibshirani, R. J. (1993). *An introduction to the bootstrap*.
       doi:10.1201/9780429246593

    Examples
    --------
    >>> errors = np.array([1.0, 1.0, 1.0])
    >>> interval(lambda dates: errors[dates].mean(), 3)
    (1.0, 1.0)
    """
    if not 0 < level < 1:
        raise OptionError(f"level is a share in 0 to 1, got {level}. Try: level=0.95")
    if draws < 1:
        raise OptionError(f"draws must be 1 or more, got {draws}. Try: draws=1000")
    if blocks < 1:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, blocks, (draws, blocks))
    figures = np.array([statistic(one) for one in drawn], np.float64)
    figures = figures[~np.isnan(figures)]
    if not figures.size:
        return math.nan, math.nan
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
