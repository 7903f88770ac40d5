from __future__ import annotations

import shutil

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
import zarr

import xeo
from xeo.errors import StoreError

BANDS = ["B02", "B03", "B04"]


@pytest.fixture
def cube():
    return xeo.simulate_cube(dates=2, size=24, chunks={"time": 1}, truth=False)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not")
def test_zarr_of_every_kind_opens_without_a_warning(cube, tmp_path, version, consolidated):
    path = tmp_path / "cube.zarr"
    cube.to_zarr(path, zarr_format=version, consolidated=consolidated)
    for form in (path, str(path), f"file://{path}"):
        opened = xeo.open_cube(form)
        assert opened["B04"].chunks is not None
        np.testing.assert_array_equal(opened["B04"], cube["B04"])


def test_a_zip_opens(cube, tmp_path):
    cube.to_zarr(tmp_path / "cube.zarr", consolidated=False, zarr_format=3)
    shutil.make_archive(str(tmp_path / "cube.zarr"), "zip", tmp_path / "cube.zarr")
    np.testing.assert_array_equal(xeo.open_cube(tmp_path / "cube.zarr.zip")["B04"], cube["B04"])


def test_a_url_opens(cube):
    cube.to_zarr("memory://test_open/cube.zarr", consolidated=False, zarr_format=3)
    opened = xeo.open_cube("memory://test_open/cube.zarr")
    np.testing.assert_array_equal(opened["B04"], cube["B04"])


def test_groups_open_as_a_tree(tmp_path):
    tree = xeo.simulate_cube(dates=2, size=24, sensors=["sentinel2", "sentinel1"], truth=False)
    tree.to_zarr(tmp_path / "tree.zarr", consolidated=False, zarr_format=3)
    opened = xeo.open_cube(tmp_path / "tree.zarr")
    assert isinstance(opened, xr.DataTree)
    assert sorted(opened.children) == ["sentinel1", "sentinel2"]


def test_netcdf_opens(cube, tmp_path):
    cube.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    np.testing.assert_array_equal(xeo.open_cube(tmp_path / "cube.nc")["B04"], cube["B04"])


# What rioxarray's own writing says of another package's future.
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
@pytest.mark.parametrize("names", [BANDS, None])
def test_geotiff_opens_with_the_names_of_its_bands(cube, tmp_path, names):
    image = cube[BANDS].isel(time=0).to_dataarray("band").compute()
    image.attrs = {"long_name": tuple(names)} if names else {}
    image.encoding = {}
    image.rio.to_raster(tmp_path / "image.tif")
    opened = xeo.open_cube(tmp_path / "image.tif")
    np.testing.assert_array_equal(opened["image"], image)
    assert list(opened["band"].values) == (names or [1, 2, 3])
    assert opened.rio.crs.to_epsg() == 32631


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(StoreError, match=r"expected a cube at .*nothing.zarr.*found nothing"):
        xeo.open_cube(tmp_path / "nothing.zarr")


@pytest.mark.parametrize("name", ["a.nc", "a.tif", "a.zarr.zip"])
def test_a_broken_file_is_an_error(tmp_path, name):
    (tmp_path / name).write_bytes(b"no cube")
    with pytest.raises(StoreError, match="but reading it failed"):
        xeo.open_cube(tmp_path / name)


def test_a_folder_that_is_no_store_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="but reading it failed"):
        xeo.open_cube(tmp_path)


def test_a_store_that_is_being_written_warns(cube, tmp_path):
    cube.to_zarr(tmp_path / "cube.zarr", consolidated=False, zarr_format=3)
    zarr.open_group(tmp_path / "cube.zarr").attrs["xeo_complete"] = 0
    with pytest.warns(xeo.errors.XeoWarning, match="not complete") as caught:
        xeo.open_cube(tmp_path / "cube.zarr")
    assert caught[0].filename == __file__
