"""``cloud_mask``: which method, which pixels, how it is refined."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
import zarr

import xeo
from xeo.errors import BandError, DateError, GridError, OptionError, UnknownNameError
from xeo.spec import ModelSpec

TIME = np.array(["2020-06-01T10:30", "2020-06-06T10:30"], "datetime64[ns]")


def opened(folder, name):
    return xr.open_zarr(zarr.storage.ZipStore(folder / f"{name}.zarr.zip", mode="r"), chunks=None)


@pytest.fixture
def flanders(data_dir):
    return opened(data_dir, "flanders_a_s2").isel(time=slice(0, 20))


@dataclass(frozen=True)
class Bright:
    """The red band itself is the probability."""

    spec: ClassVar[ModelSpec] = ModelSpec(name="bright", bands=("red",), channels=1, missing="nan")
    threshold: ClassVar[float] = 0.6

    def __call__(self, x, /):
        return x


def scene(red, nir=0.4, size=(21, 31), gsd=10.0, **angles):
    """A cube of two dates in UTM, dark but where ``red`` says so: pixels (date, row, column)."""
    values = np.zeros((2, 2, *size), "f4")
    values[:, 1] = nir
    for place, value in red.items():
        values[(place[0], 0, *place[1:])] = value
    y = 5e6 - gsd * np.arange(size[0])
    x = 5e5 + gsd * np.arange(size[1])
    coords = {"time": TIME, "band": ["red", "nir"], "y": y, "x": x}
    da = xr.DataArray(values, coords, ("time", "band", "y", "x"), attrs={"units": "reflectance"})
    da = da.assign_coords({name: ("time", list(both)) for name, both in angles.items()})
    return da.rio.write_crs("EPSG:32631")


def where(mask, date=0):
    return {(int(y), int(x)) for y, x in zip(*np.nonzero(mask[date].values), strict=True)}


def test_the_products_own_layer_is_taken_first(flanders):
    made = flanders.eo.cloud_mask()
    assert made.name == "cloud_mask"
    assert made.dtype == bool
    assert made.dims == ("time", "y", "x")
    assert made.attrs["xeo_model"] == "scl"
    np.testing.assert_array_equal(made, np.isin(flanders["SCL"], [0, 1, 3, 8, 9, 10]))


def test_classes_by_number_or_name(flanders):
    made = flanders.eo.cloud_mask("scl", classes=("thin_cirrus", 9))
    np.testing.assert_array_equal(made, np.isin(flanders["SCL"], [9, 10]))


def test_a_layer_as_a_band_or_alone(flanders):
    expected = flanders.eo.cloud_mask("scl")
    xr.testing.assert_equal(flanders["SCL"].eo.cloud_mask("scl"), expected)
    array = flanders[["B04", "SCL"]].to_dataarray("band")
    xr.testing.assert_equal(array.eo.cloud_mask("scl"), expected)


def test_codes_are_not_scaled_with_the_bands(data_dir):
    ds = xr.open_dataset(data_dir / "flanders_a_l8.nc", engine="h5netcdf")
    assert float(ds.attrs["sr_scale_factor"]) == 1e-4
    made = ds.eo.cloud_mask()
    assert made.attrs["xeo_model"] == "pixel_qa"
    bits = (1 << 0) | (1 << 3) | (1 << 5)
    flagged = (ds["pixel_qa"].values & bits) > 0
    assert made.values[flagged].all()
    assert 0.2 < float(made.mean()) < 0.8


@pytest.mark.parametrize("chunks", [{"time": 1}, {"y": 13, "x": 64}, {"time": 20, "y": 64, "x": 9}])
def test_chunked_is_eager(flanders, chunks, max_computes):
    options = {"classes": (8, 9), "dilate": 45, "min_size": 4, "shadows": True, "chunk": 24}
    expected = flanders.load().eo.cloud_mask("scl", **options)
    with max_computes(0):
        made = flanders.chunk(chunks).eo.cloud_mask("scl", **options)
    xr.testing.assert_identical(made.compute(), expected)
    assert expected.any()
    assert expected.attrs["dilate"] == 45
    assert expected.attrs["shadows"] == 1


def test_a_detector_of_ones_own_and_its_threshold():
    cube = scene({(0, 4, 5): 0.7, (0, 6, 6): 0.5})
    assert where(cube.eo.cloud_mask(Bright())) == {(4, 5)}
    assert where(cube.eo.cloud_mask(Bright(), threshold=0.4)) == {(4, 5), (6, 6)}
    made = cube.eo.cloud_mask(Bright(), probability=True)
    assert made.name == "cloud_probability"
    assert float(made[0, 6, 6]) == pytest.approx(0.5)


def test_missing_is_bad_and_does_not_grow():
    cube = scene({(0, 4, 5): np.nan})
    assert where(cube.eo.cloud_mask(Bright(), dilate=30)) == {(4, 5)}
    assert np.isnan(cube.eo.cloud_mask(Bright(), probability=True)[0, 4, 5])


def test_a_detector_that_can_do_without_some_bands():
    cube = scene({(0, 4, 5): 0.7})
    cube[0, 1, 4, 5] = cube[0, 0, 6, 6] = cube[0, :, 8, 8] = np.nan

    @dataclass(frozen=True)
    class Either(Bright):
        spec: ClassVar[ModelSpec] = ModelSpec(
            name="either", bands=("red", "nir"), channels=1, partial=True
        )

        def __call__(self, x, /):
            return x[:, :1]

    assert where(cube.eo.cloud_mask(Either())) == {(4, 5), (8, 8)}


def test_dilation_is_in_metres_from_centre_to_centre():
    cube = scene({(0, 10, 10): 1.0})
    made = where(cube.eo.cloud_mask(Bright(), dilate=20))
    disk = {(10 + a, 10 + b) for a in range(-2, 3) for b in range(-2, 3) if a * a + b * b <= 4}
    assert made == disk
    coarse = scene({(0, 10, 10): 1.0}, gsd=20.0)
    assert len(where(coarse.eo.cloud_mask(Bright(), dilate=20))) == 5


def test_degrees_of_longitude_are_shorter():
    cube = scene({(0, 10, 15): 1.0}).drop_vars("spatial_ref")
    cube = cube.assign_coords(
        y=60 - 0.001 * (np.arange(21) - 10), x=5 + 0.001 * np.arange(31)
    ).rio.write_crs("EPSG:4326")
    made = where(cube.eo.cloud_mask(Bright(), dilate=230))
    # At 60 degrees north a thousandth of a degree is 111 m of latitude and 56 m of longitude.
    assert {(12, 15), (10, 19)} <= made
    assert not {(13, 15), (10, 20)} & made


def test_small_objects_go():
    cube = scene({(0, 2, 2): 1.0, (0, 8, 8): 1.0, (0, 8, 9): 1.0})
    assert where(cube.eo.cloud_mask(Bright(), min_size=2)) == {(8, 8), (8, 9)}


def test_shadows_lie_away_from_the_sun_where_it_is_dark():
    # 45 degrees high in the south on the first date: a cloud of 50 m throws its shadow 5 pixels
    # to the north; in the east on the second: to the west.
    angles = {"sun_zenith": (45.0, 45.0), "sun_azimuth": (180.0, 90.0)}
    cube = scene({(0, 10, 15): 1.0, (1, 10, 15): 1.0}, nir=0.1, **angles)
    made = cube.eo.cloud_mask(Bright(), heights=(50, 50))
    assert where(made, 0) == {(10, 15), (5, 15)}
    assert where(made, 1) == {(10, 15), (10, 10)}
    bright = scene({(0, 10, 15): 1.0}, nir=0.4, **angles)
    assert where(bright.eo.cloud_mask(Bright(), heights=(50, 50))) == {(10, 15)}
    assert where(cube.eo.cloud_mask(Bright(), shadows=False)) == {(10, 15)}
    picked = cube.eo.cloud_mask(Bright(), heights=(50, 50), dates="2020-06-06")
    assert where(picked, 0) == {(10, 15), (10, 10)}


def test_elevation_does_as_well():
    cube = scene({(0, 10, 15): 1.0}, nir=0.1)
    cube.attrs |= {"view:sun_elevation": 45.0, "view:sun_azimuth": 180.0}
    assert where(cube.eo.cloud_mask(Bright(), heights=(50, 50))) == {(10, 15), (5, 15)}


def test_one_date_without_time():
    cube = scene({(0, 4, 5): 1.0}).isel(time=0, drop=True)
    made = cube.eo.cloud_mask(Bright(), dilate=10)
    assert made.dims == ("y", "x")
    assert int(made.sum()) == 5


def test_auto_without_a_layer(flanders):
    assert flanders.drop_vars("SCL").eo.cloud_mask(explain=True).spec.name in (
        "unet_rgbiswir", "threshold"
    )  # fmt: skip
    with pytest.raises(BandError, match="a mask of your own"):
        scene({}).eo.cloud_mask()


def test_written_by_blocks(flanders, tmp_path):
    lazy = flanders.chunk({"time": 10}).eo.cloud_mask("scl")
    xeo.write(lazy, tmp_path / "mask.zarr", progress=False)
    back = xr.open_zarr(tmp_path / "mask.zarr")["cloud_mask"]
    assert back.dtype == bool
    np.testing.assert_array_equal(back, lazy)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "scl"}, BandError, "expected the layer SCL"),
        ({"method": "skl"}, UnknownNameError, "Did you mean 'scl'"),
        ({"method": "threshold", "classes": (1,)}, OptionError, "settings of 'threshold'"),
        ({"classes": (1,)}, OptionError, "beside an object"),
        ({"threshold": 2}, OptionError, "from 0 to 1"),
        ({"dilate": -1}, OptionError, "metres"),
        ({"min_size": 1.5}, OptionError, "pixels"),
        ({"heights": (2000, 200)}, OptionError, "the lower first"),
        ({"shadows": True}, DateError, "zenith and azimuth"),
        ({"probability": True, "dilate": 5}, OptionError, "probability=False"),
    ],
)
def test_errors_say_what_to_do(options, error, words):
    with pytest.raises(error, match=words):
        scene({}).eo.cloud_mask(**{"method": Bright(), **options})


def test_metres_need_a_crs():
    cube = scene({(0, 1, 1): 1.0}).drop_vars("spatial_ref")
    with pytest.raises(GridError, match="no CRS"):
        cube.eo.cloud_mask(Bright(), dilate=20)


def test_shadows_need_near_infrared():
    cube = scene({}, sun_zenith=(40.0, 40.0), sun_azimuth=(170.0, 170.0)).sel(band=["red"])
    with pytest.raises(BandError, match="band nir"):
        cube.eo.cloud_mask(Bright(), shadows=True)
    assert not cube.eo.cloud_mask(Bright()).any()
