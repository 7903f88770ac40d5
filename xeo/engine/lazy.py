"""A job as a Dask array: one task a block, and nothing else."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from xeo import options
from xeo.engine.cuts import Cut
from xeo.engine.groups import Group
from xeo.engine.heap import large_buffers
from xeo.engine.job import Job
from xeo.engine.plan import Plan
from xeo.engine.source import Feed, Part, is_dask

Chunks = tuple[tuple[int, ...], ...]
#: Dask name to job, so that a writer can run the plan itself rather than the graph.
_JOBS: WeakValueDictionary[str, Job] = WeakValueDictionary()
#: The same for plans, which tasks that are fed by other arrays hold too.
_PLANS: WeakValueDictionary[str, Plan] = WeakValueDictionary()
#: And what an array takes of each block, where the job makes several arrays together.
_CUTS: WeakValueDictionary[str, Cut] = WeakValueDictionary()


def build(job: Job, *, name: str, cuts: Sequence[Cut]) -> list[Any]:
    """Return the output of a job as Dask arrays of one task a block.

    Parameters
    ----------
    job : Job
        What makes a block.
    name : str
        Deterministic name of the work: equal work, equal names.
    cuts : sequence of Cut
        The arrays that are wanted: the same tasks make them all.

    Returns
    -------
    list of dask.array.Array
        Shapes and chunks of the plan, one for each cut. Sources that are stores are read by
        the tasks; chunks of other Dask arrays become dependencies of the tasks that need them.
    """
    fed = any(is_dask(p.array) for m in job.modalities for p in m.source.inputs)
    make = _fed if fed else _reading
    # Chunks that are handed over have been decoded once already.
    group = Group() if fed else Group.of(job.plan)
    whole = len(cuts) == 1 and cuts[0].whole
    if whole:
        chunks = group.chunks(cuts[0].chunks(job.plan))
        made = [make(job, group, name, cuts[0].dtype, chunks, True)]
    else:
        # Blocks that hold all outputs, cut as one without channels is.
        beside = group.chunks(job.plan.valid_chunks)
        both = make(job, group, f"{name}-all", "object", beside, False)
        made = [_cut(both, job.plan, group, f"{name}-{cut.name}", cut) for cut in cuts]
    for array, cut in zip(made, cuts, strict=True):
        _JOBS[array.name], _PLANS[array.name], _CUTS[array.name] = job, job.plan, cut
    return made


def _cut(both: Any, plan: Plan, group: Group, name: str, cut: Cut) -> Any:
    import dask.array as da

    chunks = group.chunks(cut.chunks(plan))
    return da.map_blocks(
        cut.of,
        both,
        dtype=cut.dtype,
        chunks=chunks,
        new_axis=[len(chunks) - 3] if cut.has_channels(plan) else [],
        meta=np.empty((0,) * len(chunks), cut.dtype),
        name=name,
    )


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
    how = (job.precision, job.backend, job.counts, job.at)
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


def cut_of(array: Any) -> Cut:
    """Return what a lazy array takes of each block of its job."""
    return _CUTS.get(array.name) or Cut("", str(array.dtype))


def _reading(job: Job, group: Group, name: str, dtype: Any, chunks: Chunks, whole: bool) -> Any:
    import dask.array as da

    return da.map_blocks(
        _Task(job, group, whole),
        chunks=chunks,
        dtype=dtype,
        meta=np.empty((0,) * len(chunks), dtype),
        name=name,
    )


class _Task:
    """Runs a group of blocks, on its share of the machine. Called by Dask with ``block_id``.

    The block is the values alone where ``whole`` says so, else all that was made.
    """

    def __init__(self, job: Job, group: Group, whole: bool) -> None:
        self.job, self.group, self.whole = job, group, whole

    def __call__(self, block_id: tuple[int, ...]) -> Any:
        with large_buffers(), options.thread_share(_share(self.job.plan.blocks)):
            made = self.group.run(self.job, _index(self.job, block_id))
        return made.values if self.whole else made


class _FedTask:
    """Runs one block from chunks that Dask hands over."""

    def __init__(self, job: Job, whole: bool) -> None:
        self.job, self.whole = job, whole

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
        return made.values if self.whole else made


class Placeholder:
    """Stands in a task for a Dask array: its chunks, not its graph."""

    def __init__(self, chunks: tuple[tuple[int, ...], ...]) -> None:
        self.chunks = chunks

    def __dask_tokenize__(self) -> tuple[tuple[int, ...], ...]:
        return self.chunks


def is_dask_like(part: Part) -> bool:
    """Whether a part of a task waits for chunks."""
    return isinstance(part.array, Placeholder)


def _fed(job: Job, _: Group, name: str, dtype: Any, chunks: Chunks, whole: bool) -> Any:
    import dask.array as da
    from dask._task_spec import List, Task, TaskRef
    from dask.highlevelgraph import HighLevelGraph

    arrays = [p.array for m in job.modalities for p in m.source.inputs if is_dask(p.array)]
    task = _FedTask(_without_graphs(job), whole)
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


def store(arrays: Sequence[Any], targets: Sequence[Any], *, workers: int | None) -> None:
    """Compute Dask arrays into what takes blocks, each as soon as it is there.

    Parameters
    ----------
    arrays : sequence of dask.array.Array
        Any lazy arrays; what they share is computed once.
    targets : sequence of object
        One for each, with ``__setitem__``, called from several threads (or processes: it must
        pickle where Dask runs in some), never twice for a place.
    workers : int, optional
        Threads; None leaves it to Dask's own settings, a distributed client included.
    """
    import dask.array as da

    settings = {} if workers is None else {"num_workers": workers}
    da.store(list(arrays), list(targets), lock=False, compute=True, **settings)
