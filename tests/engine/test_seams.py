"""Blended windows that blocks share: made once, kept in a strip, the same numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

import xeo
from tests.engine.toys import Convolution, Patch
from xeo.engine import executor, lazy, pipeline
from xeo.engine.cuts import Cut
from xeo.engine.seams import Seams
from xeo.errors import OptionError
from xeo.kernels.windows import blend_weight, count_windows

#: How many windows each call had.
CALLS: list[int] = []


@dataclass(frozen=True)
class Counted(Patch):
    """Counts its windows."""

    def __call__(self, x, /):
        CALLS.append(len(x))
        return super().__call__(x)


@pytest.fixture
def cube():
    values = np.random.default_rng(0).random((2, 1, 60, 44)).astype("f4")
    return xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.array(["2021-01-01", "2021-02-01"], "M8[ns]"),
            "band": ["red"],
            "y": -10.0 * np.arange(60),
            "x": 10.0 * np.arange(44),
        },
        name="cube",
    )


def test_what_is_given_is_there_for_each_block_that_needs_it():
    seams = Seams()
    made = np.ones(3)
    assert seams.take((0, 0, 0)) is None
    seams.give((0, 0, 0), made, 3)
    assert seams.take((0, 0, 0)) is made
    assert seams.take((0, 0, 0)) is made
    assert seams.take((0, 0, 0)) is None
    assert seams.largest == 1


def test_two_that_make_the_same_count_as_two():
    seams = Seams()
    seams.give((0, 0, 0), np.ones(3), 2)
    seams.give((0, 0, 0), np.ones(3), 2)
    assert seams.take((0, 0, 0)) is None


@pytest.mark.parametrize("flip", [False, True])
def test_no_window_runs_twice_and_the_strip_is_narrow(cube, flip, monkeypatch, tmp_path):
    cube = cube.isel(y=slice(None, None, -1)) if flip else cube
    model = Counted(8, 0, 1, overlap=4)
    kept = []

    class Noted(Seams):
        def __init__(self):
            super().__init__()
            kept.append(self)

    monkeypatch.setattr(pipeline, "Seams", Noted)
    xeo.write(cube, tmp_path / "cube.zarr", progress=False)
    whole = cube.eo.embed(model, chunk=64)
    made = xeo.open_cube(tmp_path / "cube.zarr").eo.embed(model, chunk=12)
    job = lazy.job_of(made.data)
    assert job is not None
    assert job.plan.blocks > 12
    CALLS.clear()
    (values,) = executor.compute(job, [Cut("", "f4")])
    np.testing.assert_allclose(values, whole.values, rtol=1e-6)
    rows, columns = (count_windows(size, 4, 8) for size in (60, 44))
    # Threads side by side may make a shared window at the same time, now and then.
    assert 2 * rows * columns <= sum(CALLS) <= 1.3 * 2 * rows * columns
    # Without the strip:
    CALLS.clear()
    xr.testing.assert_allclose(made.compute(), whole, rtol=1e-6)
    assert sum(CALLS) > 1.5 * 2 * rows * columns
    # Two dates of a row of blocks: its windows, and those of the next that were made early.
    assert 0 < kept[-1].largest <= 2 * 4 * columns
    assert not kept[-1]._kept


def test_blended_windows_are_the_weighted_mean_by_hand(cube):
    one = cube.isel(time=[0], y=slice(0, 8), x=slice(0, 12))
    made = one.eo.embed(Patch(8, 0, 1), overlap=4).values[0, 1, 0]
    first, second = (one.values[0, 0, :, start : start + 8].mean() for start in (0, 4))
    weight = blend_weight(8, 4)
    here, there = np.zeros(12), np.zeros(12)
    here[:8], there[4:] = weight, weight
    np.testing.assert_allclose(made, (first * here + second * there) / (here + there), rtol=1e-5)


def test_blend_is_asked_for_and_refused(cube):
    plan = cube.eo.embed(Patch(8, 0, 2), blend=True, explain=True)
    assert plan.overlap == 2
    assert cube.eo.embed(Patch(8, 0, 2, overlap=4), blend=False, explain=True).overlap == 0
    assert cube.eo.embed(Patch(8, 0, 2, overlap=4), explain=True).overlap == 4
    exact = cube.eo.embed(Patch(8, 0, 2), blend=False)
    xr.testing.assert_identical(exact, cube.eo.embed(Patch(8, 0, 2)))
    with pytest.raises(OptionError, match="blend=False, got overlap=2"):
        cube.eo.embed(Patch(8, 0, 2), blend=False, overlap=2)
    with pytest.raises(OptionError, match="has no seams"):
        cube.eo.embed(Convolution(), blend=True)
    with pytest.raises(OptionError, match="makes one"):
        cube.eo.embed(Patch(8, 0, 8), blend=True)


def test_windows_of_nothing_leave_nothing_behind(cube):
    values = cube.values.copy()
    values[:, :, :30, 10:30] = np.nan
    holed = cube.copy(data=values)
    whole = holed.eo.embed(Patch(8, 0, 1, overlap=4), chunk=64)
    made = holed.eo.embed(Patch(8, 0, 1, overlap=4), chunk=12)
    xr.testing.assert_allclose(made, whole, rtol=1e-6)
