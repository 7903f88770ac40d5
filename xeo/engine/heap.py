"""Keep large buffers in the process between operations, while blocks are at work.

The C library of Linux maps every large buffer anew and gives it back at once, so that a network
pays page faults for each layer: a third to a half of its time on a CPU. While a block runs, and
no longer, such buffers come from the heap and stay there for the next layer.

Each thread has a heap of its own by default, of no more than 64 MB: blocks, which one thread
makes and another one writes, do not fit, and what one heap has free is of no use to another. So
threads that start from then on share heaps, a few for many cores. This setting alone outlives
the run, since the library settles it once.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from xeo import options

# Of <malloc.h>.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
#: Cores that share a heap: fewer heaps waste less memory, more of them wait less for each other.
_SHARE = 4
_LARGE = 1 << 30
#: What glibc itself moves up to in a process that has freed large buffers.
_USUAL_MMAP, _USUAL_TRIM, _USUAL_PAD = 32 << 20, 64 << 20, 128 << 10
#: Free bytes at the end of a thread's heap: without them its parts of 64 MB come and go.
_PAD = 16 << 20

_lock = threading.Lock()
_running = 0


@contextmanager
def large_buffers() -> Iterator[None]:
    """Serve large buffers from the heap inside the block, in all threads.

    Does nothing where the C library is not glibc, or ``XEO_TUNE_MALLOC=0`` is set. When the
    last block of all threads ends, the usual thresholds are back and free memory is returned.
    """
    mallopt = _mallopt() if options.tunes_malloc() else None
    if mallopt is None:
        yield
        return
    _enter(mallopt)
    try:
        yield
    finally:
        _leave(mallopt)


def _enter(mallopt: Callable[[int, int], int]) -> None:
    global _running
    with _lock:
        _running += 1
        if _running == 1:
            mallopt(_MMAP_THRESHOLD, _LARGE)
            mallopt(_TRIM_THRESHOLD, _LARGE)
            mallopt(_TOP_PAD, _PAD)
            mallopt(_ARENA_MAX, max(1, options.cores() // _SHARE))


def _leave(mallopt: Callable[[int, int], int]) -> None:
    global _running
    with _lock:
        _running -= 1
        if _running == 0:
            mallopt(_MMAP_THRESHOLD, _USUAL_MMAP)
            mallopt(_TRIM_THRESHOLD, _USUAL_TRIM)
            mallopt(_TOP_PAD, _USUAL_PAD)
            ctypes.CDLL(None).malloc_trim(0)


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    found: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    return found
