"""What monthly models make of a batch."""

from __future__ import annotations

import numpy as np
import pytest

from xeo.errors import ModelError
from xeo.models import monthly
from xeo.spec import Batch, Input

WHOLE = monthly.Tile(slice(None), slice(None))
INPUTS = monthly.inputs("reflectance")


def days(*texts):
    return np.array(texts, "datetime64[ns]")


def batch(**more):
    arrays = {"sentinel2": np.ones((1, 2, 10, 3, 3), "f4")}
    return Batch(
        **{"arrays": arrays, "time": {"sentinel2": days("2020-01-01", "2020-03-01")}, **more}
    )


def test_weather_is_a_mean_and_a_sum():
    values = np.array([[280, 290, 300], [0.01, 0.02, 0.03]], "f4").T.reshape(1, 3, 2, 1, 1)
    series = monthly.Series(values, None, days("2020-01-01", "2020-01-11", "2020-02-01"))
    months = np.arange("2020-01", "2020-04", dtype="M8[M]")
    out = monthly.composites({"weather": series}, months, WHOLE)["weather"]
    np.testing.assert_allclose(
        out[0, :, :, 0, 0], [[285, 0.03], [300, 0.03], [np.nan, np.nan]], rtol=1e-6
    )


def test_radar_is_a_mean_and_infinite_is_bad():
    values = np.array([-10, -20, -np.inf, -12], "f4").reshape(1, 4, 1, 1, 1).repeat(2, axis=2)
    series = monthly.Series(values, None, days(*["2020-01-01"] * 4))
    months = np.array(["2020-01"], "M8[M]")
    out = monthly.composites({"sentinel1": series}, months, WHOLE)["sentinel1"]
    np.testing.assert_allclose(out.ravel(), [-14, -14])


def test_terrain_needs_no_dates_and_has_one_step():
    found = monthly.read(batch(arrays={"terrain": np.ones((1, 1, 2, 3, 3))}), INPUTS[3])
    assert found.dates is None
    out = monthly.composites({"terrain": found}, np.arange(3).astype("M8[M]"), WHOLE)["terrain"]
    assert out.shape == (1, 1, 2, 3, 3)


def test_tiles_cover_all_once():
    shape = (3, 1, 1, 10, 4)
    seen = np.zeros((3, 1, 10, 4))
    for pixels in (1, 4, 12, 50, 1000):
        for tile in monthly.tiles(shape, pixels):
            part = tile.cut(seen)
            assert part.size <= max(pixels, 4)
            part += 1
    assert (seen == 5).all()


@pytest.mark.parametrize(
    ("wanted", "parts", "words"),
    [
        (INPUTS[0], {"arrays": {}}, r"expected a batch with 'sentinel2', got \[\]"),
        (INPUTS[0], {"time": {}}, "expected the dates of sentinel2"),
        (INPUTS[0], {"time": {"sentinel2": days("2020-01-01")}}, "expected 2 valid dates"),
        (INPUTS[0], {"time": {"sentinel2": days("2020-01-01", "NaT")}}, "1 are not dates"),
        (INPUTS[0], {"mask": {"sentinel2": np.zeros((1, 2, 1, 3, 3), bool)}}, "expected the mask"),
        (Input("sentinel2", ("red",)), {}, r"1 bands \('red',\)"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(wanted, parts, words):
    with pytest.raises(ModelError, match=words):
        monthly.read(batch(**parts), wanted)


def test_months_without_dates_are_refused():
    series = monthly.read(batch(), INPUTS[0])
    with pytest.raises(ModelError, match=r"in the 12 months from 2020-04.* 2020-03-01"):
        monthly.window_of(series, 12, "2020-04")
    with pytest.raises(ModelError, match="at least one Sentinel-2 date"):
        monthly.window_of(series._replace(dates=series.dates[:0]), 12, None)
    # The window lies between the dates.
    with pytest.raises(ModelError, match="in the 1 months from 2020-02"):
        monthly.window_of(series, 1, "2020-02")


@pytest.mark.parametrize(("months", "start"), [(0, None), (25, None), (12, "2020"), (1, "2020-13")])
def test_settings_that_name_no_months_are_refused(months, start):
    with pytest.raises(ModelError, match=r"expected (months|start)"):
        monthly.check_months(months, start, 24)


def test_latlon_must_fit():
    with pytest.raises(ModelError, match=r"\(1, 2, 3, 3\), got None"):
        monthly.latlon(batch(), (1, 2, 10, 3, 3))
    with pytest.raises(ModelError, match=r"got \(1, 2, 1, 1\)"):
        monthly.latlon(batch(latlon=np.zeros((1, 2, 1, 1))), (1, 2, 10, 3, 3))
