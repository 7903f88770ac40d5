"""One pixel through time: what is drawn is what is there."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import xarray as xr

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xeo.errors import BandError, DateError, GridError, OptionError
from xeo.simulate import simulate_cube

TIMES = np.array(["2020-01-01", "2020-01-11", "2020-02-01", "2020-03-01"], "datetime64[ns]")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def cube():
    """Red and near infrared of 2 x 3 pixels; the one at y 10, x 20 has a cloud and a gap."""
    values = np.full((4, 2, 2, 3), 0.25, "f4")
    values[:, 0, 1, 2] = [0.1, 0.9, 0.1, np.nan]
    values[:, 1, 1, 2] = [0.3, 0.9, 0.4, np.nan]
    return xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={"time": TIMES, "band": ["red", "nir"], "y": [20.0, 10.0], "x": [0.0, 10.0, 20.0]},
        attrs={"units": "reflectance"},
        name="sr",
    )


@pytest.fixture
def mask(cube):
    bad = xr.zeros_like(cube[:, 0], dtype=bool).drop_vars("band")
    bad[1, 1, 2] = True
    return bad


def dots(ax):
    """Return the points of each label."""
    return {
        one.get_label(): one.get_offsets().data
        for one in ax.collections
        if hasattr(one, "get_sizes") and len(one.get_sizes())
    }


def test_clear_and_cloudy_values_are_told_apart(cube, mask):
    ax = cube.eo.plot.timeseries((10, 20), mask=mask)
    assert isinstance(ax, Axes)
    assert ax.get_ylabel() == "NDVI"
    assert ax.get_title(loc="left") == "y = 10, x = 20"
    found = dots(ax)
    np.testing.assert_allclose(found["clear"][:, 1], [0.5, 0.6], rtol=1e-6)
    days = matplotlib.dates.date2num(TIMES)
    np.testing.assert_allclose(found["clear"][:, 0], days[[0, 2]])
    # NDVI of the cloud is 0, below what is drawn: it sits on the edge.
    edge = ax.get_ylim()[0]
    np.testing.assert_allclose(found["cloudy, off the scale"], [[days[1], edge]])
    assert 0.4 < edge < 0.5


def test_bands_get_panels_and_units(cube, mask):
    figure = cube.eo.plot.timeseries({"y": 11, "x": 19}, ["red", "nir"], mask=mask)
    assert isinstance(figure, Figure)
    assert [ax.get_ylabel() for ax in figure.axes] == ["red (reflectance)", "nir (reflectance)"]
    np.testing.assert_allclose(dots(figure.axes[1])["clear"][:, 1], [0.3, 0.4], rtol=1e-6)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["clear", "cloudy, off the scale"]


def test_filled_values_and_their_uncertainty(cube, mask):
    filled = cube.eo.remove_clouds("linear", mask=mask, quality=True)
    sigma = np.array([0.0, 0.02, 0.0, np.nan], "f4")
    filled["sr_uncertainty"][:, :, 1, 2] = sigma[:, None]
    ax = cube.eo.plot.timeseries((10, 20), "nir", mask=mask, filled=filled)
    (line,) = ax.get_lines()
    np.testing.assert_allclose(line.get_ydata()[:3], [0.3, 0.3 + 0.1 * 10 / 31, 0.4], rtol=1e-6)
    assert np.isnan(line.get_ydata()[3])
    (band,) = [one for one in ax.collections if "deviations" in one.get_label()]
    heights = band.get_paths()[0].vertices[:, 1]
    middle = 0.3 + 0.1 * 10 / 31
    assert heights.max() == pytest.approx(max(0.4, middle + 0.04), rel=1e-5)
    assert heights.min() == pytest.approx(middle - 0.04, rel=1e-5)


def band_of(ax):
    (band,) = [one for one in ax.collections if "deviations" in one.get_label()]
    return np.unique(band.get_paths()[0].vertices[:, 1])


def test_uncertainty_of_an_index_is_that_of_its_own_values():
    cube = simulate_cube(dates=30, size=8)
    mask = cube.eo.cloud_mask("scl")
    point = {"y": float(cube.y[3]), "x": float(cube.x[2])}
    alone = cube.eo.index("NDVI").eo.remove_clouds("linear", mask=mask, quality=True)
    bands = cube.eo.remove_clouds("linear", mask=mask, quality=True)
    # On clear dates both are the same values, and the same noise.
    own = cube.eo.plot.timeseries(point, "NDVI", mask=mask, filled=alone)
    carried = cube.eo.plot.timeseries(point, "NDVI", mask=mask, filled=bands)
    reason = alone["gap_reason"][:, 3, 2].values
    sigma = alone["NDVI_uncertainty"][:, 3, 2].values[reason == 0]
    clear = alone["NDVI"][:, 3, 2].values[reason == 0]
    for ax in (own, carried):
        edges = band_of(ax)
        for edge in (clear[0] - 2 * sigma[0], clear[0] + 2 * sigma[0]):
            assert np.abs(edges - edge).min() < 1e-4


def test_too_few_dates_have_no_uncertainty_to_draw(cube, mask):
    filled = cube.eo.remove_clouds("linear", mask=mask, quality=True)
    ax = cube.eo.plot.timeseries((10, 20), mask=mask, filled=filled)
    assert "filled" in [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert not [one for one in ax.collections if "deviations" in str(one.get_label())]


def test_a_data_set_of_bands_degrees_and_other_dates():
    cube = simulate_cube(dates=10, size=16)
    filled = cube.eo.remove_clouds("linear", at="20D", quality=True)
    from pyproj import Transformer

    back = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)
    lon, lat = back.transform(float(cube.x[4]), float(cube.y[7]))
    ax = cube.eo.plot.timeseries({"lat": lat, "lon": lon}, "B08", filled=filled)
    y, x = float(cube.y[7]), float(cube.x[4])
    assert ax.get_title(loc="left") == f"y = {y:.10g}, x = {x:.10g}"
    assert len(ax.get_lines()[0].get_xdata()) == filled.sizes["time"]
    clear = ~cube.eo.cloud_mask("scl")[:, 7, 4].values
    seen = cube["B08"][:, 7, 4].values / 1e4
    np.testing.assert_allclose(dots(ax)["clear"][:, 1], seen[clear & (seen > 0)], rtol=1e-5)


def test_only_the_pixel_is_read(max_computes, mask, cube):
    read = []

    def spy(block):
        read.append(block.shape)
        return block

    lazy = cube.chunk(x=1, y=1, time=-1, band=-1)
    lazy = lazy.copy(data=lazy.data.map_blocks(spy, dtype="f4", meta=np.empty((0,) * 4, "f4")))
    lazy.eo.plot.timeseries((10, 20), "red", mask=mask)
    assert read == [(4, 2, 1, 1)]


def test_one_layer_without_a_name_on_given_axes(cube):
    _, ax = plt.subplots()
    lone = cube[:, 0].drop_vars("band").rename("LAI").assign_attrs(units="m2 m-2")
    assert lone.eo.plot.timeseries((10, 20), ax=ax) is ax
    assert ax.get_ylabel() == "LAI"
    assert len(dots(ax)["clear"]) == 3


def test_dates_are_selected(cube):
    ax = cube.eo.plot.timeseries((10, 20), "red", dates=slice("2020-02", None))
    assert len(dots(ax)["clear"]) == 1


@pytest.mark.parametrize(
    ("point", "more", "error", "message"),
    [
        ((10, 200), {}, GridError, "expected a point inside the cube, x from 0 to 20, got 200"),
        ((1, 2, 3), {}, OptionError, r"expected a point \(y, x\)"),
        ({"row": 1}, {}, OptionError, "expected a point with 'y' and 'x'"),
        ((10, 20), {"band": "NDVX"}, BandError, "or an index such as 'NDVI', got 'NDVX'"),
        ((10, 20), {"dates": "2021"}, DateError, "2021"),
        ((10, 20), {"mask": xr.DataArray(np.zeros((5, 5), bool), dims=("y", "x"))}, GridError,
         "expected a mask on the grid"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(cube, point, more, error, message):
    with pytest.raises(error, match=message):
        cube.eo.plot.timeseries(point, **more)
    _, ax = plt.subplots()
    with pytest.raises(OptionError, match="expected one band"):
        cube.eo.plot.timeseries((10, 20), ["red", "nir"], ax=ax)
