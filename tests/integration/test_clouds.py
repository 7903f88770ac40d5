"""From a cloudy store to a clear one: mask, fill, index, composite, on a cluster too."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xeo


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A simulated cube, of which the truth is known, in a store of small chunks."""
    folder = tmp_path_factory.mktemp("clouds")
    cube = xeo.simulate_cube(dates=16, size=64, chunks={"time": 4, "y": 32, "x": 32}, seed=3)
    cube.to_zarr(folder / "cube.zarr", zarr_format=2)
    return folder / "cube.zarr"


def chain(cube):
    """Mask, dilated; the cube filled at other dates; NDVI of it."""
    bad = cube.eo.cloud_mask("scl", dilate=20)
    return cube.eo.remove_clouds(mask=bad, at="20D", quality=True, bands=["B04", "B08"])


def test_a_cloudy_store_becomes_a_clear_one(store, tmp_path, max_computes):
    cube = xeo.open_cube(store)
    with max_computes(0):
        lazy = chain(cube)
        greenness = lazy[["B04", "B08"]].eo.index("NDVI")
        pictures = cube.eo.composite("QS", mask="scl")
    expected = chain(cube.load())
    xeo.write(lazy, tmp_path / "clear.zarr", progress=False)
    back = xr.open_zarr(tmp_path / "clear.zarr")
    xr.testing.assert_allclose(back.compute(), expected, rtol=1e-5, atol=1e-6)
    assert back["gap_reason"].dtype == np.uint8
    assert -1 <= float(greenness.min()) <= float(greenness.max()) <= 1
    xeo.write(pictures, tmp_path / "pictures.zarr", progress=False)
    assert xr.open_zarr(tmp_path / "pictures.zarr")["count"].max() > 1


def test_processes_give_the_same(store, tmp_path):
    distributed = pytest.importorskip("distributed")
    cube = xeo.open_cube(store)
    lazy = chain(cube)
    expected = lazy.compute(scheduler="synchronous")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        xr.testing.assert_allclose(lazy.compute(), expected, rtol=1e-5, atol=1e-6)
        lazy.to_zarr(tmp_path / "out.zarr", consolidated=False)
    written = xr.open_zarr(tmp_path / "out.zarr", consolidated=False)
    xr.testing.assert_allclose(written.compute(), expected, rtol=1e-5, atol=1e-6)


def test_filling_comes_nearer_to_the_truth(store):
    """The simulated ground is known: what is filled is nearer to it than the clouds were."""
    cube = xeo.open_cube(store).load()
    bad = cube.eo.cloud_mask("scl", dilate=20)
    filled = cube.eo.remove_clouds(mask=bad)["B04"]
    seen = cube.eo.remove_clouds("nearest", mask=False)["B04"]
    clear = cube.eo.remove_clouds("nearest", mask=bad)["B04"].where(~bad)
    usual = clear.median("time")
    inside = bad & filled.notnull() & seen.notnull()
    assert inside.any()
    assert abs(filled - usual).where(inside).mean() < 0.5 * abs(seen - usual).where(inside).mean()


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives(store):
    cube = xeo.open_cube(store).load()
    for method in ("linear", "whittaker", "similar_pixels"):
        expected = cube.eo.remove_clouds(method, mask="scl")
        made = cube.eo.remove_clouds(method, mask="scl", device="cuda")
        xr.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)
