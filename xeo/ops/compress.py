"""Write a cube to Zarr through a codec that suits it, chunk by chunk, and tell how close it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from xeo.errors import DimensionError, OptionError
from xeo.ops.coding import Goals, plan
from xeo.ops.place import check_apart
from xeo.ops.report import Report
from xeo.ops.stack import Entry, group
from xeo.ops.target import Target
from xeo.ops.work import IGNORED, Work

#: What is coded in both ways to say what one costs.
_SAMPLE_DATES, _SAMPLE_SIDE = 6, 96
_SETTINGS = ("effort", "encoder", "preset", "keyframes")


def compress(
    obj: xr.DataArray | xr.Dataset,
    /,
    store: str | os.PathLike[str],
    *,
    max_error: Any = None,
    relative_error: Any = None,
    psnr: Any = None,
    bpppb: Any = None,
    quality: Any = None,
    lossless: Any = False,
    codec: Any = "auto",
    peak: Any = None,
    chunks: Mapping[Any, int] | None = None,
    stack: Any = "auto",
    ignore: xr.DataArray | None = None,
    zarr_format: int = 3,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool | Callable[[int], None] = True,
    check: bool = True,
    storage_options: dict[str, Any] | None = None,
    **settings: Any,
) -> Report:
    """Write a cube to a small Zarr store that anyone can open.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims y and x, and time, band and others as there are; lazy or not.
    store : str or path
        Local path, or any URL that fsspec knows. A store that the same call began, and that was
        stopped, is gone on with.
    max_error : float or mapping, optional
        No value is further from the original than this, in the units of the values (reflectance,
        kelvin), which the store's scale turns into stored numbers. A mapping gives each variable
        its own, and under ``...`` that of all others; so for all targets.
    relative_error : float or mapping, optional
        No value is further from the original than this part of itself, 0.05 for 5 %.
    psnr : float or mapping, optional
        Peak signal-to-noise ratio to reach in every chunk, in decibels.
    bpppb : float or mapping, optional
        Bits per pixel per band to stay below.
    quality : float or mapping, optional
        0 to 100, for video.
    lossless : bool or mapping
        Whether every bit comes back. Classes, flags and masks always do.
    codec : str, codec or mapping
        ``"auto"``: ``"bounded"`` where an error is given, ``"video"`` for the other targets.
        ``"video"`` with ``max_error`` adds what video lacks.
    peak : float or mapping, optional
        Of PSNR, in the units of the values; None for 1 in reflectance, 255 for bytes, and the
        range of the values elsewhere.
    chunks : mapping, optional
        Sizes by dimension, -1 for all; what it lacks is chosen for the codec.
    stack : "auto", bool or mapping
        Whether bands that are variables of one sensor, grid and dtype become one array with a
        ``band`` coordinate, so that a codec sees what they share; with False the report says
        what that costs, on a sample. `open_zarr` and
        `unstack_bands` give the variables back. A mapping names the arrays and their variables.
    ignore : DataArray of bool, optional
        True where values are worth nothing (clouds, outside a field). They are made up, as
        cheaply as possible, no promise holds for them, and the mask is stored as
        ``xeo_ignored``. Figures come with and without them. Classes, flags and masks are kept.
    zarr_format : int
        3, or 2 for programs that know no other.
    overwrite : bool
        Whether to replace a store that is there.
    workers : int, optional
        Chunks at work at once; None takes the cores.
    progress : bool or callable
        Whether to show a bar; a callable is called with the number of values of each chunk.
    check : bool
        Whether to read back and compare what was written; else the report has no errors.
    storage_options : dict, optional
        Passed to fsspec for a URL.
    **settings :
        Of the codecs: ``effort`` (1 to 9), ``encoder``, ``preset``, ``keyframes``.

    Returns
    -------
    Report
        Ratio, errors and more of each variable, as text, HTML and pictures.

    Raises
    ------
    OptionError
        If a target cannot be, there is none for a variable that needs one, or an option is
        unknown.
    DimensionError
        If chunks or the mask do not fit.
    StoreError
        If something else is at ``store``, or writing fails.
    MissingDependencyError
        If the packages of the extra ``video`` are not there.
    CodecError
        If what was read back breaks a promise.
    Interrupted
        A KeyboardInterrupt: SIGINT or SIGTERM came. The chunks at work are finished; the same
        call goes on from there.

    See Also
    --------
    encoding : The same choice for ``to_zarr``.
    verify : Compares a store with its source again.

    Notes
    -----
    Memory is a few chunks for each worker, whatever the cube. Each chunk is written at once or
    not at all, and ``xeo_complete`` of the store is 0 until the last one is there. After a stop
    the chunks that are there are read and compared, not coded again.

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=3, size=64)  # doctest: +SKIP
    >>> report = cube.eo.compress("small.zarr", max_error=0.002)  # doctest: +SKIP
    """
    targets = {
        "max_error": max_error, "relative_error": relative_error, "psnr": psnr, "bpppb": bpppb,
        "quality": quality, "lossless": lossless, "codec": codec, "peak": peak,
    }  # fmt: skip
    if zarr_format not in (2, 3):
        raise OptionError(f"expected zarr_format 2 or 3, got {zarr_format!r}")
    check_workers(workers)
    ds, entries = decide(obj, targets, settings, chunks, stack, ignore)
    check_apart(store, ds)
    work = Work(ds, entries, Target(store, "", zarr_format, storage_options), check)
    work.start(overwrite=overwrite)
    work.run(workers, progress)
    if stack is False:
        work.entries = with_cost(work)
    return work.report(obj, store, storage_options)


def with_cost(work: Work) -> list[Entry]:
    """Note at bands that could share an array what it costs that they do not, on a sample."""
    costs: dict[str, str] = {}
    for one in group(work.ds, [entry.coding for entry in work.entries], "auto"):
        if not one.dim or one.coding.codec is None:
            continue
        shape = list(work.shapes[one.members[0].name])
        shape.insert(one.axis, len(one.members))
        sizes = {"t": _SAMPLE_DATES, "b": len(one.members), "y": _SAMPLE_SIDE, "x": _SAMPLE_SIDE}
        starts = [max(0, (n - sizes[a]) // 2) for n, a in zip(shape, one.coding.axes, strict=True)]
        ends = [
            min(n, s + sizes[a]) for n, s, a in zip(shape, starts, one.coding.axes, strict=True)
        ]
        block, _ = work.read(one, tuple(map(slice, starts, ends)))
        together = len(one.coding.codec.encode_array(block))
        bands = np.moveaxis(block, one.axis, 0)
        pairs = zip(one.members, bands, strict=True)
        apart = sum(len(m.codec.encode_array(b)) for m, b in pairs if m.codec is not None)
        for member in one.members:
            costs[member.name] = (
                f"stack=False costs {100 * (apart / together - 1):+.0f} % of {one.name} as one "
                "array, on a sample"
            )
    return [_noted(entry, costs.get(entry.name, "")) for entry in work.entries]


def _noted(entry: Entry, note: str) -> Entry:
    if not note:
        return entry
    coding = entry.coding
    text = f"{coding.note}; {note}" if coding.note else note
    return replace(entry, members=(replace(coding, note=text),))


def check_workers(workers: int | None) -> None:
    """Refuse fewer than one.

    Raises
    ------
    OptionError
        If there are none.
    """
    if workers is not None and workers < 1:
        raise OptionError(f"expected workers to be 1 or more, got {workers}")


def decide(
    obj: xr.DataArray | xr.Dataset,
    targets: Mapping[str, Any],
    settings: Mapping[str, Any],
    chunks: Mapping[Any, int] | None,
    stack: Any,
    ignore: xr.DataArray | None,
) -> tuple[xr.Dataset, list[Entry]]:
    """Return what is stored, the mask of worthless pixels among it, and how.

    Raises
    ------
    OptionError, DimensionError
        As `compress`.
    """
    ds = as_dataset(obj)
    entries = settle(ds, targets, settings, chunks, stack)
    return (ds, entries) if ignore is None else _with_mask(ds, entries, ignore, settings)


def as_dataset(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Return an object as a Dataset with variables.

    Raises
    ------
    DimensionError
        If it has none.
    """
    if isinstance(obj, xr.DataArray):
        name = str(obj.name or "data")
        obj = obj.rename(name if name not in obj.coords else f"{name}_values").to_dataset()
    if not isinstance(obj, xr.Dataset) or not obj.data_vars:
        raise DimensionError(
            f"expected a DataArray, or a Dataset with variables, got {type(obj).__name__}. "
            "For a DataTree name its node: tree['sentinel2'].to_dataset()"
        )
    return obj


def settle(
    ds: xr.Dataset,
    targets: Mapping[str, Any],
    settings: Mapping[str, Any],
    chunks: Mapping[Any, int] | None,
    stack: Any,
) -> list[Entry]:
    """Decide how each array is stored, before anything is.

    Raises
    ------
    OptionError
        If an option is unknown or cannot be.
    DimensionError
        If chunks name a dimension that is not there.
    """
    unknown = set(settings) - set(_SETTINGS)
    if unknown:
        raise OptionError(
            f"expected options of compress or settings among {list(_SETTINGS)}, got "
            f"{sorted(unknown)}"
        )
    strange = set(chunks or {}) - set(ds.dims)
    if strange:
        raise DimensionError(
            f"expected chunks of dimensions among {list(ds.dims)}, got {sorted(map(str, strange))}"
        )
    goals = Goals(targets, [str(name) for name in ds.data_vars], settings)
    return group(ds, plan(ds, goals, chunks), stack)


def _with_mask(
    ds: xr.Dataset,
    entries: list[Entry],
    ignore: xr.DataArray,
    settings: Mapping[str, Any],
) -> tuple[xr.Dataset, list[Entry]]:
    if ignore.dtype.kind != "b":
        raise OptionError(
            f"expected ignore to be True or False, got {ignore.dtype}. Try: ds.SCL.isin([8, 9])"
        )
    sizes = {dim: ds.sizes.get(dim) for dim in ignore.dims}
    if sizes != dict(ignore.sizes):
        raise DimensionError(
            f"expected the dimensions of ignore to be among {dict(ds.sizes)}, got "
            f"{dict(ignore.sizes)}"
        )
    mask = ignore.rename(IGNORED).drop_vars(list(ignore.coords)).copy(deep=False)
    mask.attrs = {"long_name": "pixels not worth bits: other variables are made up there"}
    mask.encoding = {}
    only = mask.to_dataset()
    exact = {"lossless": True, "codec": "auto"}
    targets = dict.fromkeys(("max_error", "relative_error", "psnr", "bpppb", "quality", "peak"))
    return ds.assign({IGNORED: mask.variable}), [
        *entries,
        *settle(only, targets | exact, settings, None, stack=False),
    ]
