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
        found = [self._one(*each, days, at) for each in pairs]
        return found[0][None] if len(found) == 1 else xp.stack(found)

    def _one(
        self, x: Any, bad: Any, made: Any, days: NDArray[np.float64], at: NDArray[np.float64]
    ) -> Any:
        """Return the channels of one sample, ``(date, channel, y, x)``."""
        xp = namespace_of(x)
        bands, size = x.shape[1], x.shape[2:]
        values = made[:, :bands]
        any_bad = bad.any(axis=1)
        stays = ~any_bad if self.own and not self.smooth else None
        if stays is not None:
            values = _put(values, ~bad, x)
        near: Any = None
        if self.quality or self.limit is not None:
            near = gap_days(any_bad, days, at)
        beyond = self._beyond(any_bad, days, at)
        lost = None if self.extrapolate else beyond
        if self.limit is not None:
            far = near > self.limit
            lost = far if lost is None else lost | far
        if lost is not None:
            # What was seen stays, in a band whose neighbours are missing too.
            gone = lost[:, None] if stays is None else lost[:, None] & bad
            values = _put(values, gone, xp.nan)
        if not self.quality:
            return values
        if made.shape[1] > bands:
            spread = made[:, bands:]
        else:
            flat = bad.reshape(len(days), bands, -1)
            spread = uncertainty(x.reshape(flat.shape), flat, days, at)
            spread = spread.reshape(len(at), bands, *size)
        spread = xp.where(xp.isfinite(values), spread, xp.nan)
        reason = self._reason(values, stays, near, beyond)
        return xp.concatenate([values, spread, reason[:, None], near[:, None]], 1)

    def _beyond(self, bad: Any, days: NDArray[np.float64], at: NDArray[np.float64]) -> Any:
        """Return where a wanted date is outside of the clear dates of a pixel."""
        first, last = span(bad, days)
        wanted = _column(at, last)
        slack = 0.0 if self.own else _SLACK
        return (wanted < first - slack) | (wanted > last + slack)

    def _reason(self, values: Any, stays: Any, near: Any, beyond: Any) -> Any:
        """Return the code of each value's reason, ``(date, y, x)``."""
        xp = namespace_of(values)
        reason = xp.where(beyond, EXTRAPOLATED if self.extrapolate else BEYOND, FILLED)
        if self.limit is not None:
            reason = xp.where(near > self.limit, TOO_FAR, reason)
        reason = xp.where(xp.isnan(near), NO_CLEAR_DATE, reason)
        if stays is not None:
            reason = xp.where(stays, OBSERVED, reason)
        # What is missing in one band alone leaves the others as they are.
        nothing = (reason <= EXTRAPOLATED) & ~xp.isfinite(values).any(axis=1)
        reason = xp.where(nothing, NOT_ESTIMATED, reason)
        return xp.asarray(reason, dtype=values.dtype)


def _put(target: Any, where: Any, value: Any) -> Any:
    """Return an array with other values in some places, which it may be written into."""
    if isinstance(target, np.ndarray) and target.flags.writeable:
        np.copyto(target, value, where=where)
        return target
    return namespace_of(target).where(where, value, target)


def _column(at: NDArray[np.float64], like: Any) -> Any:
    """Return days along a first axis, as an array of the kind of another, ``(y, x)``."""
    xp = namespace_of(like)
    column = xp.asarray(like[:1, :1] * 0, dtype=xp.float64)
    return xp.stack([xp.full_like(column, float(day)) for day in at])
