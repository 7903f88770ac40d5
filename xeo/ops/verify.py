"""Compare a compressed store with its source again, and turn it back into a plain one."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xeo.calibration import Calibration
from xeo.errors import DimensionError
from xeo.layers import find_roles
from xeo.ops.coding import (
    TARGETS,
    Coding,
    Goal,
    as_stored,
    axes_of,
    calibrations,
    is_classes,
    is_exact,
    units_of,
)
from xeo.ops.compress import as_dataset, check_workers
from xeo.ops.place import check_apart
from xeo.ops.report import Report
from xeo.ops.stack import Entry, members_of, open_zarr
from xeo.ops.target import Target
from xeo.ops.work import IGNORED, Work

if TYPE_CHECKING:
    from xeo.codecs.base import ChunkCodec


def verify(
    obj: xr.DataArray | xr.Dataset,
    store: str | os.PathLike[str],
    *,
    workers: int | None = None,
    progress: bool | Callable[[int], None] = True,
    storage_options: dict[str, Any] | None = None,
) -> Report:
    """Recompute every bound of a compressed store against its source.

    Parameters
    ----------
    obj : DataArray or Dataset
        What was compressed.
    store : str or path
        What `compress`, or ``to_zarr`` with `encoding`, made of it.
    workers : int, optional
        Chunks at work at once; None takes the cores.
    progress : bool or callable
        Whether to show a bar; a callable is called with the number of values of each chunk.
    storage_options : dict, optional
        Passed to fsspec for a URL.

    Returns
    -------
    Report
        As of `compress`; ``report.holds`` tells whether every promise is kept, and each variable
        lists what is not.

    Raises
    ------
    StoreError
        If the store cannot be opened.
    DimensionError
        If it is not of this source: other variables, sizes or dtypes.

    Notes
    -----
    Arrays without a codec of ours have to be equal to the bit.

    Examples
    --------
    >>> report = xeo.verify(cube, "small.zarr")  # doctest: +SKIP
    """
    check_workers(workers)
    ds = as_dataset(obj)
    target = Target(store, "", 3, storage_options)
    target.open([], mode="r")
    entries = _entries(ds, target)
    target.open([entry for entry in entries if entry.coding.chunks], mode="r")
    work = Work(_masked(ds, target), entries, target, check=True, writes=False, verb="verify")
    work.run(workers, progress)
    report = work.report(obj, store, storage_options)
    left = [entry.name for entry in entries if not entry.coding.chunks]
    return _with_others(report, left, ds, target) if left else report


def _with_others(report: Report, names: Sequence[str], ds: xr.Dataset, target: Target) -> Report:
    """Compare what is no number, dates and texts, as it is read."""
    opened = xr.open_zarr(target.path, storage_options=target.options)
    broken = {
        name: ("it is not what it was",)
        for name in names
        if not _texts(ds[name].variable).equals(_texts(opened[name].variable))
    }
    return replace(
        report,
        variables=tuple(
            replace(one, broken=broken.get(one.name, ())) if one.name in names else one
            for one in report.variables
        ),
    )


def _texts(variable: xr.Variable) -> xr.Variable:
    """Return texts of any length, which Zarr gives back where they had a fixed one."""
    return variable.astype(object) if variable.dtype.kind in "UST" else variable


def _masked(ds: xr.Dataset, target: Target) -> xr.Dataset:
    """Add the mask of what was not worth bits, which the store alone knows."""
    if IGNORED not in target.group:
        return ds
    opened = xr.open_zarr(target.path, storage_options=target.options)
    return ds.assign({IGNORED: opened[IGNORED].variable})


def _entries(ds: xr.Dataset, target: Target) -> list[Entry]:
    """Read from a store how each of its arrays was made of the variables of a source."""
    scales, roles = calibrations(ds), find_roles(ds)
    found: dict[str, Entry] = {}
    for name, array in target.group.arrays():
        if name in ds.coords or name == IGNORED:
            continue
        dim, members = members_of(dict(array.attrs), name)
        if not set(members) <= set(map(str, ds.data_vars)):
            continue
        found[name] = Entry(
            name,
            tuple(_coding(array, ds[one], one, roles, scales.get(one), dim) for one in members),
            dim,
        )
        _check_shape(array, found[name], ds)
    missing = set(map(str, ds.data_vars)) - {m.name for e in found.values() for m in e.members}
    if missing:
        raise DimensionError(
            f"expected every variable of the source in {target.path!r}, but {sorted(missing)} are "
            "not there: it is a store of another source"
        )
    places = {str(name): number for number, name in enumerate(ds.data_vars)}
    return sorted(found.values(), key=lambda one: places[one.members[0].name])


def _coding(
    array: Any,
    da: xr.DataArray,
    name: str,
    roles: Mapping[str, Hashable],
    calibration: Calibration | None,
    dim: str,
) -> Coding:
    stored = as_stored(da.variable, name)
    if not {stored.dtype.kind, da.dtype.kind} <= set("biuf") or not da.ndim:
        return Coding(name, None, (), stored, Goal("", 0.0))
    scale, offset, units = units_of(da, calibration)
    codec = codec_of(array)
    chunks = tuple(array.shards or array.chunks)
    axis = da.ndim - 2
    if dim:
        chunks = (*chunks[:axis], *chunks[axis + 1 :])
    goal = Goal("lossless", 0.0)
    if codec is not None:
        said = codec.settings()
        target = next((one for one in TARGETS if one in said), "")
        value = said.get(target)
        number = float(np.max(value)) if value is not None else 0.0
        if target == "max_error":
            number *= abs(scale)
        exact = is_exact(codec)
        goal = Goal("lossless" if exact else target, number)
        # Where the bands are is added when they are stacked.
        axes = codec.axes or axes_of(array.metadata.dimension_names or da.dims, roles)
        codec = replace(codec, axes=axes)
        letters = axes[:axis] + axes[axis + 1 :] if dim else axes
    else:
        letters = axes_of(da.dims, roles)
    classes = codec is not None and is_exact(codec) and is_classes(name, da)
    return Coding(
        name, codec, chunks, stored, goal, scale, units, offset, axes=letters, classes=classes
    )


def codec_of(array: Any) -> ChunkCodec | None:
    """Return the codec of ours that an array is stored with, if it is."""
    from xeo.codecs.base import ChunkCodec, Twin

    metadata = array.metadata
    if metadata.zarr_format == 2:
        twin = metadata.compressor
        return twin.codec_of_v3 if isinstance(twin, Twin) else None
    codecs = list(metadata.codecs)
    for codec in codecs:
        if isinstance(codec, ChunkCodec):
            return codec
        codecs.extend(getattr(codec, "codecs", ()))
    return None


def _check_shape(array: Any, entry: Entry, ds: xr.Dataset) -> None:
    da = ds[entry.members[0].name]
    shape = da.shape
    if entry.dim:
        shape = (*shape[: entry.axis], len(entry.members), *shape[entry.axis :])
    stored = entry.coding.stored.dtype
    comparable = {stored.kind, da.dtype.kind} <= set("biuf")
    if array.shape != shape or (comparable and array.dtype != stored):
        raise DimensionError(
            f"expected {entry.name!r} of {shape} and {stored} as in the source, got one of "
            f"{array.shape} and {array.dtype}: it is a store of another source"
        )


def decompress(
    store: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool | Callable[[int], None] = True,
    storage_options: dict[str, Any] | None = None,
    out_storage_options: dict[str, Any] | None = None,
) -> None:
    """Write a compressed store as a plain one, which no codec of ours is needed to read.

    Parameters
    ----------
    store : str or path
        What `compress` made.
    out : str or path
        Local path, or any URL that fsspec knows. What the same call began is gone on with.
    overwrite : bool
        Whether to replace a store that is there.
    workers : int, optional
        Chunks at work at once; None takes the cores.
    progress : bool or callable
        Whether to show a bar; a callable is called with the number of values of each chunk.
    storage_options, out_storage_options : dict, optional
        Passed to fsspec for URLs.

    Raises
    ------
    StoreError
        If a store cannot be read or written, or something else is at ``out``.

    Notes
    -----
    Bands that were stacked are variables again; chunks stay as they are.

    Examples
    --------
    >>> xeo.decompress("small.zarr", "plain.zarr")  # doctest: +SKIP
    """
    check_workers(workers)
    check_apart(out, store)
    options = {"storage_options": storage_options} if storage_options else {}
    ds = open_zarr(store, chunks=None, mask_and_scale=False, decode_times=False, **options)
    roles = find_roles(ds)
    entries = []
    for name, da in ds.data_vars.items():
        chunks = da.encoding.get("preferred_chunks") or {}
        sizes = tuple(int(chunks.get(dim, da.sizes[dim])) for dim in da.dims)
        axes = axes_of(da.dims, roles)
        stored = as_stored(da.variable, str(name))
        goal = Goal("lossless", 0.0)
        entries.append(Entry(str(name), (Coding(str(name), None, sizes, stored, goal, axes=axes),)))
    work = Work(
        ds, entries, Target(out, "", 3, out_storage_options), check=False, verb="decompress"
    )
    work.start(overwrite=overwrite)
    work.run(workers, progress)
