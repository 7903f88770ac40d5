"""Where the time of a run goes: which side binds, and what is lost in each queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

#: The stages, in the order in which a block passes them.
STAGES = ("reading", "computing", "writing")


@dataclass
class Stage:
    """The threads of one side.

    Parameters
    ----------
    threads : int
        The most that were at work.
    busy : float
        Seconds at work, of all threads added up.
    waiting : float
        Seconds without: readers for room, the others for a block.
    nbytes : int
        Bytes that it handed on.
    """

    threads: int = 0
    busy: float = 0.0
    waiting: float = 0.0
    nbytes: int = 0

    def share(self, wall: float) -> float:
        """Return the part of a run's seconds in which its threads were at work, from 0 to 1."""
        return self.busy / max(wall * self.threads, 1e-9)


@dataclass
class Profile:
    """Where the time of a run went; ``print(profile)`` shows it.

    Parameters
    ----------
    reading, computing, writing : Stage
        The three sides.
    wall, cpu : float
        Seconds, by the clock and of all cores of this process.
    cores : int
        How many the run could use.
    blocks, skipped : int
        Blocks that were made, and those among them that had no valid pixel.
    backend : str
        What ran the model, and what that costs; empty if it was not run.
    calls : str
        What it was given at a call.
    choice : object, optional
        What was tried to find that out.
    """

    reading: Stage = field(default_factory=Stage)
    computing: Stage = field(default_factory=Stage)
    writing: Stage = field(default_factory=Stage)
    wall: float = 0.0
    cpu: float = 0.0
    cores: int = 1
    blocks: int = 0
    skipped: int = 0
    backend: str = ""
    calls: str = ""
    choice: Any = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._start = 0.0, 0.0

    @property
    def bound(self) -> str:
        """The side that the others wait for: ``reading``, ``computing`` or ``writing``."""
        # Not beside the threads' own time: readers that are done early have lost none.
        return max(STAGES, key=lambda name: float(getattr(self, name).share(1.0)))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Take the time of the run."""
        self._start = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.tick()

    def tick(self) -> None:
        """Take the time until now."""
        wall, cpu = self._start
        self.wall, self.cpu = time.perf_counter() - wall, time.process_time() - cpu

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """Count the time inside the block as work of a side."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._add(stage, busy=time.perf_counter() - start)

    @contextmanager
    def waiting(self, stage: str) -> Iterator[None]:
        """Count the time inside the block as lost by a side."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._add(stage, waiting=time.perf_counter() - start)

    def passed(self, stage: str, nbytes: int) -> None:
        """Count the bytes that a side handed on."""
        with self._lock:
            getattr(self, stage).nbytes += nbytes

    def made(self, *, skipped: bool) -> None:
        """Count a block."""
        with self._lock:
            self.blocks += 1
            self.skipped += skipped

    def _add(self, stage: str, *, busy: float = 0.0, waiting: float = 0.0) -> None:
        with self._lock:
            one: Stage = getattr(self, stage)
            one.busy += busy
            one.waiting += waiting

    def __str__(self) -> str:
        used = self.cpu / max(self.wall * self.cores, 1e-9)
        lines = [
            f"{self.blocks} blocks in {self.wall:.1f} s, {self.skipped} of them without a valid "
            f"pixel; {used:.0%} of {self.cores} core(s) used; {self.bound} binds",
            f"{'side':10} {'threads':>7} {'busy':>6} {'at work, s':>11} {'lost, s':>9} {'MB':>9}  "
            "lost waiting for",
        ]
        for name, reason in zip(STAGES, ("room", "input", "results"), strict=True):
            one: Stage = getattr(self, name)
            lines.append(
                f"{name:10} {one.threads:7} {one.share(self.wall):6.0%} {one.busy:11.1f} "
                f"{one.waiting:9.1f} {one.nbytes / 1e6:9.1f}  {reason}"
            )
        if self.backend:
            lines.append(f"the model ran by {self.backend}; {self.calls}")
        return "\n".join(lines)
