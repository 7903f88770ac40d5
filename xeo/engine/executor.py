"""Runs a job without a graph: into memory, or block by block into a Zarr array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo import options
from xeo.engine.chunks import OFTEN, Chunks, cached, limit, strip
from xeo.engine.cuts import Cut
from xeo.engine.heap import large_buffers
from xeo.engine.job import Job, Made, Number
from xeo.engine.pipeline import Pipeline
from xeo.engine.plan import Plan
from xeo.engine.profile import Profile
from xeo.engine.reading import faster
from xeo.engine.tuning import settled

Place = tuple[slice, ...]
#: Bytes of a job from which on it is tried how they are read fastest: a trial reads up to
#: a hundred million.
_MUCH = 4e9


def compute(job: Job, cuts: Sequence[Cut]) -> list[NDArray[Any]]:
    """Return the whole output of a job, made in memory: an array for each cut."""
    arrays = [np.empty(cut.shape(job.plan), cut.dtype) for cut in cuts]

    def keep(index: Number, made: Made) -> None:
        for array, cut in zip(arrays, cuts, strict=True):
            array[place(job, index, channel=cut.has_channels(job.plan))] = cut.of(made)

    run(job, keep)
    return arrays


def run(
    job: Job,
    keep: Callable[[Number, Made], None],
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    profile: Profile | None = None,
) -> None:
    """Make every block of a job, and hand each to ``keep`` as soon as it is made.

    Parameters
    ----------
    job : Job
        What makes a block.
    keep : callable
        Called with the index of a block and what was made, from several threads at once,
        never twice for a block; see `place`.
    workers : int, optional
        Threads that compute; None takes the cores, no more than there are blocks. The cores
        are divided among them.
    progress : callable, optional
        Called from the calling thread with the values of each block that was kept.
    profile : Profile, optional
        Is filled in, while it runs.

    Notes
    -----
    On an error, or when the calling thread is interrupted, no further block starts, and
    those at work are finished and kept whole before the exception leaves this function.
    """
    profile = Profile() if profile is None else profile
    profile.cores = options.cores()
    count = min(workers or options.cores(), job.plan.blocks)
    with large_buffers(), profile.running():
        if job.plan.blocks == 1:
            _one(job, keep, progress, profile)
        else:
            plan, quicker = job.plan, _quicker(job)
            width = plan.x.blocks if plan.overlap else _strip(plan)
            Pipeline(quicker, keep, count, profile, plan.numbers(width)).run(progress)
        found = settled(job)
        if found is not None:
            profile.choice, profile.backend, profile.calls = found.choice, *found.told()


def _quicker(job: Job) -> Job:
    """Return a job of the same numbers that reads its stores in the fastest way there is."""
    chunks = Chunks(limit(job.plan.chunk_bytes)) if job.plan.passes > OFTEN else None
    regions = job.regions(job.plan.index(job.plan.blocks // 2))
    modalities = []
    much = job.plan.blocks * job.plan.read_bytes >= _MUCH
    for modality, region in zip(job.modalities, regions, strict=True):
        source = modality.source
        if much:
            # Several readers decode side by side: a thread each.
            source = faster(source, region, threads=1)
        if chunks is not None:
            source = cached(source, chunks)
        modalities.append(replace(modality, source=source))
    return replace(job, modalities=tuple(modalities))


def _strip(plan: Plan) -> int:
    """Return how many blocks side by side are made before those below them."""
    if plan.passes <= OFTEN:
        return plan.x.blocks
    beside = plan.x.chunk // (plan.x.step * plan.x.stride)
    return strip(plan.x.blocks, plan.chunk_bytes, max(1, beside))


def _one(
    job: Job,
    keep: Callable[[Number, Made], None],
    progress: Callable[[int], None] | None,
    profile: Profile,
) -> None:
    """Make the only block here, on all cores."""
    index = job.plan.index(0)
    for name in ("reading", "computing", "writing"):
        getattr(profile, name).threads = 1
    with profile.busy("reading"):
        inputs = job.read(index)
    with profile.busy("computing"), options.thread_share(options.cores()):
        made = job.make(inputs)
    profile.made(skipped=inputs.blocks is None)
    with profile.busy("writing"):
        keep(index, made)
    profile.passed("reading", inputs.nbytes)
    profile.passed("computing", made.values.nbytes)
    profile.passed("writing", made.values.nbytes)
    if progress is not None:
        progress(made.values.size)


def place(job: Job, index: Number, *, channel: bool = True) -> Place:
    """Return where a block of the output goes, in the output's own orientation.

    Parameters
    ----------
    job : Job
        The work.
    index : tuple of int
        Of the block.
    channel : bool
        Whether the place is among the values, which may have an axis of channels, or among
        the valid fractions, which have none.
    """
    time, from_north, from_west = job.canonical(index)
    plan = job.plan
    rows = _span(plan.y.bounds(from_north), plan.y.cells, job.flip[0])
    columns = _span(plan.x.bounds(from_west), plan.x.cells, job.flip[1])
    lead = (slice(*plan.time.bounds(time)),) if plan.keeps_time else ()
    channels = (slice(None),) if plan.outputs and channel else ()
    return (*lead, *channels, rows, columns)


def _span(bounds: tuple[int, int], cells: int, flipped: bool) -> slice:
    first, last = bounds
    return slice(cells - last, cells - first) if flipped else slice(first, last)
