"""Cubes as people have them: names, orders, bands, grids, dates, CRS."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rioxarray
import xarray as xr

import xeo  # noqa: F401  (registers .eo)
from xeo.calibration import Told
from xeo.cube import Cube
from xeo.errors import BandError, DimensionError, GridError, UnitsError
from xeo.spec import Input

RED_NIR = Input("sentinel2", ("red", "nir"), "reflectance")


def scene(**names):
    """Two dates, three bands as a dimension, in the way of stackstac."""
    cube = xr.DataArray(
        np.arange(2 * 3 * 4 * 5, dtype="u2").reshape(2, 3, 4, 5) + 1000,
        dims=("time", "band", "y", "x"),
        coords={
            "time": pd.to_datetime(["2020-01-01", "2020-02-01"]),
            "band": ["B04", "B08", "B8A"],
            "y": 100.0 - 10 * np.arange(4),
            "x": 10.0 * np.arange(5),
        },
    )
    return cube.rename(names)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"y": "lat", "x": "lon"},
        {"y": "latitude", "x": "longitude"},
        {"y": "northing", "x": "easting", "time": "t", "band": "bands"},
        {"y": "Y", "x": "X", "time": "date", "band": "channel"},
        {"time": "acquired"},
    ],
)
def test_dimensions_are_found_by_name_or_dates(names):
    cube = Cube.of(scene(**names))
    assert cube.sizes == (2, 4, 5)
    assert cube.labels == ["B04", "B08", "B8A"]
    assert cube.dates is not None


def test_cf_attributes_are_believed_before_names():
    odd = scene(y="row_thing", x="col_thing")
    odd["row_thing"].attrs["axis"] = "Y"
    odd["col_thing"].attrs["standard_name"] = "projection_x_coordinate"
    assert Cube.of(odd).sizes == (2, 4, 5)


def test_stackstac_like_cubes():
    cube = scene().assign_coords(
        epsg=32631,
        common_name=("band", ["red", "nir", "nir08"]),
        platform=("time", ["sentinel-2a", "sentinel-2b"]),
        **{"s2:processing_baseline": ("time", ["02.08", "05.00"])},
    )
    found = Cube.of(cube)
    assert {s.family for s in found.sensors} == {"sentinel2"}
    assert "UTM zone 31N" in found.crs
    source, _, reasons = found.source(RED_NIR, Told())
    np.testing.assert_allclose(source.offset[:, 0], [0, -0.1])
    assert reasons == ["processing baseline"]


def test_odc_stac_like_cubes():
    data = scene().to_dataset("band").rename(B04="red", B08="nir", B8A="nir08")
    data = data.rio.write_crs("EPSG:32631")
    for name in data.data_vars:
        data[name].attrs = {"nodata": 0, "units": "1"}
    found = Cube.of(data.assign_attrs(platform="sentinel-2"))
    assert found.labels == ["red", "nir", "nir08"]
    source, absent, _ = found.source(RED_NIR, Told(units="dn"))
    assert source.bands == 2
    assert absent == ()
    assert str(found.grid_mapping) == "spatial_ref"


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_geotiffs_read_by_rioxarray(tmp_path):
    image = scene().isel(time=0, drop=True).assign_coords(band=[1, 2, 3])
    image = image.rio.write_crs("EPSG:32631").rio.write_nodata(0)
    image.attrs["long_name"] = ("B04", "B08", "B8A")
    image.rio.to_raster(tmp_path / "image.tif")
    with rioxarray.open_rasterio(tmp_path / "image.tif") as opened:
        found = Cube.of(opened)
        assert found.labels == ["B04", "B08", "B8A"]
        assert found.sizes == (1, 4, 5)
        assert found.dates is None
        assert "32631" in found.crs
        source, _, _ = found.source(RED_NIR, Told(units="dn", offset=0))
        raw, _ = source.read(np.arange(1), np.arange(4), np.arange(5))
        np.testing.assert_array_equal(raw[0], image.values[:2])


def test_numbers_below_the_offset_go_negative_and_do_not_wrap():
    dark = scene().copy(data=np.full((2, 3, 4, 5), 400, "u2"))
    dark = dark.assign_coords(time=pd.to_datetime(["2023-01-01", "2023-02-01"]))
    made = dark.sel(band=["B04"]).eo.embed("band_stats", offset=-1000, sensor="sentinel2_l2a")
    np.testing.assert_allclose(made[:, 0], -0.06, rtol=1e-5)
    full = dark.copy(data=np.full((2, 3, 4, 5), 65535, "u2")).sel(band=["B04"])
    made = full.eo.embed("band_stats", offset=0, sensor="sentinel2_l2a")
    np.testing.assert_allclose(made[:, 0], 6.5535, rtol=1e-5)


def test_bands_of_one_variable_are_read_together():
    source, _, _ = Cube.of(scene()).source(RED_NIR, Told())
    assert [part.bands for part in source.parts] == [(0, 1)]
    apart, _, _ = Cube.of(scene().to_dataset("band")).source(RED_NIR, Told())
    assert len(apart.parts) == 2


def test_optional_bands_may_be_absent():
    request = Input("sentinel2", ("red", "swir16", "nir"), "dn", optional_bands=("swir16",))
    source, absent, _ = Cube.of(scene()).source(request, Told())
    assert absent == (1,)
    assert source.bands == 3
    np.testing.assert_allclose(source.scale, 1.0)


def test_missing_bands_are_named_with_what_there_is():
    with pytest.raises(BandError, match=r"\['swir16'\] are missing: the cube has \['B04'"):
        Cube.of(scene()).source(Input("sentinel2", ("red", "swir16")), Told())


def test_quality_layers_are_no_bands():
    data = scene().to_dataset("band")
    data["SCL"] = xr.zeros_like(data.B04).assign_attrs(flag_values=[0, 1], flag_meanings="a b")
    data["mask"] = data.B04 > 3
    assert Cube.of(data).labels == ["B04", "B08", "B8A"]


def test_elevation_beside_bands_is_not_taken_for_one():
    data = scene().to_dataset("band")
    data["elevation"] = data.B04.isel(time=0, drop=True).astype("f4")
    source, _, _ = Cube.of(data).source(Input(), Told())
    assert source.bands == 3


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (xr.Dataset({"a": ("time", [1.0])}).drop_dims("time"), BandError, "variables with dim"),
        (np.zeros(3), DimensionError, "DataArray or Dataset"),
        (xr.DataArray(np.zeros((2, 2)), dims=("a", "b")), DimensionError, "cannot tell what"),
    ],
)
def test_what_is_no_cube_is_refused(broken, error, message):
    with pytest.raises(error, match=message):
        Cube.of(broken)


def test_units_that_do_not_lead_to_what_is_wanted():
    with pytest.raises(UnitsError, match="expected reflectance in 'B04', got db"):
        Cube.of(scene().astype("f4").assign_attrs(units="dB")).source(RED_NIR, Told())


def test_place_needs_a_crs_and_says_how_to_write_one():
    with pytest.raises(GridError, match=r"rio\.write_crs"):
        Cube.of(scene()).place()
    geographic = Cube.of(scene(y="lat", x="lon"))
    np.testing.assert_allclose(geographic.place().latlon(np.arange(1), np.arange(2))[:, 0, 1],
                               [100, 10])  # fmt: skip


def test_a_crs_that_proj_does_not_know():
    with pytest.raises(GridError, match="EPSG:999999"):
        Cube.of(scene().assign_attrs(crs="EPSG:999999")).crs  # noqa: B018


def test_chunks_are_those_of_the_store(tmp_path):
    scene().to_dataset(name="c").chunk(y=2, x=3).to_zarr(tmp_path / "c.zarr", zarr_format=2)
    for chunks in ({}, None):
        opened = xr.open_zarr(tmp_path / "c.zarr", chunks=chunks)
        found = Cube.of(opened)
        source, _, _ = found.source(Input(), Told())
        assert found.chunks(source) == (2, 2, 3)
    deep = xr.open_zarr(tmp_path / "c.zarr", chunks={})
    source, _, _ = Cube.of(deep).source(Input(), Told())
    assert not hasattr(source.parts[0].array, "dask")


def sharded(path, size, chunks, shards):
    import zarr

    zarr.open_group(path, mode="w").create_array(
        "c", shape=(4, 3, size, size), chunks=chunks, shards=shards, dtype="u2",
        dimension_names=("time", "band", "y", "x"),
    )  # fmt: skip
    for lazy in ({}, None):
        opened = xr.open_zarr(path, chunks=lazy, consolidated=False)
        yield opened.assign_coords(band=["red", "green", "blue"])


def test_shards_are_read_whole(tmp_path):
    for opened in sharded(tmp_path / "c.zarr", 64, (1, 1, 8, 16), (2, 3, 32, 32)):
        for chosen in (opened, opened.isel(time=0), opened.isel(band=[0, 2])):
            cube = Cube.of(chosen.c)
            source, _, _ = cube.source(Input(), Told())
            if not hasattr(source.parts[0].array, "dask"):
                time = 2 if "time" in chosen.dims else 1
                assert cube.chunks(source) == (time, 32, 32)
                assert cube.inner_chunks(source) == (1, 8, 16)


def test_shards_larger_than_a_block_are_not(tmp_path):
    for opened in sharded(tmp_path / "c.zarr", 4096, (2, 3, 512, 512), (4, 3, 2048, 4096)):
        cube = Cube.of(opened.c)
        source, _, _ = cube.source(Input(), Told())
        assert cube.chunks(source) == (2, 512, 512)


def test_chunks_of_netcdf(tmp_path):
    encoding = {"c": {"chunksizes": (1, 1, 2, 3)}}
    made = scene().drop_vars("spatial_ref", errors="ignore").to_dataset(name="c")
    made.to_netcdf(tmp_path / "c.nc", engine="h5netcdf", encoding=encoding)
    for chunks in ({}, None):
        with xr.open_dataset(tmp_path / "c.nc", engine="h5netcdf", chunks=chunks) as opened:
            cube = Cube.of(opened)
            source, _, _ = cube.source(Input(), Told())
            assert cube.chunks(source) == (1, 2, 3)


@pytest.mark.parametrize(
    "name", ["s2_l2a_bolzano_202206.zarr.zip", "naip_nd_5m_2009_2020.zarr.zip"]
)
def test_real_cubes(data_dir, name):
    import zarr

    cube = Cube.of(xr.open_zarr(zarr.storage.ZipStore(data_dir / name, mode="r")))
    assert {s.family for s in cube.sensors} == {"naip" if "naip" in name else "sentinel2"}
    assert len(cube.labels) == 4
    assert cube.crs is not None
    assert cube.flip == (False, False)
    source, _, _ = cube.source(Input("x", ("red", "nir")), Told())
    raw, _ = source.read(np.arange(1), np.arange(3), np.arange(3))
    assert raw.shape == (1, 2, 3, 3)
