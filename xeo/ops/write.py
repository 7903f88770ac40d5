"""Write a lazy result to Zarr, block by block, whole blocks only."""

from __future__ import annotations

import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr

from xeo.engine import executor, lazy
from xeo.errors import OptionError, StoreError, XeoError
from xeo.ops.place import COMPLETE, check_free, local
from xeo.ops.stop import Stop
from xeo.progress import bar

#: What is kept of the encoding of a source, which may be of another Zarr version.
_ENCODING = ("units", "calendar", "grid_mapping")


def write(
    obj: xr.DataArray,
    store: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool | Callable[[int], None] = True,
    storage_options: dict[str, Any] | None = None,
) -> None:
    """Write an array to a Zarr store, with a progress bar.

    Parameters
    ----------
    obj : DataArray
        Lazy or not. A result of xeo is made without a Dask graph, by a pool of threads.
    store : str or path
        Local path, or any URL that fsspec knows.
    overwrite : bool
        Whether to replace a store that is there. Only a Zarr store is ever replaced.
    workers : int, optional
        Blocks at work at once; None takes the cores. Each has its share of the cores.
    progress : bool or callable
        Whether to show a bar; a callable is called with the number of values of each block.
    storage_options : dict, optional
        Passed to fsspec for a URL.

    Raises
    ------
    StoreError
        If there is a store and ``overwrite`` is false, if writing fails, or if the store that
        is read vanished meanwhile.
    OptionError
        If an option has a value that cannot be used.
    Interrupted
        A KeyboardInterrupt: SIGINT or SIGTERM came. The blocks at work are finished first; a
        second signal stops at once.

    Notes
    -----
    Each block is one whole chunk, and a chunk is written at once or not at all (in a local
    folder by renaming, in an object store by its nature). The attribute ``xeo_complete`` of the
    store is 0 until the last one is written: an interrupted store never passes for a whole
    one. Whatever stopped the work carries a note of how many blocks are written.

    Zarr does not tell a chunk of the *source* that was deleted from one that holds nothing but
    the fill value. The metadata of every source is therefore read once more at the end, which
    finds a store that vanished; a single chunk that vanished is not found.

    Examples
    --------
    >>> xeo.write(cube.eo.embed("mosaiks"), "out.zarr")  # doctest: +SKIP
    """
    if workers is not None and workers < 1:
        raise OptionError(f"expected workers to be 1 or more, got {workers}")
    check_free(store, overwrite=overwrite, storage_options=storage_options)
    target = local(store)
    obj = _regular(obj.rename(str(obj.name or "data")))
    made = _Target(target, storage_options)
    with writing(target):
        made.lay_out(obj)
    tally = _Tally(math.prod(map(len, obj.chunks or ())), target)
    with _Bar(progress, obj.size, str(obj.name)) as report:
        try:
            _fill(obj, made, workers, report, tally)
        except BaseException as err:
            err.add_note(str(tally))
            raise


def is_complete(store: str | os.PathLike[str], **storage_options: Any) -> bool:
    """Tell whether a store that `write` made holds all of its blocks."""
    import zarr

    group = zarr.open_group(local(store), mode="r", storage_options=storage_options or None)
    return bool(group.attrs.get(COMPLETE, False))


def _regular(obj: xr.DataArray) -> xr.DataArray:
    """Return an array of chunks that a Zarr grid can have: equal ones, the last one shorter."""
    if not obj.chunks:
        return obj.chunk("auto")
    ragged = {
        dim: max(sizes)
        for dim, sizes in zip(obj.dims, obj.chunks, strict=True)
        if set(sizes[:-1]) - {sizes[0]} or sizes[-1] > sizes[0]
    }
    return obj.chunk(ragged) if ragged else obj


class _Target:
    """The store that is written."""

    def __init__(self, path: str, options: dict[str, Any] | None) -> None:
        self.path = path
        self.options = (options or None) if "://" in path else None
        self.array: Any = None
        self.group: Any = None

    def lay_out(self, obj: xr.DataArray) -> None:
        """Write metadata and coordinates; chunks of values come later."""
        import zarr

        made = spelled(obj.to_dataset()).copy()
        made.attrs = {COMPLETE: 0}
        for variable in made.variables.values():
            variable.encoding = {k: v for k, v in variable.encoding.items() if k in _ENCODING}
        shape = tuple(sizes[0] for sizes in obj.chunks or ())
        made[str(obj.name)].encoding |= {"chunks": shape, "fill_value": _missing(obj)}
        with warnings.catch_warnings():
            # Without consolidated metadata xarray warns whoever opens it, with it Zarr does here.
            warnings.filterwarnings("ignore", "Consolidated metadata is currently not")
            made.to_zarr(
                self.path,
                mode="w",
                compute=False,
                consolidated=True,
                zarr_format=3,
                storage_options=self.options,
            )
        self.group = zarr.open_group(self.path, mode="r+", storage_options=self.options)
        self.array = self.group[str(obj.name)]
        # Two blocks that share a chunk would overwrite each other.
        assert self.array.chunks == shape

    def finish(self) -> None:
        """Say that it is complete."""
        self.group.attrs[COMPLETE] = 1


def spelled(made: xr.Dataset) -> xr.Dataset:
    """Give text of fixed length, for which Zarr v3 has no specification, any length."""
    fixed = {name: da.astype(object) for name, da in made.coords.items() if da.dtype.kind == "U"}
    return made.assign_coords(fixed)


def _missing(obj: xr.DataArray) -> Any:
    """Return what a chunk that was never written reads as: missing, where the dtype can."""
    if obj.dtype.kind == "f":
        return float("nan")
    if "_nodata" in obj.attrs:
        return int(obj.attrs["_nodata"])
    meanings = str(obj.attrs.get("flag_meanings", "")).split()
    if "no_data" in meanings:
        return int(np.ravel(obj.attrs["flag_values"])[meanings.index("no_data")])
    return 0


def _fill(
    obj: xr.DataArray,
    target: _Target,
    workers: int | None,
    report: Callable[[int], None],
    tally: _Tally,
) -> None:
    job = lazy.job_of(obj.data)
    if job is None:
        lazy.store(obj.data, _Kept(target, tally, report), workers=workers)
    else:
        keep = _Kept(target, tally).__setitem__
        with Stop() as stop:
            executor.run(job, keep, workers=workers, progress=_checked(report, stop, tally))
        _check_sources(job)
    with writing(target.path):
        target.finish()


class _Kept:
    """Takes blocks, writes them, counts them.

    In another process, where Dask may send it, it only writes.
    """

    def __init__(
        self,
        target: _Target,
        tally: _Tally | None = None,
        report: Callable[[int], None] | None = None,
    ) -> None:
        self.target, self.tally, self.report = target, tally, report
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Kept, (self.target,)

    def __dask_tokenize__(self) -> str:
        return self.target.path

    def __setitem__(self, place: tuple[slice, ...], block: Any) -> None:
        with writing(self.target.path):
            self.target.array[place] = block
        with self._lock:
            if self.tally is not None:
                self.tally.done += 1
            if self.report is not None:
                self.report(block.size)


def _checked(report: Callable[[int], None], stop: Stop, tally: _Tally) -> Callable[[int], None]:
    """Report, then stop if a signal came and there is anything left to stop."""

    def tell(size: int) -> None:
        report(size)
        if not tally.full:
            stop.check()

    return tell


def _check_sources(job: Any) -> None:
    """Read the metadata of the Zarr arrays that were read once more.

    Raises
    ------
    StoreError
        If one is gone: its chunks would have read as nothing but the fill value.
    """
    import zarr

    arrays = [_zarr_array(p.array) for m in job.modalities for p in m.source.inputs]
    for array in filter(None, arrays):
        try:
            zarr.open_array(array.store, path=array.path, mode="r")
        except Exception as err:
            # Whatever the store raises, it cannot be read any more.
            raise StoreError(
                f"expected {array.store_path} to be there until the end, but it vanished while "
                "it was read: what was made of it cannot be trusted"
            ) from err


def _zarr_array(array: Any) -> Any:
    """Return the Zarr array under the layers that xarray puts around it, if there is one."""
    import zarr

    while array is not None and not isinstance(array, zarr.Array):
        array = getattr(array, "array", getattr(array, "_array", getattr(array, "_data", None)))
    return array


@contextmanager
def writing(target: str) -> Iterator[None]:
    """Turn the errors of a store, which each have classes of their own, into ours."""
    try:
        yield
    except XeoError:
        raise
    except Exception as err:
        raise StoreError(f"writing {target!r} failed: {type(err).__name__}: {err}") from err


class _Tally:
    """Counts the blocks that are written; its text goes with whatever stops the work."""

    def __init__(self, total: int, target: str) -> None:
        self.total, self.target = total, target
        self.done = 0

    @property
    def full(self) -> bool:
        return self.done == self.total

    def __str__(self) -> str:
        return (
            f"{self.done} of {self.total} blocks are written and whole; {self.target!r} is marked "
            f"incomplete ({COMPLETE} = 0). Try: again, with overwrite=True or --overwrite"
        )


class _Bar:
    """A progress bar of values, with rate and time left, or a callable in its place."""

    def __init__(self, progress: bool | Callable[[int], None], total: int, name: str) -> None:
        self.progress, self.total, self.name = progress, total, name
        self.bar: Any = None

    def __enter__(self) -> Callable[[int], None]:
        if callable(self.progress):
            return self.progress
        self.bar = bar(
            total=self.total,
            desc=self.name,
            unit="value",
            unit_scale=True,
            disable=not self.progress,
            # A log file gets a line now and then, a terminal ten a second.
            mininterval=0.1 if sys.stderr.isatty() else 10.0,
        )
        update: Callable[[int], None] = self.bar.update
        return update

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
