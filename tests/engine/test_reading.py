"""Reading through zarrs: the same bits, the same errors, and the usual way where it fails."""

from __future__ import annotations

import shutil
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr

pytest.importorskip("zarrs")

from xeo.calibration import Told
from xeo.cube import Cube
from xeo.engine import reading
from xeo.engine.reading import Guarded, faster
from xeo.engine.source import Part
from xeo.engine.stored import store_array
from xeo.errors import StoreError, XeoWarning
from xeo.spec import Input

pytestmark = pytest.mark.filterwarnings("error")
SHAPE = (4, 3, 40, 48)
DIMS = ("time", "band", "y", "x")


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Whatever the clock says, a way that gives the same numbers is taken."""
    monkeypatch.setattr(reading, "LESS_WORK", 1e9)


def values(dtype):
    made = np.random.default_rng(0).integers(0, 3000, SHAPE).astype(dtype)
    made[:, :, :, 10:30] = 0
    if made.dtype.kind == "f":
        made[0, 0, :4] = np.nan
    return made


def write(path, dtype="u2", chunks=(1, 3, 16, 16), shards=None, **more):
    group = zarr.open_group(path, mode="w", zarr_format=more.pop("zarr_format", 3))
    names = {"dimension_names": DIMS} if group.metadata.zarr_format == 3 else {}
    array = group.create_array(
        "c", shape=SHAPE, chunks=chunks, shards=shards, dtype=dtype, **names, **more
    )
    array[:] = values(dtype)
    array.attrs["_ARRAY_DIMENSIONS"] = DIMS
    return path


def source_of(path, lazy=None, **more):
    opened = xr.open_zarr(path, chunks=lazy, consolidated=False, **more)
    return _source(opened.c.assign_coords(band=["red", "green", "blue"]))


def _source(obj, mask=None):
    return Cube.of(obj).source(Input(), Told(), mask)[0]


def everything(source):
    return np.arange(len(source.time)), np.arange(len(source.y)), np.arange(len(source.x))


def arrays(source):
    return [p.array for p in source.inputs]


def is_quick(source):
    return all(isinstance(a, Guarded) for a in arrays(source))


LAYOUTS = {
    "a band a chunk": {"chunks": (1, 1, 16, 16)},
    "all dates a chunk": {"chunks": (4, 3, 16, 16)},
    "sharded": {"chunks": (1, 3, 8, 8), "shards": (1, 3, 32, 32)},
    "zarr v2": {"zarr_format": 2},
    "gzip": {"compressors": zarr.codecs.GzipCodec()},
    "floats": {"dtype": "f4"},
    "bytes": {"dtype": "u1"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("lazy", [None, {}])
def test_same_bits(tmp_path, layout, lazy):
    source = source_of(write(tmp_path / "c.zarr", **LAYOUTS[layout]), lazy)
    region = np.arange(4), np.arange(3, 37), np.array([2, 1, 0, 0, 1, 2, 3])
    quick = faster(source, region, threads=1)
    assert is_quick(quick)
    assert not is_quick(source)
    for at in (region, everything(source)):
        one, other = source.read(*at)[0], quick.read(*at)[0]
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
        for left, right in zip(source.read_valid(*at), quick.read_valid(*at), strict=True):
            np.testing.assert_array_equal(left, right)


SELECTIONS = {
    "all": (),
    "a corner": (slice(1, None), slice(1, 3), slice(5, 30), slice(7, 30)),
    "a date": (2,),
    "a date, a band": (2, 1),
    "south to north": (..., slice(None, None, -1), slice(None)),
}


@pytest.mark.parametrize("key", SELECTIONS.values(), ids=SELECTIONS)
def test_layers_of_xarray_stay(tmp_path, key):
    attributes = {"_FillValue": 0, "scale_factor": 0.5}
    source, chosen = selected(write(tmp_path / "c.zarr", attributes=attributes), key)
    region = everything(source)
    quick = faster(source, region, threads=1)
    assert is_quick(quick)
    np.testing.assert_array_equal(source.read(*region)[0], quick.read(*region)[0])
    np.testing.assert_array_equal(np.squeeze(quick.read(*region)[0]), np.squeeze(chosen.values))


@pytest.mark.parametrize("key", [(slice(None), [2, 0]), (..., slice(None, None, 2))])
def test_selections_beyond_zarrs_are_left_alone(tmp_path, key):
    source, _ = selected(write(tmp_path / "c.zarr"), key)
    assert faster(source, everything(source), threads=1) is source


def selected(path, key):
    opened = xr.open_zarr(path, chunks=None, consolidated=False)
    chosen = opened.c.assign_coords(band=["red", "green", "blue"])[key]
    return _source(chosen), chosen


def test_bands_and_mask_that_are_variables(tmp_path):
    shape, dims = SHAPE[2:], ("y", "x")
    names = {"red": "u2", "green": "u2", "blue": "f4", "mask": "bool"}
    made = xr.Dataset(
        {n: (dims, np.arange(1920).reshape(shape).astype(t)) for n, t in names.items()}
    )
    made.to_zarr(tmp_path / "c.zarr", zarr_format=3, consolidated=False)
    opened = xr.open_zarr(tmp_path / "c.zarr", chunks=None, consolidated=False)
    source = _source(opened.drop_vars("mask"), opened["mask"])
    region = everything(source)
    quick = faster(source, region, threads=1)
    assert [isinstance(a, Guarded) for a in arrays(quick)] == [True] * 4
    assert source.read_valid(*region)[0].tobytes() == quick.read_valid(*region)[0].tobytes()


def test_settings_are_put_back(tmp_path, monkeypatch):
    source = source_of(write(tmp_path / "c.zarr"))
    before = zarr.config.get("codec_pipeline"), zarr.config.get("threading")
    monkeypatch.setattr("zarr.core.sync._executor", None)
    assert is_quick(faster(source, everything(source), threads=1))
    assert (zarr.config.get("codec_pipeline"), zarr.config.get("threading")) == before
    # The pool of threads that zarr-python keeps would be as narrow as a read of ours.
    assert zarr.core.sync._executor is None
    opened = zarr.open_array(tmp_path / "c.zarr" / "c")
    assert "zarrs" not in type(opened._async_array.codec_pipeline).__module__


def test_off_by_option(tmp_path, monkeypatch):
    monkeypatch.setenv("XEO_ZARRS", "0")
    source = source_of(write(tmp_path / "c.zarr"))
    assert faster(source, everything(source)) is source


def test_left_alone_where_nothing_is_gained(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LESS_WORK", 0.0)
    monkeypatch.setattr(reading, "SOONER", 0.0)
    source = source_of(write(tmp_path / "c.zarr"))
    assert faster(source, everything(source)) is source


class Own(zarr.storage.LocalStore):
    """Might do anything on its way to a file."""


def test_left_alone_where_zarrs_cannot_read(tmp_path):
    made = {
        "memory": _source(xr.DataArray(values("u2"), dims=DIMS)),
        "codec of ours": source_of(_ours(tmp_path / "ours.zarr")),
        "other store": source_of(Own(write(tmp_path / "c.zarr"))),
        "netcdf": _source(_netcdf(tmp_path / "c.nc")),
    }
    for name, source in made.items():
        assert faster(source, everything(source), threads=1) is source, name


def _ours(path):
    write(path, serializer=_codec(), compressors=None)
    return path


def _codec():
    from xeo.codecs.lossless import LosslessCodec

    return LosslessCodec()


def _netcdf(path):
    xr.DataArray(values("u2"), dims=DIMS, name="c").to_netcdf(path, engine="h5netcdf")
    return xr.open_dataset(path, engine="h5netcdf").c


def test_numbers_that_differ_are_not_taken(tmp_path, monkeypatch):
    write(tmp_path / "other.zarr")
    zarr.open_array(tmp_path / "other.zarr" / "c", mode="r+")[0, 0, 0, 0] = 9
    other = zarr.open_array(tmp_path / "other.zarr" / "c", mode="r")
    monkeypatch.setattr(reading, "_through_zarrs", lambda array, threads: other)
    source = source_of(write(tmp_path / "c.zarr"))
    assert faster(source, everything(source)) is source


def damage(path, how):
    chunk = next(p for p in sorted((path / "c" / "c").rglob("*")) if p.is_file())
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2] if how == "short" else b"\xff" * len(whole))


@pytest.mark.parametrize("how", ["short", "garbage"])
@pytest.mark.parametrize("layout", ["a band a chunk", "sharded", "gzip"])
def test_damaged_chunks_raise_the_usual_error(tmp_path, how, layout):
    source = source_of(write(tmp_path / "c.zarr", **LAYOUTS[layout]))
    region = everything(source)
    quick = faster(source, region, threads=1)
    assert is_quick(quick)
    damage(tmp_path / "c.zarr", how)
    with pytest.raises(StoreError) as usual:
        source.read(*region)
    with pytest.raises(StoreError) as found:
        quick.read(*region)
    assert str(found.value) == str(usual.value)
    # Found while trying, it is left to the run.
    assert faster(source, region, threads=1) is source


def test_a_store_that_vanished_reads_alike(tmp_path):
    source = source_of(write(tmp_path / "c.zarr"))
    region = everything(source)
    quick = faster(source, region, threads=1)
    shutil.rmtree(tmp_path / "c.zarr" / "c" / "c")
    # Chunks that are not there are fill values, to Zarr.
    assert source.read(*region)[0].tobytes() == quick.read(*region)[0].tobytes()


class PanicException(BaseException):
    """What pyo3 makes of a panic."""


class Failing:
    def __init__(self, error):
        self.error, self.calls = error, 0

    def __getitem__(self, key):
        self.calls += 1
        raise self.error


@pytest.mark.parametrize("error", [PanicException("index out of bounds"), ValueError("no")])
def test_the_usual_way_goes_on_with_one_warning(error):
    usual, doubt = values("u2"), reading._Doubt()
    first, second = (Guarded(usual, Failing(error), doubt) for _ in range(2))
    parts = [Part(g, DIMS, (0, 1, 2)) for g in (first, second)]
    at = np.arange(4), np.arange(40), np.arange(48)
    with pytest.warns(XeoWarning, match="zarrs could not read .*XEO_ZARRS=0"):
        np.testing.assert_array_equal(parts[0].read(*at), usual)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for part in parts:
            np.testing.assert_array_equal(part.read(*at), usual)
    assert (first.quick.calls, second.quick.calls) == (1, 0)


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_what_is_no_fault_of_zarrs_passes(error):
    guarded = Guarded(values("u2"), Failing(error), reading._Doubt())
    with pytest.raises(type(error)):
        guarded[0:1, 0:1, 0:1, 0:1]


def test_layers_are_seen_through(tmp_path):
    source = source_of(write(tmp_path / "c.zarr", chunks=(1, 1, 16, 16)))
    quick = faster(source, everything(source), threads=1)
    for part, other in zip(source.parts, quick.parts, strict=True):
        assert store_array(other.array) is store_array(part.array)
        np.testing.assert_array_equal(other.chunks_of_bands(), [0, 1, 2])


def test_a_long_series_is_tried_in_part(tmp_path, monkeypatch):
    source = source_of(write(tmp_path / "c.zarr", chunks=(2, 3, 16, 16)))
    part, at = source.parts[0], everything(source)
    sizes = {}
    for most in (1, 100_000, 10**9):
        monkeypatch.setattr(reading, "TRIAL_BYTES", most)
        sizes[most] = [len(axis) for axis in reading._cut(part, at)]
    assert sizes == {1: [2, 16, 48], 100_000: [4, 40, 48], 10**9: [4, 40, 48]}
