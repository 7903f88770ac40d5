"""The verb on real cubes with real weights, and what its results carry."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
import zarr

import xeo
from xeo.errors import BandError, MissingDependencyError, UnitsError, UnknownNameError, XeoWarning
from xeo.models.embedders.band_stats import BandStats


@pytest.fixture
def simulated():
    return xeo.simulate_cube(dates=3, size=48, chunks={"time": 1, "y": 16, "x": 16})


def open_zip(data_dir, name):
    return xr.open_zarr(zarr.storage.ZipStore(data_dir / f"{name}.zarr.zip", mode="r"))


@pytest.fixture
def bolzano(data_dir):
    return open_zip(data_dir, "s2_l2a_bolzano_202206")


@pytest.fixture
def flanders(data_dir, weights_dir, monkeypatch):
    monkeypatch.setenv("XEO_WEIGHTS", str(weights_dir))
    return open_zip(data_dir, "flanders_a_s2")


def tree_of(data_dir, place):
    """Sentinel-2, Sentinel-1 and weather, each on its own grid and dates."""
    nodes = {"sentinel2": open_zip(data_dir, f"{place}_s2")}
    for node, name in (("sentinel1", "s1"), ("weather", "agera5")):
        nodes[node] = xr.open_dataset(data_dir / f"{place}_{name}.nc", engine="h5netcdf", chunks={})
    return xr.DataTree.from_dict(nodes)


def test_the_default_needs_no_weights_and_stays_lazy(simulated, max_computes):
    with max_computes(0):
        made = simulated.eo.embed()
    assert made.dims == ("time", "embedding", "y", "x")
    assert made.attrs["xeo_model"] == "mosaiks"
    assert np.isfinite(made.compute()).mean() > 0.9


def test_dynamic_world_equals_its_golden_output(flanders, weights_dir):
    with np.load(weights_dir / "golden" / "dynamicworld_golden.npz") as file:
        golden = dict(file)
    names = [str(b) for b in golden["bands"]]
    values = golden["raw_dn"].transpose(2, 0, 1)[None]
    date = pd.Timestamp(str(golden["date"]))
    cube = flanders[names].sel(time=[date])
    # The golden input is the cube's date with its 20 m bands resampled another way.
    data = xr.Dataset(
        {n: (("time", "y", "x"), values[:, i]) for i, n in enumerate(names)},
        coords={name: cube[name] for name in ("time", "y", "x")},
    )
    made = data.eo.embed("dynamic_world", units="dn", sensor="sentinel2_l2a")
    expected = golden["embedding_every4"].transpose(2, 0, 1)
    np.testing.assert_allclose(made.values[0, :, ::4, ::4], expected, atol=1e-4)
    logits = golden["logits"].transpose(2, 0, 1)
    classes = data.eo.classify("dynamic_world", units="dn", sensor="sentinel2_l2a")
    np.testing.assert_array_equal(classes.values[0], logits.argmax(0))
    chunked = data.chunk(y=24, x=40).eo.embed(
        "dynamic_world", units="dn", sensor="sentinel2_l2a", chunk=16
    )
    np.testing.assert_allclose(chunked, made, atol=1e-5)


def test_presto_over_three_sensors(data_dir, weights_dir, monkeypatch, max_computes):
    monkeypatch.setenv("XEO_WEIGHTS", str(weights_dir))
    tree = tree_of(data_dir, "flanders_b")
    with max_computes(0):
        lazy = tree.eo.embed("presto", chunk=8)
    made = lazy.isel(y=slice(8, 16), x=slice(0, 16)).compute()
    assert made.shape == (128, 8, 16)
    assert np.isfinite(made).all()
    part = xr.DataTree.from_dict(
        {name: node.to_dataset().isel(y=slice(8, 16), x=slice(0, 16)) if name == "sentinel2"
         else node.to_dataset() for name, node in tree.children.items()}
    )  # fmt: skip
    np.testing.assert_allclose(part.eo.embed("presto"), made, atol=1e-4)
    alone = tree["sentinel2"].to_dataset().eo.embed("presto", chunk=8)
    alone = alone.isel(y=slice(8, 16), x=slice(0, 16))
    assert np.abs(alone - made).max() > 0.01


def test_galileo_gives_a_vector_a_patch(flanders):
    made = flanders.isel(y=slice(0, 33), x=slice(0, 32)).eo.embed("galileo_nano")
    assert made.shape == (128, 5, 4)
    assert float(made.y[0] - made.y[1]) == 80.0
    assert np.isfinite(made.isel(y=slice(0, 2))).all()


def test_results_survive_a_store(bolzano, tmp_path):
    made = bolzano.eo.embed(BandStats(8), dates=slice("2022-06-01", "2022-06-06"))
    made.to_zarr(tmp_path / "out.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "out.zarr", consolidated=False)["embeddings"]
    xr.testing.assert_identical(again.compute(), made.compute())
    assert again.attrs["xeo_model"] == "band_stats"
    assert json.loads(again.attrs["xeo_parameters"]) == {"stride": 8}
    assert again.rio.crs.to_epsg() == 32632


@pytest.mark.parametrize("south_up", [False, True])
def test_the_geotransform_is_that_of_the_output(bolzano, south_up):
    cube = bolzano[["B02", "B03"]].isel(time=0, y=slice(0, 50), x=slice(0, 41))
    cube = cube.isel(y=slice(None, None, -1)) if south_up else cube
    made = cube.eo.embed(BandStats(8))
    assert made.sizes == {"embedding": 4, "y": 7, "x": 6}
    written = [float(n) for n in made.spatial_ref.attrs["GeoTransform"].split()]
    upper, cell = written[3], written[5]
    np.testing.assert_allclose(made.y, upper + cell * (np.arange(7) + 0.5))
    np.testing.assert_allclose(made.x, written[0] + written[1] * (np.arange(6) + 0.5))
    assert abs(cell) == 80
    assert made.rio.crs.to_epsg() == 32632
    first = bolzano.B02.isel(time=0, y=slice(0, 8), x=slice(0, 8)).astype(float).mean() / 1e4
    corner = made.isel(embedding=0, x=0, y=-1 if south_up else 0)
    assert float(corner) == pytest.approx(float(first), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_small_types_keep_the_vectors(bolzano, dtype):
    cube = bolzano.isel(time=[0, 3], y=slice(0, 64), x=slice(0, 64))
    full = cube.eo.embed(BandStats()).compute()
    small = cube.eo.embed(BandStats(), dtype=dtype)
    assert small.dtype == dtype
    if dtype == "int8":
        unit = full / np.sqrt((full**2).sum("embedding"))
        got = xeo.dequantize(small)
        assert "quantization" not in got.attrs
        np.testing.assert_allclose(got, unit, atol=0.009)
    else:
        np.testing.assert_allclose(small, full, rtol=2e-3, atol=1e-6)


def test_int8_marks_missing_vectors(simulated):
    empty = simulated.isel(time=[0]).copy()
    for name in [n for n in empty.data_vars if str(n).startswith("B")]:
        empty[name] = empty[name].where(empty.x > empty.x[20], 0)
    codes = empty.eo.embed(BandStats(), dtype="int8").compute()
    assert (codes[..., :5] == -128).all()
    assert np.isnan(codes.eo.dequantize()[..., :5]).all()
    assert (codes[..., 6:] != -128).all()


def test_dequantize_wants_bytes(simulated):
    with pytest.raises(UnitsError, match="mask_and_scale=False"):
        xeo.dequantize(simulated.eo.embed(BandStats()))


def test_units_reach_the_model_whatever_the_storage(simulated):
    names = [n for n in simulated.data_vars if str(n).startswith("B")]
    stored = simulated[names].isel(time=[0]).load()
    expected = stored.eo.embed("mosaiks")
    reflectance = stored.astype("f4") / 1e4
    for name in names:
        reflectance[name].attrs = {"units": "reflectance"}
    np.testing.assert_allclose(reflectance.eo.embed("mosaiks"), expected, atol=1e-4)
    scaled = stored.copy()
    for name in names:
        scaled[name].attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": 0}
    decoded = xr.decode_cf(scaled)
    np.testing.assert_allclose(decoded.eo.embed("mosaiks"), expected, atol=1e-4)


def test_unknown_models_and_bands_are_named(simulated):
    with pytest.raises(UnknownNameError, match="Did you mean 'presto'"):
        simulated.eo.embed("pesto")
    with pytest.raises(BandError, match="rededge071"):
        simulated[["B02", "B03", "B04", "B08"]].eo.embed("dynamic_world")


def test_a_sensor_that_the_model_does_not_know_is_warned_of():
    labels = ["blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "swir16",
              "swir22"]  # fmt: skip
    cube = xr.DataArray(
        np.full((9, 4, 4), 0.1, "f4"), dims=("band", "y", "x"), coords={"band": labels},
        attrs={"units": "reflectance"},
    )  # fmt: skip
    with pytest.warns(XeoWarning, match=r"trained on sentinel2, .* \['enmap'\]") as caught:
        cube.eo.embed("dynamic_world", sensor="enmap", explain=True)
    assert caught[0].filename == __file__


def test_a_missing_package_is_said_before_any_work(simulated, monkeypatch, max_computes):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with max_computes(0), pytest.raises(MissingDependencyError, match=r"xarray-eo\[torch\]"):
        simulated.eo.embed("presto")


def test_explain_prints_the_plan_and_does_nothing(simulated, max_computes):
    with max_computes(0):
        text = str(simulated.eo.embed("mosaiks", explain=True))
    for word in ("blocks", "windows", "reads", "memory", "one task each"):
        assert word in text


def test_many_chunks_build_fast_and_small(max_computes):
    import dask.array as da

    cube = xr.DataArray(
        da.zeros((50, 4, 20480, 10240), chunks=(1, 4, 512, 512), dtype="u2"),
        dims=("time", "band", "y", "x"),
        coords={"time": pd.date_range("2020", periods=50), "band": ["blue", "green", "red", "nir"]},
    )
    with max_computes(0):
        plan = cube.eo.embed("band_stats", explain=True)
    assert plan.blocks >= 3_000
    assert plan.shape == (50, 8, 5120, 2560)


def test_list_models_tells_where_weights_are(weights_dir, monkeypatch):
    monkeypatch.setenv("XEO_WEIGHTS", str(weights_dir))
    table = xeo.list_models().set_index(["task", "name"])
    assert table.loc[("embed", "presto"), "weights"].endswith("presto_default.safetensors")
    assert table.loc[("embed", "mosaiks"), "weights"] == "none needed"
    assert table.loc[("classify", "dynamic_world"), "channels"] == "9"
