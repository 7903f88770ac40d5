"""The transformer block of the networks here, and named tensors kept as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xeo.lazy import require

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

#: Dotted name to tensor.
Tensors = Mapping[str, "Tensor"]


def tree(tensors: Mapping[str, Any]) -> Module:
    """Return a module whose parameters have these dotted names.

    It has no forward pass: it carries the tensors to a device, and ``named_parameters`` gives
    them back by name.

    Parameters
    ----------
    tensors : mapping of str to array or tensor
        Dotted names, as in a state dict.
    """
    torch = require("torch", purpose="run this model")
    root: Module = torch.nn.Module()
    for name, value in tensors.items():
        *path, leaf = name.split(".")
        node = root
        for part in path:
            if part not in node._modules:
                node.add_module(part, torch.nn.Module())
            node = node.get_submodule(part)
        tensor = torch.as_tensor(value)
        node.register_parameter(leaf, torch.nn.Parameter(tensor, requires_grad=False))
    return root


def layer_norm(x: Tensor, w: Tensors, name: str) -> Tensor:
    """Normalise the last axis, then scale and shift it."""
    F = require("torch.nn.functional", purpose="run this model")
    out: Tensor = F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])
    return out


def linear(x: Tensor, w: Tensors, name: str) -> Tensor:
    """Apply an affine map to the last axis."""
    F = require("torch.nn.functional", purpose="run this model")
    out: Tensor = F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])
    return out


def attention(x: Tensor, w: Tensors, name: str, heads: int) -> Tensor:
    """Let every token look at all tokens of its sequence.

    Parameters
    ----------
    x : tensor, shape (sequence, token, dim)
    w : mapping of str to tensor
        Has ``{name}.qkv`` and ``{name}.proj``.
    name : str
        Prefix of the parameters.
    heads : int
        Number of heads; divides ``dim``.
    """
    F = require("torch.nn.functional", purpose="run this model")
    count, length, dim = x.shape
    qkv = linear(x, w, f"{name}.qkv").view(count, length, 3, heads, dim // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v)
    return linear(out.transpose(1, 2).reshape(count, length, dim), w, f"{name}.proj")


def _hidden(x: Tensor, w: Tensors, name: str) -> Tensor:
    F = require("torch.nn.functional", purpose="run this model")
    out: Tensor = F.gelu(linear(layer_norm(x, w, f"{name}.norm2"), w, f"{name}.mlp.fc1"))
    return out


def block(x: Tensor, w: Tensors, name: str, heads: int) -> Tensor:
    """Apply one pre-norm transformer block (Dosovitskiy et al. 2021, arXiv:2010.11929).

    Parameters
    ----------
    x : tensor, shape (sequence, token, dim)
    w : mapping of str to tensor
        Has ``norm1``, ``attn``, ``norm2`` and ``mlp`` under the prefix.
    name : str
        Prefix of the parameters.
    heads : int
        Number of attention heads.
    """
    x = x + attention(layer_norm(x, w, f"{name}.norm1"), w, f"{name}.attn", heads)
    return x + linear(_hidden(x, w, name), w, f"{name}.mlp.fc2")


def block_mean(x: Tensor, w: Tensors, name: str, heads: int) -> Tensor:
    """Return the mean over tokens of `block`, shape (sequence, dim).

    The last map of the block is linear, so it is applied to the mean: a sixth less work.
    """
    x = x + attention(layer_norm(x, w, f"{name}.norm1"), w, f"{name}.attn", heads)
    return x.mean(dim=1) + linear(_hidden(x, w, name).mean(dim=1), w, f"{name}.mlp.fc2")
