"""What is done to a mask once it is there: small objects go, shadows come, all of it grows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from xeo.kernels.mask_shapes import dilate, remove_small
from xeo.kernels.namespace import namespace_of
from xeo.kernels.shadows import cast_shadow, shadow_reach
from xeo.spec import Batch, Input, ModelSpec

#: The code of a pixel of which nothing is known.
NO_DATA = 255


@dataclass(frozen=True)
class Refine:
    """A model from codes (0 clear, 1 bad) and near infrared to the refined mask.

    Parameters
    ----------
    radius : pair of float
        Pixels by which what is bad grows, along y and x.
    min_size : int
        Objects of fewer pixels go.
    sun : tuple of (int, float, float)
        Date (nanoseconds since 1970), zenith and azimuth in degrees; empty for no shadows.
    heights : pair of float
        Of the clouds that throw shadows, in metres.
    gsd : pair of float
        Metres of a pixel along y and x.
    dark : float
        Reflectance below which a pixel can be shaded.
    """

    radius: tuple[float, float]
    min_size: int
    sun: tuple[tuple[int, float, float], ...]
    heights: tuple[float, float]
    gsd: tuple[float, float]
    dark: float

    @property
    def metres(self) -> float:
        """Metres by which what is bad grows."""
        return round(self.radius[0] * self.gsd[0], 6)

    @property
    def spec(self) -> ModelSpec:
        """One channel; as much context as all steps together can reach."""
        reach = math.ceil(max(self.radius)) + self.min_size
        if self.sun:
            zenith = np.array([zenith for _, zenith, _ in self.sun])
            reach += shadow_reach(zenith, self.heights[1], self.gsd)
        # The order is that of the cube's layers: no name has to be found.
        units: tuple[Any, ...] = (None, "reflectance") if self.sun else (None,)
        names = ("found", "nir") if self.sun else ("found",)
        return ModelSpec(
            name="refine",
            inputs=(Input("image", names, units),),
            channels=1,
            halo=reach,
            missing="fill",
            needs=("time",) if self.sun else (),
            activation_bytes=64,
            tasks=("cloud-detection",),
        )

    def __call__(self, x: Any, /) -> Any:
        """Return 1 where bad, ``(sample, 1, y, x)``."""
        if isinstance(x, Batch):
            ((modality, values),) = x.items()
            bad = self._refined(values[:, 0, 0] > 0, values[:, 0, 1], x.time[modality])
            return _numbers(bad)[:, None]
        return _numbers(self._refined(x[:, 0] > 0))[:, None]

    def _refined(self, bad: Any, nir: Any = None, time: Any = None) -> Any:
        if self.min_size:
            bad = remove_small(bad, self.min_size)
        if self.sun:
            zenith, azimuth = self._angles(time)
            shaded = cast_shadow(bad, zenith, azimuth, self.heights, self.gsd)
            bad = bad | (shaded & (nir < self.dark))
        return dilate(bad, self.radius) if max(self.radius) else bad

    def _angles(self, time: Any) -> tuple[Any, Any]:
        known = {day: angles for day, *angles in self.sun}
        days = np.ravel(time).astype("datetime64[ns]").astype(np.int64)
        found = np.array([known[int(day)] for day in days])
        return found[:, 0], found[:, 1]


def _numbers(bad: Any) -> Any:
    xp = namespace_of(bad)
    return xp.asarray(bad, dtype=xp.float32)
