"""Open, embed, classify, write, open again: on a cluster of real processes too."""

from __future__ import annotations

import os
import pickle
import shutil

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.spec import ModelSpec

SPEC = ModelSpec("tiny", bands=("red", "green", "nir"), units="reflectance", halo=1, channels=4,
                 classes=("a", "b", "c", "d"))  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A simulated cube of 3 MB in a store of small chunks."""
    folder = tmp_path_factory.mktemp("cubes")
    cube = xeo.simulate_cube(dates=3, size=192, chunks={"time": 1, "y": 64, "x": 64})
    cube.to_zarr(folder / "cube.zarr", zarr_format=2)
    return folder / "cube.zarr"


@pytest.fixture(scope="module")
def model():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return xeo.models.from_torch(torch.nn.Conv2d(3, 4, 3, padding=1), SPEC)


def test_from_a_store_to_a_store_and_back(store, tmp_path, max_computes):
    cube = xeo.open_cube(store)
    with max_computes(0):
        vectors = cube.eo.embed("mosaiks", chunk=64)
    xeo.write(vectors, tmp_path / "out.zarr", progress=False)
    again = xr.open_zarr(tmp_path / "out.zarr")["embeddings"]
    eager = cube.load().eo.embed("mosaiks", chunk=64)
    xr.testing.assert_allclose(again.compute(), eager)
    assert again.attrs == eager.attrs
    assert again.dtype == np.float32


def test_processes_give_the_same_and_load_a_model_once(store, model, tmp_path):
    distributed = pytest.importorskip("distributed")
    cube = xeo.open_cube(store)
    lazy = cube.eo.embed(model, chunk=64)
    assert lazy.data.npartitions == 9
    expected = lazy.compute(scheduler="synchronous")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        xr.testing.assert_allclose(lazy.compute(), expected)
        lazy.to_zarr(tmp_path / "out.zarr", consolidated=False)
        counts = client.run(_modules)
    assert set(counts.values()) <= {0, 1}
    assert sum(counts.values()) >= 1
    written = xr.open_zarr(tmp_path / "out.zarr", consolidated=False)["embeddings"]
    np.testing.assert_allclose(written, expected, rtol=1e-5, atol=1e-6)


def _modules():
    from xeo.models import torch_runtime

    return len(torch_runtime._MODULES)


def test_graphs_hold_no_weights(store, tmp_path):
    torch = pytest.importorskip("torch")
    heavy = torch.nn.Sequential(
        torch.nn.Conv2d(3, 1024, 1), torch.nn.Conv2d(1024, 1024, 1), torch.nn.Conv2d(1024, 4, 1)
    )
    model = xeo.models.from_torch(heavy, SPEC, folder=tmp_path)
    graph = xeo.open_cube(store).eo.embed(model, chunk=64).__dask_graph__()
    assert sum(p.numel() * 4 for p in heavy.parameters()) > 4_000_000
    assert len(pickle.dumps(dict(graph))) < 100_000


def test_classes_of_a_torch_module(store, model):
    made = xeo.open_cube(store).eo.classify(model)
    assert set(np.unique(made)) <= {0, 1, 2, 3, 255}
    assert made.attrs["flag_meanings"] == "a b c d no_data"


@pytest.mark.parametrize("suffix", ["zarr.zip", "nc", "v3.zarr"])
def test_stores_of_every_kind_give_the_same(store, tmp_path, suffix):
    cube = xr.open_zarr(store)[["B02", "B03", "B04", "B08"]].drop_encoding()
    expected = cube.load().eo.embed("mosaiks")
    path = tmp_path / f"cube.{suffix}"
    if suffix == "nc":
        cube.to_netcdf(path, engine="h5netcdf")
    elif suffix == "zarr.zip":
        cube.to_zarr(tmp_path / "folder", zarr_format=2)
        shutil.make_archive(str(path.with_suffix("")), "zip", tmp_path / "folder")
    else:
        cube.to_zarr(path, zarr_format=3, consolidated=False)
    with xeo.open_cube(os.fspath(path)) as opened:
        made = opened.eo.embed("mosaiks")
        assert made.chunks is not None
        xr.testing.assert_allclose(made.compute(), expected)


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives(store, model):
    cube = xeo.open_cube(store)
    expected = cube.eo.embed(model, chunk=64).compute()
    made = cube.eo.embed(model, chunk=64, device="cuda").compute()
    np.testing.assert_allclose(made, expected, atol=1e-3)
    assert made.chunks is None
