from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import xarray as xr

from xeo import options
from xeo.engine import regions


def test_a_blank_is_lazy_and_has_one_task():
    made = regions.blank((1000, 1000, 1000), np.dtype("i2"))
    assert made.shape == (1000, 1000, 1000)
    assert made.dtype == np.int16
    assert len(made.dask) < 4


@pytest.mark.parametrize("blocks", [None, {"y": 3}, {"y": 4, "x": 5}])
def test_a_region_is_read(blocks):
    values = np.arange(80).reshape(8, 10)
    variable = xr.Variable(("y", "x"), values)
    if blocks:
        variable = variable.chunk(blocks)
    found = regions.read(variable, (slice(2, 7), slice(3, 4)))
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, values[2:7, 3:4])


def test_a_region_of_something_computed_is_read():
    values = np.arange(80).reshape(8, 10)
    variable = xr.Variable(("y", "x"), values).chunk(y=2) * 2
    np.testing.assert_array_equal(
        regions.read(variable, (slice(1, 5), slice(0, 10))), 2 * values[1:5]
    )


@pytest.mark.parametrize("chunks", [None, {}])
def test_only_the_region_is_read_of_a_store(tmp_path, chunks):
    values = np.arange(80).reshape(8, 10)
    xr.Dataset({"a": (("y", "x"), values)}).to_zarr(
        tmp_path / "a.zarr", encoding={"a": {"chunks": (4, 5)}}, consolidated=False, zarr_format=3
    )
    for path in (tmp_path / "a.zarr" / "a" / "c" / "1").iterdir():
        path.write_bytes(b"not a chunk")
    variable = xr.open_zarr(tmp_path / "a.zarr", chunks=chunks, consolidated=False)["a"].variable
    np.testing.assert_array_equal(regions.read(variable, (slice(0, 4), slice(0, 10))), values[:4])


@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_every_item_is_made_once(workers):
    made = list(regions.each(lambda n: n * n, iter(range(50)), workers=workers))
    assert sorted(made) == [n * n for n in range(50)]


def test_workers_share_the_cores():
    counts = list(regions.each(lambda _: options.threads(), iter(range(4)), workers=2))
    most = max(1, options.cores() // 2)
    assert all(1 <= count <= most for count in counts)


def test_items_are_drawn_slowly():
    drawn = []

    def items():
        for n in range(100):
            drawn.append(n)
            yield n

    made = regions.each(lambda n: n, items(), workers=2)
    next(made)
    assert len(drawn) <= 5
    made.close()
    assert len(drawn) <= 5


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_through_and_nothing_starts_after_it(workers):
    started = []

    def work(n):
        started.append(n)
        if n == 3:
            raise KeyError("three")
        time.sleep(0.01)

    with pytest.raises(KeyError, match="three"):
        list(regions.each(work, iter(range(1000)), workers=workers))
    assert len(started) < 20


def test_what_is_at_work_is_finished_when_the_caller_stops():
    finished = []

    def work(n):
        time.sleep(0.05)
        finished.append(n)
        return threading.current_thread().name

    for name in regions.each(work, iter(range(100)), workers=2):
        assert name.startswith("xeo")
        break
    count = len(finished)
    assert count < 10
    time.sleep(0.15)
    assert len(finished) == count
