"""A job as a Dask array: one task a block, and nothing else."""

from __future__ import annotations

import itertools
import pickle
import threading
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from xeo import options
from xeo.engine.heap import large_buffers
from xeo.engine.job import Job
from xeo.engine.plan import Plan
from xeo.engine.source import Feed, Part, is_dask

Chunks = tuple[tuple[int, ...], ...]
#: Dask name to job, so that a writer can run the plan itself rather than the graph.
_JOBS: WeakValueDictionary[str, Job] = WeakValueDictionary()
#: The same for plans, which tasks that are fed by other arrays hold too.
_PLANS: WeakValueDictionary[str, Plan] = WeakValueDictionary()
#: Ends the Dask name of the valid fractions that are made beside the values.
_VALID = "-valid"


def build(job: Job, *, name: str, dtype: Any) -> tuple[Any, Any]:
    """Return the output of a job as Dask arrays of one task a block.

    Parameters
    ----------
    job : Job
        What makes a block.
    name : str
        Deterministic name of the array: equal work, equal names.
    dtype : dtype
        Of the output.

    Returns
    -------
    values : dask.array.Array
        Shape and chunks of the plan. Sources that are stores are read by the tasks; chunks
        of other Dask arrays become dependencies of the tasks that need them.
    valid : dask.array.Array or None
        The fractions of valid pixels, where the job counts them: the same tasks make both.
    """
    import dask.array as da

    fed = any(is_dask(p.array) for m in job.modalities for p in m.source.inputs)
    make = _fed if fed else _reading
    chunks, beside = job.plan.chunks, job.plan.valid_chunks
    if not job.counts:
        array = make(job, name, dtype, chunks)
        _JOBS[array.name], _PLANS[array.name] = job, job.plan
        return array, None
    # Blocks that hold both outputs, cut as the second one is.
    both = make(job, f"{name}-both", dtype, beside)
    values = da.map_blocks(
        _values,
        both,
        dtype=dtype,
        chunks=chunks,
        new_axis=[len(beside) - 2] if job.plan.outputs else [],
        meta=np.empty((0,) * len(chunks), dtype),
        name=name,
    )
    valid = da.map_blocks(
        _valid,
        both,
        dtype="float32",
        chunks=beside,
        meta=np.empty((0,) * len(beside), np.float32),
        name=name + _VALID,
    )
    for one in (values, valid):
        _JOBS[one.name], _PLANS[one.name] = job, job.plan
    return values, valid


def _values(made: Any) -> Any:
    return made.values


def _valid(made: Any) -> Any:
    return made.valid


def token(job: Job, *words: object) -> str:
    """Return a name for the work: equal work, equal names, in every process."""
    from dask.base import tokenize

    read = [
        (p.token or tokenize(_content(p.array)), p.roles, p.bands, m.name, m.absent)
        for m in job.modalities
        for p in m.source.inputs
    ]
    settings = [
        (m.source.time, m.source.y, m.source.x, m.source.scale, m.source.offset,
         m.source.nodata, m.source.convert, m.dates, m.y, m.x)
        for m in job.modalities
    ]  # fmt: skip
    # Pickles, because the repr of a function holds its address in this process.
    made = pickle.dumps((job.model, job.finish))
    how = (job.precision, job.backend, job.counts)
    return str(tokenize(read, settings, repr(job.plan), made, how, words))


def _content(array: Any) -> Any:
    """Return what identifies an array: of a variable on disk its store, not its values."""
    return array._data if hasattr(array, "dims") else array


def job_of(array: Any) -> Job | None:
    """Return the job behind a lazy array, if it is one and reads its stores itself."""
    job = _JOBS.get(getattr(array, "name", ""))
    if job is None or any(is_dask(p.array) for m in job.modalities for p in m.source.inputs):
        return None
    return job


def plan_of(array: Any) -> Plan | None:
    """Return the plan behind a lazy array, if it has one, wherever it reads from."""
    return _PLANS.get(getattr(array, "name", ""))


def is_valid_fraction(array: Any) -> bool:
    """Whether a lazy array is the second output of its job: the valid fractions."""
    return str(array.name).endswith(_VALID)


def _reading(job: Job, name: str, dtype: Any, chunks: Chunks) -> Any:
    import dask.array as da

    return da.map_blocks(
        _Task(job),
        chunks=chunks,
        dtype=dtype,
        meta=np.empty((0,) * len(chunks), dtype),
        name=name,
    )


class _Task:
    """Runs one block, on its share of the machine. Called by Dask with ``block_id``."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self, block_id: tuple[int, ...]) -> Any:
        with large_buffers(), options.thread_share(_share(self.job.plan.blocks)):
            made = self.job(_index(self.job, block_id))
        return made if self.job.counts else made.values


class _FedTask:
    """Runs one block from chunks that Dask hands over."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self, block_id: tuple[int, ...], fed: list[list[Any]]) -> Any:
        index = _index(self.job, block_id)
        chunks = iter(fed)
        sources = {}
        for number, (modality, region) in enumerate(
            zip(self.job.modalities, self.job.regions(index), strict=True)
        ):
            source = modality.source
            at = source.time[region[0]], source.y[region[1]], source.x[region[2]]
            arrays = [
                _assemble(part, next(chunks), at) if is_dask_like(part) else part.array
                for part in source.inputs
            ]
            sources[number] = source.with_arrays(arrays)
        with large_buffers(), options.thread_share(_share(self.job.plan.blocks)):
            made = self.job(index, sources)
        return made if self.job.counts else made.values


class Placeholder:
    """Stands in a task for a Dask array: its chunks, not its graph."""

    def __init__(self, chunks: tuple[tuple[int, ...], ...]) -> None:
        self.chunks = chunks

    def __dask_tokenize__(self) -> tuple[tuple[int, ...], ...]:
        return self.chunks


def is_dask_like(part: Part) -> bool:
    """Whether a part of a task waits for chunks."""
    return isinstance(part.array, Placeholder)


def _fed(job: Job, name: str, dtype: Any, chunks: Chunks) -> Any:
    import dask.array as da
    from dask._task_spec import List, Task, TaskRef
    from dask.highlevelgraph import HighLevelGraph

    arrays = [p.array for m in job.modalities for p in m.source.inputs if is_dask(p.array)]
    task = _FedTask(_without_graphs(job))
    wanted = _wanted(job)
    graph = {}
    for block_id in itertools.product(*(range(len(c)) for c in chunks)):
        place = dict(zip(("time", "y", "x"), job.canonical(_index(job, block_id)), strict=True))
        keys = [
            List(
                *(
                    TaskRef((label, *key))
                    for key in itertools.product(
                        *(spans[place[role]] if role in place else spans[0] for role, spans in axes)
                    )
                )
            )
            for label, axes in wanted
        ]
        key = (name, *block_id)
        graph[key] = Task(key, task, block_id, List(*keys))
    layered = HighLevelGraph.from_collections(name, graph, dependencies=arrays)
    return da.Array(layered, name, chunks, dtype=dtype)


def _wanted(job: Job) -> list[tuple[str, list[tuple[str, list[range]]]]]:
    """Return, for each Dask array and each of its axes, the chunks that each block meets.

    Axes are apart, so this is as long as their blocks added up, not multiplied.
    """
    plan, found = job.plan, []
    for number, modality in enumerate(job.modalities):
        regions = {
            "time": [job.dates_of(number, i) for i in range(plan.time.blocks)],
            "y": [job.rows_of(number, i) for i in range(plan.y.blocks)],
            "x": [job.columns_of(number, i) for i in range(plan.x.blocks)],
        }
        source = modality.source
        order = {"time": source.time, "y": source.y, "x": source.x}
        for part in source.inputs:
            if not is_dask(part.array):
                continue
            axes = []
            for role, sizes in zip(part.roles, part.array.chunks, strict=True):
                positions = (
                    [np.asarray(part.bands)]
                    if role == "band"
                    else [order[role][r] for r in regions[role]]
                )
                axes.append((role, [_span(sizes, p) for p in positions]))
            found.append((part.array.name, axes))
    return found


def _span(sizes: tuple[int, ...], positions: Any) -> range:
    """Return the chunks of one axis that hold the positions and all between."""
    ends = np.cumsum(sizes)
    low = int(np.searchsorted(ends, positions.min(), side="right"))
    high = int(np.searchsorted(ends, positions.max(), side="right"))
    return range(low, high + 1)


def _without_graphs(job: Job) -> Job:
    from dataclasses import replace

    modalities = []
    for modality in job.modalities:
        arrays = [
            Placeholder(p.array.chunks) if is_dask(p.array) else p.array
            for p in modality.source.inputs
        ]
        modalities.append(replace(modality, source=modality.source.with_arrays(arrays)))
    return replace(job, modalities=tuple(modalities))


def _assemble(part: Part, blocks: list[Any], at: tuple[Any, Any, Any]) -> Feed:
    """Put the chunks that were handed over together again."""
    chunks = part.array.chunks
    wanted = {"time": at[0], "y": at[1], "x": at[2], "band": np.asarray(part.bands)}
    spans = [_span(sizes, wanted[role]) for role, sizes in zip(part.roles, chunks, strict=True)]
    start = tuple(sum(c[: s.start]) for c, s in zip(chunks, spans, strict=True))
    for axis in reversed(range(len(spans))):
        count = len(spans[axis])
        blocks = [
            blocks[i] if count == 1 else np.concatenate(blocks[i : i + count], axis=axis)
            for i in range(0, len(blocks), count)
        ]
    return Feed(blocks[0], start)


def _index(job: Job, block_id: tuple[int, ...]) -> tuple[int, int, int]:
    time = block_id[0] if job.plan.keeps_time else 0
    return time, block_id[-2], block_id[-1]


def _share(blocks: int) -> int:
    """Threads for one task: all of them alone, one each among many."""
    if threading.current_thread() is threading.main_thread():
        return options.cores()
    return max(1, options.cores() // max(1, min(blocks, options.cores())))


def store(array: Any, target: Any, *, workers: int | None) -> None:
    """Compute a Dask array into something that takes blocks, each as soon as it is there.

    Parameters
    ----------
    array : dask.array.Array
        Any lazy array.
    target : object
        With ``__setitem__``, called from several threads (or processes: it must pickle where
        Dask runs in some), never twice for a place.
    workers : int, optional
        Threads; None leaves it to Dask's own settings, a distributed client included.
    """
    import dask.array as da

    settings = {} if workers is None else {"num_workers": workers}
    da.store(array, target, lock=False, compute=True, **settings)
