"""Dynamic World: land cover from one Sentinel-2 date, and the vectors before its last layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xeo import options, weights
from xeo.errors import DimensionError
from xeo.lazy import require
from xeo.models import torch_runtime
from xeo.spec import Input, ModelSpec

if TYPE_CHECKING:
    import torch

_BANDS = (
    "blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "swir16", "swir22",
)  # fmt: skip
_CLASSES = (
    "water", "trees", "grass", "flooded_vegetation", "crops", "shrub_and_scrub", "built_area",
    "bare_ground", "snow_and_ice",
)  # fmt: skip

# Offset and scale of log(0.005 DN + 1) for each band: constants of the original's graph.
_OFFSETS = (
    1.7417268007636313, 1.7261204997060209, 1.6798346251414997, 1.7734969472909623,
    2.289154079164943, 2.382939712192371, 2.3828939530384052, 2.1952484264967844,
    1.554812948247501,
)  # fmt: skip
_SCALES = (
    2.023298706048351, 2.038905204308012, 2.179592821212937, 2.2890068333026603,
    2.6171674549378166, 2.773418590375327, 2.7578332604178284, 2.789092484314204,
    2.4140534947492487,
)  # fmt: skip

# Convolutions (c) and depthwise convolutions (d) by their number in the original's graph, in
# the order of the batch normalisations 0 to 23 that follow them. The head, c14, has none.
_LAYERS = (
    "c0", "c1", "d0",
    "c2", "d1", "c3", "d2", "c4", "d3", "c5",
    "c6", "d4", "c7", "d5", "c8", "d6", "c9",
    "c10", "d7", "c11", "d8", "c12", "d9", "c13",
)  # fmt: skip
_SIDE, _FIRST, _SECOND, _THIRD = _LAYERS[1:3], _LAYERS[3:10], _LAYERS[10:17], _LAYERS[17:24]
_HEAD = "c14"
_EPSILON = 1e-3
# exp(20) is 4.9e8: beyond it Mish is x in float32, and exp squared would overflow from 44 on.
_MISH_LIMIT = 20.0
# Values that Mish handles at once for each thread: its two temporaries stay in the cache.
_MISH_TILE = 65_536

# Pixels to a side that reach an output pixel: 1 by the stem, 1 and a half by the antialiased
# halving, 2 x 9 by nine 3x3 convolutions at half the resolution, 1 and a half by the doubling.
_HALO = 22

_COMMON: dict[str, Any] = {
    "name": "dynamic_world",
    "inputs": (Input("sentinel2", bands=_BANDS, units="dn"),),
    "halo": _HALO,
    "align": 2,
    "activation_bytes": 1536,
    "weights": "dynamicworld_forward",
    "packages": ("torch",),
    "architecture": "fully convolutional network",
    "total_parameters": 231_209,
    "license": "Apache-2.0",
    "citation": (
        "Brown, C. F. et al. (2022). Dynamic World, near real-time global 10 m land use land "
        "cover mapping. Scientific Data 9, 251. doi:10.1038/s41597-022-01307-4"
    ),
}


@dataclass(frozen=True)
class DynamicWorld:
    """A vector of 144 numbers for each pixel of a Sentinel-2 date, of length one.

    Notes
    -----
    Wants digital numbers (reflectance x 10000) of a clear date on a 10 m grid, the 20 m bands
    resampled bilinearly; the published maps are made from Level-1C, top of the atmosphere.
    The network takes the logarithm of the values: those below zero, which dark pixels have
    once the offset of processing baseline 04.00 is taken off, count as zero. It halves the
    resolution and doubles it again, so windows start at even pixels; an image of odd size is
    continued by its last row or column.

    References
    ----------
    .. [1] Brown, C. F. et al. (2022). Dynamic World, Near real-time global 10 m land use land
       cover mapping. *Scientific Data* 9, 251. doi:10.1038/s41597-022-01307-4
    """

    spec: ClassVar[ModelSpec] = ModelSpec(**_COMMON, channels=144)

    def __call__(self, x: Any, /) -> Any:
        """Return unit vectors.

        Parameters
        ----------
        x : array, shape (sample, 9, y, x)
            Digital numbers in the order of ``spec.inputs[0].bands``.

        Returns
        -------
        array, shape (sample, 144, y, x)
            float32, of the kind and on the device of ``x``.

        Raises
        ------
        DimensionError
            If ``x`` has another shape.
        WeightsError
            If the weights are nowhere, or not the right ones.
        """
        return _run(x, vectors)

    def module(self) -> torch.nn.Module:
        """Return the network, for backends that convert it."""
        return _module(vectors)


@dataclass(frozen=True)
class DynamicWorldClasses:
    """Logits of nine land-cover classes for each pixel of a Sentinel-2 date.

    The last layer over `DynamicWorld`, which says what it wants.

    Notes
    -----
    Clouds tend to come out as snow and ice, their shadows as water: mask both.

    References
    ----------
    .. [1] Brown, C. F. et al. (2022). Dynamic World, Near real-time global 10 m land use land
       cover mapping. *Scientific Data* 9, 251. doi:10.1038/s41597-022-01307-4
    """

    spec: ClassVar[ModelSpec] = ModelSpec(
        **_COMMON, channels=len(_CLASSES), classes=_CLASSES, tasks=("semantic-segmentation",)
    )

    def __call__(self, x: Any, /) -> Any:
        """Return logits, ``(sample, 9, y, x)``; otherwise as `DynamicWorld`."""
        return _run(x, logits)

    def module(self) -> torch.nn.Module:
        """Return the network, for backends that convert it."""
        return _module(logits)


def _run(x: Any, read: Any) -> Any:
    if x.ndim != 4 or x.shape[1] != len(_BANDS):
        raise DimensionError(
            f"expected an array (sample, band, y, x) with the {len(_BANDS)} bands {_BANDS}, got "
            f"shape {tuple(x.shape)}. Try: select these bands in this order"
        )
    with torch_runtime.inference():
        dn = torch_runtime.as_tensor(x)
        return torch_runtime.like(read(_net(dn.device), dn.float()), x)


def _net(device: torch.device) -> Any:
    # One key for both classes: they share the module in memory.
    return torch_runtime.module_for(DynamicWorld(), _load, device)


def _module(read: Callable[[Any, torch.Tensor], torch.Tensor]) -> torch.nn.Module:
    library = require("torch", purpose="run Dynamic World")

    class Network(library.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = _net(library.device("cpu"))

        def forward(self, dn: torch.Tensor) -> torch.Tensor:
            return read(self.net, dn)

    network: torch.nn.Module = Network().eval()
    return network


def _load() -> torch.nn.Module:
    return build(weights.load("dynamicworld_forward"))


def build(tensors: Mapping[str, Any]) -> torch.nn.ModuleDict:
    """Make the network's convolutions, each with its batch normalisation folded in.

    Parameters
    ----------
    tensors : mapping of str to array
        Variables of the original under their TensorFlow names, kernels as (y, x, in, out).

    Returns
    -------
    torch.nn.ModuleDict
        ``c0`` to ``c14`` and ``d0`` to ``d9``; `vectors` and `logits` run them.
    """
    nn = require("torch.nn", purpose="run Dynamic World")
    folded = {name: _fold(tensors, name, number) for number, name in enumerate(_LAYERS)}
    folded[_HEAD] = _fold(tensors, _HEAD, None)
    return nn.ModuleDict({name: _convolution(*pair) for name, pair in folded.items()})  # type: ignore[no-any-return]


def _fold(tensors: Mapping[str, Any], name: str, norm: int | None) -> tuple[Any, Any]:
    layer = "conv2d" if name[0] == "c" else "depthwise_conv2d"
    part = "kernel" if name[0] == "c" else "depthwise_kernel"
    layer = _numbered(layer, int(name[1:]))
    kernel = tensors[f"{layer}/{part}"].astype("f8")
    bias = tensors[f"{layer}/bias"].astype("f8")
    # From (y, x, in, out), or (y, x, in, 1) of a depthwise one, to (out, in / groups, y, x).
    kernel = kernel.transpose(3, 2, 0, 1) if name[0] == "c" else kernel.transpose(2, 3, 0, 1)
    if norm is None:
        return kernel, bias
    batch = _numbered("batch_normalization", norm)
    gamma, beta, mean, variance = (
        tensors[f"{batch}/{word}"].astype("f8")
        for word in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    gain = gamma / np.sqrt(variance + _EPSILON)
    return kernel * gain[:, None, None, None], (bias - mean) * gain + beta


def _numbered(word: str, number: int) -> str:
    return f"{word}_{number}" if number else word


def _convolution(kernel: Any, bias: Any) -> torch.nn.Module:
    torch = require("torch", purpose="run Dynamic World")
    out, per_group, side, _ = kernel.shape
    groups = out if per_group == 1 else 1
    layer = torch.nn.utils.skip_init(
        torch.nn.Conv2d, per_group * groups, out, side, padding=side // 2, groups=groups
    )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer  # type: ignore[no-any-return]


def vectors(net: Any, dn: torch.Tensor) -> torch.Tensor:
    """Return the unit vectors of an image.

    Parameters
    ----------
    net : torch.nn.ModuleDict
        From `build`.
    dn : tensor, shape (sample, 9, y, x)
        Digital numbers, floating point.

    Returns
    -------
    tensor, shape (sample, 144, y, x)
    """
    library = require("torch", purpose="run Dynamic World")
    functional = library.nn.functional
    height, width = dn.shape[-2:]
    if height % 2 or width % 2:
        dn = functional.pad(dn, (0, width % 2, 0, height % 2), mode="replicate")
    # Bands last in memory is the faster layout, most of all for the last two steps.
    x = _normalise(dn).contiguous(memory_format=library.channels_last)
    x = _halve(_mish(net["c0"](x)))
    deep = _block(net, _block(net, x, _FIRST), _SECOND)
    x = _block(net, library.cat((deep, _chain(net, x, _SIDE)), dim=1), _THIRD)
    size = (2 * x.shape[2], 2 * x.shape[3])
    x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
    length = library.linalg.vector_norm(x, dim=1, keepdim=True)
    unit: torch.Tensor = x.div_(length.clamp_(min=1e-12))[..., :height, :width]
    return unit


def logits(net: Any, dn: torch.Tensor) -> torch.Tensor:
    """Return the class scores of an image, shape (sample, 9, y, x); see `vectors`."""
    scores: torch.Tensor = net[_HEAD](vectors(net, dn))
    return scores


def _normalise(dn: torch.Tensor) -> torch.Tensor:
    torch = require("torch", purpose="run Dynamic World")
    offset, scale = (
        torch.tensor(values, dtype=dn.dtype, device=dn.device)[:, None, None]
        for values in (_OFFSETS, _SCALES)
    )
    # Below zero the logarithm soon is not a number; NaN stays NaN.
    x = dn.clamp(min=0).mul_(0.005).log1p_().sub_(offset).div_(scale)
    # exp(v) / (exp(v) + 1) of the original, which overflows, is the sigmoid.
    return x.mul_(5).sub_(1).sigmoid_()


def _halve(x: torch.Tensor) -> torch.Tensor:
    """Halve the resolution by weights 1, 3, 3, 1 along each axis, those outside left out."""
    library = require("torch", purpose="run Dynamic World")
    functional = library.nn.functional
    if not library.compiler.is_compiling():
        smooth: torch.Tensor = functional.interpolate(
            x, scale_factor=0.5, mode="bilinear", align_corners=False, antialias=True
        )
        return smooth
    # What converts programs knows no antialiasing, but a convolution that is the same.
    line = library.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device)
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 4, 4)
    inside = functional.conv2d(library.ones_like(x[:1, :1]), kernel[:1], stride=2, padding=1)
    total: torch.Tensor = functional.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
    return total.div_(inside)


def _block(net: Any, x: torch.Tensor, layers: tuple[str, ...]) -> torch.Tensor:
    *deep, skip = layers
    return _chain(net, x, tuple(deep)).add_(_mish(net[skip](x)))


def _chain(net: Any, x: torch.Tensor, layers: tuple[str, ...]) -> torch.Tensor:
    for layer in layers:
        x = _mish(net[layer](x))
    return x


def _mish(x: torch.Tensor) -> torch.Tensor:
    """Overwrite ``x`` with ``x tanh(log(1 + exp(x)))``.

    With ``n = exp(x) (exp(x) + 2)`` it is ``x n / (n + 2)``: one vectorised exponential, where
    torch's own kernel takes twice the time on a CPU for the same accuracy.
    """
    library = require("torch", purpose="run Dynamic World")
    # The steps below would fix the size of a program that is made of this.
    if x.device.type != "cpu" or library.compiler.is_compiling():
        fused: torch.Tensor = library.nn.functional.mish(x, inplace=True)
        return fused
    rows = max(1, _MISH_TILE * options.threads() // max(1, x[:, :, :1].numel()))
    for start in range(0, x.shape[2], rows):
        part = x[:, :, start : start + rows]
        n = part.clamp(max=_MISH_LIMIT).exp_()
        n.mul_(n + 2)
        part.mul_(n.div_(n + 2))
    return x
