"""The scores are made up: what is drawn and ranked has to be known."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

from xeo.errors import OptionError
from xeo.ops.gap_report import GapReport

mpl.use("Agg")

GAPS = ["all", "0-5 d", "5-10 d", "over 10 d"]
KINDS = ["all", "clouds", "dates"]
#: RMSE of three methods in two bands and NDVI.
RMSE = {"good": [0.01, 0.02, 0.05], "fair": [0.02, 0.02, 0.06], "poor": [0.04, 0.08, 0.1]}


def report_of(rmse=RMSE, bands=("B04", "B08", "NDVI"), **attrs):
    dims = ("filler", "band", "hidden", "gap")
    values = np.array(list(rmse.values()), float)
    shape = (*values.shape, len(KINDS), len(GAPS))
    full = np.broadcast_to(values[..., None, None], shape).copy()
    count = np.full(shape, 12345.0)
    count[..., 3] = 0
    full[..., 3] = np.nan
    with np.errstate(divide="ignore"):
        psnr = -20 * np.log10(full)
    made = {
        "rmse": full, "mae": full * 0.8, "bias": full * 0, "psnr": psnr,
        "ssim": 1 - full, "coverage": np.full(shape, 0.9), "filled": np.ones(shape),
        "count": count, "rmse_low": full * 0.9, "rmse_high": full * 1.2,
        "mae_low": full * 0.7, "mae_high": full,
    }  # fmt: skip
    variables = {name: (dims, one) for name, one in made.items()}
    variables["sam"] = (("filler", "hidden", "gap"), full[:, 0] * 100)
    coords = {"filler": list(rmse), "band": list(bands), "hidden": KINDS, "gap": GAPS}
    told = {"mask": "scl", "seed": 0, "units": "1"} | attrs
    return GapReport(xr.Dataset(variables, coords, told))


@pytest.fixture
def report():
    return report_of()


def test_the_best_comes_first(report):
    assert list(report.ranked().index) == ["good", "fair", "poor"]
    assert report.best == "good"
    assert list(report.table().index) == ["good", "fair", "poor"]


def test_errors_are_averaged_as_ratios_to_the_best(report):
    ranked = report.ranked("rmse")
    expected = [1, (2 * 1 * 1.2) ** (1 / 3), (4 * 4 * 2) ** (1 / 3)]
    np.testing.assert_allclose(ranked, expected)
    np.testing.assert_allclose(report.ranked("mae"), expected)


@pytest.mark.parametrize("by", ["psnr", "ssim", "sam"])
def test_other_scores_are_ranked_by_their_sense(report, by):
    ranked = report.ranked(by)
    assert ranked.index[0] == "good"
    assert ranked.index[-1] == "poor"
    assert ranked.is_monotonic_increasing == (by == "sam")


def test_no_error_at_all_is_best():
    report = report_of({"fair": [0.1, 0.1, 0.1], "perfect": [0.0, 0.0, 0.0]})
    assert report.best == "perfect"
    assert report.ranked()["perfect"] == 1
    assert report.ranked()["fair"] == np.inf
    assert report.table()["psnr"].to_dict() == {"perfect": np.inf, "fair": pytest.approx(20)}
    assert "inf" in str(report)


def test_what_fills_little_or_nothing_comes_last():
    rmse = {"nothing": [np.nan] * 3, "little": [0.001] * 3, "poor": [0.2] * 3}
    report = report_of(rmse)
    report.dataset["filled"].loc[{"filler": "little"}] = 0.3
    report.dataset["filled"].loc[{"filler": "nothing"}] = 0.0
    assert list(report.ranked().index) == ["poor", "little", "nothing"]
    assert report.best == "poor"
    row = next(line for line in str(report).splitlines() if "nothing" in line)
    assert row.split() == ["nothing", "90%", "0%"]


def test_table_averages_bands_and_has_ndvi_apart(report):
    row = report.table().loc["fair"]
    assert row["rmse"] == pytest.approx(0.02)
    assert row["ndvi_rmse"] == pytest.approx(0.06)
    assert row["rmse_low"] == pytest.approx(0.018)
    assert row["sam"] == pytest.approx(2)


def test_a_cube_of_ndvi_alone_has_no_second_column():
    report = report_of({"good": [0.05], "poor": [0.1]}, bands=["NDVI"])
    table = report.table()
    assert "ndvi_rmse" not in table
    assert table["rmse"].tolist() == [0.05, 0.1]
    assert "NDVI RMSE" not in str(report)
    assert len(report.plot().axes) == 2


def test_text(report):
    first, heads, good, *_ = str(report).splitlines()
    assert first == "12,345 hidden pixels, mask: scl, bands: B04, B08, NDVI"
    assert heads.split()[:2] == ["method", "RMSE"]
    assert good.split()[:5] == ["good", "0.01500", "0.0135", "to", "0.0180"]
    assert good.split()[-2:] == ["90%", "100%"]
    assert len({len(line) for line in str(report).splitlines()[1:]}) == 1
    assert repr(report) == f"<xeo.GapReport> {report}"


def test_html_has_the_table_and_is_escaped():
    report = report_of({"<b>": [0.1, 0.1, 0.1]}, mask="a & b")
    html = report._repr_html_()
    assert "&lt;b&gt;" in html
    assert "mask: a &amp; b" in html
    assert "<td><b>" not in html
    assert html.count("<tr>") == 2
    heads = html.count("<th>")
    assert heads == html.count("<td>") == 10


def test_dataframe_has_a_row_for_each_combination(report):
    frame = report.to_dataframe()
    assert len(frame) == 3 * 3 * len(KINDS) * len(GAPS)
    assert {"filler", "band", "hidden", "gap", "rmse", "sam"} <= set(frame)


def test_picture_shows_figures_intervals_and_gaps(report):
    figure = report.plot()
    top, bottom = figure.axes[0], figure.axes[3]
    assert [text.get_text() for text in top.get_yticklabels()] == ["good", "fair", "poor"]
    assert [ax.get_title() for ax in figure.axes[:3]] == ["B04", "B08", "NDVI"]
    interval, point = top.lines[:2]
    np.testing.assert_allclose(interval.get_xdata(), [0.009, 0.012])
    np.testing.assert_allclose(point.get_xdata(), [0.01])
    # Nobody has a gap over ten days: there is no place for it.
    labels = [text.get_text() for text in bottom.get_xticklabels()]
    assert labels == ["0-5\n12k", "5-10\n12k"]
    assert len(bottom.lines) == 3
    assert top.get_xlabel() == "RMSE, 95 % interval"
    assert bottom.get_ylabel() == "RMSE"


def test_picture_says_the_units_but_not_for_ndvi():
    figure = report_of(units="K").plot(by="mae", bands=["B08", "NDVI"])
    labels = [ax.get_xlabel() for ax in figure.axes[:2]]
    assert labels == ["MAE (K), 95 % interval", "MAE, 95 % interval"]


def test_no_two_of_many_methods_look_alike():
    rmse = {f"m{n}": [0.01 * (n + 1)] * 3 for n in range(17)}
    top, bottom = report_of(rmse).plot(bands=["B04"]).axes
    marks = {(to_hex(one.get_color()), one.get_marker()) for one in top.lines[1::2]}
    assert len(marks) == 17
    lines = bottom.lines
    looks = {(to_hex(one.get_color()), one.get_marker(), one.get_linestyle()) for one in lines}
    assert len(looks) == len(lines) == 17


def test_labels_do_not_overlap(report):
    """Rendered, all texts of an axis are apart."""
    figure = report.plot()
    figure.canvas.draw()
    for ax in figure.axes:
        for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
            boxes = [one.get_window_extent() for one in labels if one.get_text()]
            low, high = ax.get_window_extent().extents[[0, 1]], ax.get_window_extent().extents[2:]
            inside = [b for b in boxes if (b.max >= low - 40).all() and (b.min <= high + 40).all()]
            assert not any(a.overlaps(b) for n, a in enumerate(inside) for b in inside[:n])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.ranked("speed"), "expected by to be one of 'mae', 'rmse'"),
        (lambda r: r.ranked(hidden="rain"), r"expected hidden to be one of \['all', 'clouds', "),
        (lambda r: r.table(gap="10 d"), "expected gap to be one of .*, got '10 d'"),
        (lambda r: r.plot(by="psnr"), "expected by to be 'rmse' or 'mae'"),
        (lambda r: r.plot(bands=["B99"]), r"bands of \['B04', 'B08', 'NDVI'\], got .*B99"),
        (lambda r: r.plot(bands=[]), "up to four bands"),
    ],
)
def test_errors(report, call, message):
    with pytest.raises(OptionError, match=message):
        call(report)
