"""Runs a job without a graph: into memory, or block by block into a Zarr array."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo import options
from xeo.engine.heap import large_buffers
from xeo.engine.job import Job

Place = tuple[slice, ...]


def compute(job: Job, dtype: Any) -> NDArray[Any]:
    """Return the whole output of a job, made in memory."""
    made = np.empty(job.plan.shape, dtype)

    def keep(place: Place, block: NDArray[Any]) -> None:
        made[place] = block

    run(job, keep)
    return made


def run(
    job: Job,
    keep: Callable[[Place, NDArray[Any]], None],
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Make every block of a job, and hand each to ``keep`` as soon as it is made.

    Parameters
    ----------
    job : Job
        What makes a block.
    keep : callable
        Called with the block's place in the output and its values, from several threads at
        once, never twice for a place.
    workers : int, optional
        Threads that make blocks; None takes the cores, no more than there are blocks. The
        cores are divided among them.
    progress : callable, optional
        Called from the calling thread with the cells of each block that was kept.

    Notes
    -----
    On an error, or when the calling thread is interrupted, no further block starts, and
    those at work are finished and kept whole before the exception leaves this function.
    """
    with large_buffers():
        _run(job, keep, min(workers or options.cores(), job.plan.blocks), progress)


def _run(
    job: Job,
    keep: Callable[[Place, NDArray[Any]], None],
    count: int,
    progress: Callable[[int], None] | None,
) -> None:
    stop = threading.Event()

    def make(number: int) -> int:
        if stop.is_set():
            return 0
        index = job.plan.index(number)
        with options.thread_share(options.cores() // count):
            block = job(index)
        keep(_place(job, index), block)
        return block.size

    if count == 1:
        for number in range(job.plan.blocks):
            _report(progress, make(number))
        return
    with ThreadPoolExecutor(count, thread_name_prefix="xeo") as pool:
        try:
            for size in _bounded(pool, make, job.plan.blocks, 2 * count):
                _report(progress, size)
        except BaseException:
            stop.set()
            raise


def _bounded(
    pool: ThreadPoolExecutor, make: Callable[[int], int], blocks: int, ahead: int
) -> Iterator[int]:
    """Keep a few blocks queued: a plan of a million blocks must not become a million futures."""
    pending: set[Future[int]] = set()
    for number in range(blocks):
        pending.add(pool.submit(make, number))
        if len(pending) >= ahead:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _report(progress: Callable[[int], None] | None, size: int) -> None:
    if progress is not None:
        progress(size)


def _place(job: Job, index: tuple[int, int, int]) -> Place:
    """Where a block of the output goes, in the output's own orientation."""
    time, from_north, from_west = job.canonical(index)
    plan = job.plan
    rows = _span(plan.y.bounds(from_north), plan.y.cells, job.flip[0])
    columns = _span(plan.x.bounds(from_west), plan.x.cells, job.flip[1])
    lead = (slice(*plan.time.bounds(time)),) if plan.keeps_time else ()
    channel = (slice(None),) if plan.outputs else ()
    return (*lead, *channel, rows, columns)


def _span(bounds: tuple[int, int], cells: int, flipped: bool) -> slice:
    first, last = bounds
    return slice(cells - last, cells - first) if flipped else slice(first, last)
