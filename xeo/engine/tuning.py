"""How the model of a job is called in this process: by which backend, on how much at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xeo import options
from xeo.engine import backends
from xeo.errors import XeoWarning
from xeo.warn import warn

if TYPE_CHECKING:
    from xeo.engine.job import Job
    from xeo.engine.plan import Plan

#: Windows below which nothing is tried: the trial would cost more than it gains.
FEW = 8
#: Sides of tiles, in pixels, that are tried beside the plan's own.
_SIDES = (512, 256, 128, 64)
#: Windows a call that are tried beside the plan's own.
_BATCHES = (4, 1)

_LOCK = threading.Lock()
_SETTLED: dict[Any, Settled] = {}


@dataclass
class Settled:
    """What was decided for a model in this process.

    Parameters
    ----------
    choice : Choice
        The backend, and what was tried.
    runner : Runner
        Calls the model by that backend.
    batch : int
        Windows a call.
    side : int, optional
        Side of a tile in pixels, halo not counted, for a model of any size.
    """

    choice: backends.Choice
    runner: backends.Runner
    batch: int
    side: int | None

    def told(self) -> tuple[str, str]:
        """Return the backend with what it costs, and what a call is given, in words."""
        name, cost = self.runner.name, self.choice.cosine
        many = f"tiles of {self.side} px" if self.side else f"{self.batch} windows a call"
        if cost is not None and name != "eager":
            name += f", cosine similarity {cost:.5f} to its exact numbers"
        return name, many

    def shrink(self, plan: Plan, tried: int) -> bool:
        """Halve what is called at once, and say so; False where that is not possible.

        Parameters
        ----------
        plan : Plan
            Of the block that ran out of memory.
        tried : int
            Windows of the call that did: where another thread has halved them since, nothing
            is left to do.
        """
        with _LOCK:
            return tried > self.batch or self._halve(plan)

    def _halve(self, plan: Plan) -> bool:
        if self.batch > 1:
            self.batch //= 2
            now = f"{self.batch} windows"
        elif plan.spec.window is None and plan.tile >= 2 * plan.spec.unit:
            self.side = max(plan.spec.unit, plan.tile // 2 // plan.spec.unit * plan.spec.unit)
            now = f"tiles of {self.side} pixels"
        else:
            return False
        warn(
            f"model {plan.spec.name!r} ran out of memory: calling it on {now} at once from now "
            "on. Try: fewer workers, or a smaller batch",
            XeoWarning,
        )
        return True


def settle(job: Job, sample: Callable[[int | None, int], Any]) -> Settled:
    """Return how a job's model is called here, deciding at the first call of the process.

    Parameters
    ----------
    job : Job
        What is to be done.
    sample : callable
        From the side of a tile (None for fixed windows) and a number of windows to what the
        model would be called with, of the data at hand.

    Returns
    -------
    Settled
        One for all threads and all jobs of the same model, settings and sizes.
    """
    key = _key(job)
    with _LOCK:
        found = _SETTLED.get(key)
        if found is None:
            found = _SETTLED[key] = _decide(job, sample)
    return found


def settled(job: Job) -> Settled | None:
    """Return what was decided for a job, if anything was."""
    return _SETTLED.get(_key(job))


def _key(job: Job) -> Any:
    plan = job.plan
    model = backends.identity(job.model)
    return model, job.precision, job.backend, job.device, plan.tile, plan.batch, plan.bands


def _decide(job: Job, sample: Callable[[int | None, int], Any]) -> Settled:
    plan, spec = job.plan, job.plan.spec
    calls = plan.windows / plan.batch
    batches, sides = candidates(plan, fixed=job.batch is not None)
    if plan.windows < FEW and job.backend is None:
        batches, sides = batches[:1], sides[:1]
        calls = 0.0
    choice = backends.choose(
        job.model,
        sample,
        precision=job.precision,
        backend=job.backend,
        device=job.device,
        sides=sides,
        batches=batches,
        calls=calls,
        threads=options.threads(),
    )
    side = choice.side if spec.window is None else None
    return Settled(choice, backends.runner(job.model, choice), choice.batch, side)


def candidates(plan: Plan, *, fixed: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return batches and sides to try, the plan's own first."""
    if plan.spec.window is not None:
        if fixed:
            return (plan.batch,), ()
        return (plan.batch, *(n for n in _BATCHES if n < plan.batch)), ()
    unit = plan.spec.unit
    # A tile that is small beside its halo only costs.
    least = max(unit, 8 * plan.spec.margin)
    smaller = {side // unit * unit for side in _SIDES if least <= side < plan.tile}
    return (plan.batch,), (plan.tile, *sorted(smaller - {0}, reverse=True))
