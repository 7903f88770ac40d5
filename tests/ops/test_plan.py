"""The plan behind a lazy result."""

from __future__ import annotations

import tracemalloc

import pytest

import xeo
from xeo.errors import OptionError


@pytest.mark.parametrize("fraction", [False, True])
def test_a_result_tells_its_plan(fraction, max_computes):
    cube = xeo.simulate_cube(dates=2, size=32, truth=False)
    lazily = cube.chunk({"time": 1, "y": 16, "x": 16})
    with max_computes(0):
        made = lazily.eo.embed("band_stats", valid_fraction=fraction)
        told = made.eo.plan()
    assert told == lazily.eo.embed("band_stats", explain=True)
    assert told.explain() == str(told)
    assert "every stored value 1.00 times" in told.explain()


def test_what_was_changed_has_none():
    cube = xeo.simulate_cube(dates=2, size=32, truth=False)
    for obj in (cube.eo.embed("band_stats"), cube.chunk().eo.embed("band_stats") + 1, cube):
        with pytest.raises(OptionError, match=r"embed\(\.\.\., explain=True\)"):
            obj.eo.plan()


def test_a_plan_of_a_million_chunks_is_small():
    import dask.array as da
    import numpy as np
    import xarray as xr

    size = 1000 * 512
    cube = xr.DataArray(
        da.zeros((1, 2, size, size), dtype="u2", chunks=(1, 2, 32768, 32768)),
        dims=("time", "band", "y", "x"),
        coords={"time": [np.datetime64("2021-01-01", "ns")], "band": ["red", "nir"]},
    )
    plan = cube.eo.embed("mosaiks", explain=True, chunk=512)
    assert plan.blocks >= 900_000
    tracemalloc.start()
    text = plan.explain()
    indices = [plan.index(n) for n in (0, plan.blocks // 2, plan.blocks - 1)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(plan.blocks) in text
    assert len(set(indices)) == 3
    assert peak < 50e6
