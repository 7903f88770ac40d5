from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.errors import DimensionError, OptionError, XeoWarning

pytest.importorskip("imagecodecs")

BANDS = ["B02", "B04"]


@pytest.fixture(scope="module")
def cube():
    return xeo.simulate_cube(dates=3, size=40, truth=False)[[*BANDS, "SCL"]].load()


def written(ds, path, version=3, **options):
    encoding = ds.eo.encoding(zarr_format=version, **options)
    ds.to_zarr(path, encoding=encoding, consolidated=False, zarr_format=version)
    return xr.open_zarr(path, consolidated=False)


@pytest.mark.parametrize("version", [2, 3])
def test_xarray_writes_with_it(cube, tmp_path, version):
    made = written(cube, tmp_path / "a.zarr", version, max_error=0.002)
    for name in BANDS:
        error = abs(made[name].astype(int) - cube[name].astype(int)).max()
        assert 0 < error <= 20
    np.testing.assert_array_equal(made["SCL"], cube["SCL"])
    xr.testing.assert_identical(made[BANDS].coords.to_dataset().load(),
                                cube[BANDS].coords.to_dataset())  # fmt: skip


def test_it_names_the_codecs(cube):
    made = cube.eo.encoding(max_error={"B02": 0.002, "B04": 0.004})
    assert set(made) == {*BANDS, "SCL"}
    assert made["B02"]["serializer"].name == "xeo.bounded"
    assert made["B02"]["serializer"].max_error == 20
    assert made["B04"]["serializer"].max_error == 40
    assert made["SCL"]["serializer"].name == "xeo.lossless"
    assert made["SCL"]["compressors"] is None


def test_chunks_are_chosen_or_asked_for(cube):
    assert cube.eo.encoding(lossless=True)["B02"]["chunks"] == (3, 40, 40)
    asked = cube.eo.encoding(lossless=True, chunks={"y": 16})
    assert asked["B02"]["chunks"] == (3, 16, 40)


def test_chunks_of_dask_stay(cube, tmp_path):
    lazy = cube.chunk(time=2, y=16)
    assert lazy.eo.encoding(lossless=True)["B02"]["chunks"] == (2, 16, 40)
    made = written(lazy, tmp_path / "a.zarr", lossless=True)
    xr.testing.assert_identical(made.load(), cube)


def test_nothing_is_computed(cube, max_computes):
    with max_computes(0):
        cube.chunk(time=1).eo.encoding(max_error=0.002)


def test_packing_stays(tmp_path):
    stored = np.arange(800, dtype="i2").reshape(2, 20, 20)
    attrs = {"scale_factor": 0.01, "add_offset": 273.15, "_FillValue": np.int16(5)}
    decoded = xr.decode_cf(xr.Dataset({"t": (("time", "y", "x"), stored, attrs)}))
    made = written(decoded, tmp_path / "a.zarr", max_error=0.03)
    again = xr.open_zarr(tmp_path / "a.zarr", consolidated=False, mask_and_scale=False)["t"]
    assert again.dtype == np.int16
    assert again.attrs == attrs
    assert np.nanmax(abs(made["t"] - decoded["t"])) <= 0.03 * (1 + 1e-6)


@pytest.mark.parametrize(("was", "becomes"), [(2, 3), (3, 2), (2, 2), (3, 3)])
def test_a_store_of_another_version_is_written_anew(cube, tmp_path, was, becomes):
    made = cube.assign(angle=("time", np.arange(3.0)))
    made.to_zarr(tmp_path / "a.zarr", zarr_format=was, consolidated=False)
    opened = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    again = written(opened, tmp_path / "b.zarr", becomes, lossless=True)
    xr.testing.assert_equal(again.load(), made)


def test_an_array(cube, tmp_path):
    da = cube["B04"]
    encoding = da.eo.encoding(lossless=True)
    da.to_dataset().to_zarr(
        tmp_path / "a.zarr", encoding=encoding, consolidated=False, zarr_format=3
    )
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "a.zarr", consolidated=False)["B04"], da)


def test_chunks_of_one_date_warn_for_video(cube):
    pytest.importorskip("av")
    with pytest.warns(XeoWarning, match="chunks of one date"):
        cube.chunk(time=1)[BANDS].eo.encoding(psnr=50)


def test_errors(cube):
    with pytest.raises(OptionError, match="how close 'B02' has to stay"):
        cube.eo.encoding()
    with pytest.raises(OptionError, match="zarr_format 2 or 3, got 1"):
        cube.eo.encoding(lossless=True, zarr_format=1)
    with pytest.raises(DimensionError, match="chunks of dimensions"):
        cube.eo.encoding(lossless=True, chunks={"z": 1})
    with pytest.raises(OptionError, match="settings among"):
        cube.eo.encoding(lossless=True, stack=True)
