"""The encoder of Galileo, as functions of its published tensors.

Of its modalities these are run: Sentinel-1, Sentinel-2 and NDVI (space and time), SRTM
(space), ERA5 (time) and the location (static). The others have no token, as where they are
masked.

References
----------
.. [1] Tseng, G., Fuller, A., Reil, M., Herzog, H., Beukema, P., Bastani, F., Green, J. R.,
   Shelhamer, E., Kerner, H., Rolnick, D. (2025). Galileo: learning global and local features in
   pretrained remote sensing models. arXiv:2502.09356
.. [2] Beyer, L. et al. (2023). FlexiViT: one model for all patch sizes. arXiv:2212.08013
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from xeo.kernels.tokens import equal_batches
from xeo.lazy import require
from xeo.models.networks.transformer import Tensors, block, layer_norm, linear, tree

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

#: Length of a token, and of each of the four parts of its code.
DIM, PART = 128, 32
#: Attention heads and blocks.
HEADS, DEPTH = 8, 4
#: Patch size of the published kernels.
PATCH = 8
#: Groups of the channels in space and time, in the order of the input's channels.
GROUPS = {
    "S1": 2,
    "S2_RGB": 3,
    "S2_Red_Edge": 3,
    "S2_NIR_10m": 1,
    "S2_NIR_20m": 1,
    "S2_SWIR": 2,
    "NDVI": 1,
}
#: Channels in space and time.
CHANNELS = sum(GROUPS.values())
#: Pixel size, in metres, for which positions in space count patches of one pixel.
BASE_GSD = 10.0
#: Rows of the channel codes: SRTM is the first of space, ERA5 of time, location the second of
#: the static groups.
_SRTM, _ERA5, _LOCATION = 0, 0, 1


class Window(NamedTuple):
    """Normalised input of several windows, free of NaN, and which tokens it has.

    ``series`` is ``(window, M, 13, y, x)``, ``terrain`` ``(window, 2, y, x)``, ``weather``
    ``(window, M, 2)``, ``place`` ``(window, 3)``; the ``keep_*`` are ``(window, h, w, M, 7)``,
    ``(window, h, w)``, ``(window, M)``, ``(window,)``, True where there is a token.
    """

    series: Any
    terrain: Any
    weather: Any
    place: Any
    keep_series: Any
    keep_terrain: Any
    keep_weather: Any
    keep_place: Any


def build(tensors: Mapping[str, Any], patch: int) -> Module:
    """Return the encoder's tensors as a module, its kernels resized to a patch size.

    Parameters
    ----------
    tensors : mapping of str to array
        The published state dict.
    patch : int
        Side of a patch in pixels, 1 to 8.
    """
    torch = require("torch", purpose="run Galileo")
    own = {name: torch.as_tensor(value) for name, value in tensors.items()}
    shrink = _shrink(patch)
    for group in (*(f"space_time_embed.{name}" for name in GROUPS), "space_embed.SRTM"):
        kernel = own[f"{group}.proj.weight"].flatten(2)
        own[f"{group}.proj.weight"] = (kernel @ shrink.T).flatten(1)
    for at in range(DEPTH):
        for kind in ("weight", "bias"):
            parts = [own.pop(f"blocks.{at}.attn.{part}.{kind}") for part in "qkv"]
            own[f"blocks.{at}.attn.qkv.{kind}"] = torch.cat(parts)
    return tree(own)


def _shrink(patch: int) -> Tensor:
    """Return the matrix that resizes a flat kernel, after FlexiViT [2]_: ``(patch², 64)``."""
    torch = require("torch", purpose="run Galileo")
    eye: Tensor = torch.eye(PATCH**2)
    if patch == PATCH:
        return eye
    images = eye.view(-1, 1, PATCH, PATCH)
    resized = torch.nn.functional.interpolate(
        images, (patch, patch), mode="bicubic", antialias=True
    )
    out: Tensor = torch.linalg.pinv(resized.flatten(1))
    return out


def _patches(x: Tensor, patch: int) -> Tensor:
    """Cut ``(window, ..., channel, y, x)`` into ``(window, h, w, ..., channel, patch²)``."""
    *lead, ny, nx = x.shape
    cut = x.reshape(*lead, ny // patch, patch, nx // patch, patch).transpose(-3, -2)
    return cut.movedim((-4, -3), (1, 2)).flatten(-2)


def _waves(positions: Tensor, dim: int) -> Tensor:
    """Return sines, then cosines of positions, ``(..., dim)``.

    The exponents are a quarter of the usual ones: the published weights were trained so.
    """
    torch = require("torch", purpose="run Galileo")
    exponent = torch.arange(dim // 2, device=positions.device) / dim / 2
    angle = positions[..., None] * 10000.0**-exponent
    out: Tensor = torch.cat([angle.sin(), angle.cos()], dim=-1)
    return out


def _space(h: int, w: int, step: float, device: Any) -> Tensor:
    """Return codes of the places of patches, ``(h, w, 32)``: columns first, then rows."""
    torch = require("torch", purpose="run Galileo")
    row = _waves(torch.arange(h, device=device) * step, PART // 2)
    column = _waves(torch.arange(w, device=device) * step, PART // 2)
    pair = [column[None].expand(h, -1, -1), row[:, None].expand(-1, w, -1)]
    out: Tensor = torch.cat(pair, dim=-1)
    return out


def _code(shape: tuple[int, ...], parts: Mapping[int, Tensor]) -> Tensor:
    """Return codes ``(*shape, 128)`` from quarters, by place: channel, step, month, space."""
    first = next(iter(parts.values()))
    out = first.new_zeros(*shape, DIM)
    for at, part in parts.items():
        out[..., at * PART : (at + 1) * PART] = part
    return out


def _tokens(w: Tensors, x: Window, months: Tensor, step: float) -> Tensor:
    """Return all tokens before the first block, ``(window, token, 128)``.

    In the order of patches, months and groups in space and time; then patches of terrain;
    then months of weather; then the place.
    """
    torch = require("torch", purpose="run Galileo")
    rows, columns, steps, groups = x.keep_series.shape[1:]
    space = _space(rows, columns, step, months.device)
    month, turn = w["month_embed.weight"][months], w["pos_embed"][: len(months)]
    series = _code(
        (rows, columns, steps, groups),
        {0: w["s_t_channel_embed"], 1: turn[:, None], 2: month[:, None], 3: space[:, :, None, None]}
    )  # fmt: skip
    terrain = _code((rows, columns), {0: w["sp_channel_embed"][_SRTM], 3: space})
    weather = _code((steps,), {0: w["t_channel_embed"][_ERA5], 1: turn, 2: month})
    place = _code((1,), {0: w["st_channel_embed"][_LOCATION]})
    patch = x.series.shape[-1] // columns
    out = [
        (_series(w, x.series, patch) + series).flatten(1, 4),
        (_terrain(w, x.terrain, patch) + terrain).flatten(1, 2),
        linear(x.weather, w, "time_embed.ERA5") + weather,
        linear(x.place, w, "static_embed.location")[:, None] + place,
    ]
    joined: Tensor = torch.cat(out, dim=1)
    return joined


def _series(w: Tensors, x: Tensor, patch: int) -> Tensor:
    torch = require("torch", purpose="run Galileo")
    cut = _patches(x, patch)
    parts = zip(GROUPS, torch.split(cut, list(GROUPS.values()), dim=-2), strict=True)
    embedded = [linear(part.flatten(-2), w, f"space_time_embed.{name}.proj")
                for name, part in parts]  # fmt: skip
    out: Tensor = torch.stack(embedded, dim=-2)
    return out


def _terrain(w: Tensors, x: Tensor, patch: int) -> Tensor:
    return linear(_patches(x, patch).flatten(-2), w, "space_embed.SRTM.proj")


def kept(x: Window) -> Tensor:
    """Return which tokens there are, ``(window, token)``, in the order of `encode`."""
    torch = require("torch", purpose="run Galileo")
    flat = [x.keep_series, x.keep_terrain, x.keep_weather, x.keep_place[:, None]]
    out: Tensor = torch.cat([part.flatten(1) for part in flat], dim=1)
    return out


def encode(
    w: Tensors, x: Window, months: Tensor, *, gsd: float = BASE_GSD, budget: int = 2**14
) -> Tensor:
    """Return the tokens of windows after the last block, normalised.

    Each window attends to its own tokens alone; a token that is not there is dropped.

    Parameters
    ----------
    w : mapping of str to tensor
        From `build`, for the patch size of the windows.
    x : Window
    months : tensor of int, shape (M,)
        Calendar months, 0 for January.
    gsd : float
        Pixel size, in metres.
    budget : int
        Tokens to run at once; a window is never split.

    Returns
    -------
    tensor, shape (window, token, 128)
        Tokens of series ``(h, w, M, group)``, then terrain ``(h, w)``, then weather ``(M,)``,
        then place; 0 where there is no token.
    """
    patch = x.series.shape[-1] // x.keep_series.shape[2]
    tokens = _tokens(w, x, months, gsd * patch / BASE_GSD)
    keep = kept(x)
    out = tokens.new_zeros(tokens.shape)
    for at in equal_batches(keep.sum(dim=1).cpu().numpy(), budget):
        inside = keep[at]
        some = tokens[at][inside].view(len(at), -1, DIM)
        for layer in range(DEPTH):
            some = block(some, w, f"blocks.{layer}", HEADS)
        group = out[at]
        group[inside] = layer_norm(some, w, "norm").flatten(0, 1)
        out[at] = group
    return out


def pool(tokens: Tensor, x: Window) -> Tensor:
    """Return the mean of each patch's tokens, those of weather and place among them.

    Parameters
    ----------
    tokens : tensor, shape (window, token, 128)
        From `encode`.
    x : Window
        The same as there.

    Returns
    -------
    tensor, shape (window, h, w, 128)
        NaN where a patch has no token in space and time.
    """
    torch = require("torch", purpose="run Galileo")
    count, rows, columns, steps, groups = x.keep_series.shape
    keep = kept(x)
    sizes = [rows * columns * steps * groups, rows * columns, steps + 1]
    series, terrain, shared = torch.split(tokens, sizes, dim=1)
    total = series.reshape(count, rows * columns, -1, DIM).sum(dim=2) + terrain
    number = x.keep_series.flatten(3).sum(dim=-1).flatten(1)
    seen = number > 0
    number = number + x.keep_terrain.flatten(1) + keep[:, -(steps + 1) :].sum(dim=1)[:, None]
    mean = (total + shared.sum(dim=1)[:, None]) / number.clamp(min=1)[..., None]
    out: Tensor = mean.masked_fill(~seen[..., None], float("nan"))
    return out.view(count, rows, columns, DIM)
