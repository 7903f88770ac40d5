from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.errors import OptionError, StoreError
from xeo.ops.stack import STACKED

pytest.importorskip("imagecodecs")

BANDS = ["B02", "B04", "B08"]
EXACT = {"lossless": True, "effort": 2, "progress": False}


@pytest.fixture(scope="module")
def cube():
    return xeo.simulate_cube(dates=2, size=24, truth=False)[[*BANDS, "SCL"]].load()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "small.zarr"


@pytest.mark.parametrize("stack", ["auto", True, False, {"rest": ["B08", "B02"]}, {}])
def test_the_variables_come_back_as_they_were(cube, out, stack):
    made = cube.copy()
    for number, name in enumerate(BANDS):
        made[name] = made[name].assign_attrs(number=number, shared="yes", list=[number, 1.5])
    made.eo.compress(out, stack=stack, **EXACT)
    again = xeo.open_zarr(out).load()
    xr.testing.assert_identical(again, made)
    assert list(again.data_vars) == list(made.data_vars)
    xr.testing.assert_identical(xr.open_zarr(out).eo.unstack_bands().load().drop_attrs(deep=False),
                                made.drop_attrs(deep=False))  # fmt: skip


@pytest.mark.parametrize(
    ("stack", "names"),
    [
        ("auto", ["SCL", "sentinel2"]),
        (False, ["B02", "B04", "B08", "SCL"]),
        ({"rest": ["B08", "B02"]}, ["B04", "SCL", "rest"]),
    ],
)
def test_what_is_stacked(cube, out, stack, names):
    report = cube.eo.compress(out, stack=stack, **EXACT)
    opened = xr.open_zarr(out)
    assert sorted(opened.data_vars) == names
    assert sorted(one.name for one in report.variables) == names


def test_attributes_that_all_share_are_those_of_the_array(cube, out):
    made = cube.copy()
    for number, name in enumerate(BANDS):
        made[name] = made[name].assign_attrs(number=number, shared="yes", bad=np.nan)
    made.eo.compress(out, **EXACT)
    attrs = xr.open_zarr(out)["sentinel2"].attrs
    assert attrs["shared"] == "yes"
    assert np.isnan(attrs["bad"])
    assert "number" not in attrs


def test_parts_of_what_was_stacked_unstack_too(cube, out):
    cube.eo.compress(out, **EXACT)
    opened = xr.open_zarr(out)
    some = opened.sel(band=["B08", "B02"]).isel(time=[1]).eo.unstack_bands()
    xr.testing.assert_identical(some["B02"].load(), cube["B02"].isel(time=[1]))
    assert "B04" not in some
    one = opened.sel(band="B04").eo.unstack_bands()
    xr.testing.assert_identical(one["B04"].load(), cube["B04"])


def test_unstacking_is_lazy(cube, out, max_computes):
    cube.eo.compress(out, **EXACT)
    opened = xr.open_zarr(out)
    with max_computes(0):
        assert opened.eo.unstack_bands()["B04"].chunks is not None


def test_a_data_set_without_stacked_bands_stays(cube):
    assert cube.eo.unstack_bands().identical(cube)


def test_bands_of_other_packing_grid_or_type_stay_apart(cube, out):
    made = cube.copy()
    made["B02"].encoding = {"_FillValue": 7}
    made["B11"] = made["B02"].astype("i4").drop_encoding()
    made.eo.compress(out, **EXACT)
    assert set(xr.open_zarr(out).data_vars) == {"B02", "B11", "sentinel2", "SCL"}
    xr.testing.assert_identical(xeo.open_zarr(out).load().drop_encoding(),
                                made.where(made != 7).assign(SCL=made.SCL, B04=made.B04,
                                B08=made.B08, B11=made.B11))  # fmt: skip


def test_an_array_that_has_the_name_already_keeps_it(cube, out):
    made = cube.assign(sentinel2=cube["SCL"] * 2)
    made.eo.compress(out, **EXACT)
    assert xr.open_zarr(out)["sentinel2_2"].dims == ("time", "band", "y", "x")
    xr.testing.assert_identical(xeo.open_zarr(out).load(), made)


def test_a_dimension_that_has_the_name_already_keeps_it(cube, out):
    made = cube.assign_coords(band=("time", [5, 6]))
    made.eo.compress(out, **EXACT)
    assert xr.open_zarr(out)["sentinel2"].dims == ("time", "bands", "y", "x")
    xr.testing.assert_identical(xeo.open_zarr(out).load(), made)


def test_variables_that_are_no_bands_stay_apart(out):
    values = np.arange(32, dtype="i2").reshape(2, 4, 4)
    ds = xr.Dataset(dict.fromkeys(("rain", "wind"), (("time", "y", "x"), values)))
    ds.eo.compress(out, **EXACT)
    assert set(xr.open_zarr(out).data_vars) == {"rain", "wind"}


def test_bounds_may_differ_between_stacked_bands(cube, out):
    report = cube.eo.compress(
        out, max_error={"B02": 0.001, "B04": 0.002, "B08": 0.004}, progress=False
    )
    assert report["B04"].settings["max_error"] == [10, 20, 40]
    assert report["B04"] is report["B08"]
    again = xeo.open_zarr(out)
    for name, bound in zip(BANDS, (10, 20, 40), strict=True):
        assert abs(again[name].astype(int) - cube[name].astype(int)).max() <= bound


@pytest.mark.parametrize(
    "said", ["{", "[]", '{"dim": "band"}', '{"dim": "band", "variables": [{"name": "a"}]}']
)
def test_a_damaged_layout_is_an_error(cube, out, said):
    cube.eo.compress(out, **EXACT)
    opened = xr.open_zarr(out)
    opened["sentinel2"].attrs[STACKED] = said
    with pytest.raises(StoreError, match="cannot be read"):
        opened.eo.unstack_bands()


def test_a_layout_without_its_coordinate_is_an_error(cube, out):
    cube.eo.compress(out, **EXACT)
    with pytest.raises(StoreError, match="the coordinate 'band' with the names"):
        xr.open_zarr(out).drop_vars("band").eo.unstack_bands()


def test_what_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="expected a Zarr store at"):
        xeo.open_zarr(tmp_path / "nothing.zarr")


def test_options_of_xarray_reach_it(cube, out):
    cube.eo.compress(out, **EXACT)
    assert xeo.open_zarr(out, chunks=None)["B04"].chunks is None


def test_a_mapping_must_name_variables(cube, out):
    with pytest.raises(OptionError, match="to stack"):
        cube.eo.compress(out, stack={"none": []}, **EXACT)
