"""Harmonic series as a gap filler."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, get_args

from xeo.errors import OptionError
from xeo.kernels.harmonic import Outliers, Residuals, harmonic
from xeo.models.series import fill_series, filler_spec
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class Harmonic:
    """A constant, a trend and waves of the year, fitted robustly to what is clear.

    For long gaps in series of a year or more, whose seasons repeat: other years tell what the
    gap hides. As HANTS [1]_ with ``outliers="low"`` or ``"high"`` and ``trend=False``, as CCDC
    [2]_ with ``outliers="both"``. Series of less than half a year get a constant.

    Parameters
    ----------
    frequencies : int
        Waves of 1, 2, ... cycles in a period, 0 to 10; fewer where clear dates are few.
    trend : bool
        Whether a straight line is fitted too, where the clear dates span a period.
    period : float
        Days.
    ridge : float
        Share of the clear dates by which waves and trend are drawn to zero: more makes calmer
        curves in long gaps.
    outliers : {"low", "high", "both"}, optional
        What loses its weight: values below the fit (clouds in a vegetation index), above it
        (clouds in reflectance), or both.
    iterations : int
        Fits after the first one, with those weights; 0 for none.
    residuals : {"smooth", "linear"}, optional
        How what the fit leaves at clear dates is added: smoothed, or interpolated, so that the
        curve goes through the values. None: the fit alone.
    decay : float, optional
        Days to the nearest clear date after which 1/e of a residual is left. None: all of it.

    References
    ----------
    .. [1] Roerink, G., Menenti, M., Verhoef, W. (2000). Reconstructing cloudfree NDVI
       composites using Fourier analysis of time series. *International Journal of Remote
       Sensing* 21. doi:10.1080/014311600209814
    .. [2] Zhu, Z., Woodcock, C. (2014). Continuous change detection and classification of land
       cover using all available Landsat data. *Remote Sensing of Environment* 144.
       doi:10.1016/j.rse.2014.01.011
    """

    frequencies: int = 2
    trend: bool = True
    period: float = 365.25
    ridge: float = 0.05
    outliers: Outliers | None = "both"
    iterations: int = 1
    residuals: Residuals | None = "smooth"
    decay: float | None = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.frequencies <= 10:
            raise OptionError(f"frequencies must be 0 to 10, got {self.frequencies}. Try: 2")
        for name in ("period", "decay"):
            days = getattr(self, name)
            if days is not None and not 0 < days < math.inf:
                raise OptionError(f"{name} is a number of days above 0, got {days}. Try: {name}=30")
        if not 0 <= self.ridge < math.inf:
            raise OptionError(f"ridge must be 0 or more, got {self.ridge}. Try: ridge=0.05")
        for name, words in (("outliers", get_args(Outliers)), ("residuals", get_args(Residuals))):
            word = getattr(self, name)
            if word not in (None, *words):
                raise OptionError(
                    f"{name} is one of {words} or None, got {word!r}. Try: {name}={words[0]!r}"
                )
        if self.iterations < 0:
            raise OptionError(f"iterations must be 0 or more, got {self.iterations}. Try: 1")

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return filler_spec(
            "harmonic", citation="Roerink et al. 2000, https://doi.org/10.1080/014311600209814"
        )

    def __call__(self, batch: Batch, /) -> Any:
        """Return ``(sample, date, band, y, x)``."""
        return fill_series(batch, partial(harmonic, **self._settings()))

    def _settings(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
