"""Curves through all clear dates, each trusted as far as the others bear it out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from xeo.errors import OptionError
from xeo.kernels.kalman import kalman
from xeo.models.series import fill_series, filler_spec
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class Kalman:
    """Mean of a Gaussian process with Student noise, by a Kalman smoother.

    Use it where whole dates are missing, or dates are noisy: haze, thin cloud and shadow that
    the mask missed. It averages what lies close in time, and returns slowly to the mean of a
    series in long gaps rather than overshooting. Dates on which all bands of a pixel are off
    to one side weigh little, so give it all bands at once, and compute indices afterwards.

    Parameters
    ----------
    length : float, optional
        Days over which the covariance falls to about half. Default: 40; 60 for a single band.
    ratio : float, optional
        Variance of what changes in units of the noise's: more follows the values closer.
        Default: 10; 20 for a single band.
    rounds : int
        How often the weights of dates are found anew; 0 trusts all alike.
    freedom : float, optional
        Degrees of freedom of the noise: fewer trust outliers less. Default: 0.5; 10 for a
        single band.

    References
    ----------
    .. [1] Hartikainen, J. and Sarkka, S. (2010). Kalman filtering and smoothing solutions to
       temporal Gaussian process regression models. *IEEE MLSP*.
       doi:10.1109/MLSP.2010.5589113
    """

    length: float | None = None
    ratio: float | None = None
    rounds: int = 2
    freedom: float | None = None

    def __post_init__(self) -> None:
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
            "kalman",
            architecture="Gaussian process smoother",
            activation_bytes=256,
            citation="Hartikainen and Sarkka (2010), doi:10.1109/MLSP.2010.5589113",
        )

    def __call__(self, batch: Batch, /) -> Any:
        """Return the values of a batch, ``(sample, date, band, y, x)``."""
        kernel = partial(
            kalman,
            length=self.length,
            ratio=self.ratio,
            rounds=self.rounds,
            freedom=self.freedom,
        )
        return fill_series(batch, kernel)
