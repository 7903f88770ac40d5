"""Galileo-nano: the published outputs, and what must hold for any window."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from xeo import weights
from xeo.errors import ModelError
from xeo.models import torch_runtime
from xeo.models.embedders.galileo import GalileoNano
from xeo.models.networks import galileo as network
from xeo.spec import Batch, Embedder

OFFICIAL = Path(__file__).parent / "data" / "galileo_official.npz"
CPU = torch.device("cpu")


def random_tensors():
    rng = np.random.default_rng(3)
    shapes = {
        f"space_time_embed.{k}.proj.weight": (128, n, 8, 8) for k, n in network.GROUPS.items()
    }
    shapes |= {f"space_time_embed.{k}.proj.bias": (128,) for k in network.GROUPS}
    shapes |= {"space_embed.SRTM.proj.weight": (128, 2, 8, 8), "space_embed.SRTM.proj.bias": (128,)}
    for name, size in (("time_embed.ERA5", 2), ("static_embed.location", 3)):
        shapes |= {f"{name}.weight": (128, size), f"{name}.bias": (128,)}
    shapes |= {"s_t_channel_embed": (7, 32), "sp_channel_embed": (3, 32)}
    shapes |= {"t_channel_embed": (3, 32), "st_channel_embed": (4, 32)}
    shapes |= {"month_embed.weight": (12, 32), "pos_embed": (24, 32)}
    shapes |= {"norm.weight": (128,), "norm.bias": (128,)}
    for at in range(network.DEPTH):
        for part in "qkv":
            shapes[f"blocks.{at}.attn.{part}.weight"] = (128, 128)
            shapes[f"blocks.{at}.attn.{part}.bias"] = (128,)
        for part, wide, narrow in (
            ("attn.proj", 128, 128),
            ("mlp.fc1", 512, 128),
            ("mlp.fc2", 128, 512),
        ):
            shapes[f"blocks.{at}.{part}.weight"] = (wide, narrow)
            shapes[f"blocks.{at}.{part}.bias"] = (wide,)
        for part in ("norm1", "norm2"):
            shapes |= {f"blocks.{at}.{part}.weight": (128,), f"blocks.{at}.{part}.bias": (128,)}
    return {name: rng.normal(0, 0.1, shape).astype("f4") for name, shape in shapes.items()}


@pytest.fixture
def small(monkeypatch):
    """Galileo with random weights and windows of two patches of 2 pixels."""
    monkeypatch.setattr(torch_runtime, "_MODULES", {})
    monkeypatch.setattr(weights, "load", lambda name: random_tensors())
    return GalileoNano(patch_size=2, window=4, months=3)


def make(seed=0, dates=5, side=4, samples=1):
    rng = np.random.default_rng(seed)
    time = np.datetime64("2020-01-10", "ns") + np.arange(dates) * np.timedelta64(17, "D")
    arrays = {
        "sentinel2": rng.uniform(300, 4000, (samples, dates, 10, side, side)),
        "sentinel1": rng.uniform(-20, -5, (samples, dates, 2, side, side)),
        "weather": rng.uniform((270, 0), (300, 0.1), (samples, dates, 1, 1, 2)).swapaxes(2, 4),
        "terrain": rng.uniform(0, 500, (samples, 1, 2, side, side)),
    }
    arrays = {name: value.astype("f4") for name, value in arrays.items()}
    dated = {name: time for name in arrays if name != "terrain"}
    latlon = rng.uniform(40, 41, (samples, 2, side, side))
    mask = {name: np.zeros(value.shape, bool) for name, value in arrays.items()}
    return Batch(arrays, time=dated, mask=mask, latlon=latlon, gsd={"sentinel2": 10.0})


def change(batch, **parts):
    fields = ("arrays", "time", "mask", "latlon", "gsd")
    return Batch(**{name: getattr(batch, name) for name in fields} | parts)


def modules(patch):
    return dict(network.build(weights.load("galileo_nano_encoder"), patch).named_parameters())


def test_golden_of_the_original(weights_dir):
    """From decibels and DN of four months to the published tokens and their mean."""
    golden = np.load(weights_dir / "golden" / "galileo_nano_golden.npz")
    raw = golden["raw"].transpose(0, 3, 4, 1, 2)
    model = GalileoNano(window=16, location=False)
    window = model._windows({"sentinel1": raw[:, :, :2], "sentinel2": raw[:, :, 2:12]}, None)
    expected = golden["s_t_x"].transpose(0, 3, 4, 1, 2)
    np.testing.assert_allclose(window.series, expected, atol=1e-5)
    tensors = network.Window(*map(torch.from_numpy, window))
    months = torch.from_numpy(golden["months"][0])
    tokens = network.encode(modules(8), tensors, months)
    series = tokens[:, : golden["s_t_tokens"][..., 0].size].reshape(golden["s_t_tokens"].shape)
    np.testing.assert_allclose(series, golden["s_t_tokens"], atol=1e-5)
    dates = np.datetime64("2018-01", "M") + golden["months"][0]
    pooled = model._vectors(window, dates, 10.0, CPU)
    np.testing.assert_allclose(pooled.mean(dim=(1, 2)), golden["pooled"], atol=1e-5)


@pytest.mark.parametrize("case", range(5))
def test_parity_with_the_original_on_random_masks(weights_dir, case):
    """Recorded from the published code: patch sizes, pixel sizes, masks, months, modalities."""
    stored = np.load(OFFICIAL)
    window = network.Window(
        *(torch.from_numpy(stored[f"{k}{case}"]) for k in network.Window._fields)
    )
    patch = window.series.shape[-1] // window.keep_series.shape[2]
    w, months = modules(patch), torch.from_numpy(stored[f"months{case}"])
    tokens = network.encode(w, window, months, gsd=float(stored[f"gsd{case}"]))
    pooled = network.pool(tokens, window)
    np.testing.assert_allclose(pooled, stored[f"pooled{case}"], atol=1e-5)


def test_total_parameters_are_those_of_the_file(weights_dir):
    tensors = weights.load("galileo_nano_encoder")
    assert GalileoNano().spec.total_parameters == sum(value.size for value in tensors.values())


@pytest.mark.parametrize("patch", [1, 3, 8])
def test_spec_follows_the_settings(patch):
    spec = GalileoNano(patch_size=patch).spec
    assert (spec.window, spec.stride, spec.halo) == (4 * patch, patch, 0)
    assert "latlon" not in GalileoNano(location=False).spec.needs
    assert GalileoNano(window=64).spec.window == 64


def test_spec_and_call_agree(small):
    batch = make(samples=3)
    before = pickle.dumps(batch)
    out = small(batch)
    assert isinstance(small, Embedder)
    assert out.shape == (3, small.spec.channels, 2, 2)
    assert out.dtype == small.spec.dtype
    assert pickle.dumps(batch) == before
    assert np.isfinite(out).all()


def test_settings_pickle_small_and_hash(small):
    assert len(pickle.dumps(small)) < 1000
    assert pickle.loads(pickle.dumps(small)) == small
    assert hash(GalileoNano()) == hash(GalileoNano())


def test_weights_are_read_at_the_first_call_only(monkeypatch):
    reads = []
    monkeypatch.setattr(torch_runtime, "_MODULES", {})
    monkeypatch.setattr(weights, "load", lambda name: reads.append(name) or random_tensors())
    model = GalileoNano(patch_size=2, months=2)
    assert model.spec.weights == "galileo_nano_encoder"
    assert not reads
    model(make())
    GalileoNano(patch_size=2, months=1)(make())
    assert reads == ["galileo_nano_encoder"]


def test_windows_know_nothing_of_each_other(small):
    """Clouds differ between the windows, so their token counts do."""
    batch = make(samples=4)
    rng = np.random.default_rng(5)
    mask = {name: rng.random(value.shape) < 0.4 for name, value in batch.arrays.items()}
    batch = change(batch, mask=mask)
    together = small(batch)
    for at in range(4):
        one = slice(at, at + 1)
        alone = change(
            batch,
            arrays={name: value[one] for name, value in batch.arrays.items()},
            mask={name: value[one] for name, value in mask.items()},
            latlon=batch.latlon[one],
        )
        np.testing.assert_allclose(small(alone), together[one], atol=1e-5)


def test_tiles_do_not_show(small, monkeypatch):
    whole = small(make(samples=3))
    monkeypatch.setattr("xeo.models.embedders.galileo.TILE", 16)
    np.testing.assert_allclose(small(make(samples=3)), whole, atol=1e-5)


def test_a_patch_without_observations_is_nan(small):
    batch = make()
    mask = {name: value.copy() for name, value in batch.mask.items()}
    for name in ("sentinel2", "sentinel1"):
        mask[name][..., :2, 2:] = True
    bad = np.isnan(small(change(batch, mask=mask)))
    assert bad[0, :, 0, 1].all()
    assert bad.sum() == 128


def test_bad_values_never_reach_the_network(small):
    batch = make()
    rng = np.random.default_rng(6)
    mask = {name: rng.random(value.shape) < 0.3 for name, value in batch.arrays.items()}
    wild = {k: np.where(mask[k], 1e9, v).astype("f4") for k, v in batch.arrays.items()}
    holes = {k: np.where(mask[k], np.nan, v).astype("f4") for k, v in batch.arrays.items()}
    expected = small(change(batch, arrays=holes, mask={}))
    np.testing.assert_array_equal(small(change(batch, arrays=wild, mask=mask)), expected)
    assert np.isfinite(expected).any()


def test_one_bad_pixel_leaves_the_patch_its_token():
    batch = make()
    mask = np.zeros_like(batch.mask["sentinel2"])
    mask[..., 0, 0] = True
    share = {"sentinel2": np.where(mask, np.nan, batch["sentinel2"])}
    lenient = GalileoNano(patch_size=2)._windows(share, None).keep_series[..., 1:]
    strict = GalileoNano(patch_size=2, min_clear=1.0)._windows(share, None).keep_series[..., 1:]
    assert lenient.all()
    assert not strict[:, 0, 0].any()
    assert strict[:, 1].all()


@pytest.mark.parametrize("gone", ["sentinel1", "weather", "terrain"])
def test_absent_is_the_same_as_all_masked(small, gone):
    batch = make()
    masked = change(batch, mask={**batch.mask, gone: np.ones_like(batch.mask[gone])})
    absent = change(batch, arrays={k: v for k, v in batch.arrays.items() if k != gone})
    np.testing.assert_array_equal(small(absent), small(masked))
    assert not np.allclose(small(absent), small(batch), atol=1e-4)


def test_order_of_dates_does_not_matter_and_one_is_enough(small):
    batch = make()
    order = np.random.default_rng(2).permutation(5)
    dated = [name for name in batch if name != "terrain"]
    mixed = change(
        batch,
        arrays=dict(batch.arrays) | {name: batch[name][:, order] for name in dated},
        time={name: batch.time[name][order] for name in dated},
    )
    np.testing.assert_allclose(small(mixed), small(batch), atol=1e-5)
    assert np.isfinite(small(make(dates=1))).all()


def test_place_and_pixel_size_matter(small):
    batch = make()
    assert not np.allclose(small(change(batch, latlon=batch.latlon - 70)), small(batch), atol=1e-4)
    coarse = small(change(batch, gsd={"sentinel2": 30.0}))
    assert not np.allclose(coarse, small(batch), atol=1e-4)
    blind = GalileoNano(patch_size=2, months=3, location=False)
    np.testing.assert_array_equal(blind(change(batch, latlon=None)), blind(batch))


def test_a_window_over_the_date_line_lies_there():
    latlon = np.array([[[[10.0, 10.0]], [[179.99, -179.99]]]])
    found = {"sentinel2": np.ones((1, 1, 10, 1, 2), "f4")}
    place = GalileoNano(patch_size=1)._windows(found, latlon).place
    east = np.cos(np.deg2rad(10)) * -1
    np.testing.assert_allclose(place[0], [east, 0, np.sin(np.deg2rad(10))], atol=1e-6)


@pytest.mark.parametrize("location", [True, False])
def test_nothing_but_nodata_gives_nan(small, location):
    batch = make(dates=2)
    mask = {name: np.ones_like(value) for name, value in batch.mask.items()}
    assert np.isnan(GalileoNano(patch_size=2, location=location)(change(batch, mask=mask))).all()


def test_torch_in_torch_out(small):
    batch = make()
    arrays = {name: torch.from_numpy(value) for name, value in batch.arrays.items()}
    out = small(change(batch, arrays=arrays))
    assert isinstance(out, torch.Tensor)
    np.testing.assert_array_equal(out.numpy(), small(batch))


def test_errors_say_what_to_do(small):
    with pytest.raises(ModelError, match="patch_size from 1 to 8 pixels, got 9"):
        GalileoNano(patch_size=9)
    with pytest.raises(ModelError, match="window as a multiple of 8 pixels, got 20"):
        GalileoNano(window=20)
    with pytest.raises(ModelError, match="min_clear above 0"):
        GalileoNano(min_clear=0)
    with pytest.raises(ModelError, match="months from 1 to 24, got 0"):
        GalileoNano(months=0)
    with pytest.raises(ModelError, match=r"multiples of 2 pixels, got \(3, 3\)"):
        small(make(side=3))
    with pytest.raises(ModelError, match="expected latlon"):
        small(change(make(), latlon=None))
    with pytest.raises(ModelError, match="months from 1999-01"):
        GalileoNano(patch_size=2, start="1999-01")(make())
