"""Work on regions of arrays, a few at a time: what reads, changes and writes a cube in place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xeo import options
from xeo.engine.source import is_dask, origin

ItemT = TypeVar("ItemT")
MadeT = TypeVar("MadeT")


def blank(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Return a lazy array without values, for a store's metadata to be laid out.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : dtype
        Of the array.

    Returns
    -------
    dask.array.Array
        In one chunk, so that its graph has one task.
    """
    import dask.array as da

    return da.zeros(shape, dtype=dtype, chunks=-1)


def read(variable: Any, region: tuple[slice, ...]) -> NDArray[Any]:
    """Return the values of a region, computed or read where they are lazy.

    Parameters
    ----------
    variable : xarray.Variable
        Of NumPy, CuPy, Dask, or something that xarray reads on demand.
    region : tuple of slice
        Of its dimensions.

    Returns
    -------
    numpy.ndarray
    """
    if variable.chunks is None:
        # Not `.data`, which would read a lazy variable whole.
        return np.asarray(variable[region].to_numpy())
    part = origin(variable.data)[region]
    if is_dask(part):
        # The region is one of several at work: Dask needs no threads beside them.
        part = part.compute(scheduler="synchronous")
    return np.asarray(part.get() if hasattr(part, "get") else part)


def each(
    function: Callable[[ItemT], MadeT],
    items: Iterator[ItemT],
    *,
    workers: int | None = None,
) -> Iterator[MadeT]:
    """Call a function for every item, from several threads, and yield what it returns.

    Parameters
    ----------
    function : callable
        Is called in threads, with the cores divided among them.
    items : iterator
        Is drawn from slowly: a few are queued, never all.
    workers : int, optional
        Threads; None takes the cores.

    Yields
    ------
    object
        As they are made, in any order.

    Notes
    -----
    On an error, or when the caller stops, no further item starts, and those at work are
    finished.
    """
    count = workers or options.cores()
    stop = threading.Event()
    share = max(1, options.cores() // count)

    def work(item: ItemT) -> MadeT | None:
        if stop.is_set():
            return None
        with options.thread_share(share):
            return function(item)

    if count == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(count, thread_name_prefix="xeo") as pool:
        pending: set[Future[MadeT | None]] = set()
        try:
            for item in items:
                pending.add(pool.submit(work, item))
                if len(pending) >= 2 * count:
                    yield from _done(pending)
            while pending:
                yield from _done(pending)
        finally:
            stop.set()


def _done(pending: set[Future[Any]]) -> Iterator[Any]:
    ready, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in ready:
        pending.discard(future)
        yield future.result()
