"""Blocks that share a chunk, made by one Dask task."""

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.engine import plan as plan_module
from xeo.engine.groups import Group
from xeo.engine.lazy import plan_of


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A cube of three dates in chunks of 32 x 32, of which blocks of 8 are parts."""
    monkeypatch.setattr(plan_module, "BLOCK_BYTES", 8 * 8 * 3 * (2 * 5 + 8))
    monkeypatch.setattr("xeo.engine.plan.LONGEST", 8)
    rng = np.random.default_rng(0)
    values = rng.random((3, 2, 100, 70), dtype="f4")
    values[1, :, 10:40] = np.nan
    dates = np.array(["2020-01-01", "2020-01-03", "2020-01-11"], "datetime64[ns]")
    coords = {"time": dates, "band": ["red", "nir"], "y": np.arange(100.0), "x": np.arange(70.0)}
    da = xr.DataArray(values, coords, ("time", "band", "y", "x"), name="v")
    chunks = {"v": {"chunks": (3, 2, 32, 32)}}
    da.to_dataset().to_zarr(tmp_path / "in.zarr", zarr_format=2, encoding=chunks)
    return tmp_path / "in.zarr"


def opened(store):
    return xr.open_zarr(store)["v"]


def test_a_task_makes_the_blocks_of_a_chunk(store):
    lazy = opened(store).eo.remove_clouds("linear")
    plan = plan_of(lazy.data)
    assert plan.y.step == plan.x.step == 8
    assert Group.of(plan) == Group(4, 4)
    assert lazy.chunks[2:] == ((32, 32, 32, 4), (32, 32, 6))
    assert lazy.data.npartitions == 12 < plan.blocks


def test_it_is_what_single_blocks_are(store, tmp_path):
    lazy = opened(store).eo.remove_clouds("linear", quality=True)
    expected = opened(store).load().eo.remove_clouds("linear", quality=True)
    xr.testing.assert_equal(lazy.compute(), expected)
    part = {"y": slice(20, 90), "x": slice(5, 60)}
    xr.testing.assert_equal(lazy.isel(part).compute(), expected.isel(part))
    profile = xeo.write(lazy, tmp_path / "out.zarr", progress=False, profile=True)
    assert profile.blocks == plan_of(lazy["v"].data).blocks
    back = xr.open_zarr(tmp_path / "out.zarr")
    assert back["v"].chunks[2][0] == plan_of(lazy["v"].data).y.step
    xr.testing.assert_equal(back.compute(), expected)


def test_a_chunk_is_decoded_once_a_task(store, monkeypatch):
    from xeo.engine import groups

    made = []

    class Counted(groups.Chunks):
        def __init__(self, limit):
            super().__init__(limit)
            made.append(self)

    monkeypatch.setattr(groups, "Chunks", Counted)
    opened(store).eo.remove_clouds("linear").compute(scheduler="synchronous")
    assert len(made) == 12
    assert sum(one.read for one in made) <= 12 + 3  # rows run south to north: groups shift


def test_small_cubes_and_single_dates_stay_in_blocks(store):
    few = opened(store).isel(y=slice(0, 32), x=slice(0, 32)).eo.remove_clouds("linear")
    group = Group.of(plan_of(few.data))
    assert few.data.npartitions >= 8
    assert group.y * group.x <= 2
    each = opened(store).eo.embed("band_stats")
    assert Group.of(plan_of(each.data)).alone
