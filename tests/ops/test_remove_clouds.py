"""``remove_clouds``: what is filled, what is left, and what is told of it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import xeo
from xeo.errors import (
    DateError,
    DimensionError,
    GridError,
    OptionError,
    UnitsError,
    UnknownNameError,
)
from xeo.ops.fill import REASONS
from xeo.spec import ModelSpec

DATES = pd.to_datetime(["2020-01-01", "2020-01-05", "2020-01-11", "2020-02-01", "2020-02-02"])
SERIES = np.array([0.1, 0.3, 0.2, 0.5, 0.4], "f4")
METHODS = ["linear", "nearest", "previous", "climatology", "whittaker", "savgol", "harmonic"]


def reason(name):
    return REASONS.index(name)


@pytest.fixture
def cube():
    """NDVI of five dates: each column has other gaps."""
    values = np.tile(SERIES[:, None, None], (1, 3, 5))
    values[2, :, 1] = np.nan  # in the middle
    values[[0, 4], :, 2] = np.nan  # at both ends
    values[:, :, 3] = np.nan  # always
    values[1:, :, 4] = np.nan  # one date
    coords = {"time": DATES, "y": [2.0, 1.0, 0.0], "x": np.arange(5.0)}
    return xr.DataArray(values, coords, ("time", "y", "x"), name="ndvi")


@pytest.fixture
def bolzano(data_dir):
    store = zarr.storage.ZipStore(data_dir / "s2_l2a_bolzano_202206.zarr.zip", mode="r")
    return xr.open_zarr(store, chunks=None).isel(y=slice(0, 60), x=slice(0, 50))


def test_dates_are_dates_and_not_indices(cube):
    made = cube.eo.remove_clouds("linear")
    assert made.name == "ndvi"
    assert made.dims == cube.dims
    np.testing.assert_allclose(made[:, 0, 0], SERIES)
    # 6 of the 27 days from the 5th of January to the 1st of February.
    assert made[2, 0, 1] == pytest.approx(0.3 + 0.2 * 6 / 27)


@pytest.mark.parametrize("method", METHODS)
def test_clear_pixels_are_untouched(cube, method):
    made = cube.eo.remove_clouds(method, extrapolate=True)
    clear = cube.notnull()
    np.testing.assert_array_equal(made.where(clear), cube)
    smooth = cube.eo.remove_clouds(method, smooth=True)
    assert smooth.dims == cube.dims


def test_nothing_is_extrapolated_in_silence(cube):
    made = cube.eo.remove_clouds("linear", quality=True)
    assert np.isnan(made["ndvi"][[0, 4], 0, 2]).all()
    assert made["gap_reason"][:, 0, 2].values.tolist() == [
        reason("beyond_clear_dates"),
        0,
        0,
        0,
        reason("observed"),
    ] or made["gap_reason"][0, 0, 2] == reason("beyond_clear_dates")
    more = cube.eo.remove_clouds("linear", quality=True, extrapolate=True)
    assert more["ndvi"][0, 0, 2] == pytest.approx(0.3)
    assert more["gap_reason"][0, 0, 2] == reason("extrapolated")


def test_why_and_how_far(cube):
    made = cube.eo.remove_clouds("linear", quality=True)
    codes = made["gap_reason"]
    assert codes.dtype == np.uint8
    assert codes.attrs["flag_meanings"].split() == list(REASONS)
    assert codes[:, 0, 0].values.tolist() == [0] * 5
    assert codes[2, 0, 1] == reason("filled")
    assert (codes[:, 0, 3] == reason("no_clear_date")).all()
    assert codes[0, 0, 4] == reason("observed")
    assert (codes[2:, 0, 4] == reason("beyond_clear_dates")).all()
    assert made["gap_days"][2, 0, 1] == 6
    assert made["gap_days"][0, 0, 0] == 0
    assert made["gap_days"][:, 0, 3].isnull().all()
    assert made["gap_days"].attrs["units"] == "days"
    assert made["ndvi_uncertainty"][2, 0, 1] > 0
    assert made["ndvi"].attrs["ancillary_variables"] == "ndvi_uncertainty gap_reason gap_days"


def test_an_asked_date_may_lie_a_day_beyond_the_last_clear_one(cube):
    # The last clear date of column 2 is the first of February.
    made = cube.eo.remove_clouds("nearest", at=["2020-02-02", "2020-02-03"])
    np.testing.assert_allclose(made[:, 0, 2], [0.5, np.nan])


def test_too_far_is_left(cube):
    made = cube.eo.remove_clouds("linear", limit=5, quality=True)
    assert np.isnan(made["ndvi"][2, 0, 1])
    assert made["gap_reason"][2, 0, 1] == reason("too_far")
    assert made["ndvi"].attrs["xeo_limit_days"] == 5.0
    assert not np.isnan(cube.eo.remove_clouds("linear", limit=6)[2, 0, 1])


def test_regular_dates(cube):
    made = cube.eo.remove_clouds("linear", at="8D", quality=True)
    assert (made["time"].values == pd.date_range("2020-01-01", periods=5, freq="8D").values).all()
    np.testing.assert_allclose(
        made["ndvi"][:, 0, 0], np.interp([0, 8, 16, 24, 32], [0, 4, 10, 31, 32], SERIES), rtol=1e-6
    )
    assert made["gap_reason"][1, 0, 0] == reason("filled")


def test_asked_dates(cube):
    made = cube.eo.remove_clouds("linear", at=["2020-01-03", "2020-03-01"])
    np.testing.assert_allclose(made[:, 0, 0], [0.2, np.nan], rtol=1e-6)


def test_a_mask_of_ones_own(cube):
    mask = cube.isnull() & False
    mask[1] = True
    made = cube.eo.remove_clouds("linear", mask=mask)
    assert made[1, 0, 0] == pytest.approx(0.1 + 0.1 * 4 / 10)
    assert made.attrs["xeo_mask"] == "ndvi"


def test_missing_values_alone(bolzano):
    made = bolzano.eo.remove_clouds("linear", mask=False)
    seen = bolzano["B04"] != 0
    np.testing.assert_allclose(
        made["B04"].where(seen), (bolzano["B04"] * 1e-4).where(seen), rtol=1e-6
    )
    assert made["B04"].attrs["xeo_mask"] == "missing values alone"


def test_real_clouds_of_a_dataset(bolzano):
    made = bolzano.eo.remove_clouds("linear", quality=True)
    assert list(made)[:4] == ["B02", "B03", "B04", "B08"]
    assert made["B02"].attrs["units"] == "1"
    assert "reflectance_scale_factor" not in made["B02"].attrs
    assert made["B02"].attrs["xeo_mask"] == "scl"
    bad = bolzano.eo.cloud_mask("scl")
    np.testing.assert_allclose(
        made["B08"].where(~bad), (bolzano["B08"] * 1e-4).where(~bad), rtol=1e-6
    )
    inside = made["gap_reason"] == reason("filled")
    assert inside.any()
    assert made["B08"].where(inside).max() < 1.0
    assert made.attrs["title"] == bolzano.attrs["title"]


def test_the_result_is_a_cube_of_reflectance(bolzano):
    made = bolzano.eo.remove_clouds("linear")
    again = made.eo.index("NDVI")
    assert 0 < float(again.mean()) < 1


@pytest.mark.parametrize(
    "chunks", [{"time": 1}, {"time": 5, "y": 17, "x": 50}, {"time": 12, "y": 60, "x": 7}]
)
@pytest.mark.parametrize("method", ["linear", "whittaker"])
def test_chunked_is_eager(bolzano, chunks, method, max_computes):
    expected = bolzano.load().eo.remove_clouds(method, quality=True)
    with max_computes(0):
        made = bolzano.chunk(chunks).eo.remove_clouds(method, quality=True, chunk=20)
    xr.testing.assert_allclose(made.compute(), expected, rtol=1e-5)


def test_bands_as_a_dimension(bolzano):
    array = bolzano[["B02", "B08"]].to_dataarray("band")
    array.attrs = bolzano["B02"].attrs
    mask = bolzano.eo.cloud_mask("scl")
    made = array.eo.remove_clouds("linear", mask=mask)
    assert made.dims == ("time", "band", "y", "x")
    assert made["band"].values.tolist() == ["B02", "B08"]
    ds = bolzano.eo.remove_clouds("linear", mask=mask, bands=["B02", "B08"])
    np.testing.assert_array_equal(made.sel(band="B08"), ds["B08"])
    both = array.rename("r").eo.remove_clouds("linear", mask=mask, quality=True)
    assert both["r_uncertainty"].dims == made.dims
    assert both["gap_reason"].dims == ("time", "y", "x")


def test_written_and_opened_again(bolzano, tmp_path):
    lazy = bolzano.chunk({"y": 30}).eo.remove_clouds("linear", quality=True)
    xeo.write(lazy, tmp_path / "filled.zarr", progress=False)
    back = xr.open_zarr(tmp_path / "filled.zarr")
    xr.testing.assert_equal(back.compute(), lazy.compute())
    assert back.attrs["title"] == bolzano.attrs["title"]


@dataclass(frozen=True)
class Tens:
    """Ten everywhere, give or take three."""

    spec: ClassVar[ModelSpec] = ModelSpec(
        name="tens", time="sequence", channels_per_band=2, missing="nan", needs=("time",)
    )

    def __call__(self, batch, /):
        (x,) = batch.values()
        dates = x.shape[1] if batch.at is None else len(batch.at)
        ten = np.full((len(x), dates, *x.shape[2:]), 10, "f4")
        return np.concatenate([ten, ten - 7], axis=2)


def test_any_filler_with_its_own_uncertainty(cube):
    made = cube.eo.remove_clouds(Tens(), quality=True)
    assert made["ndvi"][2, 0, 1] == 10
    assert made["ndvi_uncertainty"][2, 0, 1] == 3
    assert made["ndvi"].attrs["xeo_model"] == "tens"
    assert cube.eo.remove_clouds(Tens()).shape == cube.shape


def test_negative_values_and_infinities(cube):
    values = cube.copy(deep=True)
    values[1, 0, 0] = np.inf
    values[3, 0, 0] = -0.25
    made = values.eo.remove_clouds("linear")
    assert made[1, 0, 0] == pytest.approx(0.1 + 0.1 * 4 / 10)
    assert made[3, 0, 0] == -0.25


def test_integers_become_reflectance(bolzano):
    assert bolzano["B02"].dtype == np.uint16
    assert bolzano.eo.remove_clouds("nearest")["B02"].dtype == np.float32


def test_a_band_that_is_missing_leaves_the_others_as_they_are(cube):
    nir = cube.fillna(0.5).rename("nir")
    red = cube.rename("red")
    made = xr.merge([red, nir]).eo.remove_clouds("linear", mask=False, quality=True)
    np.testing.assert_array_equal(made["nir"], nir)
    np.testing.assert_array_equal(made["red"], cube.eo.remove_clouds("linear"))
    assert (made["gap_reason"][:, 0, 3] == reason("no_clear_date")).all()


def test_a_single_date(cube):
    made = cube.isel(time=[0]).eo.remove_clouds("linear", quality=True)
    np.testing.assert_array_equal(made["ndvi"], cube.isel(time=[0]))
    assert made["gap_reason"][0, 0, 3] == reason("no_clear_date")
    assert made["ndvi_uncertainty"].isnull().all()


def test_south_up_and_west_right(cube):
    turned = cube.isel(y=slice(None, None, -1), x=slice(None, None, -1))
    made = turned.eo.remove_clouds("linear")
    xr.testing.assert_equal(made.sel(cube.coords), cube.eo.remove_clouds("linear"))


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        (lambda c: c.isel(time=[1, 0, 2]), {}, DateError, "in order"),
        (lambda c: c.isel(time=[0, 0, 1]), {}, DateError, "more than once"),
        (lambda c: c.drop_vars("time"), {}, DateError, "coordinate of dates"),
        (lambda c: c.isel(time=0, drop=True), {}, DateError, "dates"),
        (lambda c: c, {"method": "liner"}, UnknownNameError, "'linear'"),
        (lambda c: c, {"lmbda": 3}, OptionError, "settings of 'linear'"),
        (lambda c: c, {"at": "5X"}, OptionError, "5D"),
        (lambda c: c, {"at": ["2020-02-01", "2020-01-01"]}, DateError, "in order"),
        (lambda c: c, {"at": []}, DateError, "one or more"),
        (lambda c: c, {"at": ["soon"]}, DateError, "dates"),
        (lambda c: c, {"limit": -1}, OptionError, "limit in days"),
        (lambda c: c, {"mask": 3}, OptionError, "DataArray of booleans"),
        (lambda c: c, {"mask": xr.DataArray(np.zeros((5, 3, 5), bool))}, DimensionError, "mask"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(cube, change, options, error, words):
    with pytest.raises(error, match=words):
        change(cube).eo.remove_clouds(**{"method": "linear", **options})


def test_masks_of_another_kind(cube):
    with pytest.raises(UnitsError, match="boolean mask"):
        cube.eo.remove_clouds("linear", mask=cube.isnull().astype("u1"))
    with pytest.raises(GridError, match="own 'x'"):
        cube.eo.remove_clouds("linear", mask=cube.isnull().isel(x=slice(2)))


def test_equal_work_has_equal_names(bolzano):
    one, two = (bolzano.chunk({"y": 30}).eo.remove_clouds("linear") for _ in range(2))
    assert one["B02"].data.name == two["B02"].data.name
    other = bolzano.chunk({"y": 30}).eo.remove_clouds("linear", at="5D")
    assert other["B02"].data.name != one["B02"].data.name


def test_the_plan_prints(bolzano):
    assert "linear" in str(bolzano.eo.remove_clouds("linear", at="2D", explain=True))
