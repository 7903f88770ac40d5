"""Write a lazy result to Zarr, block by block, whole blocks only."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from xeo.engine import executor, lazy
from xeo.errors import OptionError, StoreError

#: Attribute of the group: false from the first byte until the last block is written.
COMPLETE = "xeo_complete"


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
        Whether to replace a store that is there.
    workers : int, optional
        Blocks at work at once; None takes the cores. Each has its share of the cores.
    progress : bool or callable
        Whether to show a bar; a callable is called with the number of values of each block.
    storage_options : dict, optional
        Passed to fsspec for a URL.

    Raises
    ------
    StoreError
        If there is a store and ``overwrite`` is false, or writing fails.

    Notes
    -----
    Each block is one or more whole chunks. The attribute ``xeo_complete`` of the store is
    false until the last one is written: an interrupted store never passes for a whole one.

    Examples
    --------
    >>> xeo.write(cube.eo.embed("mosaiks"), "out.zarr")  # doctest: +SKIP
    """
    if workers is not None and workers < 1:
        raise OptionError(f"expected workers to be 1 or more, got {workers}")
    target = os.fspath(store)
    if not overwrite and _exists(target, storage_options):
        raise StoreError(f"expected no store at {target!r}, found one. Try: overwrite=True")
    name = str(obj.name or "data")
    with _Bar(progress, obj.size, name) as report:
        try:
            _lay_out(obj.rename(name), target, storage_options)
            _fill(obj, target, name, workers, report, storage_options)
        except OSError as err:
            raise StoreError(
                f"writing {target!r} failed: {err}. What is written is whole; the store is "
                f"marked {COMPLETE}=false"
            ) from err


def is_complete(store: str | os.PathLike[str], **storage_options: Any) -> bool:
    """Tell whether a store that `write` made holds all of its blocks."""
    group = _open(os.fspath(store), "r", storage_options)
    return bool(group.attrs.get(COMPLETE, False))


def _exists(target: str, options: dict[str, Any] | None) -> bool:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(target, **(options or {}))
    return bool(filesystem.exists(path)) and (
        not filesystem.isdir(path) or bool(filesystem.ls(path))
    )


def _lay_out(obj: xr.DataArray, target: str, options: dict[str, Any] | None) -> None:
    """Write metadata and coordinates; chunks of values come later."""
    made = obj.to_dataset()
    made.attrs = {COMPLETE: 0}
    if not obj.chunks:
        made = made.chunk()
    made.to_zarr(
        target, mode="w", compute=False, consolidated=False, zarr_format=3, storage_options=options
    )


def _fill(
    obj: xr.DataArray,
    target: str,
    name: str,
    workers: int | None,
    report: Callable[[int], None],
    options: dict[str, Any] | None,
) -> None:
    group = _open(target, "r+", options)
    array = group[name]
    job = lazy.job_of(obj.data)
    if job is not None:

        def keep(place: tuple[slice, ...], block: Any) -> None:
            array[place] = block

        executor.run(job, keep, workers=workers, progress=report)
    elif obj.chunks:
        lazy.store(obj.data, array, workers=workers, progress=report)
    else:
        array[...] = np.asarray(obj.data)
        report(obj.size)
    group.attrs[COMPLETE] = 1


def _open(target: str, mode: Any, options: dict[str, Any] | None) -> Any:
    import zarr

    return zarr.open_group(target, mode=mode, storage_options=options or None)


class _Bar:
    """A progress bar of values, in megavalues a second, or a callable in its place."""

    def __init__(self, progress: bool | Callable[[int], None], total: int, name: str) -> None:
        self.progress, self.total, self.name = progress, total, name
        self.bar: Any = None

    def __enter__(self) -> Callable[[int], None]:
        if callable(self.progress):
            return self.progress
        from tqdm.auto import tqdm

        self.bar = tqdm(
            total=self.total,
            desc=self.name,
            unit="value",
            unit_scale=True,
            disable=not self.progress,
        )
        update: Callable[[int], None] = self.bar.update
        return update

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
