"""The last clear value: what was known at the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xeo.kernels.interpolate import previous
from xeo.models.series import fill_series, filler_spec
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class Previous:
    """The last clear value; before the first clear date, that date's.

    Use it where nothing may be used that was seen later, as in monitoring and in the inputs of
    forecasts, and as the persistence that a better filler must beat.

    References
    ----------
    .. [1] Lepot, M., Aubin, J.-B. and Clemens, F. H. L. R. (2017). Interpolation in time series:
       an introductive overview of existing methods, their performance criteria and uncertainty
       assessment. *Water*, 9(10), 796. doi:10.3390/w9100796
    """

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return filler_spec(
            "previous",
            architecture="last observation carried forward",
            citation="Lepot et al. (2017), doi:10.3390/w9100796",
        )

    def __call__(self, batch: Batch, /) -> Any:
        """Return the values of a batch, ``(sample, date, band, y, x)``."""
        return fill_series(batch, previous)
