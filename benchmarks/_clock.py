"""Wall and processor seconds of a call, the best of several rounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class Timed(Generic[T]):
    """What a call returned, and its best times."""

    value: T
    wall: float
    cpu: float

    def rate(self, values: int) -> str:
        """Spell million values a second, by the wall clock and by the processor's."""
        return f"{values / self.wall / 1e6:.2f} ({values / max(self.cpu, 1e-9) / 1e6:.2f})"


def best_of(rounds: int, call: Callable[[], T]) -> Timed[T]:
    """Call several times; the processor's seconds are of all threads of this process."""
    best: Timed[T] | None = None
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        value = call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if best is not None:
            wall, cpu = min(wall, best.wall), min(cpu, best.cpu)
        best = Timed(value, wall, cpu)
    assert best is not None
    return best
