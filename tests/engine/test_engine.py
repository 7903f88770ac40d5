"""The engine against the whole cube in memory: every chunking, orientation and odd size."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xeo
from tests.engine.toys import (
    Convolution,
    Counting,
    Everything,
    Liar,
    Patch,
    Series,
    box,
    pool,
)
from xeo.engine import executor
from xeo.engine.cuts import Cut
from xeo.engine.lazy import job_of
from xeo.errors import (
    BandError,
    DateError,
    DimensionError,
    GridError,
    ModelError,
    OptionError,
    StoreError,
    UnitsError,
)
from xeo.kernels.windows import blend_weight, inside
from xeo.ops.apply import Options, prepare
from xeo.spec import ModelSpec

pytestmark = pytest.mark.filterwarnings("error")


def make_cube(shape=(3, 2, 20, 17), dtype="f4", *, south_up=False, west_left=True, seed=0):
    values = np.random.default_rng(seed).integers(1, 50, shape).astype(dtype)
    time, _, ny, nx = shape
    y = 5_000_000 - 10.0 * np.arange(ny)
    x = 600_000 + 10.0 * np.arange(nx)
    cube = xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={
            "time": pd.date_range("2021-01-01", periods=time, freq="5D"),
            "band": ["red", "nir", "green", "blue"][: shape[1]],
            "y": y,
            "x": x,
        },
        name="cube",
    )
    cube = cube.isel(y=slice(None, None, -1)) if south_up else cube
    return cube if west_left else cube.isel(x=slice(None, None, -1))


def whole(model, values):
    """The whole picture at once, filled up to a multiple of the model's unit by reflection."""
    unit = model.spec.unit
    fill = [(0, 0), (0, 0)] + [(0, -n % unit) for n in values.shape[2:]]
    full = np.pad(values, fill, mode="reflect" if any(n for _, n in fill) else "constant")
    made = model(full)
    stride = model.spec.stride
    return made[..., : -(-values.shape[2] // stride), : -(-values.shape[3] // stride)]


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    chunks=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 40), st.integers(1, 40)),
    radius=st.integers(0, 5),
    stride=st.sampled_from([1, 2, 3, 4]),
    align=st.sampled_from([1, 2]),
    side=st.integers(1, 50),
    fed=st.booleans(),
    south_up=st.booleans(),
)
def test_a_convolution_equals_the_whole_image(
    size, chunks, radius, stride, align, side, fed, south_up
):
    model = Convolution(radius, stride, align)
    cube = make_cube((3, 2, *size))
    lazy = cube.chunk(dict(zip(cube.dims, chunks, strict=True)))
    # An operation on the Dask side takes the chunks' own path instead of the store's.
    lazy = lazy + 0 if fed else lazy
    expected = whole(model, cube.values)
    for obj in (cube, lazy):
        obj = obj.isel(y=slice(None, None, -1)) if south_up else obj
        made = obj.eo.embed(model, chunk=side).values
        flipped = south_up and size[0] > 1
        np.testing.assert_array_equal(made[:, :, ::-1] if flipped else made, expected)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    south_up=st.booleans(),
    model=st.sampled_from(
        [Patch(), Patch(8, 2, 2), Patch(12, 0, 2, 4), Patch(16, 2, 4, 4), Patch(8, 0, 8)]
    ),
    batch=st.sampled_from([1, 3, 64]),
)
def test_fixed_windows_do_not_depend_on_blocks(size, sides, model, batch, south_up):
    upright = make_cube((2, 1, *size))
    turned = make_cube((2, 1, *size), south_up=south_up).chunk(y=7, x=9)
    one = upright.eo.embed(model, chunk=sides[0], batch=batch)
    other = turned.eo.embed(model, chunk=sides[1], batch=batch)
    np.testing.assert_allclose(one, other.sortby("y", ascending=False), rtol=1e-6)


def test_a_window_is_the_square_the_spec_says():
    cube = make_cube((1, 1, 20, 20))
    made = cube.eo.embed(Patch(8, 2, 2)).values[0]
    values = cube.values[0, 0]
    np.testing.assert_array_equal(made[0], pool(values, 2))
    # Kept squares are 4 px: the second window in y and x reads pixels 2 to 9.
    assert made[1, 2, 2] == pytest.approx(values[2:10, 2:10].mean())
    assert made[1, 3, 3] == pytest.approx(values[2:10, 2:10].mean())


def test_windows_without_a_valid_pixel_have_no_say_in_a_blend():
    cube = make_cube((2, 1, 8, 20))
    cube[1, 0, :, :8] = np.nan
    made = cube.eo.embed(Patch(8, 0, 1, 2)).values[:, 1, 0]
    second = cube.values[1, 0, :, 6:14].copy()
    second[np.isnan(second)] = 0
    # Columns 6 and 7 are missing themselves; 8 is the second window's alone, on both dates.
    assert np.isnan(made[1, :8]).all()
    assert made[1, 8] == pytest.approx(second.mean())
    assert np.isfinite(made[0]).all()
    holed = make_cube((1, 1, 8, 14))
    holed[0, 0, :, :6] = np.nan
    holed[0, 0, 1:, 6:8] = np.nan
    made = holed.eo.embed(Patch(8, 0, 1, 2)).values[0, 1]
    right = np.nan_to_num(holed.values[0, 0, :, 6:14]).mean()
    left = np.nan_to_num(holed.values[0, 0, :, 0:8]).mean()
    weight = blend_weight(8, 2)
    mixed = (left * weight[6] + right * weight[0]) / (weight[6] + weight[0])
    assert made[0, 6] == pytest.approx(mixed)


def test_overlap_can_be_asked_for():
    cube = make_cube((1, 1, 8, 14))
    made = cube.eo.embed(Patch(8, 0, 1), overlap=2)
    np.testing.assert_array_equal(made, cube.eo.embed(Patch(8, 0, 1, 2)))
    spec = ModelSpec("named", bands=("red",), window=8, channels=1)
    assert replace(spec, overlap=2).overlap == 2
    with pytest.raises(ModelError, match="either bands and units, or inputs"):
        replace(spec, bands=("nir",))


def test_blended_windows_average_by_weight():
    cube = make_cube((1, 1, 8, 14))
    model = Patch(8, 0, 1, 2)
    made = cube.eo.embed(model).values[0, 1, 0]
    left, right = (cube.values[0, 0, :8, s : s + 8].mean() for s in (0, 6))
    weight = blend_weight(8, 2)
    mixed = (left * weight[6] + right * weight[0]) / (weight[6] + weight[0])
    assert made[:6] == pytest.approx(left)
    assert made[6] == pytest.approx(mixed)
    assert made[8:12] == pytest.approx(right)


@pytest.mark.parametrize("south_up", [False, True])
@pytest.mark.parametrize("west_left", [False, True])
@pytest.mark.parametrize("chunks", [None, {"y": 7, "x": 5}])
def test_orientation_of_storage_does_not_matter(south_up, west_left, chunks):
    model = Convolution(2, 4)
    upright = make_cube().eo.embed(model)
    turned = make_cube(south_up=south_up, west_left=west_left)
    made = (turned.chunk(chunks) if chunks else turned).eo.embed(model, chunk=8)
    assert made.chunks is None or [sizes[-1] for sizes in made.chunks[2:]] == [1, 1]
    assert (made.y.values[0] < made.y.values[-1]) == south_up
    xr.testing.assert_equal(made.sortby("y", ascending=False).sortby("x").compute(), upright)


@pytest.mark.parametrize("order", [("x", "y", "band", "time"), ("band", "y", "time", "x")])
def test_order_of_dimensions_does_not_matter(order):
    cube = make_cube()
    made = cube.transpose(*order).eo.embed(Convolution())
    xr.testing.assert_identical(made, cube.eo.embed(Convolution()))


@pytest.mark.parametrize("dtype", [">f4", ">i2", "u1", "u2", "i4", "f8", "f2"])
def test_storage_types_do_not_matter(dtype):
    cube = make_cube(dtype=dtype)
    cube.values.flags.writeable = False
    expected = make_cube().eo.embed(Convolution()).values
    np.testing.assert_array_equal(cube.eo.embed(Convolution()), expected)


def test_input_is_unchanged():
    cube = make_cube()
    cube[0, 0, 3, 3] = np.nan
    before = cube.copy(deep=True)
    cube.eo.embed(Convolution())
    xr.testing.assert_identical(cube, before)


def test_bands_as_variables_equal_bands_as_a_dimension():
    cube = make_cube()
    made = cube.to_dataset("band").eo.embed(Convolution())
    np.testing.assert_array_equal(made, cube.eo.embed(Convolution()))


def test_a_cube_without_dates_has_none_in_its_output():
    scene = make_cube().isel(time=0, drop=True)
    made = scene.eo.embed(Convolution())
    assert made.dims == ("embedding", "y", "x")
    np.testing.assert_array_equal(made, make_cube().eo.embed(Convolution()).isel(time=0))


def test_missing_pixels_spread_no_further_than_the_receptive_field():
    cube = make_cube((1, 1, 15, 15))
    holed = cube.copy(deep=True)
    holed[0, 0, 7, 7] = np.nan
    clean, made = (c.eo.embed(Convolution(2)).values[0, 0] for c in (cube, holed))
    changed = ~(clean == made)
    assert np.isnan(made[7, 7])
    assert np.isnan(made).sum() == 1
    assert changed[5:10, 5:10].all()
    assert changed.sum() == 25


def test_a_model_that_asks_for_nan_gets_nan():
    cube = make_cube((1, 1, 9, 9))
    cube[0, 0, 4, 4] = np.nan
    made = cube.eo.embed(Convolution(1, missing="nan")).values[0, 0]
    assert np.isnan(made).sum() == 9


def test_nodata_stays_a_mask():
    cube = make_cube(dtype="u2")
    cube.attrs["_nodata"] = 7
    bad = (cube == 7).any("band").values
    made = cube.eo.embed(Convolution(0)).values
    np.testing.assert_array_equal(np.isnan(made).all(axis=1), bad)


def test_a_cube_of_nothing_but_nodata_is_nan_and_runs_no_model():
    model = Counting()
    cube = make_cube((2, 1, 8, 8)) * np.nan
    assert np.isnan(cube.eo.embed(model)).all()
    assert model.calls == []


def test_windows_are_batched_over_dates_and_squares():
    model = Counting()
    make_cube((3, 1, 16, 16)).eo.embed(model, batch=5)
    assert [shape[0] for shape in model.calls] == [5, 5, 2]


def test_series_collapse_or_keep_time():
    cube = make_cube()
    cube[1, 0, 2, 3] = np.nan
    made = cube.eo.embed(Series())
    assert made.dims == ("embedding", "y", "x")
    np.testing.assert_allclose(made, cube.mean("time"), rtol=1e-6)
    kept = cube.chunk(time=2, y=7).eo.embed(Series(keep=True))
    assert kept.dims == ("time", "embedding", "y", "x")
    np.testing.assert_allclose(kept, cube.fillna(0).cumsum("time"), rtol=1e-6)


def test_dates_select_without_computing(max_computes):
    cube = make_cube((6, 2, 8, 8))
    lazy = cube.chunk(time=4)
    with max_computes(0):
        made = lazy.eo.embed(Convolution(), dates=slice("2021-01-05", "2021-01-20"))
    expected = cube.isel(time=slice(1, 4)).eo.embed(Convolution())
    xr.testing.assert_identical(made.compute(), expected)


def test_a_mask_adds_bad_pixels():
    cube = make_cube()
    mask = xr.zeros_like(cube.isel(band=0, drop=True), dtype=bool)
    mask[:, 4, 4] = True
    made = cube.eo.embed(Convolution(0), mask=mask)
    assert np.isnan(made[:, :, 4, 4]).all()
    assert int(np.isnan(made).sum()) == made.sizes["time"] * made.sizes["embedding"]
    lazy = cube.chunk(y=5).eo.embed(Convolution(0), mask=mask.chunk(y=3))
    xr.testing.assert_identical(lazy.compute(), made)


def test_nothing_computes_at_build_time_and_names_are_equal(max_computes):
    cube = make_cube().chunk(y=5)
    with max_computes(0):
        one, other = (cube.eo.embed(Convolution(), chunk=8) for _ in range(2))
        third = cube.eo.embed(Convolution(3), chunk=8)
    assert one.data.name == other.data.name
    assert one.data.name != third.data.name


def test_one_task_a_block_from_a_store(tmp_path):
    make_cube((2, 2, 64, 64)).chunk(y=16, x=16).to_zarr(tmp_path / "cube.zarr", zarr_format=2)
    cube = xr.open_zarr(tmp_path / "cube.zarr")["cube"]
    made = cube.eo.embed(Convolution(3), chunk=16)
    assert made.data.npartitions == 16
    assert len(made.__dask_graph__()) == 16
    assert job_of(made.data) is not None
    expected = make_cube((2, 2, 64, 64)).eo.embed(Convolution(3))
    np.testing.assert_array_equal(made, expected)
    # Opened without Dask it stays lazy, and the tasks read the store just so.
    plain = xr.open_zarr(tmp_path / "cube.zarr", chunks=None)["cube"]
    np.testing.assert_array_equal(plain.eo.embed(Convolution(3), chunk=16), expected)
    assert plain.eo.embed(Convolution(3)).chunks is not None


def test_blocks_follow_the_chunks_of_the_store(tmp_path):
    da.zeros((24, 4, 2048, 2048), chunks=(12, 4, 512, 512), dtype="u2").to_zarr(
        str(tmp_path / "z.zarr"), compute=False
    )
    cube = xr.DataArray(
        da.from_zarr(str(tmp_path / "z.zarr")),
        dims=("time", "band", "y", "x"),
        coords={"time": pd.date_range("2020", periods=24), "band": ["blue", "green", "red", "nir"]},
    )
    plan = cube.eo.embed(Convolution(0), explain=True)
    assert plan.time.step % 12 == 0
    assert plan.y.step % 512 == 0
    assert plan.passes == 1
    assert "one task each" in str(plan)


def test_all_context_reaches_the_model():
    cube = make_cube((2, 2, 8, 6)) / 100
    cube.attrs["units"] = "reflectance"
    cube.attrs["platform"] = "sentinel-2a"
    cube = cube.rio.write_crs("EPSG:32632")
    weather = xr.Dataset(
        {"temperature_mean": ("time", np.full(9, 293.15, "f4"))},
        coords={"time": pd.date_range("2020-12-20", periods=9)},
    )
    tree = xr.DataTree.from_dict(
        {
            "sentinel2": cube.to_dataset(name="image"),
            "weather": weather.assign_attrs(title="AgERA5"),
        }
    )
    made = tree.eo.embed(Everything(), chunk=4)
    np.testing.assert_array_equal(made[:, 0], cube[:, 0])
    days = cube.time.values.astype("M8[D]").astype("f4")
    np.testing.assert_array_equal(made[:, 1, 3, 3], days)
    assert 45.0 < float(made[0, 2, 0, 0]) < 45.2
    assert (np.diff(made[0, 2, :, 0]) < 0).all()
    assert (np.diff(made[0, 3, 0]) > 0).all()
    np.testing.assert_allclose(made[:, 4], 20, atol=1e-4)
    alone = cube.eo.embed(Everything())
    np.testing.assert_array_equal(alone[:, 4], 0)


def test_a_modality_on_another_grid_is_read_at_the_nearest_pixel():
    fine = make_cube((1, 2, 8, 8)).rio.write_crs("EPSG:32632").assign_attrs(units="reflectance")
    fine.attrs["platform"] = "sentinel-2a"
    coarse = xr.Dataset(
        {"t2m": (("time", "y", "x"), 280 + np.arange(16, dtype="f4").reshape(1, 4, 4))},
        coords={
            "time": pd.date_range("2021-01-01", periods=1),
            "y": fine.y.values.reshape(4, 2).mean(1),
            "x": fine.x.values.reshape(4, 2).mean(1),
        },
    )
    coarse = coarse.rio.write_crs("EPSG:32632")
    tree = xr.DataTree.from_dict({"sentinel2": fine.to_dataset(name="i"), "weather": coarse})
    made = tree.eo.embed(Everything())
    expected = coarse.t2m.values[0].repeat(2, 0).repeat(2, 1) - 273.15
    np.testing.assert_allclose(made[0, 4], expected, atol=1e-4)
    flipped = xr.DataTree.from_dict(
        {"sentinel2": fine.to_dataset(name="i"), "weather": coarse.isel(y=slice(None, None, -1))}
    )
    np.testing.assert_allclose(flipped.eo.embed(Everything())[0, 4], expected, atol=1e-4)
    away = coarse.assign_coords(y=coarse.y + 1000)
    with pytest.raises(GridError, match="cover the cube"):
        xr.DataTree.from_dict({"sentinel2": fine.to_dataset(name="i"), "weather": away}).eo.embed(
            Everything()
        )


def test_a_model_that_breaks_its_spec_is_named():
    with pytest.raises(ModelError, match=r"'liar' broke its spec: expected .* \(3, 3, 20, 17\)"):
        make_cube().eo.embed(Liar())


def test_a_store_that_vanishes_is_an_error(tmp_path):
    make_cube((1, 2, 32, 32)).to_zarr(tmp_path / "cube.zarr", zarr_format=2)
    lazy = xr.open_zarr(tmp_path / "cube.zarr")["cube"].eo.embed(Convolution(), chunk=16)
    for file in (tmp_path / "cube.zarr" / "cube").glob("[0-9]*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:10])
    with pytest.raises(StoreError, match=r"reading cube at .* failed"):
        lazy.compute()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c: c.isel(time=[]), DimensionError, "at least one position along time"),
        (lambda c: c.isel(y=[]), DimensionError, "at least one position along y"),
        (lambda c: c.isel(time=[0, 0]), DateError, "each date once"),
        (lambda c: c.isel(time=[1, 0]), DateError, "in order"),
        (lambda c: c.expand_dims(member=2), DimensionError, "cannot tell what"),
        (lambda c: c.isel(y=[0, 2, 1]), GridError, "rise or fall"),
        (lambda c: c.astype("c8"), UnitsError, "real numbers"),
    ],
)
def test_bad_cubes_are_refused_before_work(change, error, message, max_computes):
    cube = change(make_cube())
    with max_computes(0), pytest.raises(error, match=message):
        cube.chunk().eo.embed(Series())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dtype": "int16"}, OptionError, "dtype"),
        ({"batch": 0}, OptionError, "batch"),
        ({"chunk": -1}, OptionError, "chunk"),
        ({"device": "tpu"}, OptionError, "device"),
        ({"device": "cuda:99"}, OptionError, "CUDA devices"),
        ({"bands": ["swir16"]}, BandError, "swir16"),
        ({"dates": "1999"}, DateError, "1999"),
        ({"units": "furlong"}, OptionError, "furlong"),
        ({"mask": make_cube().isel(band=0)}, UnitsError, "boolean"),
        ({"mask": make_cube((3, 2, 4, 4)).isel(band=0) > 1}, GridError, "own 'y'"),
        ({"overlap": 4}, ModelError, "overlap"),
    ],
)
def test_bad_options_are_refused_before_work(options, error, message):
    with pytest.raises(error, match=message):
        make_cube().eo.embed(Convolution(), **options)


def test_positions_outside_are_mirrored_as_often_as_it_takes():
    np.testing.assert_array_equal(
        inside(np.arange(-4, 7), 3, "reflect"), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]
    )
    np.testing.assert_array_equal(inside(np.arange(-2, 4), 2, "edge"), [0, 0, 0, 1, 1, 1])
    assert (inside(np.arange(-5, 5), 1, "reflect") == 0).all()


def test_large_blocks_run_in_tiles():
    model = Convolution(3, 2)
    cube = make_cube((2, 2, 101, 83))
    plan = cube.eo.embed(model, explain=True)
    small = replace(plan, tile=24)
    prepared = prepare(cube, model, Options(), finish=np.asarray, dtype="f4")
    (made,) = executor.compute(replace(prepared.job, plan=small), [Cut("", "f4")])
    assert small.windows == 2 * 5 * 4
    np.testing.assert_array_equal(made, whole(model, cube.values))


def test_box_by_hand():
    np.testing.assert_array_equal(box(np.ones((3, 3)), 1), [[4, 6, 4], [6, 9, 6], [4, 6, 4]])


def test_results_pickle_and_compute_in_another_scheduler():
    lazy = make_cube().chunk(y=7).eo.embed(Convolution(), chunk=8)
    with dask.config.set(scheduler="processes", num_workers=2):
        made = lazy.compute()
    np.testing.assert_array_equal(made, make_cube().eo.embed(Convolution()))


def test_xeo_is_the_function_behind_the_method():
    cube = make_cube()
    assert cube.eo.embed(Convolution()).identical(xeo.embed(cube, Convolution()))


def test_names_are_equal_in_another_process(tmp_path):
    make_cube().to_zarr(tmp_path / "cube.zarr", zarr_format=2)
    code = (
        "import xarray as xr, xeo\n"
        f"cube = xr.open_zarr({str(tmp_path / 'cube.zarr')!r})['cube']\n"
        "print(cube.eo.embed('band_stats', dtype='int8').data.name)"
    )
    names = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(names) == 1
