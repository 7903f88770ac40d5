"""Small models for tests of backends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xeo.spec import ModelSpec


@dataclass(frozen=True)
class Net:
    """A torch module as a model, without files; ``name`` tells it from others."""

    name: str
    build: Any = field(compare=False)
    window: int | None = None
    channels: int = 4
    built: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(self.name, window=self.window, channels=self.channels)

    def module(self) -> Any:
        import torch

        if "module" not in self.built:
            torch.manual_seed(0)
            self.built["module"] = self.build().eval().requires_grad_(False)
        return self.built["module"]

    def __call__(self, x: Any, /) -> Any:
        import torch

        with torch.inference_mode():
            return self.module()(torch.from_numpy(np.ascontiguousarray(x))).numpy()

    def __reduce__(self) -> Any:
        return Net, (self.name, None, self.window, self.channels)


def convolutions() -> Any:
    import torch

    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.GELU(), torch.nn.Conv2d(8, 4, 1)
    )


def flat(samples: int) -> Any:
    """Return a net that takes so many samples at once, as some transformers come out."""
    import torch

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 1)

        def forward(self, x: Any) -> Any:
            made = self.layer(x)
            return made.reshape(samples, 4, x.shape[2], x.shape[3])

    return Flat()


def fickle() -> Any:
    """Return a net that looks at the values to decide what it does."""
    import torch

    class Fickle(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 1)

        def forward(self, x: Any) -> Any:
            made = self.layer(x)
            return made * 2 if x.mean() > 0 else made

    return Fickle()


def pixels(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype("f4")
