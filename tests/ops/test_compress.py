from __future__ import annotations

import importlib.util
import json
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
import zarr

import xeo
from xeo.errors import (
    DimensionError,
    MissingDependencyError,
    OptionError,
    StoreError,
    XeoWarning,
)
from xeo.ops.place import COMPLETE
from xeo.ops.target import PLAN

pytest.importorskip("imagecodecs")

BANDS = ["B02", "B04", "B08"]
QUIET = {"progress": False}
FAST = {"effort": 2, "progress": False}


@pytest.fixture(scope="module")
def cube():
    """Three bands and classes, four dates of 48 x 48, in memory."""
    made = xeo.simulate_cube(dates=4, size=48, truth=False)
    return made[[*BANDS, "SCL"]].load()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "small.zarr"


def chunks_of(store) -> dict[str, int]:
    """Chunks that codecs of ours wrote by path, and when."""
    files = [
        path for name in ("sentinel2", "SCL") for path in (Path(store) / name / "c").rglob("*")
    ]
    return {str(p.relative_to(store)): p.stat().st_mtime_ns for p in files if p.is_file()}


def arrays(store) -> dict[str, zarr.Array]:
    return dict(zarr.open_group(store, mode="r").arrays())


# What comes back


def test_every_bit_comes_back(cube, out):
    report = cube.eo.compress(out, lossless=True, **FAST)
    assert report.holds
    assert report.ratio > 1
    xr.testing.assert_identical(xeo.open_zarr(out).load(), cube)


def test_a_bound_holds_in_the_units_of_the_values(cube, out):
    report = cube.eo.compress(out, max_error=0.002, **FAST)
    assert report["B04"].units == "reflectance"
    assert report.holds
    again = xeo.open_zarr(out).load()
    for band in BANDS:
        error = np.abs(again[band].astype(int) - cube[band].astype(int)).max()
        assert 0 < error <= 20
        np.testing.assert_array_equal(again[band] == 0, cube[band] == 0)
    xr.testing.assert_identical(again["SCL"], cube["SCL"])


def test_plain_xarray_reads_it_without_a_warning(cube, out):
    cube.eo.compress(out, lossless=True, **FAST)
    opened = xr.open_zarr(out)
    assert opened["sentinel2"].dims == ("time", "band", "y", "x")
    assert list(opened["band"].values) == BANDS
    np.testing.assert_array_equal(opened["sentinel2"].sel(band="B04"), cube["B04"])
    assert opened.attrs[COMPLETE] == 1
    assert PLAN not in opened.attrs


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_of_zarr(cube, out, version):
    assert cube.eo.compress(out, lossless=True, zarr_format=version, **FAST).holds
    assert zarr.open_group(out).metadata.zarr_format == version
    xr.testing.assert_identical(xeo.open_zarr(out).load(), cube)


@pytest.mark.parametrize("blocks", [{}, {"time": 1}, {"y": 20, "x": 17}, {"time": 3, "y": 48}])
def test_chunked_equals_eager(cube, out, tmp_path, blocks):
    how = {"max_error": 0.002, "effort": 2, "chunks": {"y": 32, "x": 32}} | QUIET
    cube.eo.compress(tmp_path / "eager.zarr", **how)
    cube.chunk(blocks).eo.compress(out, workers=1, **how)
    for name, array in arrays(tmp_path / "eager.zarr").items():
        np.testing.assert_array_equal(arrays(out)[name][...], array[...])
    for path in chunks_of(tmp_path / "eager.zarr"):
        assert (out / path).read_bytes() == (tmp_path / "eager.zarr" / path).read_bytes()


def test_the_number_of_workers_changes_no_byte(cube, out, tmp_path):
    how = {"max_error": 0.002, "effort": 2, "chunks": {"y": 16, "x": 16}} | QUIET
    for workers in (1, 2):
        cube.eo.compress(tmp_path / f"{workers}.zarr", workers=workers, **how)
    for path in chunks_of(tmp_path / "1.zarr"):
        assert (tmp_path / "1.zarr" / path).read_bytes() == (
            tmp_path / "2.zarr" / path
        ).read_bytes()


def test_deciding_computes_nothing(cube, max_computes):
    from xeo.ops.compress import decide

    options = dict.fromkeys(("relative_error", "psnr", "bpppb", "quality", "peak"))
    options |= {"max_error": 0.002, "lossless": False, "codec": "auto"}
    lazy = cube.chunk(time=1)
    with max_computes(0):
        decide(lazy, options, {}, None, "auto", lazy["SCL"].isin([8, 9]))


def test_the_source_is_left_alone(cube, out):
    before = cube.copy(deep=True)
    encodings = {name: dict(v.encoding) for name, v in cube.variables.items()}
    cube.eo.compress(out, max_error=0.002, **FAST)
    xr.testing.assert_identical(cube, before)
    assert {name: dict(v.encoding) for name, v in cube.variables.items()} == encodings


def test_an_array(cube, out):
    da = cube["B04"]
    assert da.eo.compress(out, max_error=0.002, **FAST).holds
    again = xr.open_zarr(out)["B04"]
    assert abs(again.astype(int) - da.astype(int)).max() <= 20
    assert xeo.verify(da, out, **QUIET).holds


@pytest.mark.parametrize("name", [None, "x"])
def test_an_array_without_a_name_of_its_own(cube, out, name):
    da = cube["B04"].rename(name) if name is None else cube["B04"].variable
    made = da if name is None else xr.DataArray(da, name="time", coords={"time": cube.time})
    made.eo.compress(out, lossless=True, **FAST)
    (found,) = [array for array in arrays(out).values() if array.ndim == 3]
    np.testing.assert_array_equal(found[:], cube["B04"])


def test_float_values_with_nan_and_infinity(out):
    rng = np.random.default_rng(3)
    values = rng.normal(280, 10, (3, 20, 30)).astype("f4").cumsum(axis=2)
    values[0, :4] = np.nan
    values[1, 2, 3] = np.inf
    ds = xr.Dataset({"t2m": (("time", "y", "x"), values, {"units": "K"})})
    report = ds.eo.compress(out, max_error=0.05, **FAST)
    assert (report["t2m"].units, report["t2m"].scale) == ("kelvin", 1.0)
    again = xr.open_zarr(out)["t2m"].values
    assert again.dtype == np.float32
    usual = np.isfinite(values)
    np.testing.assert_array_equal(again[~usual], values[~usual])
    assert np.abs(again[usual].astype("f8") - values[usual]).max() <= 0.05


def test_a_relative_bound(out):
    values = 10.0 ** np.random.default_rng(0).uniform(-3, 3, (2, 16, 16)).astype("f4")
    ds = xr.Dataset({"chl": (("time", "y", "x"), values)})
    assert ds.eo.compress(out, relative_error=0.05, **FAST).holds
    again = xr.open_zarr(out)["chl"].values.astype("f8")
    assert (np.abs(again - values) <= 0.05 * np.abs(values)).all()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("fill", [None, -9999])
def test_packing_and_fill_values_stay(out, version, fill):
    stored = np.arange(2 * 20 * 20, dtype="i2").reshape(2, 20, 20)
    if fill is not None:
        stored[0, 3:6] = fill
    attrs = {"scale_factor": 0.01, "add_offset": 273.15, "units": "K", "valid_min": -500}
    attrs |= {} if fill is None else {"_FillValue": np.int16(fill)}
    raw = xr.Dataset({"t": (("time", "y", "x"), stored, attrs)})
    decoded = xr.decode_cf(raw)
    report = decoded.eo.compress(out, max_error=0.05, zarr_format=version, **FAST)
    assert report["t"].scale == 0.01
    assert report["t"].settings["max_error"] == 5
    again = xr.open_zarr(out)["t"].load()
    assert again.dtype == decoded["t"].dtype
    assert again.attrs == decoded["t"].attrs
    for key in ("scale_factor", "add_offset", "dtype"):
        assert again.encoding[key] == decoded["t"].encoding[key]
    np.testing.assert_array_equal(np.isnan(again), np.isnan(decoded["t"]))
    assert np.nanmax(np.abs(again - decoded["t"])) <= 0.05 * (1 + 1e-6)
    undecoded = xr.open_zarr(out, mask_and_scale=False)["t"]
    assert undecoded.attrs.get("_FillValue") == fill or (version == 2 and fill is None)


def test_numbers_that_were_not_decoded_have_the_same_units(out):
    stored = np.arange(2 * 20 * 20, dtype="i2").reshape(2, 20, 20)
    attrs = {"scale_factor": 0.01, "add_offset": 273.15, "_FillValue": np.int16(-9999)}
    raw = xr.Dataset({"t": (("time", "y", "x"), stored, attrs)})
    report = raw.eo.compress(out, max_error=0.05, **FAST)
    assert report["t"].settings["max_error"] == 5
    opened = xr.open_zarr(out, mask_and_scale=False)["t"]
    assert opened.attrs == attrs
    assert xeo.verify(raw, out, **QUIET).holds


def test_coordinates_attributes_and_crs_stay(cube, out):
    made = cube.assign_coords(
        orbit=("time", np.array(["A", "D", "A", "D"])), cloud=("time", np.arange(4.0))
    )
    made.attrs = {"title": "a cube", "numbers": [1, 2]}
    made.eo.compress(out, lossless=True, **FAST)
    again = xr.open_zarr(out, decode_coords="all")
    assert again.rio.crs.to_epsg() == 32631
    assert list(again["orbit"].values) == ["A", "D", "A", "D"]
    assert {k: again.attrs[k] for k in made.attrs} == made.attrs
    for name in ("time", "y", "x", "cloud"):
        xr.testing.assert_equal(again[name].variable.load(), made[name].variable)


def test_a_crs_that_is_in_the_encoding_stays(cube, out, tmp_path):
    cube.to_zarr(tmp_path / "cube.zarr", consolidated=False, zarr_format=3)
    opened = xr.open_zarr(tmp_path / "cube.zarr", consolidated=False, decode_coords="all")
    assert "grid_mapping" in opened["B04"].encoding
    opened.eo.compress(out, lossless=True, **FAST)
    assert xr.open_zarr(out, decode_coords="all")["SCL"].rio.crs.to_epsg() == 32631


def test_what_no_codec_takes_is_copied(cube, out):
    made = cube.assign(
        station=("time", np.array(["a", "bb", "c", "d"])),
        note=("time", np.array(["x", "y", "z", "w"], object)),
        seen=("time", cube.time.values),
        phase=(("time", "y", "x"), np.ones((4, 48, 48), "c8")),
        wind=("time", np.arange(4.0)),
        epoch=((), 5),
    )
    report = made.eo.compress(out, lossless=True, **FAST)
    again = xeo.open_zarr(out).load()
    assert list(again.data_vars) == list(made.data_vars)
    for name in ("note", "seen", "phase", "wind", "epoch"):
        xr.testing.assert_identical(again[name].variable, made[name].variable)
    assert list(again["station"].values) == ["a", "bb", "c", "d"]
    assert report["phase"].codec == "zarr"
    assert report["wind"].note == "left to Zarr's own codecs: no y and x"
    assert xeo.verify(made, out, **QUIET).holds


def test_booleans_and_every_integer(out):
    rng = np.random.default_rng(1)
    made = {"mask": (("y", "x"), rng.random((24, 24)) > 0.5)}
    for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"):
        info = np.iinfo(code)
        values = rng.integers(info.min, info.max, (24, 24), code, endpoint=True)
        made[code] = (("y", "x"), values)
    ds = xr.Dataset(made)
    ds.eo.compress(out, lossless=True, **FAST)
    xr.testing.assert_identical(xeo.open_zarr(out).load(), ds)


# What is chosen


def test_classes_are_lossless_by_themselves(cube, out):
    flags = cube["SCL"].rename("fruit").assign_attrs(flag_values=[4, 5], flag_meanings="a b")
    made = cube.assign(fruit=flags, water_mask=cube["SCL"] == 6)
    report = made.eo.compress(out, max_error=0.01, **FAST)
    for name in ("SCL", "fruit", "water_mask"):
        assert report[name].codec == "xeo.lossless"
        assert report[name].note == "classes: lossless"


def test_a_class_that_is_named_is_as_asked(cube, out):
    report = cube.eo.compress(out, max_error={"SCL": 1, ...: 0.01}, **FAST)
    assert report["SCL"].codec == "xeo.bounded"


def test_each_variable_can_have_its_own_target(cube, out):
    report = cube.eo.compress(
        out, max_error={"B04": 0.001, ...: 0.004}, lossless={"B08": True}, **QUIET
    )
    assert report["B02"].settings["max_error"] == [40, 10]
    assert report["B08"].codec == "xeo.lossless"
    again = xeo.open_zarr(out)
    worst = abs(again.astype(int) - cube.astype(int)).max()
    assert 10 < worst["B02"] <= 40
    assert worst["B04"] <= 10
    assert worst["B08"] == 0


def test_a_bound_below_a_step_is_lossless(cube, out):
    report = cube.eo.compress(out, max_error=0.00005, **FAST)
    assert report["B04"].codec == "xeo.lossless"
    assert "below a stored step" in report["B04"].note


def test_integers_without_a_scale_warn_where_a_bound_is_below_a_step(out):
    ds = xr.Dataset({"dn": (("y", "x"), np.arange(64, dtype="i4").reshape(8, 8))})
    with pytest.warns(XeoWarning, match="below a step of the integers of 'dn'"):
        report = ds.eo.compress(out, max_error=0.3, **FAST)
    assert report["dn"].lossless


def test_chunks_are_as_asked(cube, out):
    report = cube.eo.compress(out, lossless=True, chunks={"y": 16, "x": -1, "time": 3}, **FAST)
    assert report["B04"].chunks == (3, 3, 16, 48)
    assert report["SCL"].chunks == (3, 16, 48)
    assert arrays(out)["sentinel2"].chunks == (3, 3, 16, 48)


def test_settings_reach_the_codec(cube, out):
    report = cube.eo.compress(out, lossless=True, effort=3, **QUIET)
    assert report["B04"].settings["effort"] == 3


def test_a_codec_that_was_made_is_used(cube, out):
    from xeo.codecs.lossless import LosslessCodec

    report = cube[["B04"]].eo.compress(out, codec=LosslessCodec(effort=2), **QUIET)
    assert report["B04"].settings["effort"] == 2
    assert report["B04"].note == "the codec that was given"


# Ignored pixels


def test_pixels_that_are_ignored_cost_little_and_promise_nothing(cube, out, tmp_path):
    mask = xr.zeros_like(cube["B04"], bool)
    mask[:, :, 10:40] = True
    plain = cube[BANDS].eo.compress(tmp_path / "plain.zarr", max_error=0.002, **FAST)
    report = cube[BANDS].eo.compress(out, max_error=0.002, ignore=mask, **FAST)
    assert report.holds
    assert report["B04"].size < 0.7 * plain["B04"].size
    found = report["B04"].fidelity
    assert found.kept.count.sum() < found.count.sum()
    assert found.kept.max_error() <= 20 < found.max_error()
    stored = xr.open_zarr(out)
    np.testing.assert_array_equal(stored["xeo_ignored"], mask)
    assert xeo.verify(cube[BANDS], out, **QUIET).holds


def test_a_mask_of_fewer_dimensions(cube, out):
    field = xr.zeros_like(cube["B04"].isel(time=0, drop=True), bool)
    field[:20] = True
    report = cube.chunk(time=1).eo.compress(out, max_error=0.002, ignore=field.T, **FAST)
    assert report.holds
    again = xeo.open_zarr(out)
    error = abs(again["B04"].astype(int) - cube["B04"].astype(int))
    assert error[:, 20:].max() <= 20 < error.max()
    np.testing.assert_array_equal(again["SCL"], cube["SCL"])
    assert xeo.verify(cube, out, **QUIET).holds


def test_a_mask_must_be_one(cube, out):
    with pytest.raises(OptionError, match="ignore to be True or False, got uint8"):
        cube.eo.compress(out, max_error=0.002, ignore=cube["SCL"], **FAST)
    with pytest.raises(DimensionError, match="dimensions of ignore"):
        cube.eo.compress(out, max_error=0.002, ignore=cube["SCL"][:2] > 3, **FAST)
    assert not out.exists()


# After a stop


class StoppedError(Exception):
    pass


def stopping(after: int):
    """Progress that fails once so many chunks were told."""
    lock, told = threading.Lock(), []

    def tell(values: int) -> None:
        with lock:
            told.append(values)
            if len(told) == after:
                raise StoppedError

    return tell


PARTS = {"lossless": True, "effort": 2, "chunks": {"time": 1, "y": 24, "x": 24}}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_call_goes_on(cube, out, workers, check):
    how = PARTS | {"workers": workers, "check": check}
    with pytest.raises(StoppedError) as caught:
        cube.eo.compress(out, progress=stopping(5), **how)
    assert "the same call again, which goes on" in caught.value.__notes__[0]
    assert zarr.open_group(out).attrs[COMPLETE] == 0
    before = chunks_of(out)
    assert 5 <= len(before) < 32
    report = cube.eo.compress(out, **how, **QUIET)
    after = chunks_of(out)
    assert {path: after[path] for path in before} == before
    assert len(after) == 32
    xr.testing.assert_identical(xeo.open_zarr(out).load(), cube)
    assert report.holds is (True if check else None)
    assert report.size == sum((out / path).stat().st_size for path in after)


def test_another_call_is_refused_on_what_was_begun(cube, out):
    with pytest.raises(StoppedError):
        cube.eo.compress(out, progress=stopping(3), **PARTS)
    before = chunks_of(out)
    for other in ({"effort": 3}, {"chunks": {"y": 12}}, {"zarr_format": 2}):
        with pytest.raises(StoreError, match="begun with other options or of another source"):
            cube.eo.compress(out, **PARTS | other, **QUIET)
    with pytest.raises(StoreError, match="begun with other options or of another source"):
        cube.isel(x=slice(1, None)).eo.compress(out, **PARTS, **QUIET)
    assert chunks_of(out) == before


def test_a_source_that_changed_is_told_by_what_was_written(cube, out):
    with pytest.raises(StoppedError):
        cube.eo.compress(out, progress=stopping(3), **PARTS)
    with pytest.raises(StoreError, match="what an earlier call wrote of 'sentinel2'"):
        (cube + 1).eo.compress(out, **PARTS, **QUIET)


def test_overwriting_begins_anew(cube, out):
    with pytest.raises(StoppedError):
        cube.eo.compress(out, progress=stopping(3), **PARTS)
    (cube + 1).eo.compress(out, overwrite=True, **PARTS, **QUIET)
    np.testing.assert_array_equal(xeo.open_zarr(out)["B04"], cube["B04"] + 1)


def test_overwriting_that_was_stopped_goes_on_too(cube, out):
    (cube + 1).eo.compress(out, **PARTS, **QUIET)
    with pytest.raises(StoppedError):
        cube.eo.compress(out, overwrite=True, progress=stopping(5), workers=1, **PARTS)
    before = chunks_of(out)
    cube.eo.compress(out, overwrite=True, **PARTS, **QUIET)
    after = chunks_of(out)
    assert {path: after[path] for path in before} == before
    xr.testing.assert_identical(xeo.open_zarr(out).load(), cube)


def test_a_stop_while_the_store_is_laid_out_loses_nothing(cube, out, monkeypatch):
    from xeo.ops import target

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(target, "_consolidate", stopped)
        with pytest.raises(KeyboardInterrupt):
            cube.eo.compress(out, **PARTS, **QUIET)
    assert out.exists()
    cube.eo.compress(out, **PARTS, **QUIET)
    xr.testing.assert_identical(xeo.open_zarr(out).load(), cube)


def test_a_stop_just_before_the_end_loses_nothing(cube, out, monkeypatch):
    from xeo.ops.target import Target

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Target, "finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            cube.eo.compress(out, **PARTS, **QUIET)
    before = chunks_of(out)
    cube.eo.compress(out, **PARTS, **QUIET)
    assert chunks_of(out) == before
    xr.testing.assert_identical(xeo.open_zarr(out).load(), cube)


def test_a_signal_stops_between_chunks(cube, out):
    def tell(_: int) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped by SIGINT"):
        cube.eo.compress(out, progress=tell, workers=1, **PARTS)
    assert len(chunks_of(out)) == 1


def test_opening_what_was_begun_warns(cube, out):
    with pytest.raises(StoppedError):
        cube.eo.compress(out, progress=stopping(3), **PARTS)
    with pytest.warns(XeoWarning, match="not complete"):
        xeo.open_zarr(out)


# Where


def test_what_is_there_is_left_alone(cube, out):
    cube.eo.compress(out, lossless=True, **FAST)
    before = chunks_of(out)
    with pytest.raises(StoreError, match=r"expected nothing at .* overwrite=True"):
        cube.eo.compress(out, lossless=True, **FAST)
    assert chunks_of(out) == before
    cube.eo.compress(out, lossless=True, overwrite=True, **FAST)
    assert chunks_of(out) != before


def test_only_a_zarr_store_is_replaced(cube, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="left alone"):
        cube.eo.compress(tmp_path, lossless=True, overwrite=True, **FAST)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_a_source_is_not_written_over(cube, tmp_path):
    path = tmp_path / "cube.zarr"
    cube.to_zarr(path, consolidated=False, zarr_format=3)
    opened = xr.open_zarr(path, consolidated=False)
    with pytest.raises(StoreError, match="another place than the source"):
        opened.eo.compress(path, lossless=True, overwrite=True, **FAST)
    xr.testing.assert_equal(xr.open_zarr(path, consolidated=False).load(), cube)


def test_a_url_of_fsspec(cube):
    url = "memory://test_compress/small.zarr"
    assert cube.eo.compress(url, max_error=0.002, **FAST).holds
    np.testing.assert_array_equal(xeo.open_zarr(url)["SCL"], cube["SCL"])
    with pytest.raises(StoreError, match="expected nothing at"):
        cube.eo.compress(url, max_error=0.002, **FAST)


def test_progress_counts_every_value_once(cube, out):
    seen = []
    cube.eo.compress(out, lossless=True, chunks={"y": 20}, progress=seen.append)
    assert sum(seen) == sum(da.size for da in cube.data_vars.values())
    assert len(seen) == 6


def test_the_bar_shows_rate_ratio_and_time_left(cube, out, capsys):
    cube.eo.compress(out, lossless=True)
    shown = capsys.readouterr().err
    assert "compress: 100%" in shown
    assert "B/s" in shown
    assert "times smaller" in shown


# Errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "how close 'B02' has to stay"),
        ({"max_error": 0}, "max_error to be a number above 0, got 0"),
        ({"max_error": -1}, "got -1"),
        ({"max_error": float("nan")}, "got nan"),
        ({"max_error": float("inf")}, "got inf"),
        ({"max_error": "much"}, "got 'much'"),
        ({"relative_error": -0.1}, "relative_error to be a number above 0"),
        ({"psnr": 0}, "psnr to be a number above 0"),
        ({"max_error": 0.1, "psnr": 50}, "one target for 'B02', got"),
        ({"max_error": {"B99": 0.1}}, r"max_error of variables among .*got \['B99'\]"),
        ({"lossless": True, "peak": {"B99": 1}}, "peak of variables among"),
        ({"max_error": {"B02": 0.1}}, "how close 'B04' has to stay"),
        ({"lossless": True, "codec": "zip"}, "codec to be one of"),
        ({"psnr": 50, "codec": "bounded"}, "expected max_error or relative_error for codec='bo"),
        ({"lossless": True, "shoes": 2}, r"settings among .* got \['shoes'\]"),
        ({"lossless": True, "effort": 11}, "effort"),
        ({"lossless": True, "stack": "some"}, "stack to be 'auto', True, False or a mapping"),
        ({"lossless": True, "stack": {"a": ["B99"]}}, "to stack, got"),
        ({"lossless": True, "stack": {"a": ["B02", "SCL"]}}, "one grid, dtype, packing and codec"),
        ({"lossless": True, "zarr_format": 4}, "zarr_format 2 or 3, got 4"),
        ({"lossless": True, "workers": 0}, "workers to be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_is_an_error_before_anything_is_written(cube, out, options, words):
    with pytest.raises(OptionError, match=words):
        cube.eo.compress(out, **options, **QUIET)
    assert not out.exists()


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ({"z": 3}, r"chunks of dimensions among .*got \['z'\]"),
        ({"y": 0}, "a chunk of 1 or more along 'y', or -1, got 0"),
        ({"y": 1.5}, "got 1.5"),
    ],
)
def test_chunks_that_cannot_be(cube, out, chunks, words):
    with pytest.raises(DimensionError, match=words):
        cube.eo.compress(out, lossless=True, chunks=chunks, **FAST)
    assert not out.exists()


@pytest.mark.parametrize(
    "values",
    [
        np.ones((4, 48, 48), "c8"),
        np.full((4, 48, 48), "word"),
        np.full((4, 48, 48), "word", object),
        np.full((4, 48, 48), "2020-01-01", "M8[ns]"),
        np.ones((4, 48, 48), "m8[ns]"),
    ],
    ids=["complex", "text", "object", "datetime", "timedelta"],
)
def test_what_no_codec_takes_is_an_error_if_it_is_named(cube, out, values):
    made = cube.assign(odd=(("time", "y", "x"), values))
    with pytest.raises(OptionError, match="expected 'odd' to be of integers or floats"):
        made.eo.compress(out, lossless=True, max_error={"odd": 1.0}, **FAST)
    assert not out.exists()
    made.eo.compress(out, lossless=True, **FAST)
    np.testing.assert_array_equal(xeo.open_zarr(out)["odd"].astype(values.dtype), values)


def test_objects_that_zarr_cannot_store_leave_nothing_behind(cube, out):
    made = cube.assign(odd=("time", np.array([1, "a", None, {}], object)))
    with pytest.raises(StoreError, match="failed"):
        made.eo.compress(out, lossless=True, **FAST)
    assert not out.exists()


def test_objects_that_zarr_cannot_store_destroy_nothing(cube, out):
    cube.eo.compress(out, lossless=True, **FAST)
    made = cube.assign(odd=("time", np.array([1, "a", None, {}], object)))
    with pytest.raises(StoreError, match="failed"):
        made.eo.compress(out, lossless=True, overwrite=True, **FAST)
    xr.testing.assert_identical(xeo.open_zarr(out).load(), cube)


def test_nothing_to_compress(out):
    with pytest.raises(DimensionError, match="with variables, got Dataset"):
        xeo.compress(xr.Dataset(coords={"x": [1, 2]}), out, lossless=True)
    with pytest.raises(DimensionError, match="got DataTree"):
        xeo.compress(xr.DataTree(), out, lossless=True)


@pytest.mark.parametrize("shape", [(1, 1, 1), (0, 8, 8), (1, 8, 8), (3, 1, 9)])
def test_tiny_and_empty_cubes(out, shape):
    values = np.arange(np.prod(shape), dtype="u2").reshape(shape)
    ds = xr.Dataset({"a": (("time", "y", "x"), values)})
    ds.eo.compress(out, max_error=3, **FAST)
    assert xr.open_zarr(out)["a"].shape == shape
    assert (abs(xr.open_zarr(out)["a"].astype(int) - values) <= 3).all()


@pytest.mark.parametrize(("package", "options"), [
    ("imagecodecs", {"lossless": True}),
    ("av", {"psnr": 50}),
])  # fmt: skip
def test_a_missing_library_names_the_extra(cube, out, monkeypatch, package, options):
    usual = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else usual(name)
    )
    with pytest.raises(MissingDependencyError, match=r"xarray-eo\[video\]"):
        cube.eo.compress(out, **options, **QUIET)
    assert not out.exists()


def test_a_source_that_cannot_be_read_is_an_error(cube, out, tmp_path):
    path = tmp_path / "cube.zarr"
    cube.chunk(time=1).to_zarr(path, consolidated=False, zarr_format=3)
    chunk = path / "B04" / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(StoreError, match="reading 'B04' of the source at"):
        xeo.open_cube(path).eo.compress(out, lossless=True, **FAST)
    assert zarr.open_group(out).attrs[COMPLETE] == 0


def test_the_layout_of_bands_is_in_the_attributes(cube, out):
    cube.eo.compress(out, lossless=True, **FAST)
    said = json.loads(arrays(out)["sentinel2"].attrs["xeo_stacked"])
    assert said["dim"] == "band"
    assert [one["name"] for one in said["variables"]] == BANDS


# Video


@pytest.mark.parametrize(
    ("options", "reached"),
    [
        ({"psnr": 45}, lambda one: one.psnr() >= 45),
        ({"bpppb": 2}, lambda one: one.bpppb <= 2),
        ({"quality": 50}, lambda one: one.psnr() > 30),
        ({"codec": "video", "max_error": 0.003}, lambda one: 0 < one.max_error() <= 0.003),
    ],
    ids=["psnr", "bpppb", "quality", "max_error"],
)
def test_video(cube, out, options, reached):
    pytest.importorskip("av")
    report = cube.eo.compress(out, **options, **QUIET)
    assert report["B04"].codec == "xeo.video"
    assert report["SCL"].codec == "xeo.lossless"
    assert report.holds
    assert reached(report["B04"])
    again = xeo.open_zarr(out).load()
    for band in BANDS:
        np.testing.assert_array_equal(again[band] == 0, cube[band] == 0)
    assert xeo.verify(cube, out, **QUIET).holds


def test_video_of_another_peak(cube, out):
    pytest.importorskip("av")
    report = cube[BANDS].eo.compress(out, psnr=45, peak=0.5, **FAST)
    assert report["B04"].peak == 0.5
    assert report["B04"].settings["peak"] == 5000
    assert report["B04"].psnr() >= 45


def test_the_report_says_what_bands_apart_cost(out):
    rng = np.random.default_rng(0)
    ground = rng.integers(500, 4000, (3, 40, 40))
    bands = {f"B0{n}": (("time", "y", "x"), (ground * n // 2).astype("u2")) for n in (2, 3, 4)}
    ds = xr.Dataset(bands, attrs={"platform": "sentinel-2"})
    report = ds.eo.compress(out, lossless=True, stack=False, progress=False)
    notes = [report[name].note for name in bands]
    assert all(note.startswith("stack=False costs +") for note in notes), notes
    stacked = ds.eo.compress(out, lossless=True, overwrite=True, progress=False)
    assert "stack=False" not in str(stacked)
