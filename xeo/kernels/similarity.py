"""Structural similarity and spectral angle, both from the error, which keeps small ones exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Side of the windows of structural similarity, in pixels.
WINDOW = 7
_SAMPLES = WINDOW * WINDOW
# Constants of the definition (Wang et al. 2004), in units of the squared peak.
_C1, _C2 = 0.01**2, 0.03**2

Numbers = NDArray[np.floating]
Mask = NDArray[np.bool_]


def similarity(
    original: NDArray[Any], error: Numbers, bad: Mask | None, peak: float
) -> tuple[float, int]:
    """Sum structural similarity over all windows of a picture.

    Parameters
    ----------
    original, error : array, shape (Y, X)
        Values, and what was added to them.
    bad : array of bool, optional
        Pixels whose windows do not count.
    peak : float
        Range of the values.

    Returns
    -------
    sum : float
    windows : int
    """
    if min(original.shape) < WINDOW:
        return 0.0, 0
    if bad is not None:
        good = ~_slide(bad, np.logical_or)
        if not good.any():
            return 0.0, 0
        centre = float(original[~bad].mean(dtype=np.float64))
        x = np.where(bad, 0, (original - centre) / peak).astype(np.float32)
        e = np.where(bad, 0, error / peak).astype(np.float32)
    else:
        good = None
        # Differences of sums keep their digits only near zero.
        centre = float(original.mean(dtype=np.float64))
        x = ((original - centre) / peak).astype(np.float32)
        e = (error / peak).astype(np.float32)
    found = _windows(x, e, np.float32(centre / peak))
    if good is not None:
        found = found[good]
    np.nan_to_num(found, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return float(found.sum(dtype=np.float64)), found.size


def _windows(x: NDArray[np.float32], e: NDArray[np.float32], centre: np.float32) -> Any:
    """Return the similarity of each window of ``x`` and ``x + e``.

    With means m and variances v it is
    ``(1 - m(e)^2 / (m(x)^2 + m(y)^2 + C1)) * (1 - v(e) / (v(x) + v(y) + C2))``.
    """
    y = x + e
    mean_x, mean_y, mean_e = (_slide(one) / np.float32(_SAMPLES) for one in (x, y, e))
    unbiased = np.float32(_SAMPLES / (_SAMPLES - 1))
    square = mean_e * mean_e
    spread = _slide(e * e) / np.float32(_SAMPLES)
    spread -= square
    spread *= unbiased
    power = _slide(x * x + y * y) / np.float32(_SAMPLES)
    power -= mean_x * mean_x + mean_y * mean_y
    power *= unbiased
    light = 1 - square / ((mean_x + centre) ** 2 + (mean_y + centre) ** 2 + np.float32(_C1))
    return light * (1 - np.maximum(spread, 0) / (np.maximum(power, 0) + np.float32(_C2)))


def _slide(x: Any, join: Any = np.add) -> Any:
    """Join the values of every window, by doubling: 2, 4, 6, 7 of them along each axis."""
    for _ in range(2):
        x = x.T
        two = join(x[:-1], x[1:])
        six = join(join(two[:-4], two[2:-2]), two[4:])
        x = join(six[:-1], x[6:])
    return x


class Angles:
    """Angles between the spectra of original and decoded pixels, band by band.

    Parameters
    ----------
    shape : (int, int)
        Of the picture.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._power, self._change, self._along = (np.zeros(shape) for _ in range(3))
        self._product = np.empty(shape)
        self._bad: Mask | None = None

    def add(self, original: NDArray[Any], error: Numbers, bad: Mask | None) -> None:
        """Take in a band.

        Parameters
        ----------
        original, error : array, shape (Y, X)
            Values from their true zero, and what was added to them.
        bad : array of bool, optional
            Pixels to leave out.
        """
        self._power += np.multiply(original, original, out=self._product)
        self._change += np.multiply(error, error, out=self._product)
        self._along += np.multiply(original, error, out=self._product)
        if bad is not None:
            self._bad = bad if self._bad is None else self._bad | bad

    def total(self) -> tuple[float, int]:
        """Return the sum of angles in radians and the number of pixels that have one."""
        along = self._power + self._along
        # |x cross y| = |x cross e|: no digits of the original cancel, as in the arc cosine.
        across = np.sqrt(np.maximum(self._power * self._change - self._along**2, 0))
        angle = np.arctan2(across, along)
        fine = np.isfinite(angle) & (self._power > 0) & (along + self._along + self._change > 0)
        if self._bad is not None:
            fine &= ~self._bad
        return float(angle[fine].sum()), int(fine.sum())
