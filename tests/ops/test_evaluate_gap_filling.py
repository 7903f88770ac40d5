"""Cubes are made up where the truth has to be known, and real where figures are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.errors import DateError, GridError, OptionError, UnknownNameError
from xeo.models.gap_fillers.linear import Linear
from xeo.models.gap_fillers.whittaker import Whittaker
from xeo.ops.evaluate_gap_filling import evaluate_gap_filling
from xeo.ops.gap_report import GapReport
from xeo.spec import ModelSpec


def filler_spec(name):
    return ModelSpec(
        name=name, time="sequence", missing="nan", channels_per_band=1,
        needs=("time", "mask"), tasks=("gap-filling",),
    )  # fmt: skip


@dataclass(frozen=True)
class Oracle:
    """Knows what a plane that rises by 1 % a day looks like, plus an error of its own."""

    error: float = 0.0
    spec: ClassVar[ModelSpec] = filler_spec("oracle")

    def __call__(self, batch: Any, /) -> Any:
        ((_, x),) = batch.items()
        days = np.asarray(next(iter(batch.time.values())), "datetime64[D]").astype(float)
        values = 0.01 * (days - days[0]).reshape(-1, 1, 1, 1) + np.zeros_like(x[0])
        return np.broadcast_to(values + np.float32(self.error), x.shape).astype(x.dtype)


@dataclass(frozen=True)
class Lazybones:
    """Fills nothing."""

    spec: ClassVar[ModelSpec] = filler_spec("lazybones")

    def __call__(self, batch: Any, /) -> Any:
        return np.full_like(next(iter(batch.values())), np.nan)


def grid(size, dates=10):
    return {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(dates) * np.timedelta64(5, "D"),
        "y": 5000.0 - 10 * np.arange(size),
        "x": 2000.0 + 10 * np.arange(size),
    }


@pytest.fixture
def plane():
    """NDVI that is alike all over, and rises by 0.01 a day; a cloud on one date."""
    coords = grid(16)
    values = np.broadcast_to(0.05 * np.arange(10).reshape(-1, 1, 1), (10, 16, 16)).astype("f4")
    da = xr.DataArray(values.copy(), coords, name="NDVI", attrs={"units": "1"})
    da[4, :, :8] = np.nan
    return da


@pytest.fixture(scope="module")
def cube():
    return xeo.simulate_cube(dates=14, size=24, seed=2)[["B03", "B04", "B08", "SCL"]]


def run(obj, methods, **options):
    return evaluate_gap_filling(obj, methods, progress=False, **options)


def at(report, name, **place):
    chosen = {"hidden": "all", "gap": "all"} | place
    return report.dataset[name].sel(chosen)


def test_the_truth_scores_perfectly(plane):
    report = run(plane, {"truth": Oracle()}, mask=False)
    assert float(at(report, "rmse").max()) < 1e-6
    assert float(at(report, "psnr").min()) > 120
    assert float(at(report, "ssim").min()) == pytest.approx(1)
    assert float(at(report, "filled").min()) == 1
    both = xr.Dataset({"B04": plane, "B08": plane})
    report = run(both, {"truth": Oracle()}, mask=False)
    assert float(at(report, "sam").max()) == pytest.approx(0, abs=0.1)
    assert report.dataset["band"].values.tolist() == ["B04", "B08", "NDVI"]


def test_a_known_error_is_found(plane):
    report = run(plane, {"truth": Oracle(), "off": Oracle(0.02)}, mask=False)
    assert at(report, "rmse", filler="off").item() == pytest.approx(0.02, abs=1e-6)
    assert at(report, "mae", filler="off").item() == pytest.approx(0.02, abs=1e-6)
    assert at(report, "bias", filler="off").item() == pytest.approx(0.02, abs=1e-6)
    assert at(report, "psnr", filler="off").item() == pytest.approx(34, abs=0.03)
    assert report.best == "truth"


def test_lines_are_exact_on_a_line_and_only_between_clear_dates(plane):
    report = run(plane, ["linear", "nearest"], mask=False)
    assert at(report, "rmse", filler="linear").item() < 1e-6
    assert at(report, "rmse", filler="nearest").item() >= 0.05


def test_a_data_array_of_an_index_keeps_its_name(plane):
    report = run(plane, "linear", mask=False)
    assert isinstance(report, GapReport)
    assert report.dataset["band"].values.tolist() == ["NDVI"]
    assert report.dataset.attrs["mask"] == "missing values alone"


def test_both_ways_of_hiding_are_scored_and_add_up(plane):
    report = run(plane, "linear", mask=False, share=0.6)
    count = report.dataset["count"].sel(gap="all").squeeze()
    assert count.sel(hidden="clouds") > 0
    assert count.sel(hidden="dates") > 0
    parts = count.sel(hidden=["clouds", "dates"]).sum()
    assert parts == count.sel(hidden="all")


def test_pixels_near_a_cloud_are_not_scored(plane):
    wide, narrow = (
        run(plane, "linear", mask=False, whole=1.0, share=1.0, margin=m) for m in (8, 0)
    )
    count = [int(at(one, "count").max()) for one in (wide, narrow)]
    assert count[0] < count[1]


def test_ndvi_is_scored_beside_the_bands(cube):
    report = run(cube, "linear")
    assert report.dataset["band"].values.tolist() == ["B03", "B04", "B08", "NDVI"]
    assert report.dataset.attrs["mask"] == "scl"
    without = run(cube, "linear", bands=["B03", "B08"])
    assert without.dataset["band"].values.tolist() == ["B03", "B08"]
    again = at(report, "rmse", band=["B03", "B08"]).values
    np.testing.assert_allclose(at(without, "rmse").values, again)


def test_ndvi_of_reflectances_around_zero_does_not_blow_up(cube):
    dark = cube.copy(deep=True)
    dark[["B04", "B08"]] = (dark[["B04", "B08"]] * 0 + 1).astype("u2").assign_attrs()
    for name in ("B04", "B08"):
        dark[name].attrs = cube[name].attrs | {"add_offset": -1e-4 + 1e-7}
    report = run(dark, "linear", mask=False, offset=-1e-4 + 1e-7)
    assert float(at(report, "rmse", band="NDVI").max()) <= 2


def test_the_seed_decides_what_is_hidden(cube):
    first, again, other = (run(cube, ["linear", "nearest"], seed=s) for s in (1, 1, 2))
    assert first.dataset.identical(again.dataset)
    assert not first.dataset["rmse"].equals(other.dataset["rmse"])


def test_every_method_gets_the_same_task(cube):
    alone = run(cube, "nearest")
    both = run(cube, ["nearest", Lazybones()])
    figures = both.dataset.sel(filler=["nearest"])
    xr.testing.assert_allclose(figures["rmse"], alone.dataset["rmse"])
    assert float(at(both, "filled", filler="lazybones").max()) == 0
    assert both.best == "nearest"


def test_names_objects_and_mappings(cube):
    report = run(cube, {"plain": "linear", "stiff": Whittaker(lmbda=1000.0), "own": Linear()})
    assert report.dataset["filler"].values.tolist() == ["plain", "stiff", "own"]
    same = (report.dataset["rmse"].sel(filler=name, drop=True) for name in ("plain", "own"))
    xr.testing.assert_identical(*same)
    assert run(cube, Linear()).dataset["filler"].values.tolist() == ["linear"]


def test_none_takes_all_that_are_registered(plane):
    report = run(plane, None, mask=False)
    registered = xeo.registry.names("remove_clouds")
    assert sorted(report.dataset["filler"].values.tolist()) == sorted(registered)


def test_lazy_cubes_score_the_same_and_are_left_alone(cube):
    eager = run(cube, ["linear", "nearest"])
    for chunks in ({"time": 5}, {"time": 3, "y": 7, "x": 11}):
        lazy = cube.chunk(chunks)
        before = lazy.copy()
        xr.testing.assert_identical(run(lazy, ["linear", "nearest"]).dataset, eager.dataset)
        assert all(one.chunks for one in lazy.data_vars.values())
        xr.testing.assert_identical(lazy, before)


def test_a_mask_of_ones_own_is_used(cube):
    mask = cube.eo.cloud_mask("scl", dilate=30).rename("stricter")
    report = run(cube, "linear", mask=mask)
    assert report.dataset.attrs["mask"] == "scl"
    assert int(at(report, "count").max()) < int(at(run(cube, "linear", mask="scl"), "count").max())


def test_only_four_squares_of_big_cubes_are_read():
    """Values tell where they are, so what is read can be seen."""
    dask = pytest.importorskip("dask.array")
    size, read = 400, []

    def block(block_info=None):
        where = block_info[None]["array-location"]
        read.append(where[1:])
        return np.full([b - a for a, b in where], 0.5, "f4")

    values = dask.map_blocks(block, dtype="f4", chunks=((10,), (50,) * 8, (50,) * 8),
                             meta=np.empty((0, 0, 0), "f4"))  # fmt: skip
    da = xr.DataArray(
        values, grid(size), dims=("time", "y", "x"), name="NDVI", attrs={"units": "1"}
    )
    report = run(da, "linear", mask=False, sample=1024)
    assert 0 < len(read) <= 16
    assert int(at(report, "count").max()) <= 10 * 1024
    # 16 x 16 pixels around the quarters of each side.
    assert {start // 50 for (start, _), _ in read} <= {1, 2, 5, 6}


def test_a_mask_is_cut_with_the_cube(cube):
    mask = cube.eo.cloud_mask("scl")
    lazy = cube.chunk({"y": 9}), mask.chunk({"x": 5})
    report = run(lazy[0], "linear", mask=lazy[1], sample=300)
    xr.testing.assert_identical(report.dataset, run(cube, "linear", mask=mask, sample=300).dataset)
    with pytest.raises(GridError, match="expected the mask on the cube's own 'y'"):
        run(cube, "linear", mask=mask.isel(y=slice(None, None, -1)), sample=300)


def test_squares_of_one_date_are_one_in_the_bootstrap(cube):
    big = cube.isel(y=slice(0, 24)).pad(y=(0, 8), x=(0, 8), mode="wrap")
    big = big.assign_coords(y=5000.0 - 10 * np.arange(32), x=2000.0 + 10 * np.arange(32))
    report = run(big, "linear", mask="scl", sample=400)
    assert np.isfinite(at(report, "rmse_low")).all()
    assert (at(report, "rmse_low") <= at(report, "rmse")).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"methods": "cubic"}, UnknownNameError, "cubic"),
        ({"methods": []}, OptionError, r"one or more methods of different names, got \[\]"),
        ({"methods": ["linear", Linear()]}, OptionError, "Try: a mapping of labels"),
        ({"sample": 0}, OptionError, "sample=0"),
        ({"draws": 0}, OptionError, "draws=0"),
        ({"edges": [5, -1]}, OptionError, "edges above 0"),
        ({"edges": [float("nan")]}, OptionError, "edges above 0"),
        ({"margin": -1}, OptionError, "expected margin and seed from 0 on, got -1 and 0"),
        ({"seed": -1}, OptionError, "got 2 and -1"),
        ({"share": 1.5}, OptionError, "share of 0 to 1, got 1.5"),
        ({"whole": -0.1}, OptionError, "share of 0 to 1, got -0.1"),
        ({"peak": 0}, OptionError, "expected peak above 0"),
        ({"share": 0.0}, DateError, "expected clear pixels that can be hidden"),
        ({"mask": "linear"}, UnknownNameError, "linear"),
        ({"mask": 3}, OptionError, "got int"),
    ],
)
def test_bad_options(plane, options, error, message):
    given = {"methods": "linear", "mask": False} | options
    with pytest.raises(error, match=message):
        run(plane, given.pop("methods"), **given)


def test_cubes_that_cannot_be_scored(plane):
    with pytest.raises(DateError, match="expected four dates or more to hide some of, got 3"):
        run(plane.isel(time=slice(3)), "linear", mask=False)
    with pytest.raises(DateError, match="away from bad ones and with 3 clear dates left"):
        run(plane.where(plane.time < plane.time[3]), "linear", mask=False)


def test_real_cube_prefers_better_methods(data_dir):
    zarr = pytest.importorskip("zarr")
    path = data_dir / "flanders_a_s2.zarr.zip"
    with zarr.storage.ZipStore(path, mode="r") as store, xr.open_zarr(store) as ds:
        part = ds[["B04", "B08", "SCL"]].isel(x=slice(0, 32), y=slice(0, 32))
        mask = part.eo.cloud_mask("scl", dilate=20)
        report = run(part, ["whittaker", "linear", "previous"], mask=mask)
    assert list(report.ranked().index) == ["whittaker", "linear", "previous"]
    assert 0.02 < report.table()["rmse"]["whittaker"] < 0.06
    assert report.table()["coverage"].between(0.7, 1).all()
