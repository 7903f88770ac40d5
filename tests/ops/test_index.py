"""Spectral indices: formulas by hand, bands by any name, lazy as the cube is."""

from __future__ import annotations

import numpy as np
import pytest
import spyndex
import xarray as xr

import xeo
from xeo.errors import BandError, OptionError, UnitsError, UnknownNameError

REFLECTANCE = np.array(
    [
        [[0.1, 0.2], [np.nan, 0.0]],  # red
        [[0.5, 0.2], [0.4, 0.0]],  # nir
        [[0.05, 0.1], [0.1, 0.1]],  # blue
    ],
    "f4",
)
NDVI = [[0.4 / 0.6, 0.0], [np.nan, np.nan]]


@pytest.fixture
def cube():
    return xr.DataArray(
        REFLECTANCE,
        dims=("band", "y", "x"),
        coords={"band": ["B04", "B08", "B02"], "y": [10.0, 0.0], "x": [0.0, 10.0]},
        attrs={"units": "reflectance", "platform": "sentinel-2a"},
    )


def close(made, expected):
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-7)


def test_one_name_gives_an_array_of_that_name(cube):
    made = cube.eo.index("NDVI")
    assert made.name == "NDVI"
    assert made.dims == ("y", "x")
    assert made.dtype == np.float32
    close(made, NDVI)
    assert made.attrs["long_name"] == "Normalized Difference Vegetation Index"
    assert made.attrs["units"] == "1"
    assert made.attrs["formula"] == "(N-R)/(N+R)"
    assert "doi:10.1038/s41597-023-02096-0" in made.attrs["references"]
    assert "xeo_version" in made.attrs


def test_several_names_give_variables(cube):
    made = cube.eo.index("NDVI", "kNDVI")
    assert list(made) == ["NDVI", "kNDVI"]
    close(made["NDVI"], NDVI)
    # Camps-Valls et al. 2021, equation 2.
    close(made["kNDVI"], np.tanh(np.square(NDVI)))


def test_a_given_length_scale_is_one_for_all_pixels(cube):
    made = cube.eo.index("kNDVI", parameters={"sigma": 0.2})
    kernel = np.exp(-(0.4**2) / (2 * 0.2**2))
    assert float(made[0, 0]) == pytest.approx((1 - kernel) / (1 + kernel), rel=1e-6)
    # Equal bands are alike where the length scale is not nought.
    assert float(made[1, 1]) == 0


def test_infinities_are_missing(cube):
    # The ratio of two bands, N / R.
    made = cube.eo.index("SR") if "SR" in spyndex.indices else cube.eo.index("RVI")
    dark = cube.copy()
    dark[0, 0, 1] = 0
    assert np.isfinite(made[0, 1])
    again = dark.eo.index(made.name)
    assert np.isnan(again[0, 1])
    assert again[0, 0] == made[0, 0]


def test_constants_are_those_of_the_papers_or_the_users(cube):
    def savi(length):
        return (1 + length) * 0.4 / (0.6 + length)

    assert float(cube.eo.index("SAVI")[0, 0]) == pytest.approx(savi(0.5), rel=1e-6)
    for given in ({"L": 0.25}, {"SAVI": {"L": 0.25}, "L": 1.0}):
        made = cube.eo.index("SAVI", "EVI", parameters=given)
        assert float(made["SAVI"][0, 0]) == pytest.approx(savi(0.25), rel=1e-6)
    evi = 2.5 * 0.4 / (0.5 + 6 * 0.1 - 7.5 * 0.05 + 1)
    assert float(made["EVI"][0, 0]) == pytest.approx(evi, rel=1e-6)


def test_stored_numbers_are_decoded_and_radar_is_power():
    ds = xeo.simulate_cube(dates=2, size=8)
    made = ds.eo.index("EVI")
    bands = {code: ds[name] / 1e4 for code, name in (("N", "B08"), ("R", "B04"), ("B", "B02"))}
    bands = {code: da.where(da > 0) for code, da in bands.items()}
    expected = spyndex.indices["EVI"].compute(**bands, g=2.5, C1=6.0, C2=7.5, L=1.0)
    np.testing.assert_allclose(made, expected, rtol=1e-5)
    radar = xr.Dataset({"vv": (("y", "x"), [[-10.0]]), "vh": (("y", "x"), [[-20.0]])})
    radar.attrs["platform"] = "sentinel-1a"
    made = radar.eo.index("DpRVIVV", sensor="sentinel1_grd", units="db")
    assert float(made[0, 0]) == pytest.approx(4 * 0.01 / (0.1 + 0.01), rel=1e-5)


def test_wavelengths_are_those_of_the_sensor():
    ds = xeo.simulate_cube(dates=1, size=4)
    made = ds.eo.index("FAI", parameters={"lambdaN": 833.0})
    n, r, s = (ds[name] / 1e4 for name in ("B08", "B04", "B11"))
    expected = n - (r + (s - r) * ((833.0 - 664.6) / (1613.7 - 664.6)))
    seen = np.isfinite(made)
    close(made.values[seen], expected.values[seen])


def test_narrow_near_infrared_stands_in_for_the_broad(cube):
    landsat = cube.assign_coords(band=["SR_B4", "SR_B5", "SR_B2"])
    close(landsat.eo.index("NDVI", sensor="landsat_c2l2", units="reflectance"), NDVI)
    narrow = cube.assign_coords(band=["B04", "B8A", "B02"])
    close(narrow.eo.index("NDVI"), NDVI)


@pytest.mark.parametrize("chunks", [{"time": 1}, {"y": 3, "x": 5}, {"time": 2, "y": 16}])
def test_chunked_equals_eager_and_nothing_computes_while_building(max_computes, chunks):
    eager = xeo.simulate_cube(dates=3, size=16)
    names = ("NDVI", "kNDVI", "NBR")
    with max_computes(0):
        lazy = eager.chunk(chunks).eo.index(*names)
    assert lazy.chunks
    xr.testing.assert_identical(lazy.compute(), eager.eo.index(*names))
    again = eager.chunk(chunks).eo.index(*names)
    assert all(lazy[name].data.name == again[name].data.name for name in names)


def test_input_is_unchanged_and_masked_pixels_are_missing(cube):
    before = cube.copy(deep=True)
    mask = xr.DataArray([[True, False], [False, False]], dims=("y", "x"))
    made = cube.eo.index("NDVI", mask=mask)
    assert np.isnan(made[0, 0])
    assert made[0, 1] == 0
    xr.testing.assert_identical(cube, before)


def test_written_and_read_again(tmp_path):
    made = xeo.simulate_cube(dates=2, size=16, chunks={"time": 1}).eo.index("NDVI", "NDWI")
    xeo.write(made, tmp_path / "indices.zarr")
    again = xr.open_zarr(tmp_path / "indices.zarr")
    xr.testing.assert_equal(again.compute(), made.compute())


def test_the_method_is_the_function_and_plans_explain(cube):
    assert cube.eo.index("NDVI").identical(xeo.index(cube, "NDVI"))
    assert cube.eo.index("NDVI", "EVI", explain=True).shape == (2, 2, 2)


@pytest.mark.parametrize(
    ("names", "more", "error", "message"),
    [
        ((), {}, OptionError, "expected the name of an index, got none"),
        (("NDVI", "NDVI"), {}, OptionError, "expected each index once"),
        (("ndvi",), {}, UnknownNameError, "got 'ndvi'. Did you mean 'NDVI'?"),
        (("NDVX",), {}, UnknownNameError, "Did you mean 'NDVI"),
        (("NDVI", "NBR"), {}, BandError, r"for NBR, but \['swir22'\] are missing"),
        (("NDVI",), {"parameters": {"L": 1}}, OptionError, r"out of \['sigma'\], got \['L'\]"),
        (("NDVI",), {"parameters": {"EVI": {"L": 1}}}, OptionError, r"got \['EVI'\]"),
        (("SAVI",), {"parameters": {"L": "1"}}, OptionError, "expected a number for"),
    ],
)
def test_errors_say_what_to_do(cube, names, more, error, message):
    with pytest.raises(error, match=message):
        cube.eo.index(*names, **more)


def test_unknown_units_and_constants_are_refused():
    bare = xr.DataArray(np.ones((2, 2, 2), "f4"), dims=("band", "y", "x"))
    bare = bare.assign_coords(band=["red", "nir"])
    with pytest.raises(UnitsError):
        bare.eo.index("NDVI")
    with pytest.raises(OptionError, match=r"expected a value of PAR \(Photosynthetically"):
        bare.eo.index("NIRvP", units="reflectance")
    with pytest.raises(OptionError, match="expected a value of lambda"):
        bare.eo.index("NIRvH2", units="reflectance")
