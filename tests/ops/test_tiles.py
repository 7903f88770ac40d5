from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xeo.errors import DimensionError
from xeo.ops.tiles import Grid, tile


def lazy(**sizes: int) -> xr.DataArray:
    """An array that takes no memory."""
    blank = np.broadcast_to(np.uint8(0), tuple(sizes.values()))
    return xr.DataArray(blank, dims=tuple(sizes))


def test_a_picture_that_is_small_is_one_chunk():
    assert tile(lazy(time=10, y=500, x=600), "tyx", "bounded", {}) == (10, 500, 600)


def test_a_large_picture_is_cut_into_equal_parts():
    for size in (700, 1000, 5490, 10980):
        *_, side = tile(lazy(time=1, y=100, x=size), "tyx", "lossless", {})
        parts = math.ceil(size / side)
        assert 128 <= side <= 640
        assert side % 8 == 0
        assert parts * side - size < 8 * parts


@pytest.mark.parametrize(("source", "side"), [(256, 256), (640, 640), (1024, 512), (2048, 512)])
def test_chunks_of_the_source_are_kept_or_cut(source, side):
    da = lazy(time=2, y=4096, x=4096)
    da.encoding["preferred_chunks"] = {"time": 1, "y": source, "x": source}
    assert tile(da, "tyx", "lossless", {}) == (2, side, side)


def test_what_is_asked_goes_before_what_is_chosen():
    da = lazy(time=100, y=4096, x=4096)
    assert tile(da, "tyx", "video", {"y": 200, "x": -1, "time": 7}) == (7, 200, 4096)
    assert tile(da, "tyx", "video", {"time": 1000})[0] == 100


@pytest.mark.parametrize("size", [0, -2, 1.5, "all"])
def test_sizes_that_cannot_be(size):
    with pytest.raises(DimensionError, match="a chunk of 1 or more along 'y', or -1"):
        tile(lazy(y=9, x=9), "yx", "lossless", {"y": size})


@given(
    st.integers(1, 3000),
    st.integers(1, 40),
    st.integers(1, 6000),
    st.integers(1, 6000),
    st.sampled_from(["video", "bounded", "lossless"]),
)
def test_chunks_fit_and_are_no_more_than_can_be_decoded_at_once(dates, bands, rows, columns, codec):
    da = lazy(time=dates, band=bands, y=rows, x=columns)
    sizes = tile(da, "tbyx", codec, {})
    assert all(1 <= n <= whole for n, whole in zip(sizes, da.shape, strict=True))
    assert sizes[1] == bands
    assert sizes[0] == 1 or math.prod(sizes) <= 1 << 25


def test_the_first_of_two_dimensions_of_dates_is_cut_first():
    sizes = tile(lazy(member=50, step=20, y=64, x=64), "ttyx", "bounded", {})
    assert sizes[0] < 50
    assert sizes[2:] == (64, 64)


@st.composite
def grids(draw):
    shape = draw(st.lists(st.integers(1, 30), min_size=1, max_size=4))
    chunks = [draw(st.integers(1, n)) for n in shape]
    source = [draw(st.integers(0, n + 3)) for n in shape]
    return tuple(shape), tuple(chunks), source, draw(st.integers(1, 2000))


@given(grids())
def test_every_value_is_in_one_chunk_of_one_group(case):
    shape, chunks, source, most = case
    grid = Grid.of(shape, chunks, source, most)
    seen = np.zeros(shape, int)
    count = 0
    for region, inside in grid.regions():
        for index, place in inside:
            count += 1
            seen[place] += 1
            for p, r, i, c in zip(place, region, index, chunks, strict=True):
                assert r.start <= p.start < p.stop <= r.stop
                assert p.start == i * c
    assert (seen == 1).all()
    assert count == grid.count


@given(grids())
def test_a_group_holds_no_more_than_it_may_unless_one_chunk_does(case):
    shape, chunks, source, most = case
    grid = Grid.of(shape, chunks, source, most)
    values = math.prod(chunks) * math.prod(grid.groups)
    assert values <= most or set(grid.groups) == {1}


def test_groups_follow_the_chunks_of_the_source():
    grid = Grid.of((8, 100, 100), (8, 20, 20), (1, 100, 50), 1 << 20)
    assert grid.groups == (1, 5, 3)
    assert Grid.of((8, 100, 100), (8, 20, 20), (0, 20, 20), 1 << 20).groups == (1, 1, 1)
