"""Blocks on their way through three crews of threads: readers, those that compute, writers.

Each side has threads of its own, so that a store that makes wait does not make the cores wait,
and what a model keeps between its layers stays with as many threads as compute. What is on the
way is bounded by bytes: a reader takes room for a block, for what it reads and what becomes of
it, before it reads; the room for the first is given back when the block is computed, that for
the second when it is written.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from xeo import options
from xeo.engine.chunks import OFTEN
from xeo.engine.job import Inputs, Job, Made, Number
from xeo.engine.profile import Profile
from xeo.engine.seams import Seams

#: Bytes that may be on the way beside the blocks that are being computed.
AHEAD_BYTES = 256 * 2**20
#: Readers and writers at the start, and at most: stores that make wait need many.
FIRST, MOST = 2, 16
#: A crew grows where the cores did less than this for so many seconds.
IDLE, SPELL = 0.8, 0.25

Keep = Callable[[Number, Made], None]


class Room:
    """Bytes that may be taken, and are waited for.

    Parameters
    ----------
    limit : int
        How many in all; a single taker may exceed it.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._taken = limit, 0
        self._changed = threading.Condition()
        self._open = True

    def take(self, size: int) -> bool:
        """Wait for room; False once it is closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._open or not self._taken or self._taken + size <= self._limit
            )
            self._taken += size if self._open else 0
            return self._open

    def give(self, size: int) -> None:
        """Give room back."""
        with self._changed:
            self._taken -= size
            self._changed.notify_all()

    def close(self) -> None:
        """Let all go that wait."""
        with self._changed:
            self._open = False
            self._changed.notify_all()


class Pipeline:
    """One run of a job.

    Parameters
    ----------
    job : Job
        What makes a block.
    keep : callable
        Called with the place of each block and what was made, from the threads that write.
    workers : int
        Threads that compute; the cores are divided among them.
    profile : Profile
        Is filled in.
    numbers : iterable of int, optional
        Of all blocks, in the order in which they are read; None takes rows of blocks.
    """

    def __init__(
        self,
        job: Job,
        keep: Keep,
        workers: int,
        profile: Profile,
        numbers: Iterable[int] | None = None,
    ) -> None:
        self.job, self.keep, self.profile = job, keep, profile
        self.share = max(1, options.cores() // workers)
        self.read_bytes, self.made_bytes = job.plan.read_bytes, job.plan.made_bytes
        each = self.read_bytes + self.made_bytes
        # Where chunks are kept for the blocks that follow, they are ahead already.
        ahead = AHEAD_BYTES // 2 if job.plan.passes > OFTEN else AHEAD_BYTES
        self.room = Room(each * workers + max(each, ahead))
        self.seams = Seams()
        self.numbers = iter(range(job.plan.blocks) if numbers is None else numbers)
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.ready: queue.SimpleQueue[Inputs | None] = queue.SimpleQueue()
        self.computed: queue.SimpleQueue[tuple[Number, Made] | None] = queue.SimpleQueue()
        self.told: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
        self.starving = 0
        self.idle = _Idle()
        count = job.plan.blocks
        self.readers = _Crew(self, "reading", self._read, min(FIRST, count))
        self.computers = _Crew(self, "computing", self._compute, workers)
        self.writers = _Crew(self, "writing", self._write, min(FIRST, count))

    def run(self, progress: Callable[[int], None] | None) -> None:
        """Run until the last block is kept, or something fails.

        On an error in any thread, or one that interrupts the calling one, no further block is
        started; those being computed are finished and kept before it is raised.
        """
        try:
            for crew in (self.readers, self.computers, self.writers):
                crew.start()
            for _ in range(self.job.plan.blocks):
                told = self.told.get()
                if isinstance(told, BaseException):
                    raise told
                if progress is not None:
                    progress(told)
        except BaseException:
            self.stopped.set()
            self.room.close()
            raise
        finally:
            self._end()

    def _end(self) -> None:
        """Let each crew finish what it has, then the next one."""
        self.readers.join()
        self.computers.join(self.ready)
        self.writers.join(self.computed)

    def _read(self) -> bool:
        with self.profile.waiting("reading"):
            if not self.room.take(self.read_bytes + self.made_bytes):
                return False
        with self.lock:
            number = None if self.stopped.is_set() else next(self.numbers, None)
        if number is None:
            self.room.give(self.read_bytes + self.made_bytes)
            return False
        with self.profile.busy("reading"):
            inputs = self.job.read(self.job.plan.index(number))
        self.profile.passed("reading", inputs.nbytes)
        self.ready.put(inputs)
        if self.starving and self.idle():
            self.readers.grow()
        return True

    def _compute(self) -> bool:
        with self.profile.waiting("computing"):
            self._starve(1)
            inputs = self.ready.get()
            self._starve(-1)
        if inputs is None:
            return False
        if self.stopped.is_set():
            return True
        with self.profile.busy("computing"), options.thread_share(self.share):
            made = self.job.make(inputs, self.seams)
        self.room.give(self.read_bytes)
        self.profile.passed("computing", made.values.nbytes)
        self.profile.made(skipped=inputs.blocks is None)
        self.computed.put((inputs.index, made))
        return True

    def _starve(self, change: int) -> None:
        with self.lock:
            self.starving += change

    def _write(self) -> bool:
        with self.profile.waiting("writing"):
            item = self.computed.get()
        if item is None:
            return False
        index, made = item
        with self.profile.busy("writing"):
            self.keep(index, made)
        self.room.give(self.made_bytes)
        self.profile.passed("writing", made.values.nbytes)
        self.told.put(made.values.size)
        if not self.computed.empty() and self.idle():
            self.writers.grow()
        return True


class _Crew:
    """Threads that do the same step, over and over."""

    def __init__(self, pipeline: Pipeline, name: str, step: Callable[[], bool], count: int) -> None:
        self.pipeline, self.name, self.step, self.count = pipeline, name, step, count
        self.threads: list[threading.Thread] = []
        self.lock = threading.Lock()
        self.closed = False

    def start(self) -> None:
        """Start the first threads."""
        for _ in range(self.count):
            self.grow(limit=self.count)

    def grow(self, limit: int = MOST) -> None:
        """Start another thread, if there may be one more."""
        with self.lock:
            if len(self.threads) >= limit or self.closed or self.pipeline.stopped.is_set():
                return
            name = f"xeo-{self.name}-{len(self.threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self.threads.append(thread)
            getattr(self.pipeline.profile, self.name).threads = len(self.threads)
            thread.start()

    def join(self, source: queue.SimpleQueue[Any] | None = None) -> None:
        """Wait until they are done; a None for each ends those that wait at a queue."""
        with self.lock:
            self.closed = True
        if source is not None:
            for _ in self.threads:
                source.put(None)
        for thread in self.threads:
            thread.join()

    def _work(self) -> None:
        going = True
        while going:
            try:
                going = self.step()
            except BaseException as err:
                self.pipeline.stopped.set()
                self.pipeline.told.put(err)


class _Idle:
    """Tells whether the cores had little to do of late."""

    def __init__(self) -> None:
        self._then = time.perf_counter(), time.process_time()
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        with self._lock:
            wall, cpu = self._then
            now = time.perf_counter(), time.process_time()
            if now[0] - wall < SPELL:
                return False
            self._then = now
        return (now[1] - cpu) < IDLE * (now[0] - wall) * options.cores()
