"""Where values are read from: a task slices the store itself, halo included.

A Dask array that only wraps a store is unwrapped to that store, so that a block needs no
graph of neighbouring chunks. Any other Dask array is fed to the task, chunk by chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.errors import StoreError

Index = NDArray[np.int64]
ROLES = ("time", "band", "y", "x")


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
    """

    array: Any
    roles: tuple[str, ...]
    bands: tuple[int, ...] = (0,)
    name: str = ""
    token: str = ""

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
            block = _load(self.array[region])
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
        order = [self.roles.index(role) for role in ROLES if role in self.roles]
        block = block.transpose(order)
        for axis, role in enumerate(ROLES):
            if role not in self.roles:
                block = np.expand_dims(block, axis)
        return block


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
        if self.mask is None:
            return raw, None
        mask = self.mask.read(*at).astype(bool)
        return raw, np.broadcast_to(mask, (raw.shape[0], 1, *raw.shape[2:]))


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


def _load(block: Any) -> Any:
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
