"""Units are settled by what is said, never guessed."""

from __future__ import annotations

import numpy as np
import pytest

from xeo import bands
from xeo.calibration import Stored, Told, explain, settle
from xeo.errors import OptionError, UnitsError

S2 = bands.sensor("sentinel2_l2a")
OLD = np.array(["2021-05-01", "2021-06-01"], "M8[ns]")
NEW = np.array(["2021-12-01", "2022-06-01"], "M8[ns]")


def stored(dtype="u2", attrs=None, encoding=None, *, sensor=S2, band="B04", dates=OLD, **more):
    known = bands.canonical(band, sensor) if sensor else None
    return Stored(band, np.dtype(dtype), attrs or {}, encoding or {}, known, sensor, dates, **more)


@pytest.mark.parametrize(
    ("given", "told", "units", "scale", "offset"),
    [
        (stored(), Told(), "reflectance", 1e-4, 0),
        (stored(dates=NEW), Told(offset=-1000), "reflectance", 1e-4, -0.1),
        (stored(dates=NEW), Told(offset=0), "reflectance", 1e-4, 0),
        (stored(dates=None), Told(units="dn", offset=0), "reflectance", 1e-4, 0),
        (stored("f4"), Told(units="dn"), "reflectance", 1e-4, 0),
        (stored("f4"), Told(units="reflectance"), "reflectance", 1, 0),
        (stored("f4", {"units": "1"}), Told(), "reflectance", 1, 0),
        (stored("f8", {"units": "Reflectance"}), Told(), "reflectance", 1, 0),
        (stored("f4", {}, {"scale_factor": 1e-4}), Told(), "reflectance", 1, 0),
        (
            stored("u2", {"scale_factor": 1e-4, "add_offset": -0.1}),
            Told(), "reflectance", 1e-4, -0.1,
        ),
        (stored("u2", {"scale": 2e-4, "offset": 0}), Told(), "reflectance", 2e-4, 0),
        (
            stored("u2", {"reflectance_scale_factor": 1e-4}, dates=NEW),
            Told(), "reflectance", 1e-4, 0,
        ),
        (stored("i4", {"db_scale_factor": "0.0001"}, sensor=None), Told(), "db", 1e-4, 0),
        (stored("f4", {"units": "dB"}, sensor=None), Told(), "db", 1, 0),
        (stored("f4", sensor=None), Told(units="power"), "power", 1, 0),
        (stored("f4", sensor=None), Told(), None, 1, 0),
        (stored("u2", sensor=None), Told(), None, 1, 0),
        (stored("f4", {"units": "furlong"}, sensor=None), Told(), None, 1, 0),
        (stored("u2", {"boa_offset_applied": True}, dates=NEW), Told(), "reflectance", 1e-4, 0),
        (stored("u2", {"id": "S2_SR_HARMONIZED"}, dates=NEW), Told(), "reflectance", 1e-4, 0),
        (stored("u2", {"scale_factor": 1.0, "add_offset": 0.0}), Told(), "reflectance", 1e-4, 0),
        (
            stored(sensor=bands.sensor("landsat_c2l2"), band="SR_B4", named=True),
            Told(), "reflectance", 2.75e-5, -0.2,
        ),
        (
            stored(sensor=bands.sensor("landsat_c2l2"), band="ST_B10", named=True),
            Told(), "kelvin", 0.00341802, 149.0,
        ),
        (
            stored("f4", sensor=bands.sensor("agera5"), band="temperature_mean"),
            Told(), "kelvin", 1, 0,
        ),
    ],
)  # fmt: skip
def test_what_is_said_settles_units(given, told, units, scale, offset):
    found = settle(given, told)
    assert found.units == units
    assert found.scale == pytest.approx(scale)
    assert found.offset == pytest.approx(offset)
    assert bool(found.reason) == (units is not None)


def test_baselines_give_each_date_its_offset():
    found = settle(stored(dates=NEW, baselines=np.array([3.01, 4.0])), Told())
    np.testing.assert_allclose(found.offset, [0, -0.1])
    assert found.reason == "processing baseline"


@pytest.mark.parametrize("dates", [NEW, None])
def test_an_unknown_baseline_is_an_error_that_says_what_to_do(dates):
    with pytest.raises(UnitsError, match=r"offset=-1000 .* or offset=0"):
        settle(stored(dates=dates), Told())


def test_landsat_collections_share_labels_and_are_not_guessed():
    with pytest.raises(UnitsError, match="sensor='landsat_c2l2'"):
        settle(stored(sensor=bands.sensor("landsat_c2l2"), band="SR_B4"), Told())


def test_integers_cannot_be_reflectance():
    with pytest.raises(UnitsError, match="units='dn'"):
        settle(stored(), Told(units="reflectance"))


def test_unknown_words_are_refused():
    with pytest.raises(OptionError, match="furlong"):
        Told(units="furlong")


def test_the_error_for_silent_cubes_names_the_ways_out():
    message = str(explain(stored("f4"), "reflectance"))
    assert "units='reflectance'" in message
    assert "units='dn'" in message
    assert "float32" in message


@pytest.mark.parametrize(
    ("given", "nodata"),
    [
        (stored("u2"), 0),
        (stored("u2", {"_nodata": "7"}), 7),
        (stored("i2", {"_FillValue": np.int16(-9999)}), -9999),
        (stored("u2", {"nodatavals": (0.0, 0.0)}), 0),
        (stored("f4"), np.nan),
        (stored("f4", {}, {"_FillValue": -9999.0}), np.nan),
        (stored("f4", {"nodata": -9999.0}), -9999),
        (stored("u2", {}, {"_FillValue": 65535}), 65535),
    ],
)
def test_nodata_is_found(given, nodata):
    assert settle(given, Told()).nodata == pytest.approx(nodata, nan_ok=True)
