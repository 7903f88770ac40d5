"""The clear value that is nearest in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xeo.kernels.interpolate import nearest
from xeo.models.series import fill_series, filler_spec
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class Nearest:
    """The clear value that is nearest in days; of two that are as near, the earlier.

    Use it for what must stay a value that was observed: classes, angles, flags, or all bands of
    one date together. Of numbers that change steadily, `linear` is closer to the truth and
    costs less.

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
            "nearest",
            architecture="nearest neighbour in time",
            citation="Lepot et al. (2017), doi:10.3390/w9100796",
        )

    def __call__(self, batch: Batch, /) -> Any:
        """Return the values of a batch, ``(sample, date, band, y, x)``."""
        return fill_series(batch, nearest)
