"""Composites: by hand, lazy as the cube is, and the same under every chunking."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.errors import BandError, DateError, OptionError
from xeo.ops.composite import METHODS, SELECTING, period_edges

TIMES = np.array(
    ["2020-01-03", "2020-01-20", "2020-01-28", "2020-03-02", "2020-03-30"], "datetime64[ns]"
)
RED = [0.1, 0.3, 0.2, 0.4, np.nan]
NIR = [0.4, 0.5, 0.9, 0.5, np.nan]


@pytest.fixture
def cube():
    values = np.array([RED, NIR], "f4").T[:, :, None, None]
    return xr.DataArray(
        np.broadcast_to(values, (5, 2, 2, 3)).copy(),
        dims=("time", "band", "y", "x"),
        coords={
            "time": TIMES,
            "band": ["B04", "B08"],
            "y": [20.0, 10.0],
            "x": [0.0, 10.0, 20.0],
        },
        attrs={"units": "reflectance", "platform": "sentinel-2a"},
        name="sr",
    )


def days(*texts):
    return np.array(texts, "datetime64[ns]")


def pixel(made):
    return made[:, :, 0, 0].values


def test_months_by_hand(cube):
    made = cube.eo.composite()
    assert made.name == "sr"
    assert made.dims == ("time", "band", "y", "x")
    assert made.dtype == np.float32
    assert made["band"].values.tolist() == ["B04", "B08"]
    np.testing.assert_array_equal(made["time"], days("2020-01-01", "2020-02-01", "2020-03-01"))
    np.testing.assert_allclose(pixel(made), [[0.2, 0.5], [np.nan] * 2, [0.4, 0.5]], rtol=1e-6)
    mean = cube.eo.composite(method="mean")
    np.testing.assert_allclose(pixel(mean)[0], [0.2, 0.6], rtol=1e-6)
    assert made.attrs["units"] == "1"
    assert "reflectance" in made.attrs["long_name"]
    assert made.attrs["xeo_model"] == "composite"


@pytest.mark.parametrize(
    ("method", "first", "day"),
    [
        # Distances between the three: 0.224, 0.510, 0.412.
        ("medoid", [0.3, 0.5], "2020-01-20"),
        ("max_ndvi", [0.2, 0.9], "2020-01-28"),
        # The middle of January is 16.5.
        ("best_pixel", [0.3, 0.5], "2020-01-20"),
    ],
)
def test_whole_observations_and_their_dates(cube, method, first, day):
    made = cube.eo.composite("M", method, count=True, date_of=True)
    np.testing.assert_allclose(pixel(made["sr"])[0], first, rtol=1e-6)
    np.testing.assert_array_equal(made["count"][:, 0, 0], [3, 0, 1])
    assert made["count"].dtype == np.uint16
    assert made["date_of"].dtype == np.int32
    chosen = made["date_of"][:, 0, 0].values
    assert chosen[1] == -1
    np.testing.assert_array_equal(
        chosen[[0, 2]].astype("M8[D]"), np.array([day, "2020-03-02"], "M8")
    )


def test_masked_pixels_are_not_used(cube):
    mask = xr.zeros_like(cube[:, 0], dtype=bool)
    mask[1, 0, 0] = True
    made = cube.eo.composite("MS", "mean", mask=mask, count=True)
    np.testing.assert_allclose(pixel(made["sr"])[0], [0.15, 0.65], rtol=1e-6)
    assert made["count"].values[0].tolist() == [[2, 3, 3], [3, 3, 3]]


def test_clouds_are_detected_where_the_cube_allows_it():
    cube = xeo.simulate_cube(dates=6, size=16)
    made = cube.eo.composite("YS")
    again = cube.eo.composite("YS", mask=cube.eo.cloud_mask("scl"))
    every = cube.eo.composite("YS", mask=False)
    assert made["B04"].attrs["xeo_mask"] == again["B04"].attrs["xeo_mask"] == "scl"
    np.testing.assert_array_equal(made["B04"], again["B04"])
    assert (made["count"] < every["count"]).any()
    assert every["count"].attrs["xeo_mask"] == "missing values alone"
    with pytest.raises(OptionError, match="expected mask to be a DataArray"):
        cube.eo.composite("YS", mask=3)


def test_the_best_pixel_is_far_from_clouds(cube):
    wide = cube.isel(x=[0] * 30).assign_coords(x=np.arange(30.0) * 10)
    mask = xr.zeros_like(wide[:, 0], dtype=bool)
    mask[1, :, 0] = True
    made = wide.eo.composite(
        "MS", "best_pixel", mask=mask, date_of=True, distance=10, likeness_weight=0
    )
    chosen = made["date_of"][0, 0].values.astype("M8[D]").astype(str)
    # Beside the cloud of the 20th the 28th is better, far from it the 20th.
    assert (chosen[:3] == "2020-01-28").all()
    assert (chosen[12:] == "2020-01-20").all()
    plain = wide.eo.composite(
        "MS", "best_pixel", mask=mask, date_of=True, cloud_weight=0, likeness_weight=0
    )
    assert (plain["date_of"][0, 0, 1:].values.astype("M8[D]").astype(str) == "2020-01-20").all()


@pytest.mark.parametrize(
    ("period", "start", "expected"),
    [
        ("MS", None, ["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"]),
        ("Q", None, ["2020-01-01", "2020-04-01"]),
        ("QS-DEC", None, ["2019-12-01", "2020-03-01", "2020-06-01"]),
        ("Y", None, ["2020-01-01", "2021-01-01"]),
        ("30D", None, ["2020-01-03", "2020-02-02", "2020-03-03", "2020-04-02"]),
        ("30D", "2020-02-01", ["2020-02-01", "2020-03-02", "2020-04-01"]),
        ("MS", "2020-02-15", ["2020-02-01", "2020-03-01", "2020-04-01"]),
    ],
)
def test_periods_follow_the_calendar(period, start, expected):
    np.testing.assert_array_equal(period_edges(TIMES, period, start), days(*expected))


def test_a_date_at_the_start_of_a_period_is_in_it(cube):
    moved = cube.assign_coords(
        time=days(*["2020-01-01", "2020-02-01", "2020-02-29", "2020-03-01", "2020-03-31"])
    )
    made = moved.eo.composite(count=True)
    np.testing.assert_array_equal(made["count"][:, 0, 0], [1, 2, 1])


def test_earlier_dates_than_start_do_not_count(cube):
    made = cube.eo.composite("100D", "mean", start="2020-01-20", count=True)
    assert made["count"].values.max() == 3
    np.testing.assert_allclose(pixel(made["sr"])[0], [0.3, 1.9 / 3], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_chunked_equals_eager_and_nothing_computes_while_building(max_computes, method):
    eager = xeo.simulate_cube(dates=9, size=24)
    mask = eager["cloud_mask"] | eager["shadow_mask"]
    more = {"date_of": method in SELECTING} | ({"distance": 4} if method == "best_pixel" else {})
    expected = eager.eo.composite("QS", method, mask=mask, **more)
    for chunks in ({"time": 2}, {"y": 7, "x": 11}, {"time": 1, "y": 16}):
        with max_computes(0):
            lazy = eager.chunk(chunks).eo.composite("QS", method, mask=mask, chunk=8, **more)
        assert all(one.chunks for one in lazy.data_vars.values())
        xr.testing.assert_allclose(lazy.compute(), expected, rtol=1e-5)


def test_a_data_set_keeps_its_bands_and_units_can_be_told_again(tmp_path):
    cube = xeo.simulate_cube(dates=6, size=16, chunks={"time": 1})
    made = cube.eo.composite("QS", mask=cube["cloud_mask"])
    assert [*made] == [name for name in cube if str(name).startswith("B")] + ["count"]
    assert made["B04"].attrs["units"] == "1"
    assert "reflectance_scale_factor" not in made["B04"].attrs
    xeo.write(made, tmp_path / "a.zarr", progress=False)
    again = xr.open_zarr(tmp_path / "a.zarr")
    xr.testing.assert_equal(again.compute(), made.compute())
    first = cube.compute().where(~cube["cloud_mask"].compute()).isel(time=slice(0, 2))
    ndvi = again.eo.index("NDVI").compute()
    assert float(ndvi.max()) <= 1
    here = first["B04"].where(first["B04"] > 0).median("time") / 1e4
    seen = again["count"][0].values == 2
    np.testing.assert_allclose(again["B04"][0].values[seen], here.values[seen], rtol=1e-5)


def test_input_is_unchanged_and_equal_work_has_equal_names(cube):
    before = cube.copy(deep=True)
    names = {cube.chunk(x=1).eo.composite().data.name for _ in range(2)}
    assert len(names) == 1
    xr.testing.assert_identical(cube, before)
    assert cube.eo.composite(explain=True).shape == (3, 3, 2, 3)
    assert cube.eo.composite().identical(xeo.composite(cube))


def test_one_layer_and_one_date(cube):
    made = cube[0, 0].expand_dims("time").drop_vars("band").eo.composite("YS")
    assert made.dims == ("time", "y", "x")
    np.testing.assert_allclose(made, np.full((1, 2, 3), 0.1, "f4"))


@pytest.mark.parametrize(
    ("args", "more", "error", "message"),
    [
        (("MS", "max"), {}, OptionError, "expected method to be one of"),
        (("month",), {}, OptionError, "expected a period as pandas writes them, got 'month'"),
        (("-5D",), {}, OptionError, "expected a period that goes forward"),
        (("MS",), {"date_of": True}, OptionError, "expected a method that takes whole"),
        (("MS",), {"distance": 3}, OptionError, r"expected settings of 'median' out of \[\]"),
        (("MS", "geomedian"), {"iterations": 0}, OptionError, "a whole number above 0, got 0"),
        (("MS",), {"start": "2021-01-01"}, DateError, "expected start before the last date"),
    ],
)
def test_errors_say_what_to_do(cube, args, more, error, message):
    with pytest.raises(error, match=message):
        cube.eo.composite(*args, **more)


def test_max_ndvi_wants_its_bands_and_dates_must_rise(cube):
    with pytest.raises(BandError, match="expected the bands 'red' and 'nir' for max_ndvi"):
        cube[:, :1].eo.composite("MS", "max_ndvi")
    with pytest.raises(DateError, match="expected dates in order"):
        cube[::-1].eo.composite()


def test_integers_infinities_negatives_and_pixels_never_clear(cube):
    wild = cube.copy(deep=True)
    wild[0, 0, 0, 0], wild[1, :, 0, 1], wild[:, :, 1, 1] = np.inf, -0.5, np.nan
    made = wild.eo.composite("YS", "mean", count=True)
    # A date counts where no band of it is infinite, a negative value is a value.
    assert made["count"].values[0].tolist() == [[3, 4, 4], [4, 0, 4]]
    np.testing.assert_allclose(made["sr"][0, :, 0, 0], [0.3, 0.575], rtol=1e-6)
    assert float(made["sr"][0, 0, 0, 1]) == pytest.approx((0.1 - 0.5 + 0.2 + 0.4) / 4, rel=1e-6)
    assert np.isnan(made["sr"].values[0, :, 1, 1]).all()
    stored = (cube.fillna(0) * 1e4).astype("u2").assign_attrs(units="DN", scale_factor=1e-4)
    again = stored.assign_attrs(_nodata=0).eo.composite("YS", "median")
    np.testing.assert_allclose(again, cube.eo.composite("YS", "median"), rtol=1e-4)
    assert "scale_factor" not in again.attrs


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_rows_from_south_to_north_are_the_same(cube, order):
    wide = cube + xr.DataArray(np.arange(2) / 10, dims="y", coords={"y": cube.y})
    wide.attrs = cube.attrs
    turned = wide.isel(y=order).eo.composite()
    xr.testing.assert_allclose(turned.sortby("y"), wide.eo.composite().sortby("y"))
