"""The three modules of the benchmark, with random weights, and their specs."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import torch
from _cubes import BANDS, OUT
from torch import Tensor, nn
from torch.nn import functional

from xeo import ModelSpec
from xeo.models import from_torch

SPECS = {
    "vit": ModelSpec(
        "bench_vit",
        bands=BANDS,
        units="reflectance",
        window=224,
        stride=16,
        channels=384,
        activation_bytes=256,
        architecture="ViT-S/16",
    ),
    # Its receptive field is 20 pixels and the alignment of two poolings; 30 is rounded up to 32.
    "unet": ModelSpec(
        "bench_unet",
        bands=BANDS,
        units="reflectance",
        halo=30,
        align=4,
        channels=8,
        activation_bytes=640,
        architecture="U-Net",
    ),
    "mlp": ModelSpec(
        "bench_mlp",
        bands=BANDS,
        units="reflectance",
        channels=8,
        activation_bytes=384,
        architecture="MLP",
    ),
}


class _Block(nn.Module):
    """A transformer block, pre-norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        samples, tokens, width = x.shape
        qkv = self.qkv(self.before(x)).view(samples, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(samples, tokens, width))
        made: Tensor = x + self.down(functional.gelu(self.up(self.after(x))))
        return made


class ViT(nn.Module):
    """ViT-S/16 at 224 pixels, its tokens as a map ``(sample, 384, 14, 14)``."""

    def __init__(self, width: int = 384, depth: int = 12, heads: int = 6) -> None:
        super().__init__()
        self.patch = nn.Conv2d(len(BANDS), width, 16, stride=16)
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.place = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch(x)
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(x), -1, -1), tokens], dim=1) + self.place
        tokens = self.norm(self.blocks(tokens))[:, 1:]
        made: Tensor = tokens.transpose(1, 2).reshape(len(x), -1, *patches.shape[2:])
        return made


def _twice(given: int, made: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(given, made, 3, padding=1), nn.ReLU(),
        nn.Conv2d(made, made, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    """Two poolings, 16 to 64 channels wide, 8 channels out at full resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = _twice(len(BANDS), 16), _twice(16, 32), _twice(32, 64)
        self.four, self.five = _twice(96, 32), _twice(48, 16)
        self.last = nn.Conv2d(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        two = self.two(functional.max_pool2d(one, 2))
        three = self.three(functional.max_pool2d(two, 2))
        four = self.four(torch.cat([functional.interpolate(three, scale_factor=2.0), two], 1))
        five = self.five(torch.cat([functional.interpolate(four, scale_factor=2.0), one], 1))
        made: Tensor = self.last(five)
        return made


class MLP(nn.Module):
    """Each pixel on its own: 4, 32, 32, 8."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(len(BANDS), 32, 1), nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 1), nn.ReLU(inplace=True),
            nn.Conv2d(32, 8, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x)
        return made


_CLASSES = {"vit": ViT, "unet": UNet, "mlp": MLP}


def build(name: str) -> nn.Module:
    """Return a module with the same random weights at each call.

    Each call adds a line with the process to the file that ``XEO_BENCH_LOADS`` names.
    """
    log = os.environ.get("XEO_BENCH_LOADS")
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    module: nn.Module = _CLASSES[name]().eval().requires_grad_(False)
    torch.random.set_rng_state(state)
    return module


class _Packed(nn.Module):
    """A linear layer whose weights lie as oneDNN wants them: faster where MKL is not at home."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.contiguous(), None)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return made


def packed(module: nn.Module) -> nn.Module:
    """Return a module with its linear layers packed, as an expert would do it by hand."""
    for name, child in list(module.named_children()):
        setattr(module, name, _Packed(child) if isinstance(child, nn.Linear) else packed(child))
    return module


def model(name: str, **changes: Any) -> Any:
    """Return a module as a model of xeo; ``changes`` are made to its spec."""
    spec = replace(SPECS[name], inputs=(), **changes) if changes else SPECS[name]
    return from_torch(build, spec, kwargs={"name": name}, folder=OUT / "modules")
