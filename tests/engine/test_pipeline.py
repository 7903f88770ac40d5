"""Readers, compute threads and writers: what is bounded, what is lost, how it ends."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.engine import executor, lazy, pipeline
from xeo.engine.cuts import Cut
from xeo.engine.pipeline import Pipeline, Room
from xeo.engine.profile import Profile
from xeo.errors import XeoWarning
from xeo.spec import ModelSpec

#: What `Doing` does before it answers.
DO = []


@dataclass(frozen=True)
class Doing:
    """The first band, after a function of the test's was called with the batch."""

    spec: ClassVar[ModelSpec] = ModelSpec(name="doing", channels=1)

    def __call__(self, x, /):
        DO[0](x)
        return x[:, :1]


@dataclass(frozen=True)
class Halves:
    """One pixel of each four."""

    spec: ClassVar[ModelSpec] = ModelSpec(name="halves", stride=2, channels=1)

    def __call__(self, x, /):
        return x[:, :1, ::2, ::2]


@pytest.fixture
def stored(tmp_path):
    cube = xeo.simulate_cube(dates=2, size=64, chunks={"time": 1, "y": 16, "x": 16}, truth=False)
    cube[["B04", "B08"]].to_zarr(tmp_path / "cube.zarr", consolidated=False, zarr_format=3)
    return xeo.open_cube(tmp_path / "cube.zarr")


def job(stored, function=lambda x: None, **options):
    DO[:] = [function]
    made = stored.eo.embed(Doing(), chunk=16, **options)
    found = lazy.job_of(made.data)
    assert found is not None
    # The job lives as long as the array does.
    return found, made


def test_every_block_is_kept_once(stored):
    work, made = job(stored)
    kept = {}
    lock = threading.Lock()

    def keep(index, block):
        with lock:
            assert index not in kept
            kept[index] = block.values

    told = []
    profile = Profile()
    executor.run(work, keep, progress=told.append, profile=profile)
    assert sum(told) == made.size
    assert profile.blocks == len(kept) == work.plan.blocks
    values = np.empty(made.shape, "f4")
    for index, block in kept.items():
        values[executor.place(work, index)] = block
    np.testing.assert_array_equal(values, made.values)


def test_room_is_waited_for():
    room = Room(10)
    assert room.take(8)
    taken = threading.Event()
    thread = threading.Thread(target=lambda: room.take(4) and taken.set())
    thread.start()
    assert not taken.wait(0.05)
    room.give(8)
    assert taken.wait(5)
    thread.join()


def test_a_block_larger_than_the_room_goes_alone():
    room = Room(10)
    assert room.take(25)
    room.give(25)
    assert room.take(10)
    room.close()
    assert not room.take(1)


def test_what_is_on_the_way_is_bounded_by_bytes(stored, monkeypatch):
    monkeypatch.setattr(pipeline, "AHEAD_BYTES", 0)
    work, _ = job(stored)
    reading, gate = [], threading.Event()
    lock = threading.Lock()

    def keep(index, block):
        gate.wait(5)

    original = type(work).read

    def read(self, index, sources=None):
        with lock:
            reading.append(index)
        return original(self, index, sources)

    monkeypatch.setattr(type(work), "read", read)
    run = threading.Thread(target=Pipeline(work, keep, 2, Profile()).run, args=(None,), daemon=True)
    run.start()
    time.sleep(0.5)
    # Nothing is written yet: no more than the room for two workers and one more block.
    seen = len(reading)
    gate.set()
    run.join(20)
    assert not run.is_alive()
    each = work.plan.read_bytes + work.plan.made_bytes
    assert seen <= (3 * each) // work.plan.made_bytes
    assert seen < work.plan.blocks == len(reading)


@pytest.mark.parametrize("side", ["reading", "computing", "writing"])
def test_an_error_ends_it_and_what_was_computed_is_kept(stored, side, monkeypatch):
    count = iter(range(1000))

    def fail(*_):
        if next(count) == 5:
            raise RuntimeError("on purpose")

    work, _ = job(stored, fail if side == "computing" else lambda x: None)
    started, kept = [], []
    if side == "reading":
        original = type(work).read
        monkeypatch.setattr(type(work), "read", lambda self, *a: (fail(), original(self, *a))[1])
    original_make = type(work).make
    monkeypatch.setattr(
        type(work), "make", lambda self, *a: (started.append(1), original_make(self, *a))[1]
    )

    def keep(index, block):
        if side == "writing":
            fail()
        kept.append(index)

    with pytest.raises(RuntimeError, match="on purpose"):
        executor.run(work, keep)
    assert len(kept) == len(started) - (side in ("computing", "writing"))
    assert not [t for t in threading.enumerate() if t.name.startswith("xeo-")]


def test_an_interrupt_between_two_blocks_keeps_those_at_work(stored):
    work, _ = job(stored)
    kept = []

    def stop(size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor.run(work, lambda index, block: kept.append(index), progress=stop)
    assert len(kept) >= 1
    assert not [t for t in threading.enumerate() if t.name.startswith("xeo-")]


def test_a_store_that_makes_wait_gets_more_readers(stored, monkeypatch):
    monkeypatch.setattr(pipeline, "SPELL", 0.01)
    work, _ = job(stored)
    original = type(work).read

    def slow(self, *a):
        time.sleep(0.05)
        return original(self, *a)

    monkeypatch.setattr(type(work), "read", slow)
    profile = Profile()
    executor.run(work, lambda index, block: None, profile=profile)
    assert profile.reading.threads > pipeline.FIRST
    assert profile.bound == "reading"


def test_the_side_that_binds_is_told(stored):
    work, _ = job(stored, lambda x: time.sleep(0.05))
    profile = Profile()
    executor.run(work, lambda index, block: None, profile=profile)
    assert profile.bound == "computing"
    work, _ = job(stored)
    profile = Profile()
    executor.run(work, lambda index, block: time.sleep(0.1), profile=profile, workers=1)
    assert profile.bound == "writing"
    assert "writing binds" in str(profile)


def test_blocks_of_nodata_are_skipped_and_counted(tmp_path):
    cube = xeo.simulate_cube(dates=2, size=32, truth=False)[["B04", "B08"]]
    # Both dates, the first quarter: one of four blocks.
    cube["B04"][:, :16, :16] = 0
    cube["B04"].attrs["_nodata"] = 0
    chunked = cube.chunk({"time": 1, "y": 16, "x": 16})
    chunked.to_zarr(tmp_path / "cube.zarr", consolidated=False, zarr_format=3)
    calls = []
    work, _made = job(xeo.open_cube(tmp_path / "cube.zarr"), calls.append, batch=1)
    profile = Profile()
    (values,) = executor.compute(work, [Cut("", "f4")])
    executor.run(work, lambda index, block: None, profile=profile)
    assert profile.blocks == work.plan.blocks == 4
    assert profile.skipped == 1
    assert np.isnan(values[:, :, :16, :16]).all()
    assert np.isfinite(values).any()
    # Two dates of three blocks, for each of the two runs.
    assert len(calls) == 2 * 2 * 3


def test_out_of_memory_halves_the_batch_and_says_so_once(stored):
    sizes = []

    def small(x):
        sizes.append(len(x))
        if len(x) > 1:
            raise MemoryError("no room")

    work, made = job(stored, small, batch=4)
    with pytest.warns(XeoWarning, match="ran out of memory") as said:
        (values,) = executor.compute(work, [Cut("", "f4")])
    DO[:] = [lambda x: None]
    np.testing.assert_array_equal(values, made.values)
    assert sizes[0] > 1
    assert sizes[-8:] == [1] * 8
    assert len(said) <= 2


def test_valid_fraction_counts_pixels_of_cells():
    values = np.ones((2, 1, 6, 5), "f4")
    values[0, 0, :2, :2] = np.nan
    values[0, 0, 2, 0] = np.nan
    cube = xr.DataArray(
        values,
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.array(["2021-01-01", "2021-02-01"], "M8[ns]"),
            "band": ["red"],
            "y": -10.0 * np.arange(6),
            "x": 10.0 * np.arange(5),
        },
    )

    eager = cube.eo.embed(Halves(), valid_fraction=True)
    found = eager.valid_fraction.values
    # The last column of cells hangs over the border: only the pixels within count.
    np.testing.assert_array_equal(found[0], [[0, 1, 1], [0.75, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(found[1], np.ones((3, 3)))
    assert np.isnan(eager.embeddings.values[0, 0, 0, 0])
    for chunks in ({"time": 1, "y": 2, "x": 3}, {"y": 3}):
        lazily = cube.chunk(chunks).eo.embed(Halves(), valid_fraction=True)
        xr.testing.assert_identical(lazily.compute(), eager)
    plain = cube.eo.embed(Halves())
    xr.testing.assert_identical(plain, eager.embeddings)
