"""Several blocks in one Dask task, where they share a chunk: it is then decoded once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.engine.chunks import MOST_BYTES, Chunks, cached, limit
from xeo.engine.executor import place
from xeo.engine.job import Job, Made, Number
from xeo.engine.plan import FEW, Axis, Plan

#: How often blocks ask for a stored value from which on it pays.
_OFTEN = 2.0


@dataclass(frozen=True)
class Group:
    """How many blocks along rows and columns one task makes.

    Parameters
    ----------
    y, x : int
        Blocks.
    """

    y: int = 1
    x: int = 1

    @classmethod
    def of(cls, plan: Plan) -> Group:
        """Return the blocks of a chunk, where they are parts of it; fewer in a small cube."""
        if plan.spec.time == "each" or plan.passes < _OFTEN or plan.chunk_bytes > MOST_BYTES:
            return cls()
        y, x = _parts(plan.y), _parts(plan.x)
        while y * x > 1 and -(-plan.y.blocks // y) * -(-plan.x.blocks // x) < FEW:
            y, x = (max(1, y // 2), x) if y >= x else (y, max(1, x // 2))
        return cls(y, x)

    @property
    def alone(self) -> bool:
        """Whether a task makes one block."""
        return self.y * self.x == 1

    def chunks(self, chunks: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        """Return the chunks of tasks, from those of blocks: ``(..., y, x)``."""
        *lead, y, x = chunks
        return (*lead, _summed(y, self.y), _summed(x, self.x))

    def run(self, job: Job, index: Number) -> Made:
        """Return what a task makes: its blocks side by side.

        Parameters
        ----------
        job : Job
            The work.
        index : tuple of int
            Place ``(time, y, x)`` of the task among all tasks.
        """
        if self.alone:
            return job(index)
        time, row, column = index
        rows = range(row * self.y, min((row + 1) * self.y, job.plan.y.blocks))
        columns = range(column * self.x, min((column + 1) * self.x, job.plan.x.blocks))
        chunks = Chunks(limit(job.plan.chunk_bytes))
        modalities = tuple(replace(m, source=cached(m.source, chunks)) for m in job.modalities)
        once = replace(job, modalities=modalities)
        numbers = [(time, y, x) for y in rows for x in columns]
        places = [place(job, number)[-2:] for number in numbers]
        found = _Found(places)
        for number, where in zip(numbers, places, strict=True):
            found.add(once(number), where)
        return found.made


class _Found:
    """Blocks side by side, as they come."""

    def __init__(self, places: list[tuple[slice, ...]]) -> None:
        self.first = [min(p[axis].start for p in places) for axis in (0, 1)]
        self.sizes = [
            max(p[axis].stop for p in places) - first for axis, first in enumerate(self.first)
        ]
        self.values: NDArray[Any] | None = None
        self.valid: NDArray[Any] | None = None

    def add(self, made: Made, where: tuple[slice, ...]) -> None:
        """Take in a block."""
        at: Any = (
            ...,
            *(slice(p.start - f, p.stop - f) for p, f in zip(where, self.first, strict=True)),
        )
        if self.values is None:
            self.values = self._room(made.values)
            self.valid = None if made.valid is None else self._room(made.valid)
        self.values[at] = made.values
        if self.valid is not None:
            self.valid[at] = made.valid

    def _room(self, part: NDArray[Any]) -> NDArray[Any]:
        return np.empty((*part.shape[:-2], *self.sizes), part.dtype)

    @property
    def made(self) -> Made:
        assert self.values is not None
        return Made(self.values, self.valid)


def _parts(axis: Axis) -> int:
    """Return how many blocks an axis of a chunk is divided into; 1 where it is not."""
    step = axis.step * axis.stride
    return axis.chunk // step if axis.chunk % step == 0 else 1


def _summed(sizes: tuple[int, ...], count: int) -> tuple[int, ...]:
    return tuple(sum(sizes[i : i + count]) for i in range(0, len(sizes), count))
