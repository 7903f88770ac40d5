"""Chunks are decoded once for blocks that follow each other, and mean the same."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xeo
from tests.engine.test_source import Watched
from tests.engine.toys import Convolution
from xeo.engine import chunks as module
from xeo.engine import executor, lazy
from xeo.engine.chunks import Cached, Chunks, strip
from xeo.engine.cuts import Cut


class Noted:
    """An array that notes which regions are read."""

    def __init__(self, values):
        self.values, self.regions = values, []
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, region):
        self.regions.append(region)
        return self.values[region]


def cut(size, chunk):
    return np.array([*range(0, size, chunk), size])


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=6),
    st.sampled_from([0, 60, 10_000]),
)
def test_regions_are_what_the_array_gives(chunk, regions, limit):
    values = np.arange(17 * 13).reshape(17, 13)
    cached = Cached(Noted(values), [cut(17, chunk[0]), cut(13, chunk[1])], Chunks(limit))
    for top, bottom, left, right in regions:
        rows = sorted((int(top * 16), int(bottom * 16)))
        columns = sorted((int(left * 12), int(right * 12)))
        region = slice(rows[0], rows[1] + 1), slice(columns[0], columns[1] + 1)
        np.testing.assert_array_equal(cached[region], values[region])


def test_a_chunk_is_read_once_and_a_rectangle_of_them_at_once():
    array = Noted(np.arange(64).reshape(8, 8))
    chunks = Chunks()
    cached = Cached(array, [cut(8, 4), cut(8, 4)], chunks)
    cached[slice(1, 7), slice(0, 8)]
    assert array.regions == [(slice(0, 8), slice(0, 8))]
    cached[slice(0, 2), slice(3, 5)]
    assert len(array.regions) == 1
    assert chunks.read == 4


def test_the_oldest_go_first_and_bytes_are_bounded():
    array = Noted(np.zeros((4, 4), "u1"))
    chunks = Chunks(limit=2)
    cached = Cached(array, [cut(4, 1), cut(4, 1)], chunks)
    for column in (0, 1, 0, 2, 0, 1):
        cached[slice(0, 1), slice(column, column + 1)]
    # 0, 1, 2, and 1 again: 0 was used in between.
    assert chunks.read == 4


def test_two_threads_do_not_read_the_same():
    gate = threading.Event()

    class Slow(Noted):
        def __getitem__(self, region):
            gate.wait(5)
            return super().__getitem__(region)

    array = Slow(np.arange(4))
    cached = Cached(array, [cut(4, 4)], Chunks())
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(cached[(slice(0, 4),)])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert len(array.regions) == 1
    assert all((one == np.arange(4)).all() for one in found)


def test_a_failure_is_the_readers_own_and_others_try_again():
    class Failing(Noted):
        def __getitem__(self, region):
            if not self.regions:
                self.regions.append(region)
                raise OSError("gone")
            return super().__getitem__(region)

    cached = Cached(Failing(np.arange(4)), [cut(4, 2)], Chunks())
    with pytest.raises(OSError, match="gone"):
        cached[(slice(0, 4),)]
    np.testing.assert_array_equal(cached[(slice(0, 4),)], np.arange(4))


def test_a_strip_is_as_wide_as_the_cache():
    assert strip(100, 1) == 100
    assert strip(100, module.CACHE_BYTES / 11.5) == 10
    assert strip(100, module.CACHE_BYTES * 2) == 1


def test_a_halo_decodes_no_chunk_twice():
    values = np.random.default_rng(0).random((2, 2, 64, 48)).astype("f4")
    cube = xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.array(["2021-01-01", "2021-02-01"], "M8[ns]"),
            "band": np.array(["red", "nir"], object),
            "y": -10.0 * np.arange(64),
            "x": 10.0 * np.arange(48),
        },
        name="cube",
    ).chunk({"time": 1, "y": 16, "x": 16})
    store = Watched()
    cube.to_zarr(store, consolidated=False, zarr_format=3)
    store.read.clear()
    # Of the middle rows and columns on: chunks do not begin where the view does.
    opened = xr.open_zarr(store, chunks=None, consolidated=False)
    view = opened.cube.isel(y=slice(8, None), x=slice(8, 40))
    made = view.eo.embed(Convolution(3), chunk=16)
    job = lazy.job_of(made.data)
    assert job is not None
    assert job.plan.passes > 2
    (values,) = executor.compute(job, [Cut("", "f4")])
    read = [key for key in store.read if key.startswith("cube/c/")]
    assert len(read) == len(set(read)) == 2 * 4 * 3
    whole = view.compute().eo.embed(Convolution(3), chunk=64)
    np.testing.assert_array_equal(values, whole.values)


def test_strips_name_every_block_once():
    cube = xeo.simulate_cube(dates=2, size=48, truth=False)
    plan = cube.eo.embed(Convolution(1), chunk=8, explain=True)
    for width in (1, 2, 5, 6, 100):
        assert sorted(plan.numbers(width)) == list(range(plan.blocks))
    assert list(plan.numbers(2))[:4] == [0, 1, 6, 7]


def test_a_chunk_that_comes_twice_counts_once():
    chunks = Chunks(limit=10)
    for _ in range(5):
        chunks.put((0, (0,)), np.zeros(6, "u1"))
    chunks.put((0, (1,)), np.zeros(4, "u1"))
    assert chunks.get((0, (0,))) is not None
    assert chunks.get((0, (1,))) is not None
