"""Savitzky-Golay smoothing on dates of any spacing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from xeo.errors import OptionError
from xeo.kernels.savgol import savgol
from xeo.models.series import fill_series, filler_spec
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class SavitzkyGolay:
    """Local polynomials fitted to the clear dates around each wanted one.

    Use it to smooth dense series of indices whose peaks must keep their height and date. Over
    gaps wider than the window it is `linear`. For single wild values, which it follows, use
    ``whittaker`` or ``harmonic``; for vegetation indices with clouds that the mask missed, try
    ``upper_envelope=2``.

    Parameters
    ----------
    window : float
        Days on each side whose clear dates are fitted; five observations or more. More is
        smoother, and fills wider gaps.
    degree : int
        Of the polynomial, 0 to 6; lower where there are too few clear dates.
    upper_envelope : int
        How many times clear values below the curve are raised to it before the next fit.

    Raises
    ------
    OptionError
        If a setting is out of its range.

    References
    ----------
    .. [1] Savitzky, A. and Golay, M. J. E. (1964). Smoothing and differentiation of data by
       simplified least squares procedures. *Analytical Chemistry*, 36(8), 1627-1639.
       doi:10.1021/ac60214a047
    .. [2] Chen, J. et al. (2004). A simple method for reconstructing a high-quality NDVI
       time-series data set based on the Savitzky-Golay filter. *Remote Sensing of
       Environment*, 91(3-4), 332-344. doi:10.1016/j.rse.2004.03.014
    """

    window: float = 25.0
    degree: int = 2
    upper_envelope: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.window < float("inf"):
            raise OptionError(
                f"window must be a positive number of days, got {self.window}. Try: window=25"
            )
        if self.degree not in range(7):
            raise OptionError(f"degree must be 0 to 6, got {self.degree}. Try: degree=2")
        if self.upper_envelope not in range(101):
            raise OptionError(
                f"upper_envelope must be 0 to 100 rounds, got {self.upper_envelope}. "
                "Try: upper_envelope=2"
            )

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return filler_spec(
            "savgol",
            architecture="local polynomials",
            citation="Savitzky and Golay (1964), doi:10.1021/ac60214a047; Chen et al. (2004), "
            "doi:10.1016/j.rse.2004.03.014",
        )

    def __call__(self, batch: Batch, /) -> Any:
        """Return the values of a batch, ``(sample, date, band, y, x)``."""
        kernel = partial(
            savgol,
            window=self.window,
            degree=self.degree,
            upper_envelope=self.upper_envelope,
        )
        return fill_series(batch, kernel)
