"""What stands around a gap filler: clear pixels stay, nothing is invented, quality is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.dates import days_of
from xeo.kernels.gap_quality import gap_days, span, uncertainty
from xeo.kernels.namespace import namespace_of
from xeo.spec import Batch, ModelSpec

#: Why a value is what it is, by its code.
REASONS = (
    "observed",
    "filled",
    "extrapolated",
    "no_clear_date",
    "too_far",
    "beyond_clear_dates",
    "not_estimated",
)
OBSERVED, FILLED, EXTRAPOLATED, NO_CLEAR_DATE, TOO_FAR, BEYOND, NOT_ESTIMATED = range(7)
#: Days by which a date that was asked for may lie outside the clear ones: it lacks their hour.
_SLACK = 1.0


@dataclass(frozen=True)
class Fill:
    """A gap filler under the rules of `xeo.remove_clouds`.

    Parameters
    ----------
    inner : GapFiller
        Estimates every value.
    own : bool
        Whether the wanted dates are the cube's own.
    smooth : bool
        Whether estimates replace clear values too.
    limit : float, optional
        Days from the nearest clear date beyond which nothing is filled.
    extrapolate : bool
        Whether values before the first and after the last clear date are filled.
    quality : bool
        Whether uncertainties (a channel each band), the reason and the days to the nearest
        clear date follow the values.
    """

    inner: Any
    own: bool
    smooth: bool = False
    limit: float | None = None
    extrapolate: bool = False
    quality: bool = False

    @property
    def spec(self) -> ModelSpec:
        """That of the filler, with the channels that come out here."""
        spec: ModelSpec = self.inner.spec
        return replace(
            spec,
            channels=2 if self.quality else 0,
            channels_per_band=2 if self.quality else 1,
            needs=tuple(dict.fromkeys((*spec.needs, "time", "mask"))),
        )

    def __call__(self, batch: Batch, /) -> Any:
        """Return ``(sample, date, channel, y, x)``."""
        ((modality, x),) = batch.items()
        xp = namespace_of(x)
        made = self.inner(batch)
        days = days_of(next(iter(batch.time.values())))
        at = days if batch.at is None else days_of(batch.at)
        pairs = zip(x, batch.mask[modality], made, strict=True)
        return xp.stack([self._one(*each, days, at) for each in pairs])

    def _one(
        self, x: Any, bad: Any, made: Any, days: NDArray[np.float64], at: NDArray[np.float64]
    ) -> Any:
        """Return the channels of one sample, ``(date, channel, y, x)``."""
        xp = namespace_of(x)
        bands, size = x.shape[1], x.shape[2:]
        values = made[:, :bands]
        any_bad = bad.any(axis=1)
        if self.own and not self.smooth:
            values = xp.where(bad, values, x)
        near = gap_days(any_bad, days, at)
        out, reason = self._judged(values, any_bad, near, days, at)
        if not self.quality:
            return out
        if made.shape[1] > bands:
            spread = made[:, bands:]
        else:
            flat = bad.reshape(len(days), bands, -1)
            spread = uncertainty(x.reshape(flat.shape), flat, days, at).reshape(
                len(at), bands, *size
            )
        spread = xp.where(xp.isfinite(out), spread, xp.nan)
        return xp.concatenate([out, spread, reason[:, None], near[:, None]], 1)

    def _judged(
        self, values: Any, bad: Any, near: Any, days: NDArray[np.float64], at: NDArray[np.float64]
    ) -> tuple[Any, Any]:
        """Return the values that may stay, and the reason of each, ``(date, y, x)``."""
        xp = namespace_of(values)
        first, last = span(bad, days)
        wanted = _column(at, near)
        slack = 0.0 if self.own else _SLACK
        outside = (wanted < first - slack) | (wanted > last + slack)
        reason = xp.where(outside, EXTRAPOLATED if self.extrapolate else BEYOND, FILLED)
        if self.limit is not None:
            reason = xp.where(near > self.limit, TOO_FAR, reason)
        reason = xp.where(xp.isnan(near), NO_CLEAR_DATE, reason)
        if self.own and not self.smooth:
            reason = xp.where(bad, reason, OBSERVED)
        kept = reason <= EXTRAPOLATED
        out = xp.where(kept[:, None], values, xp.nan)
        # What is missing in one band alone leaves the others as they are.
        nothing = kept & ~xp.isfinite(out).any(axis=1)
        reason = xp.where(nothing, NOT_ESTIMATED, reason)
        return out, xp.asarray(reason, dtype=values.dtype)


def _column(at: NDArray[np.float64], like: Any) -> Any:
    """Return days as an array of the kind of another, one for each of its first axis."""
    xp = namespace_of(like)
    column = xp.asarray(like[:, :1, :1] * 0, dtype=xp.float64)
    for place, day in enumerate(at):
        column[place] = float(day)
    return column
