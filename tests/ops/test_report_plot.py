"""Pictures of reports: what is drawn, where the worst pixel is found, and rates around it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.errors import DimensionError, OptionError
from xeo.kernels.fidelity import measure
from xeo.ops import report_plot
from xeo.ops.compress import compress
from xeo.ops.report import Report, VariableReport
from xeo.ops.sample import part, rates

pytest.importorskip("imagecodecs")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def no_windows():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def cube():
    return xeo.simulate_cube(dates=3, size=56)[["B02", "B03", "B04", "B08", "SCL"]]


@pytest.fixture(scope="module")
def report(cube, tmp_path_factory):
    store = tmp_path_factory.mktemp("report") / "a.zarr"
    return compress(cube, store, max_error=0.01, effort=1, progress=False)


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def test_the_worst_date_is_drawn(report):
    figure = report.plot()
    worst = int(np.argmin(report["B02"].psnr("date")))
    day = str(report.dates("B02")[worst])[:10]
    found = titles(figure)
    assert found[0] == f"original {day}"
    assert found[1].startswith("decoded, ")
    assert found[2].startswith("error of B0")
    assert found[6] == "worst pixel: 0.01 reflectance"
    assert all(len(ax.images) == 1 for ax in figure.axes[:3] + figure.axes[4:7])
    curve = figure.axes[3].lines[0]
    assert len(curve.get_xdata()) == 5
    assert (np.diff(curve.get_xdata()) > 0).all()
    assert (np.diff(curve.get_ydata()) > 0).all()


def test_one_variable_and_date(report):
    dates = [str(date)[:10] for date in report.dates("B02")]
    assert titles(report.plot("B04", date=1))[0] == f"original {dates[1]}"
    assert titles(report.plot("B04", date=dates[2]))[0] == f"original {dates[2]}"
    assert titles(report.plot("B04", date=np.datetime64(dates[0])))[0] == f"original {dates[0]}"
    with pytest.raises(OptionError, match="expected a date below 3, got 7"):
        report.plot(date=7)
    with pytest.raises(OptionError, match="expected a date from"):
        report.plot(date="1999-01-01")


def test_without_errors(report):
    figure = report.plot("SCL")
    assert titles(figure)[1] == "decoded, ∞ dB"
    assert "every bit kept" in figure.axes[3].texts[0].get_text()
    assert figure.axes[7].texts[0].get_text() == "every value is as it was"


def views_of(values, spoiled, tmp_path, ignored=None, **coords):
    """Return views of an original and of a store that holds something else."""
    da = xr.DataArray(values, dims=("time", "y", "x"), coords=coords, name="t")
    made = da.copy(data=spoiled).to_dataset()
    made = made if ignored is None else made.assign(xeo_ignored=ignored)
    made.to_zarr(tmp_path / "a.zarr", zarr_format=2)
    one = VariableReport(
        name="t", members=("t",), dims=("time", "y", "x"), shape=values.shape, dtype="float32",
        codec="xeo.bounded", settings={"axes": "tyx", "max_error": 1.0}, chunks=values.shape,
        fidelity=measure(values[:, None], spoiled[:, None]),
    )  # fmt: skip
    report = Report((one,), source=da, store=str(tmp_path / "a.zarr"))
    return report_plot.Views.of(report, one, None)


@pytest.mark.parametrize("rows", [7, 1000])
def test_the_worst_pixel_is_found_in_any_blocks(tmp_path, monkeypatch, rows):
    rng = np.random.default_rng(0)
    values = rng.random((2, 100, 50), np.float32)
    spoiled = values + rng.random(values.shape, np.float32) / 10
    spoiled[1, 61, 17] += 5
    values[1, 3, 3] = np.nan
    views = views_of(values, spoiled, tmp_path)
    assert views.at == {"time": 1}
    monkeypatch.setattr(report_plot, "_VALUES", rows * 50)
    monkeypatch.setattr(report_plot, "_SIZE", 30)
    whole = report_plot.look(views)
    assert whole.worst == (0, 61, 17)
    assert whole.largest == pytest.approx(spoiled[1, 61, 17] - values[1, 61, 17])
    np.testing.assert_array_equal(whole.original[0], values[1, ::4, ::4])
    np.testing.assert_array_equal(whole.decoded[0], spoiled[1, ::4, ::4])


@pytest.mark.parametrize("south_up", [False, True])
def test_north_is_up(tmp_path, south_up):
    y = np.arange(8.0) if south_up else -np.arange(8.0)
    values = np.zeros((1, 8, 8), "f4")
    views = views_of(values, values + 1, tmp_path, y=y, x=np.arange(8.0))
    assert views.upright()[0].step == (-1 if south_up else 1)
    assert views.upright()[1].step == 1


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("y", "x"), ("x",)])
def test_what_is_ignored_is_never_the_worst(tmp_path, dims):
    values = np.zeros((2, 8, 9), "f4")
    spoiled = values + 0.1
    spoiled[1, 5, 3], spoiled[1, 2, 7] = 9, 3
    sizes = dict(zip(("time", "y", "x"), values.shape, strict=True))
    mask = xr.DataArray(np.zeros([sizes[dim] for dim in dims], bool), dims=dims)
    mask[{dim: at for dim, at in {"time": 1, "y": 5, "x": 3}.items() if dim in dims}] = True
    views = views_of(values, spoiled, tmp_path, mask)
    assert report_plot.look(views).worst == (0, 2, 7)


def test_a_source_that_was_opened_as_stored(tmp_path):
    stored = np.arange(100, 3 * 64 + 100, dtype="i2").reshape(3, 8, 8)
    attrs = {"scale_factor": 0.01, "add_offset": 5.0, "_FillValue": np.int16(-1)}
    da = xr.DataArray(stored, dims=("time", "y", "x"), attrs=attrs, name="t")
    report = compress(da, tmp_path / "a.zarr", lossless=True, effort=1, progress=False)
    views = report_plot.Views.of(report, report["t"], None)
    assert report_plot.look(views).largest == 0
    np.testing.assert_array_equal(report_plot.look(views).original[0], stored[0])


def test_a_picture_without_dates(tmp_path):
    da = xr.DataArray(np.eye(16, dtype="f4"), dims=("y", "x"), name="t")
    report = compress(da, tmp_path / "a.zarr", max_error=0.1, effort=1, progress=False)
    assert titles(report.plot())[0] == "original t"
    with pytest.raises(DimensionError, match="expected no date for 't'"):
        report.plot(date=0)


def test_a_cube_of_members_and_levels(tmp_path):
    values = np.random.default_rng(0).random((2, 3, 4, 16, 16), np.float32)
    da = xr.DataArray(values, dims=("member", "time", "level", "y", "x"), name="t")
    report = compress(da, tmp_path / "a.zarr", max_error=0.01, effort=1, progress=False)
    assert titles(report.plot(date=1))[6].startswith("worst pixel: 0.0")


def one(**settings):
    kind = "xeo.video" if {"quality", "psnr", "bpppb"} & set(settings) else "xeo.bounded"
    return VariableReport(
        name="t", members=("t",), dims=("time", "y", "x"), shape=(100, 900, 300), dtype="uint16",
        codec=kind, settings={"axes": "tyx", **settings}, chunks=(40, 384, 300),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_error": 20}, {"max_error": [20, 5, 10, 40, 80]}),
        ({"max_error": 1}, {"max_error": [1, 2, 4]}),
        ({"max_error": [1, 4]}, {"max_error": [[1, 4], [1, 1], [1, 2], [2, 8], [4, 16]]}),
        ({"relative_error": 0.04}, {"relative_error": [0.04, 0.01, 0.02, 0.08, 0.16]}),
        ({"psnr": 50}, {"psnr": [50, 40, 45, 55, 60]}),
        ({"quality": 65.0}, {"quality": [65, 40, 52, 78, 90]}),
    ],
)
def test_rates_around_those_of_the_store(settings, expected):
    ((key, values),) = expected.items()
    found = rates(one(**settings))
    assert [made[key] for made in found] == values
    assert all(made["axes"] == "tyx" for made in found)


def test_lossless_has_one_rate():
    exact = dataclasses.replace(one(), codec="xeo.lossless")
    assert rates(exact) == [{"axes": "tyx"}]


def test_a_part_lies_within_one_chunk_and_holds_the_place():
    found = part(one(), {"time": 79}, (0, 384, 299))
    assert found == {"time": slice(68, 80), "y": slice(384, 480), "x": slice(204, 300)}
    found = part(one(), {"time": 99}, (0, 899, 0))
    assert found == {"time": slice(88, 100), "y": slice(804, 900), "x": slice(0, 96)}
