"""The transformer block against torch's own."""

from __future__ import annotations

import torch

from xeo.models.networks.transformer import block, block_mean, tree


def layer(dim=32, heads=4):
    torch.manual_seed(1)
    return torch.nn.TransformerEncoderLayer(
        dim, heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True
    ).eval()


def renamed(reference):
    names = {
        "norm1.": "norm1.",
        "norm2.": "norm2.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
        "self_attn.in_proj_": "attn.qkv.",
        "self_attn.out_proj.": "attn.proj.",
    }
    out = {}
    for name, value in reference.state_dict().items():
        old = next(part for part in names if name.startswith(part))
        out[f"blocks.0.{names[old]}{name.removeprefix(old)}"] = value
    return out


def test_block_is_that_of_torch():
    reference, x = layer(), torch.randn(3, 7, 32)
    with torch.inference_mode():
        expected = reference(x)
        got = block(x, renamed(reference), "blocks.0", 4)
        mean = block_mean(x, renamed(reference), "blocks.0", 4)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mean, expected.mean(dim=1), atol=1e-5, rtol=1e-5)


def test_tree_keeps_names_and_values():
    tensors = {"a.b.weight": torch.ones(2), "a.c": torch.zeros(3, 1), "d": torch.full((1,), 5.0)}
    found = dict(tree(tensors).named_parameters())
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert not any(value.requires_grad for value in found.values())
