"""Straight lines between the clear dates: the filler to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xeo.kernels.interpolate import linear
from xeo.models.series import fill_series, filler_spec
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class Linear:
    """Interpolation on the straight line between the clear dates on both sides.

    Use it where gaps are short against what changes, as a yardstick for anything finer, and
    where speed counts: it is the fastest filler that follows a trend. It takes every clear
    value at its word, so a cloud that the mask missed becomes a peak of its own. Before the
    first and after the last clear date it repeats that date.

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
            "linear",
            architecture="linear interpolation",
            citation="Lepot et al. (2017), doi:10.3390/w9100796",
        )

    def __call__(self, batch: Batch, /) -> Any:
        """Return the values of a batch, ``(sample, date, band, y, x)``."""
        return fill_series(batch, linear)
