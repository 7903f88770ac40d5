"""Gaps filled from the other dates, corrected by what was seen nearby on the same date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xeo.errors import OptionError
from xeo.kernels.namespace import namespace_of
from xeo.kernels.similar_pixels import similar_pixels
from xeo.models.series import dates_of, filler_spec
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class SimilarPixels:
    """What the other dates foretell, corrected by pixels nearby that look alike and were seen.

    Use it by default, and above all where clouds are smaller than the picture: the pixels
    around a cloud tell how its date differs from what the others foretell. Dates that are
    hidden wholly, and asked dates on which nothing was seen, get what `Kalman` says, its changes
    drawn halfway to those of the pixels around. Pixels that are always hidden are filled from
    those within reach.

    Parameters
    ----------
    reach : int
        Pixels up to ``2 ** reach`` rows and columns away are looked at.
    length, ratio, rounds, freedom :
        As in `xeo.models.gap_fillers.kalman.Kalman`.

    References
    ----------
    .. [1] Zeng, C., Shen, H. and Zhang, L. (2013). Recovering missing pixels for Landsat ETM+
       SLC-off imagery using multi-temporal regression analysis and a regularization method.
       *Remote Sens. Environ.* doi:10.1016/j.rse.2012.12.012
    .. [2] Chen, J. et al. (2011). A simple and effective method for filling gaps in Landsat
       ETM+ SLC-off images. *Remote Sens. Environ.* doi:10.1016/j.rse.2010.10.001
    """

    reach: int = 5
    length: float | None = None
    ratio: float | None = None
    rounds: int = 2
    freedom: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.reach <= 8:
            raise OptionError(f"reach must be 1 to 8 doublings, got {self.reach}. Try: reach=5")
        for name in ("length", "ratio", "freedom"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise OptionError(f"{name} must be above 0, got {value}. Try: leave it out")
        if self.rounds < 0:
            raise OptionError(f"rounds must be 0 or more, got {self.rounds}. Try: rounds=2")

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return filler_spec(
            "similar_pixels",
            halo=2**self.reach,
            architecture="Gaussian process smoother, local regression",
            activation_bytes=256,
            citation="Zeng et al. (2013), doi:10.1016/j.rse.2012.12.012",
        )

    def __call__(self, batch: Batch, /) -> Any:
        """Return the values of a batch, ``(sample, date, band, y, x)``."""
        ((modality, x),) = batch.items()
        xp = namespace_of(x)
        days, at = dates_of(batch)
        made = []
        for values, bad in zip(x, batch.mask[modality], strict=True):
            # Clouds hide all bands at once: then the work on gaps is done once for all of them.
            shared = bool((bad == bad[:, :1]).all())
            filled = similar_pixels(
                values,
                bad[:, :1] if shared else bad,
                days,
                at,
                reach=self.reach,
                length=self.length,
                ratio=self.ratio,
                rounds=self.rounds,
                freedom=self.freedom,
            )
            made.append(filled)
        return xp.asarray(xp.stack(made), dtype=x.dtype)
