"""Sizes of chunks that suit a codec, and the regions in which a cube is read for them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from xeo.errors import DimensionError

Region = tuple[slice, ...]
#: Sides that codecs do well with: below, headers and borders cost; above, reading a part does.
_LEAST, _MOST, _USUAL = 128, 640, 384
#: Values of a chunk: what one decoding gives at once.
_VALUES = {"video": 1 << 25, "bounded": 1 << 23, "lossless": 1 << 23}
#: Dates of a chunk: enough for prediction in video, few for what is read date by date.
_DATES = {"video": 128, "bounded": 24, "lossless": 24}
#: Small pictures come with more dates: below so many values headers and file systems cost.
_FEW = 1 << 20
_PICTURE = ("y", "x")


def tile(
    da: xr.DataArray, letters: str, codec: str, asked: Mapping[Hashable, int]
) -> tuple[int, ...]:
    """Choose the sizes of chunks.

    Parameters
    ----------
    da : DataArray
        What is to be stored.
    letters : str
        Which dimension is which: t, b, y, x.
    codec : str
        ``video``, ``bounded`` or ``lossless``.
    asked : mapping
        Sizes by dimension, -1 for all; what it lacks is chosen.

    Returns
    -------
    tuple of int

    Raises
    ------
    DimensionError
        If a size cannot be.
    """
    sizes = {}
    for dim, letter in zip(da.dims, letters, strict=True):
        size = da.sizes[dim]
        if dim in asked:
            sizes[dim] = _asked(dim, asked[dim], size)
        elif letter in _PICTURE:
            sizes[dim] = _side(size, _source(da, dim))
        else:
            sizes[dim] = size
    free = [d for d, a in zip(da.dims, letters, strict=True) if a == "t" and d not in asked]
    picture = math.prod(n for d, n in sizes.items() if d not in free)
    budget = _VALUES.get(codec, 1 << 23)
    most = max(1, min(max(_DATES.get(codec, 24), _FEW // picture), budget // picture))
    # The first of several dimensions of dates (member, time) changes least: it is cut first.
    for dim in free:
        others = math.prod(sizes[d] for d in free if d != dim)
        sizes[dim] = _parts(sizes[dim], max(1, most // others))
    return tuple(sizes[dim] for dim in da.dims)


def _asked(dim: Hashable, size: int, whole: int) -> int:
    if size == -1:
        return whole
    if not isinstance(size, int) or size < 1:
        raise DimensionError(f"expected a chunk of 1 or more along {dim!r}, or -1, got {size!r}")
    return min(size, whole)


def _source(da: xr.DataArray, dim: Hashable) -> int:
    """Return how long the chunks are in which it is read; 0 if they are not known."""
    found = da.chunksizes.get(dim) or (da.encoding.get("preferred_chunks") or {}).get(dim)
    if not found:
        return 0
    return int(found if isinstance(found, int) else max(found))


def _side(size: int, source: int) -> int:
    """Return the side of a chunk: that of the source where it suits, else equal parts."""
    if size <= _MOST:
        return size
    if _LEAST <= source <= _MOST:
        return source
    if source > _MOST:
        # A whole number of chunks in each of the source: none is read twice.
        parts = math.ceil(source / _MOST)
        return math.ceil(source / parts)
    return _parts(size, _USUAL, 8)


def _parts(size: int, most: int, unit: int = 1) -> int:
    """Cut a size into equal parts of at most ``most``, rounded up to ``unit``."""
    if size <= most:
        return size
    part = math.ceil(size / math.ceil(size / most))
    return min(size, math.ceil(part / unit) * unit)


@dataclass(frozen=True)
class Grid:
    """The chunks of an array, in groups that are read at once.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    chunks : tuple of int
        Of its chunks.
    groups : tuple of int
        Chunks a group along each dimension.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    groups: tuple[int, ...]

    @classmethod
    def of(
        cls, shape: Sequence[int], chunks: Sequence[int], source: Sequence[int], most: int
    ) -> Grid:
        """Group chunks so that few chunks of the source are read more than once.

        Parameters
        ----------
        shape, chunks : sequence of int
            Of the array that is written.
        source : sequence of int
            Sizes of the chunks that are read, 0 where there are none.
        most : int
            Values of a group.

        Returns
        -------
        Grid
        """
        groups = [1] * len(shape)
        values = math.prod(chunks)
        # The last dimensions first: pictures are read whole more often than series.
        for n in reversed(range(len(shape))):
            if not source[n] or source[n] % chunks[n] == 0 == source[n] // chunks[n] - 1:
                continue
            wanted = min(math.ceil(shape[n] / chunks[n]), math.ceil(source[n] / chunks[n]))
            if wanted > 1 and values * wanted <= most:
                groups[n] = wanted
                values *= wanted
        return cls(tuple(shape), tuple(chunks), tuple(groups))

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return math.prod(math.ceil(s / c) for s, c in zip(self.shape, self.chunks, strict=True))

    def regions(self) -> Iterator[tuple[Region, list[tuple[tuple[int, ...], Region]]]]:
        """Yield each group: where it is, and the index and place of each of its chunks."""
        steps = [c * g for c, g in zip(self.chunks, self.groups, strict=True)]
        corners = (range(0, size, step) for size, step in zip(self.shape, steps, strict=True))
        for corner in itertools.product(*corners):
            ends = [min(c + s, n) for c, s, n in zip(corner, steps, self.shape, strict=True)]
            places = [range(c, e, k) for c, e, k in zip(corner, ends, self.chunks, strict=True)]
            inside = []
            for first in itertools.product(*places):
                index = tuple(f // k for f, k in zip(first, self.chunks, strict=True))
                sizes = zip(first, self.chunks, ends, strict=True)
                inside.append((index, tuple(slice(f, min(f + k, e)) for f, k, e in sizes)))
            yield tuple(slice(c, e) for c, e in zip(corner, ends, strict=True)), inside
