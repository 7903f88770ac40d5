"""Whittaker's smoother as a gap filler."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from xeo.errors import OptionError
from xeo.kernels.robust import Doubt
from xeo.kernels.smoothness import Rule
from xeo.kernels.whittaker import whittaker
from xeo.models.series import fill_series, filler_spec
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class Whittaker:
    """Whittaker's smoother: the curve between the values and the smoothest one.

    For noisy series of any spacing, and all where little is known: it asks for no season. Its
    curve is that of the package whittaker-eilers [1]_ where ``robust=None``. ``lmbda`` was
    chosen on hidden pixels of Sentinel-2 in Flanders, dates some 5 days apart; ten times more
    flattens waves that are 1.8 times longer.

    Parameters
    ----------
    lmbda : float or {"gcv", "vcurve"}
        How much smoothness counts, in days to the power of ``2 * order``; or chosen for each
        series: by generalised cross-validation, which follows errors that last for several
        dates, or by the V-curve [2]_, which is smoother. Choosing costs twenty times more.
    order : int
        Of the differences, 1 to 3. Before the first and after the last clear date the curve is
        level with 1, straight with 2, a parabola with 3. Each has its own ``lmbda``: some 30
        square days with 1.
    upper_envelope : float, optional
        Weight of values above the curve, 0.5 to 1; those below get the rest. 0.95 draws a
        vegetation index over clouds that the mask has missed.
    robust : {"huber", "bisquare"}, optional
        How values far from the curve, on either side, lose their weight: clouds that the mask
        has missed. None trusts all alike and is some ten times faster.
    iterations : int
        Repetitions of ``upper_envelope`` and ``robust``.

    References
    ----------
    .. [1] Eilers, P. (2003). A perfect smoother. *Analytical Chemistry* 75.
       doi:10.1021/ac034173t
    .. [2] Frasso, G., Eilers, P. (2015). L- and V-curves for optimal smoothing.
       *Statistical Modelling* 15. doi:10.1177/1471082X14549288
    """

    lmbda: float | Rule = 5e4
    order: int = 2
    upper_envelope: float | None = None
    robust: Doubt | None = "huber"
    iterations: int = 3

    def __post_init__(self) -> None:
        if isinstance(self.lmbda, str):
            if self.lmbda not in ("gcv", "vcurve"):
                raise OptionError(
                    f"lmbda is a number, 'gcv' or 'vcurve', got {self.lmbda!r}. Try: lmbda=1e4"
                )
        elif not 0 < self.lmbda < math.inf:
            raise OptionError(f"lmbda must be above 0 and finite, got {self.lmbda}. Try: lmbda=1e4")
        if self.order not in (1, 2, 3):
            raise OptionError(f"order must be 1, 2 or 3, got {self.order}. Try: order=2")
        if self.upper_envelope is not None and not 0.5 <= self.upper_envelope < 1:
            raise OptionError(
                f"upper_envelope is a share from 0.5 to below 1, got {self.upper_envelope}. "
                "Try: upper_envelope=0.95"
            )
        if self.robust not in (None, "huber", "bisquare"):
            raise OptionError(
                f"robust is 'huber', 'bisquare' or None, got {self.robust!r}. Try: robust='huber'"
            )
        if self.iterations < 1:
            raise OptionError(f"iterations must be 1 or more, got {self.iterations}. Try: 5")

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return filler_spec("whittaker", citation="Eilers 2003, https://doi.org/10.1021/ac034173t")

    def __call__(self, batch: Batch, /) -> Any:
        """Return ``(sample, date, band, y, x)``."""
        kernel = partial(
            whittaker,
            lmbda=self.lmbda,
            order=self.order,
            upper_envelope=self.upper_envelope,
            robust=self.robust,
            iterations=self.iterations,
        )
        return fill_series(batch, kernel)
