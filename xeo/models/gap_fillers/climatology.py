"""The usual year of each pixel, shifted to agree with the clear dates around a gap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from xeo.errors import OptionError
from xeo.kernels.climatology import climatology
from xeo.models.series import fill_series, filler_spec
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class Climatology:
    """What a pixel usually is at that time of the year, and how this year differs.

    Use it on series of several years with gaps of weeks to months, where the land repeats
    itself: forests, grassland, snow, water. Where crops rotate, other years mislead, and within
    one year it is no more than a smooth curve through the clear dates. Without ``anomaly`` it
    is the yardstick of anything that claims to know more than the calendar.

    Parameters
    ----------
    sigma : float
        Standard deviation, in days, of the Gaussian weight by day of the year.
    anomaly : bool
        Whether to add how the clear dates on both sides differ from what is usual.
    decay : float
        Days to the nearest clear date at which that difference has shrunk to 1 / e.

    Raises
    ------
    OptionError
        If a number of days is not positive.

    References
    ----------
    .. [1] Weiss, D. J. et al. (2014). An effective approach for gap-filling continental scale
       remotely sensed time-series. *ISPRS Journal of Photogrammetry and Remote Sensing*, 98,
       106-118. doi:10.1016/j.isprsjprs.2014.10.001
    """

    sigma: float = 20.0
    anomaly: bool = True
    decay: float = 90.0

    def __post_init__(self) -> None:
        for word, usual in (("sigma", 20), ("decay", 90)):
            if not 0 < getattr(self, word) < float("inf"):
                raise OptionError(
                    f"{word} must be a positive number of days, got {getattr(self, word)}. "
                    f"Try: {word}={usual}"
                )

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return filler_spec(
            "climatology",
            architecture="kernel-weighted mean by day of the year",
            citation="After Weiss et al. (2014), doi:10.1016/j.isprsjprs.2014.10.001",
        )

    def __call__(self, batch: Batch, /) -> Any:
        """Return the values of a batch, ``(sample, date, band, y, x)``."""
        kernel = partial(climatology, sigma=self.sigma, anomaly=self.anomaly, decay=self.decay)
        return fill_series(batch, kernel)
