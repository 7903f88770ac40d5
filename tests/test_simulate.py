from __future__ import annotations

import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers .rio
import xarray as xr

from xeo import bands
from xeo.errors import DateError, GridError, OptionError
from xeo.simulate import SOURCE, simulate_cube

ALL = ("sentinel2", "sentinel1", "weather", "terrain")
S2 = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]


@pytest.fixture(scope="module")
def cube():
    return simulate_cube(dates=16, size=(64, 80), seed=3, truth=True)


@pytest.fixture(scope="module")
def tree():
    return simulate_cube(dates=4, size=(40, 31), sensors=ALL)


def test_says_that_it_is_simulated(cube, tree):
    for node in (cube, tree, *tree.children.values()):
        assert node.attrs["source"] == SOURCE
        assert "SIMULATED" in node.attrs["title"]
    assert all(cube[band].attrs["long_name"].startswith("Simulated") for band in S2)


def test_looks_like_the_real_cubes(cube):
    assert dict(cube.sizes) == {"time": 16, "y": 64, "x": 80}
    assert cube["B02"].dtype == np.uint16
    assert cube["B02"].attrs["units"] == "DN"
    assert cube["B02"].attrs["reflectance_scale_factor"] == 1e-4
    assert cube["B02"].attrs["reflectance_add_offset"] == 0.0
    assert cube["B02"].attrs["_nodata"] == 0
    assert cube["B02"].attrs["grid_mapping"] == "spatial_ref"
    assert np.all(np.diff(cube.y) == -10)
    assert cube.rio.crs.to_epsg() == 32631
    left, dx, _, top, _, dy = map(float, cube.spatial_ref.attrs["GeoTransform"].split())
    assert (left + dx / 2, top + dy / 2) == (float(cube.x[0]), float(cube.y[0]))
    assert (dx, dy) == (float(cube.x[1] - cube.x[0]), float(cube.y[1] - cube.y[0]))
    labels = [str(name) for name in cube.data_vars]
    assert [s.name for s in bands.identify(labels, cube.attrs["title"])] == ["sentinel2_l2a"]
    found = bands.pick(labels, ["red", "nir"], bands.identify(labels))
    assert [labels[i] for i in found if i is not None] == ["B04", "B08"]


@pytest.mark.parametrize("sensors", [("sentinel2",), ALL])
def test_same_seed_same_cube_whatever_the_chunks(sensors):
    make = lambda **options: simulate_cube(dates=3, size=24, sensors=sensors, **options)  # noqa: E731
    plain, again, chunked = make(), make(), make(chunks={"time": 1, "y": 10, "x": 7})
    assert plain.identical(again)
    assert chunked.chunksizes
    assert plain.identical(chunked.compute())
    assert not plain.equals(make(seed=1))


def test_truth_agrees_with_what_is_seen(cube):
    clear = ~cube.cloud_mask & ~cube.shadow_mask & (cube.B04 > 0)
    for band in S2:
        error = np.abs(cube[band].astype(int) - cube[f"clear_{band}"].astype(int)).where(clear)
        # A clear pixel may still have an opacity of 0.1 and a shade of 0.2.
        assert float(error.max()) < 0.1 * 7500 + 0.2 * 0.65 * 6000
        assert float(error.median()) < 200
        assert cube[f"clear_{band}"].min() > 0
    brighter = cube.B02.astype(int) - cube.clear_B02.astype(int)
    assert float(brighter.where(cube.cloud_mask & (cube.B02 > 0)).min()) > -700
    thick = (cube.SCL == 9) & (cube.B02 > 0)
    assert float(cube.B02.where(thick).mean()) > 4500
    dark = cube.B08.astype(float) / cube.clear_B08
    assert float(dark.where(cube.shadow_mask & (cube.B08 > 0)).mean()) < 0.8
    assert not bool((cube.cloud_mask & cube.shadow_mask).any())


def test_classes_follow_the_truth(cube):
    seen = cube.SCL != 0
    assert bool(((cube.SCL >= 8) == cube.cloud_mask).where(seen, True).all())
    assert bool(((cube.SCL == 3) == cube.shadow_mask).where(seen, True).all())
    assert bool(((cube.SCL == 0) == (cube.B04 == 0)).all())
    assert 0 < float((cube.SCL == 0).mean()) < 0.3
    meanings = cube.land_cover.attrs["flag_meanings"].split()
    assert len(meanings) == len(cube.land_cover.attrs["flag_values"])
    assert len(meanings) == len(cube.land_cover.attrs["flag_colors"].split())
    assert set(np.unique(cube.land_cover)) <= set(cube.land_cover.attrs["flag_values"])


@pytest.mark.parametrize("cover", [0.0, 0.2, 0.5, 1.0])
def test_cloud_cover_is_met(cover):
    cube = simulate_cube(dates=24, size=32, cloud_cover=cover)
    assert float(cube.cloud_mask.mean()) == pytest.approx(cover, abs=0.05)
    if cover == 0:
        assert not bool(cube.shadow_mask.any())


def test_shadows_lie_away_from_the_sun():
    cube = simulate_cube(dates=24, size=128, cloud_cover=0.3, seed=5)
    ahead = behind = 0.0
    for i in range(24):
        cloud, shade = cube.cloud_mask.values[i], cube.shadow_mask.values[i]
        if not 0.02 < cloud.mean() < 0.6:
            continue
        # The morning sun stands in the south-east: shadows fall to the north-west.
        assert 90 < float(cube.sunAzimuthAngles[i]) < 180
        ahead += np.mean([(shade[:-k, :-k] & cloud[k:, k:]).mean() for k in (4, 8, 12)])
        behind += np.mean([(shade[k:, k:] & cloud[:-k, :-k]).mean() for k in (4, 8, 12)])
    assert ahead > 1.5 * behind > 0


def test_seasons():
    cube = simulate_cube(
        dates=["2023-01-15", "2023-05-25", "2023-08-10"], size=200, cloud_cover=0, truth=True
    )
    red, nir = cube.clear_B04.astype(float), cube.clear_B08.astype(float)
    ndvi = (nir - red) / (nir + red)
    code = dict(
        zip(cube.land_cover.flag_meanings.split(), cube.land_cover.flag_values, strict=True)
    )
    wheat = ndvi.where(cube.land_cover == code["winter_wheat"]).mean(("y", "x")).values
    maize = ndvi.where(cube.land_cover == code["maize"]).mean(("y", "x")).values
    water = ndvi.where(cube.land_cover == code["water"]).mean(("y", "x")).values
    assert wheat.argmax() == 1
    assert maize.argmax() == 2
    assert np.all(water < 0)
    assert wheat[1] > maize[1] + 0.3
    south = simulate_cube(
        dates=["2023-01-15"], size=200, cloud_cover=0, truth=True, crs="EPSG:32731"
    )
    assert float(south.clear_B08.mean()) > float(cube.clear_B08[0].mean())


def test_reflectance_has_nan_for_missing():
    options = {"dates": 12, "size": 32, "seed": 2}
    dn, ref = simulate_cube(**options), simulate_cube(**options, units="reflectance")
    assert ref.B04.dtype == np.float32
    assert ref.B04.attrs["units"] == "1"
    missing = dn.B04 == 0
    assert bool(missing.any())
    assert bool((ref.B04.isnull() == missing).all())
    np.testing.assert_allclose(ref.B04.where(~missing), (dn.B04 * 1e-4).where(~missing), atol=1e-4)
    assert not [name for name in dn.data_vars if str(name).startswith("clear_")]


def test_each_modality_has_its_own_grid_and_dates(tree):
    assert list(tree.children) == list(ALL)
    assert dict(tree["sentinel1"].sizes) == {"time": 23, "y": 20, "x": 16}
    assert dict(tree["terrain"].sizes) == {"y": 14, "x": 11}
    assert list(tree["weather"].dims) == ["time"]
    assert float(tree["sentinel1"].x[0] - tree["sentinel2"].x[0]) == 5.0
    assert tree["sentinel1"].VV.attrs["units"] == "dB"
    assert 250 < float(tree["weather"].temperature_mean.mean()) < 310
    assert float(tree["weather"].precipitation_flux.min()) == 0
    assert 0 <= float(tree["terrain"].slope.max()) < 60
    assert float(tree["sentinel1"].VV.mean()) > float(tree["sentinel1"].VH.mean()) + 4


def test_survives_zarr(cube, tmp_path):
    cube.to_zarr(tmp_path / "cube.zarr", zarr_format=2)
    with xr.open_zarr(tmp_path / "cube.zarr") as back:
        xr.testing.assert_equal(back.compute(), cube)
        assert back.rio.crs == cube.rio.crs


def test_small_and_single():
    cube = simulate_cube(dates=1, size=1)
    assert dict(cube.sizes) == {"time": 1, "y": 1, "x": 1}
    tree = simulate_cube(dates=1, size=1, sensors=ALL)
    assert tree["terrain"].elevation.shape == (1, 1)
    assert bool(np.isfinite(tree["terrain"].slope).all())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sensors": ("sentinel3",)}, OptionError, r"out of \['sentinel2', .* got \['sentinel3'\]"),
        ({"sensors": ()}, OptionError, "expected different sensors"),
        ({"sensors": ("terrain", "terrain")}, OptionError, "expected different sensors"),
        ({"dates": 0}, OptionError, "expected 1 date or more, got 0"),
        ({"dates": ["2023-02-01", "2023-01-01"]}, DateError, "expected increasing dates"),
        ({"size": 0}, OptionError, "expected a size of 1 pixel or more, got 0"),
        ({"cloud_cover": 40}, OptionError, "from 0 to 1, got 40"),
        ({"units": "kelvin"}, OptionError, "expected units 'dn' or 'reflectance', got 'kelvin'"),
        ({"crs": "EPSG:4326"}, GridError, "projected CRS in metres, got 'EPSG:4326'"),
    ],
)
def test_errors(options, error, message):
    with pytest.raises(error, match=message):
        simulate_cube(**{"dates": 2, "size": 8, **options})
