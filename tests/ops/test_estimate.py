from __future__ import annotations

import importlib
import math
import os

import numpy as np
import pytest
import xarray as xr

import xeo
from xeo.errors import OptionError
from xeo.ops.estimate import _places, _spell_time

pytest.importorskip("imagecodecs")


@pytest.fixture(scope="module")
def cube():
    made = xeo.simulate_cube(dates=4, size=96, truth=False)
    return made[["B02", "B04", "SCL"]].load()


def test_all_of_a_small_cube_is_exact(cube, tmp_path):
    made = xeo.estimate(cube, max_error=0.002, effort=2)
    report = cube.eo.compress(tmp_path / "a.zarr", max_error=0.002, effort=2, progress=False)
    assert made.part == 1
    assert made.size == report.size
    assert made.ratio == report.ratio
    assert made.report["B04"].max_error() == report["B04"].max_error()
    assert made.report["B04"].psnr() == pytest.approx(report["B04"].psnr())


def test_a_sample_comes_close(cube, tmp_path):
    how = {"max_error": 0.002, "effort": 2, "chunks": {"time": 1, "y": 24, "x": 24}}
    made = xeo.estimate(cube.chunk(time=1), **how)
    report = cube.eo.compress(tmp_path / "a.zarr", progress=False, **how)
    assert made.part == 24 / 64
    assert made.size == pytest.approx(report.size, rel=0.2)
    assert made.report["B04"].bpppb == pytest.approx(report["B04"].bpppb, rel=0.2)
    assert made.report["B04"].max_error() <= 0.002
    assert made.seconds > 0


def test_it_does_not_take_long(cube, monkeypatch):
    module = importlib.import_module("xeo.ops.estimate")
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    made = xeo.estimate(cube, lossless=True, effort=2, chunks={"time": 1, "y": 24, "x": 24})
    assert made.part == 1 / 64
    assert made.report["SCL"].size > 0


def test_nothing_is_written(cube, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    xeo.estimate(cube, lossless=True, effort=2)
    assert os.listdir() == []


def test_it_is_text(cube):
    lines = repr(xeo.estimate(cube, max_error=0.002, effort=2, workers=1)).splitlines()
    assert lines[0].startswith("<xeo.Estimate> 184 kB to ")
    assert "with 1 at work; from 100 % of the values" in lines[0]
    assert "bits/value" in lines[1]
    assert "sentinel2" in lines[2]


def test_only_the_sample_is_read():
    read = []

    class Noting(xr.backends.BackendArray):
        shape, dtype = (40, 3000, 3000), np.dtype("u2")

        def __getitem__(self, key):
            return xr.core.indexing.explicit_indexing_adapter(
                key, self.shape, xr.core.indexing.IndexingSupport.BASIC, self.get
            )

        def get(self, key):
            sizes = [len(range(*k.indices(n))) for k, n in zip(key, self.shape, strict=True)]
            read.append(math.prod(sizes))
            return np.ones(sizes, "u2")

    variable = xr.Variable(("time", "y", "x"), xr.core.indexing.LazilyIndexedArray(Noting()))
    made = xeo.estimate(xr.Dataset({"a": variable}), max_error=3, effort=2)
    assert sum(read) < 40 * 3000 * 3000 / 50
    assert made.part == pytest.approx(sum(read) / (40 * 3000 * 3000))
    assert made.report.raw == 2 * 40 * 3000 * 3000


def test_where_it_looks():
    places = _places((10, 100, 100), (2, 50, 50), "tyx")
    assert len({tuple(s.start for s in place) for place in places}) == len(places) == 20
    for place in places:
        assert [s.stop - s.start for s in place] == [2, 50, 50]
    (large,) = _places((100, 4, 4000, 4000), (100, 4, 4000, 4000), "tbyx")
    sizes = [s.stop - s.start for s in large]
    assert math.prod(sizes) <= 1 << 20
    assert sizes[1:] == [4, 128, 128]
    assert large[2].start == (4000 - 128) // 2
    assert _places((3,), (5,), "t") == [(slice(0, 3),)]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.4, "59 s"), (60, "1 min"), (3000, "50 min"), (9000, "2.5 h")],
)
def test_times_are_said_as_people_do(seconds, text):
    assert _spell_time(seconds) == text


def test_options_that_cannot_be_are_the_same_errors(cube):
    with pytest.raises(OptionError, match="how close 'B02' has to stay"):
        xeo.estimate(cube)
    with pytest.raises(OptionError, match="1 or more, got 0"):
        xeo.estimate(cube, lossless=True, workers=0)
