"""What is read of a region, chunk by chunk: the same numbers, and nothing in vain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from xeo.engine.source import Feed, Part, Source
from xeo.kernels.decode import bad_pixels

pytestmark = pytest.mark.filterwarnings("error")
DIMS = ("time", "band", "y", "x")


class Watched(zarr.storage.MemoryStore):
    """Notes which chunks are asked for."""

    def __init__(self, *args, read=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.read = [] if read is None else read

    def with_read_only(self, read_only=False):
        return Watched(self._store_dict, read_only=read_only, read=self.read)

    async def get(self, key, *args, **kwargs):
        if "/c/" in key:
            self.read.append(key)
        return await super().get(key, *args, **kwargs)


def stored(values, chunks, name="cube", store=None, dims=DIMS, shards=None):
    """A lazy variable over a Zarr array, and the store that counts."""
    store = Watched() if store is None else store
    array = zarr.create_array(
        store, name=name, shape=values.shape, chunks=chunks, shards=shards, dtype=values.dtype,
        dimension_names=dims,
    )  # fmt: skip
    array[:] = values
    store.read.clear()
    opened = xr.open_zarr(store, chunks=None, consolidated=False, mask_and_scale=False)
    return opened[name].variable, store


def source_of(parts, shape, nodata, mask=None, dtype="u2", flip=False):
    time, _, ny, nx = shape
    count = sum(len(p.bands) for p in parts)
    step = -1 if flip else 1
    return Source(
        parts=tuple(parts),
        time=np.arange(time),
        y=np.arange(ny)[::step],
        x=np.arange(nx)[::step],
        scale=np.ones(count),
        offset=np.zeros((time, count)),
        nodata=np.broadcast_to(np.asarray(nodata, float), (count,)),
        convert=("",) * count,
        mask=mask,
        dtype=np.dtype(dtype),
    )


def everything(shape):
    return tuple(np.arange(shape[i]) for i in (0, 2, 3))


def ten_bands(values=None, **more):
    shape = (1, 10, 8, 8)
    values = np.zeros(shape, "u2") if values is None else values
    variable, store = stored(values, (1, 1, 8, 8))
    # Chunks of nothing but the fill value are not kept, but asked for all the same.
    return source_of([Part(variable, DIMS, tuple(range(10)))], shape, 0, **more), store


def test_a_block_of_nodata_costs_one_chunk_of_ten():
    source, store = ten_bands()
    assert source.read_valid(*everything((1, 10, 8, 8))) is None
    assert store.read == ["cube/c/0/0/0/0"]


def test_a_masked_block_costs_nothing():
    mask = Part(np.ones((8, 8), bool), ("y", "x"))
    source, store = ten_bands(np.ones((1, 10, 8, 8), "u2"), mask=mask)
    assert source.read_valid(*everything((1, 10, 8, 8))) is None
    assert store.read == []


def test_bands_are_read_until_no_pixel_is_left():
    values = np.ones((1, 10, 8, 8), "u2")
    values[:, :3] = 0
    # Each band has another good pixel: none is good in all.
    values[0, [0, 1, 2], [0, 1, 2], 0] = 1
    source, store = ten_bands(values)
    assert source.read_valid(*everything(values.shape)) is None
    assert store.read == ["cube/c/0/0/0/0", "cube/c/0/1/0/0"]


def test_a_good_block_is_read_once():
    values = np.arange(1, 641, dtype="u2").reshape(1, 10, 8, 8)
    source, store = ten_bands(values)
    raw, bad = source.read_valid(*everything(values.shape))
    assert sorted(store.read) == sorted(f"cube/c/0/{b}/0/0" for b in range(10))
    np.testing.assert_array_equal(raw, values)
    assert not bad.any()


def test_one_valid_pixel_keeps_the_block():
    values = np.zeros((1, 10, 8, 8), "u2")
    values[..., 3, 4] = 7
    source, store = ten_bands(values)
    raw, bad = source.read_valid(*everything(values.shape))
    np.testing.assert_array_equal(raw, values)
    np.testing.assert_array_equal(bad, values == 0)
    assert len(store.read) == 10


def test_absent_bands_are_neither_read_nor_counted():
    values = np.ones((1, 3, 4, 4), "u2")
    variable, store = stored(values, (1, 1, 4, 4))
    empty, other = stored(np.zeros((1, 1, 4, 4), "u2"), (1, 1, 4, 4), "empty")
    parts = [Part(variable, DIMS, (0, 1, 2)), Part(empty, DIMS, (0,))]
    source = source_of(parts, values.shape, 0)
    raw, bad = source.read_valid(*everything(values.shape), absent=(1, 3))
    assert bad[0, :, 0, 0].tolist() == [False, True, False, True]
    assert raw[0, :, 0, 0].tolist() == [1, 0, 1, 0]
    assert (len(store.read), other.read) == (2, [])


def test_bands_far_apart_leave_those_between():
    values = np.arange(1, 161, dtype="u2").reshape(1, 10, 4, 4)
    variable, store = stored(values, (1, 2, 4, 4))
    source = source_of([Part(variable, DIMS, (9, 0, 1))], values.shape, np.nan)
    raw, bad = source.read_valid(*everything(values.shape))
    np.testing.assert_array_equal(raw, values[:, [9, 0, 1]])
    assert not bad.any()
    assert sorted(store.read) == ["cube/c/0/0/0/0", "cube/c/0/4/0/0"]


def test_numbers_that_cannot_be_bad_are_read_in_one_go():
    values = np.zeros((1, 3, 4, 4), "u2")
    variable, store = stored(values, (1, 1, 4, 4))

    class Counted(Part):
        reads = 0

        def read(self, *at):
            type(self).reads += 1
            return super().read(*at)

    source = source_of([Counted(variable, DIMS, (0, 1, 2))], values.shape, np.nan)
    assert source.read_valid(*everything(values.shape)) is not None
    assert (Counted.reads, len(store.read)) == (1, 3)


def test_chunks_of_a_selection_are_those_of_the_store():
    values = np.arange(1, 129, dtype="u2").reshape(1, 8, 4, 4)
    variable, store = stored(values, (1, 2, 4, 4))
    for picked in (slice(1, None), [1, 2, 5, 6], slice(None, None, -1)):
        chosen = variable[:, picked]
        bands = tuple(range(chosen.shape[1]))
        source = source_of([Part(chosen, DIMS, bands)], values.shape, 0)
        store.read.clear()
        raw, _ = source.read_valid(*everything(values.shape))
        np.testing.assert_array_equal(raw, values[:, picked])
        assert len(store.read) == len(set(store.read)), picked


def test_bands_in_wild_order_are_read_together():
    values = np.arange(1, 129, dtype="u2").reshape(1, 8, 4, 4)
    variable, store = stored(values, (1, 2, 4, 4))
    source = source_of([Part(variable[:, [0, 7, 1]], DIMS, (0, 1, 2))], values.shape, 0)
    raw, _ = source.read_valid(*everything(values.shape))
    np.testing.assert_array_equal(raw, values[:, [0, 7, 1]])
    assert len(store.read) == len(set(store.read))


def test_a_static_band_is_spread_over_dates():
    values = np.ones((3, 1, 4, 4), "u2")
    height = np.arange(16, dtype="u2").reshape(4, 4)
    parts = [Part(values, DIMS), Part(height, ("y", "x"))]
    source = source_of(parts, values.shape, 0)
    raw, bad = source.read_valid(*everything(values.shape))
    np.testing.assert_array_equal(raw[:, 1], np.broadcast_to(height, (3, 4, 4)))
    assert bad.sum() == 3


patterns = st.sampled_from(["some", "none", "all", "one left", "all but a band"])


def fill(values, pattern, missing, rng):
    if pattern == "all":
        values[:] = missing
    elif pattern == "one left":
        keep = values[..., 1, 2].copy()
        values[:] = missing
        values[..., 1, 2] = keep
    elif pattern == "all but a band":
        values[:, rng.integers(values.shape[1])] = missing
    elif pattern == "some":
        values[rng.random(values.shape) < 0.4] = missing


@settings(max_examples=120, deadline=None)
@given(
    data=st.data(),
    pattern=patterns,
    dtype=st.sampled_from(["u2", "f4"]),
    layout=st.sampled_from(["dimension", "variables", "memory", "fed", "reversed"]),
    masked=st.sampled_from([None, "some", "all"]),
    flip=st.booleans(),
)
def test_same_as_reading_all(data, pattern, dtype, layout, masked, flip):
    draw = data.draw
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 5)), 6, 5
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    bands = tuple(draw(st.permutations(range(shape[1]))))[: draw(st.integers(1, shape[1]))]
    absent = draw(st.sets(st.sampled_from(range(len(bands))), max_size=len(bands) - 1))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(1, 9, shape).astype(dtype)
    # A cube of floats has both NaN and a number that says so.
    missing = np.nan if dtype == "f4" and draw(st.booleans()) else 0
    fill(values, pattern, missing, rng)
    mask = None
    if masked:
        hidden = np.ones(shape[2:], bool) if masked == "all" else rng.random(shape[2:]) < 0.3
        mask = Part(hidden, ("y", "x"))
    store = Watched()
    parts = _laid_out(layout, values, chunks, bands, store)
    source = source_of(parts, shape, 0, mask, dtype, flip)
    # Reflected borders: positions may repeat, and go back and forth.
    rows = np.asarray(draw(st.lists(st.integers(0, 5), min_size=1, max_size=8)))
    at = np.arange(shape[0]), rows, np.arange(shape[3])
    store.read.clear()
    made = source.read_valid(*at, absent=sorted(absent))
    assert len(store.read) == len(set(store.read))

    raw, hidden = source.read(*at)
    bad = bad_pixels(raw, source.nodata)
    bad |= False if hidden is None else hidden
    bad[:, sorted(absent)] = True
    present = [b for b in range(len(bands)) if b not in absent]
    if bad[:, present].any(axis=1).all():
        assert made is None
        return
    assert made is not None
    assert made[0].dtype == raw.dtype
    np.testing.assert_array_equal(made[0][:, present], raw[:, present])
    np.testing.assert_array_equal(made[1], bad)


def _laid_out(layout, values, chunks, bands, store):
    if layout == "memory":
        return [Part(values, DIMS, bands)]
    if layout == "fed":
        padded = np.pad(values, [(1, 1)] * 4, constant_values=99)
        return [Part(Feed(padded, (-1, -1, -1, -1)), DIMS, bands)]
    if layout == "variables":
        dims, sizes = ("time", "y", "x"), (chunks[0], *chunks[2:])
        for band in bands:
            stored(values[:, band], sizes, f"band{band}", store, dims)
        opened = xr.open_zarr(store, chunks=None, consolidated=False, mask_and_scale=False)
        return [Part(opened[f"band{band}"].variable, dims) for band in bands]
    variable, _ = stored(values, chunks, store=store)
    part = Part(variable, DIMS, bands)
    if layout == "reversed":
        last = values.shape[1] - 1
        part = replace(part, array=variable[:, ::-1], bands=tuple(last - b for b in bands))
    return [part]
