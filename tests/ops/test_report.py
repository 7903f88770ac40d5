"""Reports: figures in the units of the values, promises, text, HTML, tables and pictures."""

from __future__ import annotations

import json
import math
import pickle
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from xeo.errors import OptionError, StoreError, UnknownNameError
from xeo.kernels.fidelity import measure
from xeo.ops.report import Report, VariableReport

DATES = np.array(["2022-06-02", "2022-06-05", "2022-06-10"], "M8[ns]")


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    x = rng.integers(1000, 2000, (3, 2, 16, 16)).astype("u2")
    y = x + rng.integers(-20, 21, x.shape)
    y[1] = x[1]
    y[2, 1, 3, 4] = x[2, 1, 3, 4] + 20
    x[0, :, 0, 0] = y[0, :, 0, 0] = 0
    return x, y.astype("u2")


def bounded(pair, **changes):
    figures = changes.pop("fidelity", None) or measure(*pair, nodata=(0,), peak=1e4)
    made = {
        "name": "sentinel2", "members": ("B02", "B03"), "dims": ("time", "band", "y", "x"),
        "shape": pair[0].shape, "dtype": "uint16", "codec": "xeo.bounded",
        "settings": {"max_error": 20, "axes": "tbyx", "nodata": [0]}, "chunks": (3, 2, 16, 16),
        "target": "max_error", "value": 0.002, "scale": 1e-4, "units": "reflectance", "peak": 1.0,
        "size": 384, "fidelity": figures, "coding_seconds": 0.5,
    } | changes  # fmt: skip
    return VariableReport(**made)


def classes(pair):
    x = pair[0][:, :1]
    return VariableReport(
        name="SCL", members=("SCL",), dims=("time", "y", "x"), shape=x[:, 0].shape, dtype="uint16",
        codec="xeo.lossless", settings={"axes": "tyx"}, chunks=(3, 16, 16), target="lossless",
        size=100, fidelity=measure(x, x), note="classes: lossless",
    )  # fmt: skip


def left():
    return VariableReport(
        name="<when>", members=("<when>",), dims=("time",), shape=(3,), dtype="datetime64[ns]",
        codec="zarr", note="left to Zarr's own codecs: datetime64[ns]",
    )  # fmt: skip


@pytest.fixture
def report(pair):
    bands = {name: (("time", "y", "x"), pair[0][:, n]) for n, name in enumerate(("B02", "B03"))}
    source = xr.Dataset(bands, coords={"time": DATES})
    return Report((bounded(pair), classes(pair), left()), source=source, store="/tmp/out.zarr")


def test_figures_have_the_units_of_the_values(pair):
    one = bounded(pair)
    error = (pair[1].astype(float) - pair[0])[pair[0] > 0] * 1e-4
    assert one.rmse() == pytest.approx(np.sqrt((error**2).mean()))
    assert one.bias() == pytest.approx(error.mean())
    assert one.psnr() == pytest.approx(-10 * np.log10((error**2).mean()))
    assert one.max_error() == pytest.approx(0.002)
    assert one.bound == pytest.approx(0.002)
    assert (one.values, one.raw, one.ratio) == (1536, 3072, 8)
    assert one.bpppb == 2
    assert one.psnr("date").shape == (3,)
    assert one.psnr("date")[1] == np.inf
    assert one.angle() > 0


def test_without_a_peak_it_is_the_range_of_the_values(pair):
    one = bounded(pair, peak=None)
    usual = pair[0][pair[0] > 0].astype(int)
    assert one.full_peak == pytest.approx(np.ptp(usual) * 1e-4)
    assert one.psnr() == pytest.approx(20 * np.log10(one.full_peak / one.rmse()))


@pytest.mark.parametrize(
    ("settings", "holds"),
    [
        ({"max_error": 20}, True),
        ({"max_error": 19}, False),
        ({"max_error": [20, 20]}, True),
        ({"max_error": [20, 19]}, False),
        ({"max_error": [19.99, 20]}, False),
        ({"quality": 80}, True),
    ],
)
def test_promises_of_the_largest_error(pair, settings, holds):
    one = bounded(pair, settings=settings)
    assert one.holds is holds
    assert ("PROMISE BROKEN" in repr(Report((one,)))) is not holds
    assert ("a promise is broken" in Report((one,))._repr_html_()) is not holds


def test_a_relative_promise_is_told_in_per_cent(pair):
    found = measure(*pair, nodata=(0,), relative=True)
    largest = float(found.max_relative())
    one = bounded(pair, fidelity=found, settings={"relative_error": largest})
    assert one.holds
    assert f"{100 * largest:.3g} %" in repr(Report((one,)))
    assert not bounded(pair, fidelity=found, settings={"relative_error": largest * 0.99}).holds


def test_missing_values_are_a_promise_too(pair):
    x, y = pair
    y = y.copy()
    y[0, 0, 0, 0] = 5
    one = bounded(pair, fidelity=measure(x, y, nodata=(0,)), settings={"quality": 80})
    assert one.holds is False
    assert "1 NOT AS THEY WERE" in Report((one,))._repr_html_()


def test_lossless_is_a_promise(pair):
    assert classes(pair).holds is True
    assert classes(pair).bound == 0
    assert bounded(pair, codec="xeo.lossless", settings={}).holds is False


def test_nothing_is_promised_of_what_was_ignored(pair):
    x, y = pair
    cloud = np.zeros((3, 1, 16, 16), bool)
    cloud[2, 0, 3, 4] = True
    y = y.copy()
    y[2, :, 3, 4] = 60000
    found = measure(x, y, nodata=(0,), ignored=cloud, peak=1e4)
    one = bounded(pair, fidelity=found)
    assert one.holds
    assert one.max_error() <= 0.002 * (1 + 1e-9) < one.max_error(ignored=True)
    assert "2 values ignored" in Report((one,))._repr_html_()
    assert one.to_dict()["with_ignored"]["max_error"] > 5


@pytest.mark.parametrize(
    ("target", "value", "reached"),
    [("psnr", 50, True), ("psnr", 70, False), ("bpppb", 2, True), ("bpppb", 1.9, False),
     ("max_error", 0.002, None)],
)  # fmt: skip
def test_whether_a_target_is_reached(pair, target, value, reached):
    one = bounded(pair, target=target, value=value, settings={target: value * 1e4})
    assert one.reached is reached
    assert ("is not reached" in repr(Report((one,)))) == (reached is False)


def test_what_was_not_compared_is_not_known(pair):
    one = VariableReport(**{**vars(bounded(pair)), "fidelity": None, "size": 0})
    report = Report((one,))
    assert one.holds is None
    assert report.holds is None
    assert math.isnan(one.psnr())
    assert math.isnan(report.ratio)
    assert "not compared" in repr(report)
    assert "not compared" in report._repr_html_()
    json.dumps(report.to_dict(), allow_nan=False)
    assert np.isnan(report.to_dataset()["psnr"].item())


def test_text(report):
    lines = repr(report).splitlines()
    assert lines[0] == (
        "<xeo.Report> 4.61 kB to 484 B (9.52 times smaller), 1.68 bits a value; all promises kept"
    )
    assert lines[1].split() == (
        ["codec", "bits/value", "ratio", "PSNR", "max", "error", "bound", "SSIM", "angle"]
    )
    assert lines[2].split()[:4] == ["sentinel2", "bounded", "2", "8"]
    assert lines[3].split()[:2] == ["SCL", "lossless"]
    assert "exact" in lines[3]
    assert lines[-2:] == [
        "  SCL: classes: lossless",
        "  <when>: left to Zarr's own codecs: datetime64[ns]",
    ]


class Balanced(HTMLParser):
    """Fails where a tag is closed that is not open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "line", "rect", "circle", "polyline"):
            self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_whole_and_says_all(report, tmp_path):
    report.save(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    parser = Balanced()
    parser.feed(text.replace("/>", ">").replace("<!doctype html>", ""))
    assert not parser.open
    assert parser.seen.count("svg") == 2
    assert parser.seen.count("details") == 5
    assert "&lt;when&gt;" in text
    assert "<when>" not in text
    for words in ("at most 0.002 reflectance off (= 20 stored)", "2022-06-10", "B03",
                  "all promises kept", "bound in red", "every bit"):  # fmt: skip
        assert words in text
    assert "nan" not in text.lower().replace("sentinel", "")
    assert "http" not in text


def test_tables_of_many_dates_show_the_worst():
    x = np.zeros((300, 1, 4, 4), "f4")
    y = x + np.linspace(0.1, 1, 300, dtype="f4")[:, None, None, None]
    one = bounded((x, y), name="t", members=("t",), dims=("time", "y", "x"), dtype="float32",
                  shape=(300, 4, 4), settings={"axes": "tyx", "max_error": 1.0}, scale=1.0,
                  fidelity=measure(x, y))  # fmt: skip
    text = Report((one,))._repr_html_()
    assert "300 dates, the 200 worst" in text
    assert "<td>299</td>" in text
    assert "<td>99</td>" not in text


def test_a_page_that_cannot_be_written(report, tmp_path):
    with pytest.raises(StoreError, match="expected a file to write"):
        report.save(tmp_path / "nowhere" / "report.html")


def test_json(report):
    said = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert said["holds"] is True
    assert said["bytes_stored"] == 484
    first, second, third = said["variables"]
    assert first["bound"] == pytest.approx(0.002)
    assert first["psnr"] == pytest.approx(report["B02"].psnr())
    assert second["psnr"] is None
    assert third["codec"] == "zarr"


def test_dataset(report):
    ds = report.to_dataset()
    assert ds.sizes == {"variable": 2, "date": 3, "band": 3}
    np.testing.assert_array_equal(ds["date"], DATES)
    assert list(ds["band"].values) == ["B02", "B03", "SCL"]
    one = report["sentinel2"]
    assert ds["psnr"].sel(variable="sentinel2") == one.psnr()
    np.testing.assert_array_equal(
        ds["max_error_by_date"].sel(variable="sentinel2"), one.max_error("date")
    )
    assert ds["rmse_by_band"].sel(variable="sentinel2", band="B03") == one.rmse("band")[1]
    assert np.isnan(ds["rmse_by_band"].sel(variable="SCL", band="B03"))


def test_dataset_of_dates_that_occur_twice(report, pair):
    source = report.source.assign_coords(time=DATES[[0, 0, 1]])
    ds = Report((bounded(pair), classes(pair)), source=source).to_dataset()
    np.testing.assert_array_equal(ds["date"], [0, 1, 2])


def test_dataset_of_dates_of_two_kinds(report, pair):
    other = bounded(pair, name="other", members=("other",), dims=("level", "band", "y", "x"))
    ds = Report((bounded(pair), other), source=report.source).to_dataset()
    assert ds["psnr_by_date"].notnull().sum() == 6
    assert ds["psnr_by_band"].notnull().sum() == 4


def test_names(report):
    assert report["B03"] is report["sentinel2"]
    with pytest.raises(UnknownNameError, match="expected one of"):
        report["B99"]


def test_pickle(report):
    assert repr(pickle.loads(pickle.dumps(report))) == repr(report)


def test_nothing_to_draw(report):
    with pytest.raises(OptionError, match="with its source"):
        Report(report.variables).plot()
    with pytest.raises(OptionError, match="left to Zarr"):
        report.plot("<when>")
    with pytest.raises(UnknownNameError):
        report.plot("B99")
