"""The cloud U-Net of López-Puigdollers and others, made of its published tensors.

References
----------
.. [1] López-Puigdollers, D., Mateo-García, G., Gómez-Chova, L. (2021). Benchmarking deep
   learning models for cloud detection in Landsat-8 and Sentinel-2 images. *Remote Sensing* 13,
   992. doi:10.3390/rs13050992
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xeo.lazy import require

if TYPE_CHECKING:
    import torch

#: Pixels that every window's origin and size are a multiple of: it halves twice.
ALIGN = 4
#: Pixels to a side that reach an output pixel. Going down, two 3x3 convolutions at each of the
#: scales 1, 2 and 4 and two at 2 and 1 going up reach 2 + 4 + 8 + 4 + 2; halving and doubling add
#: up to 3 more, since a pixel may lie at either end of the square it shares.
HALO = 23

_PURPOSE = "find clouds with the U-Net"
_EPSILON = 1e-3
#: Names of the blocks of two convolutions.
BLOCKS = ("input", "pool1", "pool2", "up1", "up2")


def build(tensors: Mapping[str, Any]) -> torch.nn.Module:
    """Make the network, its batch normalisations folded into the convolutions before them.

    Parameters
    ----------
    tensors : mapping of str to array
        Variables of the original under their Keras names, kernels as (y, x, in, out) and those
        that double the size as (y, x, out, in).

    Returns
    -------
    torch.nn.Module
        From reflectance ``(sample, band, y, x)`` to probabilities ``(sample, 1, y, x)``.
    """
    library = require("torch", purpose=_PURPOSE)

    class CloudUnet(library.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layers = _layers(tensors)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return probabilities(self.layers, x)

    network: torch.nn.Module = CloudUnet().eval()
    return network


def probabilities(layers: Any, x: torch.Tensor) -> torch.Tensor:
    """Run the network; sizes that it cannot halve twice are continued by their edge."""
    library = require("torch", purpose=_PURPOSE)
    functional = library.nn.functional
    height, width = x.shape[-2:]
    if height % ALIGN or width % ALIGN:
        x = functional.pad(x, (0, -width % ALIGN, 0, -height % ALIGN), mode="replicate")
    # Bands last in memory is the faster layout.
    x = layers["normalization"](x.contiguous(memory_format=library.channels_last))
    fine = _block(layers, "input", x)
    middle = _block(layers, "pool1", functional.max_pool2d(fine, 2))
    coarse = _block(layers, "pool2", functional.max_pool2d(middle, 2))
    middle = _block(layers, "up1", library.cat((layers["upconv1"](coarse), middle), dim=1))
    fine = _block(layers, "up2", library.cat((layers["upconv2"](middle), fine), dim=1))
    out: torch.Tensor = layers["linear_model"](fine).sigmoid()[..., :height, :width]
    return out


def _block(layers: Any, name: str, x: torch.Tensor) -> torch.Tensor:
    for number in (1, 2):
        x = layers[f"{name}_{number}"](x).relu_()
    return x


def _layers(tensors: Mapping[str, Any]) -> Any:
    nn = require("torch.nn", purpose=_PURPOSE)
    out = {name: _plain(tensors, name) for name in ("normalization", "linear_model")}
    out |= {name: _doubling(tensors, name) for name in ("upconv1", "upconv2")}
    for name in BLOCKS:
        out |= {f"{name}_{number}": _separable(tensors, name, number) for number in (1, 2)}
    return nn.ModuleDict(out)


def _plain(tensors: Mapping[str, Any], name: str) -> Any:
    nn = require("torch.nn", purpose=_PURPOSE)
    kernel = tensors[f"{name}/kernel"].transpose(3, 2, 0, 1)
    return _filled(nn.Conv2d, kernel.shape[1::-1], kernel, tensors[f"{name}/bias"], kernel_size=1)


def _doubling(tensors: Mapping[str, Any], name: str) -> Any:
    nn = require("torch.nn", purpose=_PURPOSE)
    kernel = tensors[f"{name}/kernel"].transpose(3, 2, 0, 1)
    bias = tensors[f"{name}/bias"]
    return _filled(nn.ConvTranspose2d, kernel.shape[:2], kernel, bias, kernel_size=2, stride=2)


def _separable(tensors: Mapping[str, Any], name: str, number: int) -> Any:
    nn = require("torch.nn", purpose=_PURPOSE)
    depthwise = tensors[f"{name}_conv_{number}/depthwise_kernel"].transpose(2, 3, 0, 1)
    count = len(depthwise)
    each = _filled(
        nn.Conv2d, (count, count), depthwise, None, kernel_size=3, padding=1, groups=count
    )
    kernel, bias = fold(tensors, name, number)
    return nn.Sequential(each, _filled(nn.Conv2d, kernel.shape[1::-1], kernel, bias, kernel_size=1))


def fold(tensors: Mapping[str, Any], name: str, number: int) -> tuple[Any, Any]:
    """Return kernel (out, in, 1, 1) and bias of a pointwise convolution and its normalisation.

    Parameters
    ----------
    tensors : mapping of str to array
        As in `build`.
    name : str
        Of `BLOCKS`.
    number : int
        1 or 2, the convolution in the block.
    """
    convolution, norm = f"{name}_conv_{number}", f"{name}_bn_{number}"
    kernel = tensors[f"{convolution}/pointwise_kernel"].astype("f8").transpose(3, 2, 0, 1)
    gamma, beta, mean, variance = (
        tensors[f"{norm}/{word}"].astype("f8")
        for word in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    gain = gamma / np.sqrt(variance + _EPSILON)
    bias = (tensors[f"{convolution}/bias"] - mean) * gain + beta
    return kernel * gain[:, None, None, None], bias


def _filled(kind: Any, channels: Any, kernel: Any, bias: Any, **settings: Any) -> Any:
    """Make a layer of given weights, without drawing random ones first."""
    torch = require("torch", purpose=_PURPOSE)
    layer = torch.nn.utils.skip_init(kind, *channels, bias=bias is not None, **settings)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
    return layer
