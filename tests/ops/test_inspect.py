"""What inspecting tells of stores of v2 and v3, of ours and of others."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import xarray as xr
import zarr
from numcodecs import Blosc

from xeo.errors import StoreError
from xeo.ops.inspect import inspect


def folder_size(path):
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def of(found, path):
    return next(one for one in found.arrays if one.path == path)


@pytest.fixture
def cube():
    values = np.arange(5 * 6 * 7, dtype="u2").reshape(5, 6, 7)
    return xr.Dataset({"red": (("time", "y", "x"), values)}, coords={"x": np.arange(7.0)})


def test_a_store_of_zarr_v2(cube, tmp_path):
    blosc = Blosc(cname="zstd", clevel=7, shuffle=Blosc.BITSHUFFLE)
    encoding = {"red": {"compressors": (blosc,), "chunks": (2, 6, 7)}}
    cube.to_zarr(tmp_path / "a.zarr", zarr_format=2, encoding=encoding)
    found = inspect(tmp_path / "a.zarr")
    red = of(found, "red")
    assert (red.codec, red.settings) == ("blosc", "zstd 7, bitshuffle")
    assert (red.dims, red.shape, red.chunks) == (("time", "y", "x"), (5, 6, 7), (2, 6, 7))
    assert (red.dtype, red.raw, red.present, red.expected) == ("uint16", 420, 3, 3)
    assert red.size == folder_size(tmp_path / "a.zarr" / "red") - sum(
        (tmp_path / "a.zarr" / "red" / name).stat().st_size for name in (".zarray", ".zattrs")
    )
    assert found.size == folder_size(tmp_path / "a.zarr")
    assert red.bpppb == pytest.approx(8 * red.size / 210)
    assert red.ratio == pytest.approx(420 / red.size)
    assert found.complete is None


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not")
def test_a_store_of_zarr_v3(cube, tmp_path):
    cube.to_zarr(tmp_path / "a.zarr", zarr_format=3)
    found = inspect(f"file://{tmp_path / 'a.zarr'}")
    assert [one.path for one in found.arrays] == ["red", "x"]
    assert of(found, "red").codec == "zstd"
    assert of(found, "red").dims == ("time", "y", "x")
    assert found.size == folder_size(tmp_path / "a.zarr")


def test_shards_groups_and_gaps(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    array = root.create_group("deep").create_array(
        "b", shape=(16, 16), chunks=(4, 4), shards=(8, 8), dtype="f4"
    )
    array[:8, :8] = 1
    root.create_array("scalar", shape=(), dtype="i2")[...] = 3
    found = inspect(tmp_path / "a.zarr")
    b = of(found, "deep/b")
    assert (b.chunks, b.shards) == ((4, 4), (8, 8))
    assert (b.present, b.expected) == (1, 4)
    assert b.codec == "zstd"
    assert "4 × 4 in shards of 8 × 8" in repr(found)
    assert of(found, "scalar").expected == 1


def test_a_codec_that_nobody_has_installed(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(4,), dtype="i2", compressors=None)[:] = 7
    path = tmp_path / "a.zarr" / "zarr.json"
    said = json.loads(path.read_text())
    said["codecs"] = [{"name": "somebody.else", "configuration": {"strength": 11}}]
    path.write_text(json.dumps(said))
    (only,) = inspect(tmp_path / "a.zarr").arrays
    assert (only.path, only.codec, only.settings) == ("", "somebody.else", "strength=11")


def test_settings_of_ours_are_words(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(4,), dtype="i2", compressors=None)[:] = 7
    path = tmp_path / "a.zarr" / "zarr.json"
    said = json.loads(path.read_text())
    told = {}
    for name, settings in {
        "bounded": {"axes": "x", "effort": 3, "max_error": 20},
        "bounded ": {"relative_error": [0.05, 0.1]},
        "video": {"psnr": 50.0, "nodata": [0]},
        "video ": {"bpppb": 0.5, "max_error": [1, 2]},
        "video  ": {"quality": 80},
        "lossless": {},
    }.items():
        codec = {"name": f"xeo.{name.strip()}", "configuration": settings}
        path.write_text(json.dumps({**said, "codecs": [codec]}))
        told[name] = inspect(tmp_path / "a.zarr").arrays[0].settings
    assert list(told.values()) == [
        "no error above 20 (stored numbers), effort=3",
        "no error above (5, 10) %",
        "at least 50 dB, nodata=(0)",
        "at most 0.5 bits a value, no error above (1, 2) (stored numbers)",
        "quality 80",
        "every bit",
    ]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["M8[ns]", "U5", "bool", "O", "f8"])
@pytest.mark.filterwarnings("ignore:.*(Zarr V3 specification|currently not part|does not have)")
def test_bytes_of_a_value(tmp_path, zarr_format, dtype):
    values = {"M8[ns]": ["2020-01-01"], "O": ["text"], "U5": ["abcde"]}.get(dtype, [1])
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format)
    kind = str if dtype == "O" else np.dtype(dtype)
    root.create_array("a", shape=(1,), dtype=kind)[:] = np.array(values, dtype)
    (only,) = inspect(tmp_path / "a.zarr").arrays
    assert only.raw == (0 if dtype == "O" else np.dtype(dtype).itemsize)
    assert math.isnan(only.ratio) == (dtype == "O")


@pytest.mark.parametrize(("mark", "complete"), [(None, None), (0, False), (1, True)])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_whether_it_is_complete(tmp_path, mark, complete, zarr_format):
    attributes = {} if mark is None else {"xeo_complete": mark}
    root = zarr.open_group(tmp_path / "a", mode="w", zarr_format=zarr_format, attributes=attributes)
    root.create_array("a", shape=(1,), dtype="i2")
    found = inspect(tmp_path / "a")
    assert found.complete is complete
    for text in (repr(found), found._repr_html_()):
        assert ("writing was stopped" in text) == (complete is False)


def test_zips_and_stores_of_zarr(cube, tmp_path):
    cube.to_zarr(tmp_path / "a.zarr", zarr_format=2)
    shutil.make_archive(str(tmp_path / "a.zarr"), "zip", tmp_path / "a.zarr")
    folder = inspect(tmp_path / "a.zarr")
    assert inspect(tmp_path / "a.zarr.zip").arrays == folder.arrays
    assert inspect(zarr.storage.LocalStore(tmp_path / "a.zarr")).arrays == folder.arrays
    memory = zarr.storage.MemoryStore()
    zarr.create_array(memory, shape=(4,), dtype="i2")[:] = 7
    assert inspect(memory).arrays[0].raw == 8


def test_a_url(cube):
    pytest.importorskip("fsspec")
    cube.to_zarr("memory://inspected.zarr", zarr_format=2)
    assert of(inspect("memory://inspected.zarr"), "red").raw == 420


def test_it_goes_through_json(cube, tmp_path):
    cube.to_zarr(tmp_path / "a.zarr", zarr_format=2)
    said = json.loads(json.dumps(inspect(tmp_path / "a.zarr").to_dict(), allow_nan=False))
    assert said["arrays"][0]["path"] == "red"
    assert said["bytes_stored"] == folder_size(tmp_path / "a.zarr")


def test_html_escapes_names(tmp_path):
    root = zarr.open_group(tmp_path / "a", mode="w")
    root.create_array("<b>", shape=(1,), dtype="i2")
    assert "&lt;b&gt;" in inspect(tmp_path / "a")._repr_html_()


def test_no_store_and_broken_metadata(tmp_path):
    with pytest.raises(StoreError, match=r"found none\. Try: its root folder"):
        inspect(tmp_path / "nothing")
    with pytest.raises(StoreError, match="reading it failed"):
        inspect("nowhere://bucket/a.zarr")
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "array"}')
    with pytest.raises(StoreError, match="cannot be understood"):
        inspect(tmp_path)
    (tmp_path / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="JSONDecodeError"):
        inspect(tmp_path)
