"""Decoded chunks, kept while neighbouring blocks still need them.

A halo, or windows that do not suit the chunks, make blocks meet the same chunks: without a cache
each of them would be fetched and decoded up to nine times.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.engine.source import Source, load
from xeo.engine.stored import chunk_numbers, store_array
from xeo.kernels.namespace import namespace_of

#: How often blocks ask for a stored value from which on chunks are kept for the next blocks.
OFTEN = 1.25
#: Bytes of decoded chunks that are kept, where no block meets more.
CACHE_BYTES = 256 * 2**20
#: Bytes of the chunks that a block meets from which on they are not kept.
MOST_BYTES = 512 * 2**20

Region = tuple[slice, ...]
#: An array, and the place of a chunk among its chunks.
Key = tuple[int, tuple[int, ...]]


class Chunks:
    """The chunks that were used last, up to so many bytes; shared by all readers of a run.

    Parameters
    ----------
    limit : int
        Bytes that are kept.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit, self._held = limit, 0
        self._kept: OrderedDict[Key, NDArray[Any]] = OrderedDict()
        self._coming: dict[Key, threading.Event] = {}
        self._lock = threading.Lock()
        #: Chunks that were read from their store.
        self.read = 0

    def claim(self, keys: list[Key]) -> list[Key]:
        """Return the chunks that are neither here nor on their way: the caller reads them."""
        with self._lock:
            mine = [key for key in keys if key not in self._kept and key not in self._coming]
            self._coming |= {key: threading.Event() for key in mine}
            self.read += len(mine)
            return mine

    def put(self, key: Key, chunk: NDArray[Any]) -> None:
        """Keep a chunk that was claimed."""
        with self._lock:
            # Where the cache is small another may have read it again meanwhile.
            old = self._kept.pop(key, None)
            self._kept[key] = chunk
            self._held += chunk.nbytes - (0 if old is None else old.nbytes)
            while self._held > self._limit:
                _, oldest = self._kept.popitem(last=False)
                self._held -= oldest.nbytes
        self.release([key])

    def release(self, keys: list[Key]) -> None:
        """Let others that wait for chunks look, whether these came or not."""
        with self._lock:
            events = [self._coming.pop(key) for key in keys if key in self._coming]
        for event in events:
            event.set()

    def get(self, key: Key) -> NDArray[Any] | None:
        """Return a chunk, waiting for it if another reads it; None if it did not come or went."""
        with self._lock:
            event = self._coming.get(key)
        if event is not None:
            event.wait()
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found


class Cached:
    """A stored array whose chunks are decoded once for all blocks that follow each other.

    Parameters
    ----------
    array : object
        Anything that slices are read from.
    edges : sequence of array
        For each axis, where its chunks begin, and its length.
    chunks : Chunks
        Where they are kept.
    """

    def __init__(self, array: Any, edges: list[NDArray[np.int64]], chunks: Chunks) -> None:
        self.array, self._edges, self._chunks = array, edges, chunks
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, region: Region) -> NDArray[Any]:
        spans = [
            range(
                int(np.searchsorted(edges, part.start, side="right")) - 1,
                int(np.searchsorted(edges, part.stop, side="left")),
            )
            for edges, part in zip(self._edges, region, strict=True)
        ]
        keys = [(id(self), place) for place in itertools.product(*spans)]
        fresh = self._fetch(self._chunks.claim(keys))
        made: Any = None
        for key in keys:
            chunk = fresh.get(key)
            if chunk is None:
                chunk = self._chunks.get(key)
            if chunk is None:
                chunk = load(self.array[self._where(key)])
            if made is None:
                # Zarr may hand out arrays of a device.
                sizes = [part.stop - part.start for part in region]
                made = namespace_of(chunk).empty(sizes, dtype=self.dtype)
            self._copy(chunk, self._where(key), region, made)
        assert made is not None
        whole: NDArray[Any] = made
        return whole

    def _fetch(self, keys: list[Key]) -> dict[Key, NDArray[Any]]:
        """Read chunks, at once where they fill a rectangle: they are decoded side by side."""
        if not keys:
            return {}
        try:
            places = [place for _, place in keys]
            low = tuple(map(min, zip(*places, strict=True)))
            high = tuple(map(max, zip(*places, strict=True)))
            count = math.prod(b - a + 1 for a, b in zip(low, high, strict=True))
            if count != len(keys):
                return {key: self._keep(key, load(self.array[self._where(key)])) for key in keys}
            first, last = self._where((0, low)), self._where((0, high))
            whole = tuple(slice(a.start, b.stop) for a, b in zip(first, last, strict=True))
            read = load(self.array[whole])
            return {key: self._keep(key, self._part(read, whole, key)) for key in keys}
        finally:
            self._chunks.release(keys)

    def _keep(self, key: Key, chunk: NDArray[Any]) -> NDArray[Any]:
        self._chunks.put(key, chunk)
        return chunk

    def _part(self, read: NDArray[Any], whole: Region, key: Key) -> NDArray[Any]:
        where = self._where(key)
        if where == whole:
            return read
        moved = (
            slice(part.start - all_.start, part.stop - all_.start)
            for part, all_ in zip(where, whole, strict=True)
        )
        # A view would keep all that was read with it.
        return read[tuple(moved)].copy()

    def _where(self, key: Key) -> Region:
        return tuple(
            slice(int(edges[number]), int(edges[number + 1]))
            for edges, number in zip(self._edges, key[1], strict=True)
        )

    @staticmethod
    def _copy(chunk: NDArray[Any], where: Region, region: Region, made: NDArray[Any]) -> None:
        there, here = [], []
        for chunk_part, wanted in zip(where, region, strict=True):
            first = max(chunk_part.start, wanted.start)
            last = min(chunk_part.stop, wanted.stop)
            there.append(slice(first - chunk_part.start, last - chunk_part.start))
            here.append(slice(first - wanted.start, last - wanted.start))
        made[tuple(here)] = chunk[tuple(there)]


def cached(source: Source, chunks: Chunks) -> Source:
    """Return a source whose chunks are decoded once for blocks that follow each other.

    Parameters
    ----------
    source : Source
        Read from a store, or from memory, which is left as it is.
    chunks : Chunks
        Where they are kept.
    """
    arrays = [_cached(part.array, chunks) for part in source.inputs]
    changed = any(a is not p.array for a, p in zip(arrays, source.inputs, strict=True))
    return source.with_arrays(arrays) if changed else source


def _cached(array: Any, chunks: Chunks) -> Any:
    if store_array(array) is None:
        return array
    numbers = [chunk_numbers(array, axis, np.arange(size)) for axis, size in enumerate(array.shape)]
    known = [one for one in numbers if one is not None and len(one)]
    if len(known) != len(numbers):
        return array
    edges = [
        np.concatenate([[0], np.flatnonzero(np.diff(one)) + 1, [len(one)]]).astype(np.int64)
        for one in known
    ]
    largest = math.prod(int(np.diff(one).max()) for one in edges) * array.dtype.itemsize
    return Cached(array, edges, chunks) if largest <= MOST_BYTES else array


def limit(chunk_bytes: float) -> int:
    """Return how many bytes of chunks are to be kept.

    Parameters
    ----------
    chunk_bytes : float
        Of all chunks that a block meets.
    """
    return max(CACHE_BYTES, int(chunk_bytes)) if chunk_bytes <= MOST_BYTES else CACHE_BYTES


def strip(blocks: int, chunk_bytes: float, least: int = 1) -> int:
    """Return how many blocks side by side leave their chunks for the rows of blocks below.

    Parameters
    ----------
    blocks : int
        In a row.
    chunk_bytes : float
        Of all chunks that a block meets.
    least : int
        Blocks side by side in one chunk.
    """
    return int(np.clip(CACHE_BYTES // max(1.0, chunk_bytes) - 1, min(least, blocks), blocks))
