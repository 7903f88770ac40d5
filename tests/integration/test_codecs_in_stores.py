"""Codecs where they have to work: shards, stores of all kinds, Dask, programs without xeo."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

pytest.importorskip("imagecodecs")
pytest.importorskip("av")

from tests.codecs.specimens import bits
from xeo.codecs.bounded import BoundedCodec
from xeo.codecs.lossless import LosslessCodec
from xeo.codecs.video import VideoCodec

CODECS = [
    pytest.param(LosslessCodec(nodata=(0,)), 0, id="lossless"),
    pytest.param(BoundedCodec(max_error=20, nodata=(0,)), 20, id="bounded"),
    pytest.param(VideoCodec(max_error=20, nodata=(0,)), 20, id="video"),
]
_DIMS = ("time", "band", "y", "x")


@pytest.fixture(scope="module")
def cube():
    """Dates, bands and pixels that resemble one another, some of them missing."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:40, :56]
    ground = 2000 + 800 * np.sin(y / 6) + 500 * np.cos(x / 5)
    values = np.stack([[ground * (1 + 0.2 * b) + 30 * t for b in range(3)] for t in range(5)])
    values = (values + rng.normal(0, 15, values.shape)).astype("u2")
    values[2, :, :9, :13] = 0
    return values


def stored(store, cube, codec, **options):
    """Write a cube through a codec, and return the array."""
    array = zarr.create_group(store).create_array(
        "a", shape=cube.shape, dtype=cube.dtype, serializer=codec, compressors=None,
        chunks=(5, 3, 32, 32), dimension_names=_DIMS, **options,
    )  # fmt: skip
    array[...] = cube
    return array


def close(read, cube, bound):
    """Whether values are within a bound, and missing ones are there."""
    assert read.dtype == cube.dtype
    assert ((read == 0) == (cube == 0)).all()
    return int(np.abs(read.astype(int) - cube.astype(int)).max()) <= bound


@pytest.mark.parametrize(("codec", "bound"), CODECS)
def test_inside_shards(cube, codec, bound):
    array = stored({}, cube, codec, shards=(5, 3, 64, 64))
    assert close(array[...], cube, bound)
    assert close(array[3, 1:, 5:9], cube[3, 1:, 5:9], bound)


@pytest.mark.parametrize(("codec", "bound"), CODECS)
def test_through_fsspec(cube, codec, bound):
    url = f"memory://codecs/{codec.short}.zarr"
    stored(zarr.storage.FsspecStore.from_url(url), cube, codec)
    opened = zarr.open_array(url + "/a", mode="r")
    assert close(opened[...], cube, bound)
    assert close(opened[2], cube[2], bound)


@pytest.mark.parametrize(("codec", "bound"), CODECS)
def test_through_obstore(cube, codec, bound):
    memory = pytest.importorskip("obstore.store").MemoryStore()
    array = stored(zarr.storage.ObjectStore(memory), cube, codec)
    assert close(array[1:3], cube[1:3], bound)


@pytest.mark.parametrize(("codec", "bound"), CODECS)
def test_through_icechunk(cube, codec, bound):
    icechunk = pytest.importorskip("icechunk")
    repository = icechunk.Repository.create(icechunk.in_memory_storage())
    session = repository.writable_session("main")
    stored(session.store, cube, codec)
    session.commit("written")
    opened = zarr.open_group(repository.readonly_session("main").store, mode="r")["a"]
    assert close(opened[...], cube, bound)
    assert close(opened[4, :, 7], cube[4, :, 7], bound)


@pytest.mark.parametrize(("codec", "bound"), CODECS)
def test_through_dask(tmp_path, cube, codec, bound):
    lazy = xr.DataArray(cube, dims=_DIMS, name="a").chunk(y=32, x=32)
    encoding = {"a": {"serializer": codec, "compressors": None, "filters": None}}
    lazy.to_dataset().to_zarr(tmp_path / "a.zarr", encoding=encoding, consolidated=False)
    opened = xr.open_zarr(tmp_path / "a.zarr", consolidated=False).a
    assert opened.chunks is not None
    assert close(opened.values, cube, bound)


@pytest.mark.parametrize("codec", [param.values[0] for param in CODECS])
def test_the_same_input_gives_the_same_bytes(cube, codec):
    assert codec.encode_array(cube) == codec.encode_array(cube.copy())


@pytest.mark.parametrize("version", [2, 3])
def test_a_program_that_never_imports_xeo_reads_the_store(tmp_path, cube, version):
    root = zarr.create_group(tmp_path / "a.zarr", zarr_format=version)
    for param in CODECS:
        codec, _ = param.values
        twin = getattr(importlib.import_module(f"xeo.codecs.{codec.short}"), _twin(codec))
        how = (
            {"compressors": (twin(**codec.settings()),)}
            if version == 2
            else {"serializer": codec, "compressors": None}
        )
        root.create_array(codec.short, data=cube, chunks=(5, 3, 32, 32), **how)
    code = (
        "import json, sys, zarr\n"
        "root = zarr.open_group(sys.argv[1], mode='r')\n"
        "print(json.dumps({n: int(a[...].astype(int).sum()) for n, a in root.arrays()}))\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.zarr")],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    read = json.loads(made.stdout)
    assert read == {name: int(array[...].astype(int).sum()) for name, array in root.arrays()}
    assert set(read) == {param.values[0].short for param in CODECS}


def _twin(codec):
    return type(codec).__name__.replace("Codec", "Twin")


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "codecs/data").glob("*.zarr.zip"))
)
def test_stores_of_earlier_versions_are_read(path):
    root = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")
    sums = json.loads(path.with_suffix(".json").read_text())
    arrays = dict(root.arrays())
    assert len(arrays) >= 4
    for name, array in arrays.items():
        assert bits(array[...]) == sums[name], name
        np.testing.assert_array_equal(array[1], array[...][1])
