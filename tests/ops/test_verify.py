from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import xeo
from xeo.errors import DimensionError, OptionError, StoreError
from xeo.ops.place import COMPLETE
from xeo.ops.verify import codec_of

pytest.importorskip("imagecodecs")

BANDS = ["B02", "B04", "B08"]
QUIET = {"progress": False}
FAST = {"effort": 2, "progress": False}


@pytest.fixture(scope="module")
def cube():
    made = xeo.simulate_cube(dates=4, size=48, truth=False)
    return made[[*BANDS, "SCL"]].assign(note=("time", list("abcd")), epoch=((), 3)).load()


@pytest.fixture(scope="module")
def made(cube, tmp_path_factory):
    """A store of the cube, within 0.002 of reflectance."""
    path = tmp_path_factory.mktemp("made") / "small.zarr"
    cube.eo.compress(path, max_error=0.002, chunks={"time": 2, "y": 24, "x": 24}, **FAST)
    return path


@pytest.fixture
def store(made, tmp_path):
    shutil.copytree(made, tmp_path / "small.zarr")
    return tmp_path / "small.zarr"


def test_what_compress_made_holds(cube, made):
    report = xeo.verify(cube, made, **QUIET)
    assert report.holds
    assert [one.name for one in report.variables] == ["sentinel2", "SCL", "note", "epoch"]
    assert report["B04"].value == pytest.approx(0.002)
    assert 0 < report["B04"].max_error() <= 0.002
    assert all(not one.broken for one in report.variables)


def test_it_is_what_compress_reported(cube, tmp_path):
    told = cube.eo.compress(tmp_path / "a.zarr", max_error=0.002, **FAST)
    again = xeo.verify(cube.chunk(time=1), tmp_path / "a.zarr", **QUIET)
    assert again.size == told.size
    for name in ("B04", "SCL"):
        assert again[name].psnr() == pytest.approx(told[name].psnr())
        assert again[name].max_error() == told[name].max_error()


def test_a_broken_bound_is_named_with_how_far_off(cube, store):
    other = cube.copy()
    other["B04"] = other["B04"].copy()
    other["B04"][3, 30, 40] += 500
    report = xeo.verify(other, store, **QUIET)
    assert report.holds is False
    (broken,) = report["B04"].broken
    assert "chunk [2:4, 0:3, 24:48, 24:48], band 1" in broken
    assert "reflectance off, beyond 0.002" in broken
    assert 0.048 <= float(broken.split(" is ")[1].split()[0]) <= 0.052
    assert report["SCL"].holds
    assert "PROMISE BROKEN" in repr(report)


def test_a_class_that_changed_is_named(cube, store):
    other = cube.assign(SCL=cube["SCL"].where(cube["time"] > cube["time"][0], 11).astype("u1"))
    report = xeo.verify(other, store, **QUIET)
    assert len(report["SCL"].broken) == 4
    assert "off, not exact" in report["SCL"].broken[0]


def test_missing_values_that_did_not_come_back_are_named(tmp_path):
    values = np.linspace(270, 300, 3 * 20 * 20, dtype="f4").reshape(3, 20, 20)
    ds = xr.Dataset({"t": (("time", "y", "x"), values)})
    ds.eo.compress(tmp_path / "a.zarr", max_error=0.1, **FAST)
    gaps = ds.where(ds["t"] < 299)
    report = xeo.verify(gaps, tmp_path / "a.zarr", **QUIET)
    assert "missing values of chunk [0:3, 0:20, 0:20] did not come back" in report["t"].broken[0]


def test_a_missing_chunk_is_named(cube, store):
    (store / "sentinel2" / "c" / "1" / "0" / "0" / "1").unlink()
    report = xeo.verify(cube, store, **QUIET)
    assert report["B02"].broken == ("chunk [2:4, 0:3, 0:24, 24:48] is not there",)


def test_a_damaged_chunk_is_named(cube, store):
    path = store / "SCL" / "c" / "0" / "1" / "0"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    report = xeo.verify(cube, store, **QUIET)
    (broken,) = report["SCL"].broken
    assert broken.startswith("chunk [0:2, 24:48, 0:24] cannot be read: ")
    assert report.holds is False


def test_what_is_left_to_zarr_is_compared_too(cube, store):
    other = cube.assign(note=("time", list("abcx")), epoch=((), 4))
    report = xeo.verify(other, store, **QUIET)
    assert report["note"].broken == report["epoch"].broken == ("it is not what it was",)
    assert report["B04"].holds


def test_chunks_of_nothing_but_the_fill_value_may_be_absent(tmp_path):
    values = np.zeros((2, 16, 16), "u2")
    values[1] = 3
    ds = xr.Dataset({"a": (("time", "y", "x"), values)})
    encoding = ds.eo.encoding(max_error=1, chunks={"time": 1})
    ds.to_zarr(tmp_path / "a.zarr", encoding=encoding, consolidated=False, zarr_format=3)
    assert len([p for p in (tmp_path / "a.zarr" / "a" / "c").rglob("*") if p.is_file()]) == 1
    assert xeo.verify(ds, tmp_path / "a.zarr", **QUIET).holds
    shutil.rmtree(tmp_path / "a.zarr" / "a" / "c")
    broken = xeo.verify(ds, tmp_path / "a.zarr", **QUIET)["a"].broken
    assert broken == ("chunk [1:2, 0:16, 0:16] is not there",)


@pytest.mark.parametrize("version", [2, 3])
def test_what_xarray_wrote_with_our_encoding(cube, tmp_path, version):
    bands = cube[[*BANDS, "SCL"]]
    encoding = bands.eo.encoding(max_error=0.002, zarr_format=version)
    bands.to_zarr(tmp_path / "a.zarr", encoding=encoding, consolidated=False, zarr_format=version)
    report = xeo.verify(bands, tmp_path / "a.zarr", **QUIET)
    assert report.holds
    assert report["B04"].codec == "xeo.bounded"
    assert report["B04"].value == pytest.approx(0.002)


def test_a_codec_inside_shards_is_found(cube, tmp_path):
    from xeo.codecs.lossless import LosslessCodec

    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(4, 48, 48),
        chunks=(4, 24, 24),
        shards=(4, 48, 48),
        dtype="u1",
        serializer=LosslessCodec(effort=3),
        compressors=None,
        filters=None,
    )
    found = codec_of(array)
    assert found is not None
    assert found.settings()["effort"] == 3
    plain = zarr.create_array(tmp_path / "b.zarr", shape=(4,), dtype="u1")
    assert codec_of(plain) is None


def test_another_source_is_an_error(cube, made):
    with pytest.raises(DimensionError, match=r"\['B99'\] are not there"):
        xeo.verify(cube.assign(B99=cube["B04"]), made, **QUIET)
    with pytest.raises(DimensionError, match="a store of another source"):
        xeo.verify(cube.isel(x=slice(9)), made, **QUIET)
    with pytest.raises(DimensionError, match="a store of another source"):
        xeo.verify(cube.assign(SCL=cube["SCL"].astype("i2")), made, **QUIET)


def test_no_store_is_an_error(cube, tmp_path):
    with pytest.raises(StoreError):
        xeo.verify(cube, tmp_path / "none.zarr", **QUIET)
    assert not (tmp_path / "none.zarr").exists()


def test_workers_must_be_some(cube, made, tmp_path):
    with pytest.raises(OptionError, match="1 or more, got 0"):
        xeo.verify(cube, made, workers=0)
    with pytest.raises(OptionError, match="1 or more, got 0"):
        xeo.decompress(made, tmp_path / "plain.zarr", workers=0)


def test_verify_writes_nothing(cube, store):
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*")}
    xeo.verify(cube, store, **QUIET)
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*")} == before


# Decompress


@pytest.mark.parametrize("version", [2, 3])
def test_decompressed_it_is_what_it_was(cube, tmp_path, version):
    cube.eo.compress(tmp_path / "a.zarr", lossless=True, zarr_format=version, **FAST)
    xeo.decompress(tmp_path / "a.zarr", tmp_path / "plain.zarr", **QUIET)
    again = xr.open_zarr(tmp_path / "plain.zarr").load()
    assert list(again["note"].values) == list("abcd")
    xr.testing.assert_identical(again.drop_vars("note"), cube.drop_vars("note"))
    for _, array in zarr.open_group(tmp_path / "plain.zarr").arrays():
        assert codec_of(array) is None


def test_packing_survives_decompressing(tmp_path):
    stored = np.arange(800, dtype="i2").reshape(2, 20, 20)
    attrs = {"scale_factor": 0.01, "add_offset": 273.15, "_FillValue": np.int16(5), "units": "K"}
    raw = xr.Dataset({"t": (("time", "y", "x"), stored, attrs)})
    xr.decode_cf(raw).eo.compress(tmp_path / "a.zarr", lossless=True, **FAST)
    xeo.decompress(tmp_path / "a.zarr", tmp_path / "plain.zarr", **QUIET)
    again = xr.open_zarr(tmp_path / "plain.zarr", mask_and_scale=False).load()
    xr.testing.assert_identical(again, raw)


def test_decompressing_goes_on_after_a_stop(made, tmp_path):
    class StoppedError(Exception):
        pass

    told = []

    def tell(_):
        told.append(1)
        if len(told) == 5:
            raise StoppedError

    out = tmp_path / "plain.zarr"
    with pytest.raises(StoppedError):
        xeo.decompress(made, out, workers=1, progress=tell)
    assert zarr.open_group(out).attrs[COMPLETE] == 0
    before = _chunks(out)
    xeo.decompress(made, out, **QUIET)
    assert {path: _chunks(out)[path] for path in before} == before
    xr.testing.assert_identical(xr.open_zarr(out).load(), xeo.open_zarr(made).load())
    with pytest.raises(StoreError, match="expected nothing at"):
        xeo.decompress(made, out, **QUIET)


def _chunks(store: Path) -> dict[Path, int]:
    files = (p for name in BANDS for p in (store / name / "c").rglob("*"))
    return {p: p.stat().st_mtime_ns for p in files if p.is_file()}


def test_a_store_is_not_decompressed_into_itself(store):
    with pytest.raises(StoreError, match="another place than the source"):
        xeo.decompress(store, store / "plain.zarr", overwrite=True, **QUIET)
