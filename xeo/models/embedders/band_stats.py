"""Mean and standard deviation of each band: the smallest model, and how to write one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xeo.kernels.blocks import block_mean, block_std
from xeo.kernels.namespace import namespace_of
from xeo.spec import ModelSpec


@dataclass(frozen=True)
class BandStats:
    """Mean and standard deviation of every band over small squares.

    Takes any bands in any units and skips missing pixels; a square without a value gives
    NaN. The vector holds the means of all bands, then their standard deviations (divisor n),
    both in the units of the cube.

    Parameters
    ----------
    stride : int
        Side of the square, in pixels.

    Examples
    --------
    >>> model = BandStats(stride=2)
    >>> model(np.array([[[[1.0, 3.0], [5.0, np.nan]]]])).ravel()
    array([3.       , 1.6329932], dtype=float32)
    """

    stride: int = 4

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return ModelSpec(
            name="band_stats",
            stride=self.stride,
            channels_per_band=2,
            missing="nan",
            activation_bytes=128,
            architecture="block statistics",
            license="Apache-2.0",
        )

    def __call__(self, x: Any, /) -> Any:
        """Return ``(sample, 2 * band, y / stride, x / stride)`` of ``(sample, band, y, x)``."""
        xp = namespace_of(x)
        stats = [block_mean(x, self.stride), block_std(x, self.stride)]
        return xp.asarray(xp.concatenate(stats, 1), dtype=xp.float32)
