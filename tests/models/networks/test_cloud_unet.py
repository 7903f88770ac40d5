from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xeo.models.networks import cloud_unet

torch = pytest.importorskip("torch")

_WIDTHS = {
    "input_conv_1": (4, 32), "input_conv_2": (32, 32), "pool1_conv_1": (32, 64),
    "pool1_conv_2": (64, 64), "pool2_conv_1": (64, 128), "pool2_conv_2": (128, 128),
    "up1_conv_1": (128, 64), "up1_conv_2": (64, 64), "up2_conv_1": (64, 32),
    "up2_conv_2": (32, 32),
}  # fmt: skip


def random_tensors(bands: int = 4, seed: int = 0) -> dict[str, Any]:
    """Make weights of the shapes of the published ones."""
    rng = np.random.default_rng(seed)
    out = {
        "normalization/kernel": np.eye(bands)[None, None],
        "normalization/bias": np.full(bands, -0.3),
        "upconv1/kernel": rng.normal(0, 0.1, (2, 2, 64, 128)),
        "upconv1/bias": rng.normal(0, 0.1, 64),
        "upconv2/kernel": rng.normal(0, 0.1, (2, 2, 32, 64)),
        "upconv2/bias": rng.normal(0, 0.1, 32),
        "linear_model/kernel": rng.normal(0, 0.2, (1, 1, 32, 1)),
        "linear_model/bias": rng.normal(0, 0.1, 1),
    }
    for name, (many, few) in _WIDTHS.items():
        width = bands if name == "input_conv_1" else many
        norm = name.replace("conv", "bn")
        out |= {
            f"{name}/depthwise_kernel": rng.normal(0, 0.4, (3, 3, width, 1)),
            f"{name}/pointwise_kernel": rng.normal(0, 1.5 / np.sqrt(width), (1, 1, width, few)),
            f"{name}/bias": rng.normal(0, 0.1, few),
            f"{norm}/gamma": rng.uniform(0.5, 1.5, few),
            f"{norm}/beta": rng.normal(0, 0.1, few),
            f"{norm}/moving_mean": rng.normal(0, 0.1, few),
            f"{norm}/moving_variance": rng.uniform(0.5, 1.5, few),
        }
    return {name: value.astype("f4") for name, value in out.items()}


def test_folding_the_normalisation_changes_nothing() -> None:
    tensors = random_tensors(seed=3)
    kernel, bias = cloud_unet.fold(tensors, "up1", 2)
    x = np.random.default_rng(0).normal(size=64)
    plain = (
        x @ tensors["up1_conv_2/pointwise_kernel"][0, 0].astype("f8") + tensors["up1_conv_2/bias"]
    )
    gamma, beta, mean, variance = (
        tensors[f"up1_bn_2/{part}"].astype("f8")
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    expected = (plain - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(kernel[:, :, 0, 0] @ x + bias, expected, rtol=1e-10)


@pytest.mark.parametrize("axis", [2, 3])
def test_the_halo_is_the_receptive_field_and_not_a_pixel_more(axis: int) -> None:
    network = cloud_unet.build(random_tensors()).double().requires_grad_(False)
    size = [1, 4, 4, 4]
    size[axis] = 128
    image = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    others = tuple(i for i in range(4) if i != axis)
    distances = []
    for pixel in range(64, 68):
        changed = image.clone()
        changed.select(axis, pixel).fill_(9.0)
        difference = (network(image) - network(changed)).abs().amax(dim=others)
        reached = torch.nonzero(difference).flatten()
        distances += [pixel - int(reached[0]), int(reached[-1]) - pixel]
    assert max(distances) == cloud_unet.HALO


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 8), (8, 7), (10, 11)])
def test_other_sizes_are_continued_by_their_edge(height: int, width: int) -> None:
    network = cloud_unet.build(random_tensors()).requires_grad_(False)
    image = torch.rand((1, 4, height, width), generator=torch.Generator().manual_seed(1))
    pad = (0, -width % 4, 0, -height % 4)
    wide = torch.nn.functional.pad(image, pad, mode="replicate")
    torch.testing.assert_close(network(image), network(wide)[..., :height, :width])
