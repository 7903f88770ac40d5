"""Reading through zarrs, which decodes the chunks of a Zarr store in Rust, where that gains."""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo import options
from xeo.engine.source import Index, Part, Source, load
from xeo.engine.stored import is_sliced, store_array, store_chunks, with_store_array
from xeo.errors import StoreError, XeoWarning
from xeo.warn import warn

#: Bytes that a trial reads at most, a row of chunks at least.
TRIAL_BYTES = 8 * 2**20
#: Rounds of a trial; the first also fills the caches, so a single one would favour the second way.
ROUNDS = 4
#: Seconds after which a trial starts no third round.
TRIAL_SECONDS = 0.2
#: Processor time, and wall time at about equal processor time, below which the change pays.
LESS_WORK, SOONER = 0.95, 0.9

_log = logging.getLogger(__name__)


def faster(
    source: Source, region: tuple[Index, Index, Index], *, threads: int | None = None
) -> Source:
    """Return a source of the same numbers that is read through zarrs where that is faster.

    Parameters
    ----------
    source : Source
        Read from a store, or from memory.
    region : tuple of array of int
        Canonical positions ``(time, y, x)`` that are read for the trial, such as a block's.
    threads : int, optional
        That decode one read; None takes the cores.

    Returns
    -------
    Source
        The same one where nothing is gained, zarrs is not installed or ``XEO_ZARRS=0``. It
        belongs to this process: it does not pickle.

    Notes
    -----
    Every part is read both ways and compared. Where zarrs fails later, zarr-python reads
    instead, and its errors are those that are raised.
    """
    if not options.reads_with_zarrs() or importlib.util.find_spec("zarrs") is None:
        return source
    at = source.time[region[0]], source.y[region[1]], source.x[region[2]]
    doubt, verdicts = _Doubt(), dict[str, bool]()
    arrays = [
        _faster(part, at, threads or options.cores(), doubt, verdicts) for part in source.inputs
    ]
    changed = any(a is not p.array for a, p in zip(arrays, source.inputs, strict=True))
    return source.with_arrays(arrays) if changed else source


class Guarded:
    """A store that is read through zarrs, and through zarr-python where that fails.

    Parameters
    ----------
    array : object
        As it was: what fails is read from it again.
    quick : object
        The same numbers, through zarrs.
    doubt : _Doubt
        Shared by the arrays of a source.
    """

    def __init__(self, array: Any, quick: Any, doubt: _Doubt) -> None:
        self.array, self.quick, self.doubt = array, quick, doubt
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> Any:
        if self.doubt.failed:
            return load(self.array[key])
        try:
            return load(self.quick[key])
        except BaseException as err:
            if not _of_zarrs(err):
                raise
            # A damaged chunk fails both ways: then the usual error leaves here.
            made = load(self.array[key])
            self.doubt.confirm(err)
            return made


class _Slices:
    """A Zarr array to which an integer is a slice of one, since zarrs fails over integers."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __getattr__(self, name: str) -> Any:
        return getattr(self._array, name)

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        single = [isinstance(k, (int, np.integer)) for k in key]
        slices = (slice(k, k + 1) if one else k for k, one in zip(key, single, strict=True))
        return self._array[tuple(slices)][tuple(0 if one else slice(None) for one in single)]


class _Doubt:
    """Remembers that zarrs failed where zarr-python did not, and warns of it once."""

    def __init__(self) -> None:
        self.failed = False
        self._lock = threading.Lock()

    def confirm(self, err: BaseException) -> None:
        with self._lock:
            first, self.failed = not self.failed, True
        if first:
            warn(
                "zarrs could not read what zarr-python can, which goes on alone: "
                f"{type(err).__name__}: {err}. Try: XEO_ZARRS=0 to do without zarrs",
                XeoWarning,
            )


def _of_zarrs(err: BaseException) -> bool:
    # A panic in Rust is no Exception, and its class belongs to no module that could be imported.
    told = isinstance(err, Exception) or type(err).__name__ == "PanicException"
    return told and not isinstance(err, MemoryError)


def _faster(
    part: Part,
    at: tuple[Index, Index, Index],
    threads: int,
    doubt: _Doubt,
    verdicts: dict[str, bool],
) -> Any:
    """Return what to read a part from; arrays stored alike are timed once."""
    array = store_array(part.array)
    if array is None or not _is_local(array) or not is_sliced(part.array):
        return part.array
    kind = f"{array.dtype} {array.chunks} {array.shards} {array.compressors} {part.roles}"
    if verdicts.get(kind) is False:
        return part.array
    opened = _through_zarrs(array, threads)
    if opened is None:
        return part.array
    quick = with_store_array(part.array, _Slices(opened))
    gains = _gains(part, quick, _cut(part, at), 1 if kind in verdicts else ROUNDS)
    # A second of its kind only has to give the same numbers.
    verdicts.setdefault(kind, bool(gains))
    chosen = gains is not None and verdicts[kind]
    return Guarded(part.array, quick, doubt) if chosen else part.array


def _is_local(array: Any) -> bool:
    from zarr.storage import LocalStore

    # Not a subclass: zarrs reads the files itself, and would miss what a subclass does.
    return type(array.store) is LocalStore


def _through_zarrs(array: Any, threads: int) -> Any | None:
    """Return a Zarr array opened once more, with codecs in Rust; None if it cannot be."""
    import zarr

    settings = {
        "codec_pipeline.path": "zarrs.ZarrsCodecPipeline",
        # Else codecs that zarrs does not know are reported as a warning, not as an error.
        "codec_pipeline.strict": True,
        "threading.max_workers": threads,
        # Chunks at once; by default no fewer than four, whatever the threads.
        "codec_pipeline.chunk_concurrent_minimum": min(4, threads),
        "codec_pipeline.chunk_concurrent_maximum": threads,
    }
    try:
        # Not open_array: while threads are limited, it would limit those of zarr-python for good.
        with zarr.config.set(settings):
            return zarr.Array(zarr.AsyncArray(array.metadata, array.store_path))
    except BaseException as err:
        if not _of_zarrs(err):
            raise
        _log.debug("zarrs does not open %s: %s", array.path, err)
        return None


def _cut(part: Part, at: tuple[Index, Index, Index]) -> tuple[Index, Index, Index]:
    """Return fewer dates, then fewer rows: whole chunks of them, as in a run."""
    chunks = store_chunks(part.array)
    if chunks is None:
        return at
    chunk = dict(zip(part.roles, chunks[0], strict=True))
    time, y, x = at
    line = part.array.dtype.itemsize * len(part.bands) * (len(x) if "x" in chunk else 1)
    if "time" in chunk:
        time = _fewer(time, chunk["time"], TRIAL_BYTES // (line * len(y)))
        line *= len(time)
    return time, _fewer(y, chunk["y"], TRIAL_BYTES // line) if "y" in chunk else y, x


def _fewer(positions: Index, chunk: int, most: int) -> Index:
    """Return the positions from the middle chunk on, as many as are allowed or in that chunk."""
    numbers = positions // chunk
    if len(positions) <= most:
        return positions
    here = numbers == numbers[len(numbers) // 2]
    first = int(here.argmax())
    return positions[first : first + max(most, int(here.sum()))]


def _gains(part: Part, quick: Any, at: tuple[Index, Index, Index], rounds: int) -> bool | None:
    """Return whether another way of reading is faster; None if it fails or numbers differ."""
    other = replace(part, array=quick)
    times: list[tuple[float, ...]] = []
    started = time.perf_counter()
    try:
        while len(times) < rounds:
            usual, first = _timed(lambda: part.read(*at))
            changed, second = _timed(lambda: other.read(*at))
            if not times and not _same(usual, changed):
                return None
            times.append((*first, *second))
            if len(times) > 1 and time.perf_counter() - started > TRIAL_SECONDS:
                break
    except BaseException as err:
        # A damaged chunk is for the run to report, in its place.
        if not isinstance(err, StoreError) and not _of_zarrs(err):
            raise
        _log.debug("zarrs does not read %s: %s", part.name, err)
        return None
    work, wall, less_work, sooner = np.min(times, axis=0)
    if less_work < LESS_WORK * work:
        return True
    return bool(less_work * LESS_WORK < work and sooner < SOONER * wall)


def _timed(read: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    work, wall = time.process_time(), time.perf_counter()
    made = read()
    return made, (time.process_time() - work, time.perf_counter() - wall)


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether all bits are the same, those of NaN included."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    left, right = (np.ascontiguousarray(array).view(np.uint8) for array in (one, other))
    return bool(np.array_equal(left, right))
