"""Small models whose whole-image answer is known, for tests of the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from xeo.spec import Batch, Input, ModelSpec


def box(x: Any, radius: int) -> Any:
    """Sum over squares of 2 radius + 1 pixels, zeros outside: a convolution."""
    pad = [(0, 0)] * (x.ndim - 2) + [(radius, radius)] * 2
    padded = np.pad(x, pad)
    made = np.zeros_like(x)
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            made += padded[..., dy : dy + x.shape[-2], dx : dx + x.shape[-1]]
    return made


def pool(x: Any, stride: int) -> Any:
    *lead, ny, nx = x.shape
    return x.reshape(*lead, ny // stride, stride, nx // stride, stride).max(axis=(-3, -1))


@dataclass(frozen=True)
class Convolution:
    """Box sums, then the maximum over squares: any size, a halo, a stride."""

    radius: int = 2
    stride: int = 1
    align: int = 1
    missing: str = "fill"

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            "convolution",
            halo=self.radius,
            stride=self.stride,
            align=self.align,
            channels_per_band=1,
            missing=self.missing,  # type: ignore[arg-type]
        )

    def __call__(self, x: Any, /) -> Any:
        assert x.shape[-1] % self.spec.unit == 0
        assert x.shape[-2] % self.spec.unit == 0
        return pool(box(x, self.radius), self.stride)


@dataclass(frozen=True)
class Patch:
    """Output depends on the whole window: the mean of a fixed window beside each pixel."""

    window: int = 8
    halo: int = 0
    stride: int = 2
    overlap: int = 0

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            "patch",
            window=self.window,
            halo=self.halo,
            stride=self.stride,
            overlap=self.overlap,
            channels=2,
        )

    def __call__(self, x: Any, /) -> Any:
        first = x[:, :1]
        assert first.shape[2:] == (self.window, self.window)
        mean = np.broadcast_to(first.mean(axis=(2, 3), keepdims=True), first.shape)
        return pool(np.concatenate([first, mean], axis=1), self.stride)


@dataclass(frozen=True)
class Series:
    """The mean of good dates; with ``keep`` the sum up to each date."""

    keep: bool = False

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            "series",
            inputs=(Input("image"),),
            channels_per_band=1,
            time="sequence" if self.keep else "series",
            needs=("time", "mask"),
        )

    def __call__(self, batch: Batch, /) -> Any:
        x, bad = batch["image"], batch.mask["image"]
        good = np.where(bad, 0, x)
        if self.keep:
            return good.cumsum(axis=1)
        count = np.maximum((~bad).sum(axis=1), 1)
        return (good.sum(axis=1) / count).astype(np.float32)


@dataclass(frozen=True)
class Everything:
    """Wants all context, of two modalities; returns some of it."""

    spec: ClassVar[ModelSpec] = ModelSpec(
        "everything",
        inputs=(
            Input("sentinel2", ("red", "nir"), "reflectance"),
            Input("weather", ("temperature_2m",), "celsius", optional=True),
        ),
        channels=5,
        needs=("time", "latlon", "center_wavelength", "gsd", "mask"),
    )

    def __call__(self, batch: Batch, /) -> Any:
        x = batch["sentinel2"]
        assert batch.time["sentinel2"].shape == (len(x), 1)
        days = batch.time["sentinel2"].astype("M8[D]").astype(np.float32)
        ones = np.ones_like(x[:, 0, :1])
        weather = batch["weather"].mean(axis=1)[:, :1] if "weather" in batch else 0 * ones
        return np.concatenate(
            [
                x[:, 0, :1],
                ones * days[:, :, None, None],
                batch.latlon.astype(np.float32),
                ones * weather,
            ],
            axis=1,
        )


@dataclass(frozen=True)
class Liar:
    """Returns another shape than its spec says."""

    spec: ClassVar[ModelSpec] = ModelSpec("liar", channels=3)

    def __call__(self, x: Any, /) -> Any:
        return x[:, :1]


@dataclass(frozen=True)
class Counting:
    """Notes the shapes that it was called with."""

    calls: list[tuple[int, ...]] = field(default_factory=list, compare=False)
    spec: ClassVar[ModelSpec] = ModelSpec("counting", window=8, stride=8, channels=1)

    def __call__(self, x: Any, /) -> Any:
        self.calls.append(x.shape)
        return x[:, :1].mean(axis=(2, 3), keepdims=True)
