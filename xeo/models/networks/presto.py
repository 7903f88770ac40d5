"""The encoder of Presto, as functions of its published tensors.

References
----------
.. [1] Tseng, G., Cartuyvels, R., Zvonkov, I., Purohit, M., Rolnick, D., Kerner, H. (2023).
   Lightweight, pre-trained transformers for remote sensing timeseries. arXiv:2304.14065
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from xeo.lazy import require
from xeo.models.networks.transformer import Tensors, block, block_mean, layer_norm, linear, tree

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

#: Length of a token.
DIM = 128
#: Attention heads.
HEADS = 8
#: Channel groups in the order of the input's channels: one token a month each.
GROUPS = {
    "S1": 2,
    "S2_RGB": 3,
    "S2_Red_Edge": 3,
    "S2_NIR_10m": 1,
    "S2_NIR_20m": 1,
    "S2_SWIR": 2,
    "ERA5": 2,
    "SRTM": 2,
    "NDVI": 1,
}
#: Channels of the input.
CHANNELS = sum(GROUPS.values())
_SRTM = list(GROUPS).index("SRTM")


def group_slices() -> list[slice]:
    """Return the channels of each group, in order."""
    edges = [0]
    for size in GROUPS.values():
        edges.append(edges[-1] + size)
    return [slice(*pair) for pair in pairwise(edges)]


def build(tensors: Mapping[str, Any]) -> Module:
    """Return the encoder's tensors as a module.

    Parameters
    ----------
    tensors : mapping of str to array
        The published state dict; the decoder's tensors and Dynamic World's are left out.
    """
    torch = require("torch", purpose="run Presto")
    own = {name.removeprefix("encoder."): value for name, value in tensors.items()
           if name.startswith("encoder.")}  # fmt: skip
    keep = {name: torch.as_tensor(value) for name, value in own.items()
            if not name.startswith(("eo_patch_embed", "dw_embed"))}  # fmt: skip
    weight = torch.zeros(len(GROUPS) * DIM, CHANNELS)
    for at, (group, part) in enumerate(zip(GROUPS, group_slices(), strict=True)):
        weight[at * DIM : (at + 1) * DIM, part] = torch.as_tensor(
            own[f"eo_patch_embed.{group}.weight"]
        )
    bias = [torch.as_tensor(own[f"eo_patch_embed.{group}.bias"]) for group in GROUPS]
    return tree({**keep, "project.weight": weight, "project.bias": torch.cat(bias)})


def codes(w: Tensors, months: Tensor) -> Tensor:
    """Return what is added to the tokens of each month and group.

    Parameters
    ----------
    w : mapping of str to tensor
    months : tensor of int, shape (M,)
        Calendar months, 0 for January.

    Returns
    -------
    tensor, shape (M, group, 128)
        Month, channel group and place in the series. Terrain has the group's part alone.
    """
    torch = require("torch", purpose="run Presto")
    steps, groups = len(months), len(GROUPS)
    channel = w["channel_embed.weight"][:groups].expand(steps, -1, -1)
    month = w["month_embed.weight"][months][:, None].repeat(1, groups, 1)
    place = w["pos_embed"][0, :steps, None].repeat(1, groups, 1)
    month[:, _SRTM] = 0
    place[:, _SRTM] = 0
    out: Tensor = torch.cat([month, channel, place], dim=-1)
    return out


def cartesian(latlon: Tensor) -> Tensor:
    """Return points on the unit sphere, ``(..., 3)``, from degrees ``(..., 2)``."""
    torch = require("torch", purpose="run Presto")
    lat, lon = torch.deg2rad(latlon).unbind(-1)
    parts = [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    out: Tensor = torch.stack(parts, dim=-1)
    return out


def encode(w: Tensors, x: Tensor, keep: Tensor, code: Tensor, latlon: Tensor) -> Tensor:
    """Return the vectors of pixels that have the same number of tokens.

    A token that is not kept is dropped, so the others never see it, and the vector is the mean
    over the tokens that are left, the one of the place included.

    Parameters
    ----------
    w : mapping of str to tensor
    x : tensor, shape (pixel, M, 17)
        Normalised values, free of NaN.
    keep : tensor of bool, shape (pixel, M, group)
        The same number of True for every pixel; terrain at most in the first month.
    code : tensor, shape (M, group, 128)
        From `codes`.
    latlon : tensor, shape (pixel, 2)
        Degrees.

    Returns
    -------
    tensor, shape (pixel, 128)
    """
    torch = require("torch", purpose="run Presto")
    tokens = linear(x, w, "project").view(*keep.shape, DIM) + code
    kept = tokens[keep].view(len(x), -1, DIM)
    place = linear(cartesian(latlon), w, "latlon_embed")[:, None]
    out = torch.cat([place, kept], dim=1)
    depth = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("blocks."))
    for at in range(depth - 1):
        out = block(out, w, f"blocks.{at}", HEADS)
    return layer_norm(block_mean(out, w, f"blocks.{depth - 1}", HEADS), w, "norm")
