"""What lies under the layers that xarray puts around an array of a store."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


def store_array(array: Any) -> Any | None:
    """Return the Zarr array that a lazy array reads from; None where it reads no other."""
    while array is not None and not _is_zarr(array):
        array = _below(array)
    return array


def with_store_array(array: Any, other: Any) -> Any:
    """Return a lazy array that reads from another Zarr array through the same layers.

    Parameters
    ----------
    array : object
        One that `store_array` finds a Zarr array in. It stays as it is.
    other : zarr.Array
        Of the same shape and dtype as the one found.
    """
    if _is_zarr(array):
        return other
    name = _name_below(array)
    assert name is not None
    made = copy.copy(array)
    setattr(made, name, with_store_array(getattr(array, name), other))
    return made


def is_sliced(array: Any) -> bool:
    """Whether all layers of a lazy array take slices and integers from the one below."""
    while array is not None and not _is_zarr(array):
        key = getattr(array, "key", None)
        if key is not None and any(np.ndim(k) for k in key.tuple):
            return False
        array = _below(array)
    return True


def store_chunks(array: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return what a Zarr store writes at once and what it decodes at once, in the array's axes.

    Returns
    -------
    tuple of two shapes, or None
        Of shards and of the chunks within, or twice of chunks where there are no shards. None
        if the array reads from no Zarr array, or not axis by axis.
    """
    traced = [_traced(array, axis) for axis in range(len(array.shape))]
    found = [_zarr_chunk(*t[:2]) if t is not None else None for t in traced]
    sizes = [one for one in found if one is not None]
    if not sizes or len(sizes) != len(found):
        return None
    return tuple(outer for outer, _ in sizes), tuple(inner for _, inner in sizes)


def chunk_numbers(array: Any, axis: int, positions: Index) -> Index | None:
    """Return in which chunk of the store some positions of one axis lie.

    Returns
    -------
    array of int, or None
        Counted along the axis: a slice over chunks of following numbers meets no other. None
        if chunks are not known, or mixed along the axis.
    """
    traced = _traced(array, axis)
    if traced is None:
        return None
    store, store_axis, places = traced
    sizes = _zarr_chunk(store, store_axis)
    size = _told(array, axis) if sizes is None else sizes[1]
    if size is None:
        return None
    steps = np.diff(places // size)
    if (steps > 0).any() and (steps < 0).any():
        return None
    numbers = np.concatenate([[0], np.cumsum(steps != 0)])
    return np.asarray(numbers[positions])


def _is_zarr(array: Any) -> bool:
    # Looked at, not imported: a cube in memory has no need of zarr.
    return hasattr(array, "metadata") and hasattr(array, "shards")


def _name_below(array: Any) -> str | None:
    """Return the attribute that holds what a layer reads from."""
    names = ("_data",) if hasattr(array, "dims") else ("array", "_array")
    return next((n for n in names if getattr(array, n, None) is not None), None)


def _below(array: Any) -> Any | None:
    name = _name_below(array)
    return None if name is None else getattr(array, name)


def _traced(array: Any, axis: int) -> tuple[Any, int, Index] | None:
    """Follow one axis to the innermost array: that array, its axis, its positions.

    None where a layer does not keep axes apart.
    """
    positions: Index = np.arange(array.shape[axis])
    while not _is_zarr(array) and (inner := _below(array)) is not None:
        key = getattr(array, "key", None)
        if key is not None:
            kept = [i for i, k in enumerate(key.tuple) if not isinstance(k, (int, np.integer))]
            if len(kept) != len(array.shape) or any(np.ndim(k) > 1 for k in key.tuple):
                return None
            axis = kept[axis]
            positions = np.arange(inner.shape[axis])[key.tuple[axis]][positions]
        elif inner.shape != array.shape:
            return None
        array = inner
    return array, axis, positions


def _zarr_chunk(array: Any, axis: int) -> tuple[int, int] | None:
    """Return the length of a Zarr array's shard and of its chunk along one axis."""
    if not _is_zarr(array):
        return None
    try:
        chunks, shards = array.chunks, array.shards
    except NotImplementedError:
        # Chunks of many sizes have no shape.
        return None
    return int((shards or chunks)[axis]), int(chunks[axis])


def _told(array: Any, axis: int) -> int | None:
    """Return the chunk that other backends of xarray write into a variable's encoding."""
    told = getattr(array, "encoding", {}).get("preferred_chunks") or {}
    size = told.get(array.dims[axis]) if told else None
    return int(size) if isinstance(size, (int, np.integer)) else None
