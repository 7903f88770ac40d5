"""Presto: the published outputs, and what must hold for any series."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from xeo import weights
from xeo.errors import ModelError
from xeo.models import torch_runtime
from xeo.models.embedders.presto import Presto, kept_tokens
from xeo.models.networks import presto as network
from xeo.spec import Batch, Embedder

OFFICIAL = Path(__file__).parent / "data" / "presto_official.npz"
CPU = torch.device("cpu")


def months_from(first, count):
    return np.datetime64("2018-01", "M") + first + np.arange(count)


def random_tensors(steps=24):
    rng = np.random.default_rng(3)
    shapes = {f"eo_patch_embed.{name}.weight": (128, size) for name, size in network.GROUPS.items()}
    shapes |= {f"eo_patch_embed.{name}.bias": (128,) for name in network.GROUPS}
    shapes |= {"channel_embed.weight": (10, 32), "month_embed.weight": (12, 32)}
    shapes |= {"pos_embed": (1, steps, 64), "norm.weight": (128,), "norm.bias": (128,)}
    shapes |= {"latlon_embed.weight": (128, 3), "latlon_embed.bias": (128,)}
    for part, wide, narrow in (("qkv", 384, 128), ("proj", 128, 128)):
        shapes |= {
            f"blocks.0.attn.{part}.weight": (wide, narrow),
            f"blocks.0.attn.{part}.bias": (wide,),
        }
    for part, wide, narrow in (("fc1", 512, 128), ("fc2", 128, 512)):
        shapes |= {
            f"blocks.0.mlp.{part}.weight": (wide, narrow),
            f"blocks.0.mlp.{part}.bias": (wide,),
        }
    for part in ("norm1", "norm2"):
        shapes |= {f"blocks.0.{part}.weight": (128,), f"blocks.0.{part}.bias": (128,)}
    return {f"encoder.{k}": rng.normal(0, 0.3, v).astype("f4") for k, v in shapes.items()}


@pytest.fixture
def small(monkeypatch):
    """Presto with random weights of one block."""
    monkeypatch.setattr(torch_runtime, "_MODULES", {})
    monkeypatch.setattr(weights, "load", lambda name: random_tensors())
    return Presto()


def make(seed=0, dates=9, side=4, samples=1, **without):
    rng = np.random.default_rng(seed)
    time = np.datetime64("2020-01-10", "ns") + np.arange(dates) * np.timedelta64(17, "D")
    sizes = {"sentinel2": (10, side), "sentinel1": (2, side), "weather": (2, 1)}
    arrays = {
        name: rng.uniform(0.05, 0.6, (samples, dates, bands, wide, wide)).astype("f4")
        for name, (bands, wide) in sizes.items()
    }
    arrays["terrain"] = rng.uniform(0, 500, (samples, 1, 2, side, side)).astype("f4")
    arrays = {name: value for name, value in arrays.items() if not without.get(name)}
    latlon = rng.uniform(40, 50, (samples, 2, side, side))
    mask = {name: rng.random(value.shape) < 0.1 for name, value in arrays.items()}
    dated = {name: time for name in arrays if name != "terrain"}
    return Batch(arrays, time=dated, mask=mask, latlon=latlon)


def change(batch, **parts):
    fields = ("arrays", "time", "mask", "latlon")
    return Batch(**{name: getattr(batch, name) for name in fields} | parts)


def test_golden_of_the_original(weights_dir):
    golden = np.load(weights_dir / "golden" / "presto_golden.npz")
    x = np.where(golden["mask"] > 0, np.nan, golden["x"]).astype("f4")
    first = int(golden["month0"])
    got = Presto()._vectors(x, golden["latlons"], months_from(first, 12), CPU)
    np.testing.assert_allclose(got, golden["embedding"], atol=1e-5)
    got = Presto()._vectors(x[:, :7], golden["latlons"], months_from(first, 7), CPU)
    np.testing.assert_allclose(got, golden["embedding_first7"], atol=1e-5)


@pytest.mark.parametrize("case", range(8))
def test_parity_with_the_original_on_random_masks(weights_dir, case):
    """Recorded from the published code: random values, masks, months and places."""
    official = {
        name: value for name, value in np.load(OFFICIAL).items() if name.endswith(str(case))
    }
    x, latlon = official[f"x{case}"][None], official[f"latlon{case}"][None]
    months = months_from(int(official[f"month{case}"]), x.shape[1])
    got = Presto(months=24)._vectors(x, latlon, months, CPU)
    np.testing.assert_allclose(got[0], official[f"embedding{case}"], atol=1e-5)


def test_golden_from_the_real_cube(weights_dir, data_dir):
    """From dates, clouds and units of the files to the published vectors."""
    xr, zarr = pytest.importorskip("xarray"), pytest.importorskip("zarr")
    golden = np.load(weights_dir / "golden" / "presto_golden.npz")
    rows, columns = golden["pixels"].T
    with zarr.storage.ZipStore(data_dir / "flanders_b_s2.zarr.zip", mode="r") as store:
        optical = xr.open_zarr(store, chunks=None).load()
    bands = golden["channels"][2:12].tolist()
    pick = np.stack([optical[name].values[:, rows, columns] for name in bands], axis=1)
    clouds = ~np.isin(optical.SCL.values[:, rows, columns], (4, 5, 6, 7))
    file = data_dir / "flanders_b_s1.nc"
    with xr.open_dataset(file, engine="h5netcdf", mask_and_scale=False) as radar:
        raw = np.stack([radar[name].values[:, rows // 2, columns // 2] for name in ("VV", "VH")], 1)
        times = {"sentinel2": optical.time.values, "sentinel1": radar.time.values}
    batch = Batch(
        {
            "sentinel2": (pick / 1e4).astype("f4")[None, ..., None],
            "sentinel1": raw[None, ..., None] / 1e4,
        },
        time=times,
        mask={
            "sentinel2": np.broadcast_to(clouds[:, None, :, None], (len(clouds), 10, 16, 1))[None],
            "sentinel1": (raw == 0)[None, ..., None],
        },
        latlon=golden["latlons"].T[None, ..., None],
    )
    got = Presto(start="2018-11")(batch)[0, :, :, 0].T
    # Two pixels have a month without a clear date, which the golden file fills.
    stamps = times["sentinel2"].astype("M8[M]")
    clear = [(~clouds[stamps == month]).any(axis=0) for month in months_from(10, 12)]
    whole = np.all(clear, axis=0)
    assert whole.sum() == 14
    np.testing.assert_allclose(got[whole], golden["embedding"][whole], atol=1e-5)


def test_worldcereal_weights_run(weights_dir):
    out = Presto(weights="presto_worldcereal_finetuned", months=36)(make(dates=40))
    assert np.isfinite(out).all()
    assert out.std() > 0.1


def test_spec_and_call_agree(small):
    batch = make(samples=2)
    before = pickle.dumps(batch)
    out = small(batch)
    assert isinstance(small, Embedder)
    assert out.shape == (2, small.spec.channels, 4, 4)
    assert out.dtype == small.spec.dtype
    assert pickle.dumps(batch) == before
    assert small.spec.time == "series"
    assert set(small.spec.needs) == {"time", "latlon", "mask"}


def test_settings_pickle_small_and_hash(small):
    assert len(pickle.dumps(small)) < 1000
    assert pickle.loads(pickle.dumps(small)) == small
    assert hash(small) == hash(Presto())


def test_weights_are_read_at_the_first_call_only(monkeypatch):
    reads = []
    monkeypatch.setattr(torch_runtime, "_MODULES", {})
    monkeypatch.setattr(weights, "load", lambda name: reads.append(name) or random_tensors())
    model = Presto()
    assert model.spec.weights == "presto_default"
    assert not reads
    model(make())
    Presto(months=3)(make())
    assert reads == ["presto_default"]


def test_total_parameters_are_those_of_the_encoder(weights_dir):
    for name in ("presto_default", "presto_worldcereal_finetuned"):
        sizes = [v.size for k, v in weights.load(name).items() if k.startswith("encoder")]
        assert Presto(weights=name).spec.total_parameters == sum(sizes)


def test_permuted_pixels_give_permuted_vectors(small):
    batch = make()
    order = np.random.default_rng(1).permutation(16)

    def shuffle(a):
        return a if a.shape[-1] == 1 else a.reshape(*a.shape[:-2], 16)[..., order].reshape(a.shape)

    arrays = {name: shuffle(value) for name, value in batch.arrays.items()}
    mask = {name: shuffle(value) for name, value in batch.mask.items()}
    mixed = change(batch, arrays=arrays, mask=mask, latlon=shuffle(batch.latlon))
    np.testing.assert_allclose(small(mixed), shuffle(small(batch)), atol=1e-5)


def test_a_window_of_pixels_is_the_same_alone(small):
    batch = make()
    cut = lambda a: a if a.shape[-1] == 1 else a[..., 1:3, 2:4]  # noqa: E731
    arrays = {name: cut(value) for name, value in batch.arrays.items()}
    mask = {name: cut(value) for name, value in batch.mask.items()}
    part = small(change(batch, arrays=arrays, mask=mask, latlon=cut(batch.latlon)))
    np.testing.assert_allclose(part, small(batch)[..., 1:3, 2:4], atol=1e-5)


def test_tiles_do_not_show(small, monkeypatch):
    whole = small(make(samples=2))
    monkeypatch.setattr("xeo.models.embedders.presto.TILE", 8)
    monkeypatch.setattr("xeo.models.embedders.presto.TOKENS", {"cpu": 64, "other": 64})
    np.testing.assert_allclose(small(make(samples=2)), whole, atol=1e-5)


def test_a_bad_pixel_is_nan_and_touches_no_other(small):
    batch = make()
    mask = {name: value.copy() for name, value in batch.mask.items()}
    for name in ("sentinel2", "sentinel1"):
        mask[name][..., 2, 1] = True
    out, whole = small(change(batch, mask=mask)), small(batch)
    assert np.isnan(out[..., 2, 1]).all()
    others = np.ones((4, 4), bool)
    others[2, 1] = False
    np.testing.assert_allclose(out[..., others], whole[..., others], atol=1e-5)


def test_nan_is_the_same_as_masked(small):
    batch = make()
    holes = {k: np.where(batch.mask[k], np.nan, v).astype("f4") for k, v in batch.arrays.items()}
    wild = {k: np.where(batch.mask[k], 1e9, v).astype("f4") for k, v in batch.arrays.items()}
    expected = small(change(batch, arrays=holes, mask={}))
    np.testing.assert_array_equal(small(change(batch, arrays=wild)), expected)


@pytest.mark.parametrize("gone", ["sentinel1", "weather", "terrain"])
def test_absent_is_the_same_as_all_masked(small, gone):
    batch = make()
    masked = change(batch, mask={**batch.mask, gone: np.ones_like(batch.mask[gone])})
    absent = change(batch, arrays={k: v for k, v in batch.arrays.items() if k != gone})
    np.testing.assert_array_equal(small(absent), small(masked))
    assert not np.allclose(small(absent), small(batch), atol=1e-3)


def test_radar_alone_gives_a_vector(small):
    batch = make()
    mask = {**batch.mask, "sentinel2": np.ones_like(batch.mask["sentinel2"])}
    assert np.isfinite(small(change(batch, mask=mask))).all()


def test_order_of_dates_does_not_matter(small):
    batch = make()
    order = np.random.default_rng(2).permutation(9)
    dated = [name for name in batch if name != "terrain"]
    mixed = change(
        batch,
        arrays=dict(batch.arrays) | {name: batch[name][:, order] for name in dated},
        mask=dict(batch.mask) | {name: batch.mask[name][:, order] for name in dated},
        time={name: batch.time[name][order] for name in dated},
    )
    np.testing.assert_allclose(small(mixed), small(batch), atol=1e-5)


def test_one_date_is_enough(small):
    assert np.isfinite(small(make(dates=1, sentinel1=True, weather=True))).any()


def test_the_last_months_are_read(small):
    batch = make(dates=40)
    last = change(
        batch,
        arrays=dict(batch.arrays) | {"sentinel2": batch["sentinel2"][:, 20:]},
        mask=dict(batch.mask) | {"sentinel2": batch.mask["sentinel2"][:, 20:]},
        time=dict(batch.time) | {"sentinel2": batch.time["sentinel2"][20:]},
    )
    model = Presto(months=8)
    np.testing.assert_array_equal(model(last), model(batch))
    first = str(batch.time["sentinel2"][-1].astype("M8[M]") - 7)
    np.testing.assert_array_equal(Presto(months=8, start=first)(batch), model(batch))


def test_month_and_place_matter(small):
    batch = make()
    later = {name: dates + np.timedelta64(92, "D") for name, dates in batch.time.items()}
    assert not np.allclose(small(change(batch, time=later)), small(batch), atol=1e-3)
    away = change(batch, latlon=batch.latlon - 60)
    assert not np.allclose(small(away), small(batch), atol=1e-3)


def test_a_pixel_without_place_is_nan(small):
    batch = make()
    latlon = batch.latlon.copy()
    latlon[0, 1, 0, 3] = np.nan
    bad = np.isnan(small(change(batch, latlon=latlon))).all(axis=1)[0]
    assert bad[0, 3]
    assert bad.sum() == 1


def test_nothing_but_nodata_gives_nan(small):
    batch = make(dates=2)
    mask = {name: np.ones_like(value) for name, value in batch.mask.items()}
    assert np.isnan(small(change(batch, mask=mask))).all()


def test_torch_in_torch_out(small):
    batch = make()
    arrays = {name: torch.from_numpy(value) for name, value in batch.arrays.items()}
    out = small(change(batch, arrays=arrays))
    assert isinstance(out, torch.Tensor)
    np.testing.assert_array_equal(out.numpy(), small(batch))


def test_a_token_needs_all_its_channels():
    x = np.zeros((1, 3, 17), "f4")
    x[0, 1, 3] = np.nan
    x[0, 0, 14] = np.nan
    keep = kept_tokens(x)[0]
    names = list(network.GROUPS)
    assert not keep[1, names.index("S2_RGB")]
    assert not keep[:, names.index("SRTM")].any()
    assert keep.sum() == 3 * 8 - 1


def test_errors_say_what_to_do(small):
    with pytest.raises(ModelError, match=r"expected months from 1 to 24, got 30"):
        Presto(months=30)
    with pytest.raises(ModelError, match=r"expected start as 'YYYY-MM'"):
        Presto(start="November 2018")
    with pytest.raises(ModelError, match=r"expected weights as one of .*presto_default"):
        Presto(weights="large")
    with pytest.raises(ModelError, match="months from 1999-01"):
        Presto(start="1999-01")(make())
    with pytest.raises(ModelError, match="expected latlon"):
        small(change(make(), latlon=None))
    with pytest.raises(ModelError, match="expected a batch with 'sentinel2'"):
        small(make(sentinel2=True))
