"""Where values are read from: a task slices the store itself, halo included.

A Dask array that only wraps a store is unwrapped to that store, so that a block needs no
graph of neighbouring chunks. Any other Dask array is fed to the task, chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.engine.stored import chunk_numbers
from xeo.errors import StoreError
from xeo.kernels.decode import bad_pixels

Index = NDArray[np.int64]
ROLES = ("time", "band", "y", "x")
#: Where more of the pixels than this are still good, no band will turn out to leave none.
SPARSE = 1 / 8


@dataclass(frozen=True)
class Feed:
    """The corner of a larger array: chunks of a Dask array that were handed to a task."""

    array: Any
    start: tuple[int, ...]

    def __getitem__(self, key: tuple[slice, ...]) -> Any:
        moved = tuple(
            slice(part.start - first, part.stop - first)
            for part, first in zip(key, self.start, strict=True)
        )
        return self.array[moved]


@dataclass(frozen=True)
class Part:
    """One stored array that carries one or more bands.

    Parameters
    ----------
    array :
        Anything that basic slices read from: numpy, CuPy, a lazy xarray variable, or a Dask
        array, which must be fed.
    roles : tuple of str
        What each of its dimensions is: ``time``, ``band``, ``y``, ``x``.
    bands : tuple of int
        Positions on its band dimension, in the order wanted; ``(0,)`` if it has none.
    name : str
        What errors call it.
    token : str
        Names the values, where something already does; see `xeo.engine.lazy.token`.
    blocks : tuple of int
        Shape of the blocks of the Dask array that ``array`` is or was taken from, if any.
    """

    array: Any
    roles: tuple[str, ...]
    bands: tuple[int, ...] = (0,)
    name: str = ""
    token: str = ""
    blocks: tuple[int, ...] = ()

    def region(self, time: Index, y: Index, x: Index) -> tuple[slice, ...]:
        """Return the slices of ``array`` that cover the wanted positions."""
        wanted = {"time": time, "y": y, "x": x, "band": np.asarray(self.bands)}
        return tuple(
            slice(int(wanted[role].min()), int(wanted[role].max()) + 1) for role in self.roles
        )

    def read(self, time: Index, y: Index, x: Index) -> Any:
        """Return the values at all combinations of positions, ``(time, band, y, x)``."""
        region = self.region(time, y, x)
        try:
            block = load(self.array[region])
        except MemoryError:
            raise
        except Exception as err:
            # Stores and decompressors have errors of their own: BadZipFile, zlib.error, ...
            place = dict(zip(self.roles, region, strict=True))
            raise StoreError(
                f"reading {self.name or 'a variable'} at {place} failed: "
                f"{type(err).__name__}: {err}"
            ) from err
        expected = tuple(part.stop - part.start for part in region)
        if block.shape != expected:
            raise StoreError(f"reading {self.name}: expected shape {expected}, got {block.shape}")
        wanted = {"time": time, "y": y, "x": x, "band": np.asarray(self.bands)}
        for axis, role in enumerate(self.roles):
            block = _take(block, wanted[role] - region[axis].start, axis)
        return self._canonical(block)

    def _canonical(self, block: Any) -> Any:
        """Return ``(time, band, y, x)``, with an axis of one for each that is not there."""
        order = [self.roles.index(role) for role in ROLES if role in self.roles]
        block = block.transpose(order)
        for axis, role in enumerate(ROLES):
            if role not in self.roles:
                block = np.expand_dims(block, axis)
        return block

    def chunks_of_bands(self) -> Index | None:
        """Return the number of each band's chunk in the store; None where that is not known."""
        if "band" not in self.roles or isinstance(self.array, Feed):
            return None
        return chunk_numbers(self.array, self.roles.index("band"), np.asarray(self.bands))


@dataclass(frozen=True)
class _Piece:
    """Some bands that are read at once: a part with no other, and their places in the source."""

    part: Part
    places: tuple[int, ...]


class _Gathered:
    """What is known of a region while its bands come in.

    Parameters
    ----------
    source : Source
        Where they come from.
    shape : tuple of int
        Of all bands together, ``(time, band, y, x)``.
    mask : array of bool, optional
        Pixels known to be bad, ``(time, 1, y, x)``.
    absent : sequence of int
        Places of bands that will not come.
    """

    def __init__(
        self, source: Source, shape: tuple[int, ...], mask: Any | None, absent: Sequence[int]
    ) -> None:
        self.source, self.shape, self.absent = source, shape, list(absent)
        self.raw: Any = None
        self.bad: Any = None
        self._found: Any = mask

    def add(self, places: tuple[int, ...], block: Any) -> None:
        """Take in some bands."""
        bad = bad_pixels(block, self.source.nodata[list(places)])
        any_bad = bad.any(axis=1, keepdims=True)
        self._found = any_bad if self._found is None else self._found | any_bad
        if block.shape == self.shape and places == tuple(range(self.shape[1])):
            self.raw, self.bad = block, bad
            return
        if self.raw is None:
            self._make_room(block, bad)
        at = _span_of(places)
        self.raw[:, at] = block
        self.bad[:, at] = bad

    def _make_room(self, block: Any, bad: Any) -> None:
        """Allocate all bands; those that never come are zeros, and bad."""
        self.raw = np.empty_like(block, dtype=self.source.dtype, shape=self.shape)
        self.bad = np.empty_like(bad, shape=self.shape)
        self.raw[:, self.absent] = 0
        self.bad[:, self.absent] = True

    @property
    def valid(self) -> float:
        """Fraction of the pixels in which no band so far is bad."""
        return 1.0 if self._found is None else 1.0 - float(self._found.mean())

    @property
    def empty(self) -> bool:
        """Whether no pixel is left."""
        return self._found is not None and bool(self._found.all())


@dataclass(frozen=True)
class Source:
    """All bands of one modality, on one grid, in canonical orientation.

    Parameters
    ----------
    parts : tuple of Part
        In the order of the bands.
    time, y, x : array of int
        Position in the parts of each canonical date, row (north first) and column (west first).
    scale, nodata : array, shape (band,)
        For `xeo.kernels.decode`.
    offset : array, shape (time, band)
        In physical units.
    convert : tuple of str
        Name of the change of units after decoding, a band each; see `xeo.kernels.units`.
    mask : Part, optional
        Further bad pixels, ``(time, y, x)`` or fewer, True where bad.
    """

    parts: tuple[Part, ...]
    time: Index
    y: Index
    x: Index
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    nodata: NDArray[np.float64]
    convert: tuple[str, ...]
    mask: Part | None = None
    dtype: Any = field(default=np.dtype("float32"))

    @property
    def bands(self) -> int:
        """How many bands it has."""
        return len(self.scale)

    @property
    def inputs(self) -> tuple[Part, ...]:
        """The parts and the mask: all that is read."""
        return self.parts if self.mask is None else (*self.parts, self.mask)

    def with_arrays(self, arrays: list[Any]) -> Source:
        """Return the source reading from other arrays, one for each of ``inputs``."""
        made = tuple(replace(p, array=a) for p, a in zip(self.inputs, arrays, strict=True))
        count = len(self.parts)
        return replace(self, parts=made[:count], mask=made[count] if self.mask else None)

    def read(self, time: Index, y: Index, x: Index) -> tuple[Any, Any | None]:
        """Return stored numbers ``(time, band, y, x)`` and the mask ``(time, 1, y, x)``.

        Parameters
        ----------
        time, y, x : array of int
            Canonical positions, within the cube.
        """
        at = self.time[time], self.y[y], self.x[x]
        blocks = [part.read(*at) for part in self.parts]
        raw = blocks[0] if len(blocks) == 1 else _concatenate(blocks)
        return raw, self._read_mask(at, raw.shape)

    def read_valid(
        self, time: Index, y: Index, x: Index, absent: Sequence[int] = ()
    ) -> tuple[Any, Any] | None:
        """Return stored numbers and which are bad, or None where no pixel is valid.

        The mask is read first, then one chunk of bands after the other, until nothing valid
        is left. A pixel is valid where the mask and all bands are good, on any date.

        Parameters
        ----------
        time, y, x : array of int
            Canonical positions, within the cube.
        absent : sequence of int
            Places of bands that the cube lacks. They are not read, and do not count.

        Returns
        -------
        raw : array, shape (time, band, y, x)
            As `read` returns it, but zeros where bands are absent.
        bad : array of bool, shape of ``raw``
            True where the number is nodata or not finite, under the mask, and in absent bands.
        """
        at = self.time[time], self.y[y], self.x[x]
        shape = self._shape(at)
        mask = self._read_mask(at, shape)
        made = _Gathered(self, shape, mask, absent)
        if made.empty:
            return None
        for piece in self._pieces(made):
            made.add(piece.places, piece.part.read(*at))
            if made.empty:
                return None
        if made.raw is None:
            return None
        if mask is not None:
            made.bad |= mask
        return made.raw, made.bad

    def _read_mask(self, at: tuple[Index, Index, Index], shape: tuple[int, ...]) -> Any | None:
        if self.mask is None:
            return None
        mask = self.mask.read(*at).astype(bool)
        return np.broadcast_to(mask, (shape[0], 1, *shape[2:]))

    def _shape(self, at: tuple[Index, Index, Index]) -> tuple[int, ...]:
        """Return the shape of all bands together; an axis that no part has counts one."""
        there = {role for part in self.parts for role in part.roles}
        sizes = dict(zip(("time", "y", "x"), map(len, at), strict=True))
        time, y, x = (sizes[role] if role in there else 1 for role in sizes)
        return time, self.bands, y, x

    def _pieces(self, made: _Gathered) -> Iterator[_Piece]:
        """Yield what to read next: chunk after chunk, and all at once where pixels are left."""
        first = 0
        for part in self.parts:
            places = range(first, first + len(part.bands))
            first = places.stop
            pieces = _by_chunk(part, [p for p in places if p not in made.absent], places.start)
            while pieces:
                few = made.raw is None or made.valid < SPARSE
                count = 1 if few and self._may_be_bad else _run(pieces)
                taken = sorted(place for _, piece in pieces[:count] for place in piece)
                pieces = pieces[count:]
                bands = tuple(part.bands[place - places.start] for place in taken)
                yield _Piece(replace(part, bands=bands), tuple(taken))

    @property
    def _may_be_bad(self) -> bool:
        """Whether a stored number can say that it is none."""
        return self.dtype.kind == "f" or not np.isnan(self.nodata).all()


def _by_chunk(part: Part, places: list[int], first: int) -> list[tuple[int, list[int]]]:
    """Group places of bands by the chunk of the store that they lie in."""
    numbers = part.chunks_of_bands()
    found: dict[int, list[int]] = {}
    for place in places:
        found.setdefault(0 if numbers is None else int(numbers[place - first]), []).append(place)
    return sorted(found.items())


def _run(pieces: list[tuple[int, list[int]]]) -> int:
    """Return how many chunks follow each other: one slice reads them and no other."""
    numbers = [number for number, _ in pieces]
    gaps = (i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1)
    return next(gaps, len(numbers))


def _span_of(places: tuple[int, ...]) -> slice | list[int]:
    """Return what selects some places, a slice if it can be: that copies nothing."""
    whole = slice(places[0], places[-1] + 1)
    return whole if places == tuple(range(whole.start, whole.stop)) else list(places)


def origin(array: Any) -> Any:
    """Return what a Dask array reads from, if that is all it does; else the array itself."""
    graph = getattr(array, "dask", None)
    if graph is None:
        return array
    layers = getattr(graph, "layers", {})
    key = f"original-{array.name}"
    if key not in layers or len(layers) != 2:
        return array
    found = layers[key][key]
    found = getattr(found, "value", found)
    same = getattr(found, "shape", None) == array.shape and found.dtype == array.dtype
    return found if same else array


def is_dask(array: Any) -> bool:
    """Whether an array is a Dask collection."""
    # A lazy xarray variable has Dask's methods too, but no graph of its own.
    return hasattr(array, "__dask_graph__") and hasattr(array, "dask")


def load(block: Any) -> Any:
    """Turn a slice of a lazy array into numpy, and leave device arrays where they are."""
    data = block.data if hasattr(block, "dims") else block
    return data if hasattr(data, "__cuda_array_interface__") else np.asarray(data)


def _take(block: Any, positions: Index, axis: int) -> Any:
    size = block.shape[axis]
    if len(positions) == size:
        steps = np.diff(positions)
        if (steps == 1).all():
            return block
        if (steps == -1).all():
            return np.flip(block, axis)
    return block.take(positions, axis=axis)


def _concatenate(blocks: list[Any]) -> Any:
    shape = np.broadcast_shapes(*((b.shape[0], 1, *b.shape[2:]) for b in blocks))
    full = [np.broadcast_to(b, (shape[0], b.shape[1], *shape[2:])) for b in blocks]
    return np.concatenate(full, axis=1)
