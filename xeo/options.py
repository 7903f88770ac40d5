"""Settings of the process, and the thread share of the running task."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_THREADS: ContextVar[int | None] = ContextVar("xeo_threads", default=None)


def cores() -> int:
    """Return the number of cores that this process may use, by affinity."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def threads() -> int:
    """Return how many threads a model call may use inside the running task.

    The engine divides the cores among the tasks it runs at once; a model that sets its own
    thread count (torch, onnxruntime) asks here instead of taking the whole machine.
    """
    share = _THREADS.get()
    wanted = cores() if share is None else share
    limit = os.environ.get("OMP_NUM_THREADS", "")
    # Dask's nanny and job schedulers set it to say what a process owns.
    return min(wanted, int(limit)) if limit.isdecimal() and int(limit) > 0 else wanted


@contextmanager
def thread_share(count: int) -> Iterator[None]:
    """Give model calls inside the block ``count`` threads each."""
    token = _THREADS.set(max(1, count))
    try:
        yield
    finally:
        _THREADS.reset(token)


def tunes_malloc() -> bool:
    """Whether the C library may keep large buffers during a run; ``XEO_TUNE_MALLOC=0`` says no."""
    return os.environ.get("XEO_TUNE_MALLOC", "1") != "0"


def reads_with_zarrs() -> bool:
    """Whether the package zarrs may decode chunks during a run; ``XEO_ZARRS=0`` says no."""
    return os.environ.get("XEO_ZARRS", "1") != "0"


def forced_backend() -> str | None:
    """Return the backend that all models of this process run by: ``XEO_BACKEND``, if set."""
    return os.environ.get("XEO_BACKEND") or None


def tune_folder() -> str | None:
    """Return where choices of backends are kept: ``XEO_TUNE_FOLDER``, if set."""
    return os.environ.get("XEO_TUNE_FOLDER") or None
