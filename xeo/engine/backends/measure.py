"""The micro-benchmark: which backend, on how much at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xeo import options
from xeo.engine.backends import remembered
from xeo.engine.backends.call import Backend, Call, UnsuitedError
from xeo.engine.backends.choice import Choice, Trial
from xeo.engine.backends.likeness import compare
from xeo.engine.backends.running import out_of_memory, runner, shape_of
from xeo.engine.backends.table import TABLE, check, suitable
from xeo.errors import ModelError, XeoWarning
from xeo.spec import Batch
from xeo.warn import warn

#: Seconds of timed calls.
SECONDS = 1.0
#: Share of a job's own time that preparing a backend may take, and that trials may take where
#: one call is longer than all of `SECONDS`.
PREPARE, LONG = 0.1, 0.01
#: Calls that one line of the table takes, and the share of the time, unless they are longer.
_SPELL, _REPEATS = 0.06, 5
#: Calls of the smallest size that a trial needs to say something.
_FEW = 16
#: By how much the model itself has to be beaten: less is noise.
_GAIN = 1.05
#: By how much sizes differ that are as good as each other.
_CLOSE = 1.1

_clock: Callable[[], float] = time.perf_counter

Sample = Callable[[int | None, int], Any]
#: Side of a tile, and windows a call.
Size = tuple[int | None, int]


def choose(
    model: Any,
    sample: Sample,
    *,
    precision: str = "exact",
    backend: str | None = None,
    device: str | None = None,
    sides: Sequence[int] = (),
    batches: Sequence[int] = (1,),
    calls: float = 0.0,
    threads: int = 1,
    seconds: float = SECONDS,
    names: Sequence[str] | None = None,
    fresh: bool = False,
) -> Choice:
    """Find how a model is called fastest on this machine.

    Parameters
    ----------
    model : object
        With ``spec``.
    sample : callable
        From the kept side of a tile (None for fixed windows) and a number of windows to what
        the model is called with, of the data at hand.
    precision : {"exact", "fast"}
        How near to the model's own numbers it has to come.
    backend : str, optional
        The one to use; None takes that of the environment variable ``XEO_BACKEND``, or measures.
    device : str, optional
        Where the model runs.
    sides : sequence of int
        Sides to try for models of any size, the plan's own first; empty for fixed windows.
    batches : sequence of int
        Windows a call to try, the plan's own first.
    calls : float
        How many calls of the first side and batch the whole job is: what takes long to prepare
        is tried for long jobs alone. 0 tries nothing, infinity everything.
    threads : int
        Threads within one call.
    seconds : float
        Of timed calls, in all.
    names : sequence of str, optional
        Backends to try; None for all that are suitable.
    fresh : bool
        Measure again, whatever is remembered or set in the environment.

    Returns
    -------
    Choice
    """
    first = (sides[0] if sides else None, batches[0])
    forced = backend or (None if fresh else options.forced_backend())
    plain = Choice("eager", *first, precision, threads)
    if forced is not None:
        check(forced)
    if forced == "eager":
        return plain
    sizes = _sizes(sides, batches)
    if forced is not None:
        bench = _Bench(model, sample, plain, math.inf, seconds)
        made = bench.choice(bench.explore((TABLE[forced],), sizes), forced=True)
        return made if made.backend == forced else _refused(made, model)
    if calls <= 0:
        return plain
    name = remembered.key(model, precision, device, threads, *_bands(sample(*sizes[0])))
    held = None if fresh or name is None else remembered.load(name)
    kinds = suitable(precision, device)
    if names is not None:
        kinds = tuple(one for one in kinds if one.name in names)
    bench = _Bench(model, sample, plain, calls, seconds)
    if held is not None and (held[1] or not bench.pays_more(held[0], kinds)):
        found = bench.reused(held[0], kinds)
        if found is not None:
            return _fitted(found, sides, batches)
    made = bench.choice(bench.explore(kinds, sizes))
    if name is not None and names is None:
        remembered.save(name, made, thorough=bench.thorough)
    return made


def _sizes(sides: Sequence[int], batches: Sequence[int]) -> list[Size]:
    """Return what is tried, the smallest first: it costs least, and is often the best."""
    if sides:
        return [(side, batches[0]) for side in sorted(set(sides))]
    return [(None, batch) for batch in sorted(set(batches))]


def _bands(x: Any) -> tuple[int, ...]:
    arrays = x.arrays.values() if isinstance(x, Batch) else (x,)
    return tuple(int(one.shape[-3]) for one in arrays)


def _fitted(choice: Choice, sides: Sequence[int], batches: Sequence[int]) -> Choice:
    """Return a remembered choice for a job whose blocks or memory allow other sizes."""
    side = choice.side
    if sides and side not in sides:
        smaller = [one for one in sides if one <= (side or 0)]
        side = max(smaller) if smaller else min(sides)
    batch, shape = batches[0], choice.shape
    if not sides:
        side, batch = None, max([n for n in batches if n <= choice.batch], default=min(batches))
    if shape is not None:
        shape = (batch, *shape[1:]) if side == choice.side else None
    return replace(choice, side=side, batch=batch, shape=shape, remembered=True)


def _refused(made: Choice, model: Any) -> Choice:
    why = next((one.why for one in made.trials if one.why), "it is not faster")
    wanted = made.trials[-1].backend
    warn(
        f"backend {wanted!r} cannot run model {model.spec.name!r}: {why}. The model itself runs "
        "instead. Try: backend=None, which takes the fastest that can",
        XeoWarning,
    )
    return made


@dataclass
class _Reference:
    """What the model itself makes of a sample, and how long that takes."""

    x: Any
    made: Any
    units: float
    trial: Trial


class _Bench:
    """Calls, their times, and what is left of the time for them."""

    def __init__(
        self,
        model: Any,
        sample: Sample,
        plain: Choice,
        calls: float,
        seconds: float,
    ) -> None:
        self.model, self.sample, self.plain, self.calls = model, sample, plain, calls
        # Whether dear backends are tried however short the job is.
        self.willing = math.isinf(calls)
        self.seconds, self.spent, self.paid = seconds, 0.0, 0.0
        self.spell, self.repeats = _SPELL * seconds, max(_REPEATS, int(_REPEATS * seconds))
        # Seconds that preparing took here before.
        self.known: dict[str, float] = {}
        self.references: dict[Size, _Reference] = {}
        self.refused: list[Trial] = []
        self.thorough = True

    def explore(self, kinds: Sequence[Backend], sizes: Sequence[Size]) -> list[Trial]:
        """Try the model itself on all sizes, backends on the best one, the best on the others."""
        self.model(self.sample(*sizes[0]))  # which loads its weights
        trials = [self._eager(sizes[0])]
        if (
            not self.willing
            and (short := PREPARE * self._job(trials) / options.cores()) < self.seconds
        ):
            # A short job must not lose more by the trial than it can gain.
            self.seconds, self.thorough = short, False
        # Where there is no time for a few calls, a long job allows more.
        few = _FEW * _units(*sizes[0]) / _rate(trials[0])
        self.seconds = max(self.seconds, min(LONG * self._job(trials), few))
        for size in sizes[1:]:
            if self._affords(trials[-1], size, share=0.25):
                trials.append(self._eager(size))
        # Of sizes that are as good as each other the smallest, which takes the least memory.
        good = [one for one in trials if _rate(one) * _CLOSE >= max(map(_rate, trials))]
        best = good[0]
        others = [one for one in kinds if one.name != "eager" and self._pays(one, best)]
        made = [(one, self._try(one, _size(best))) for one in others]
        trials += [trial for _, trial in made]
        pairs = sorted((pair for pair in made if pair[1].rate), key=lambda pair: -_rate(pair[1]))
        for one, trial in pairs[:2]:
            for size in _around(sizes, _size(best), every=self.willing):
                if self._affords(trial, size, share=0.5):
                    trials.append(self._try(one, size))
        return [*trials, *self.refused]

    def choice(self, trials: list[Trial], *, forced: bool = False) -> Choice:
        """Return the best of what was tried."""
        good = [one for one in trials if one.rate is not None]
        if forced and any(one.backend != "eager" for one in good):
            good = [one for one in good if one.backend != "eager"]
        best = max(good, key=lambda one: _rate(one) * (_GAIN if one.backend == "eager" else 1))
        alike = [one for one in good if one.backend == best.backend]
        close = [one for one in alike if _rate(one) * _GAIN >= _rate(best)]
        best = min(close, key=lambda one: _units(*_size(one)))
        x = self.references[_size(best)].x
        return replace(
            self.plain,
            backend=best.backend,
            side=best.side,
            batch=best.batch,
            shape=None if isinstance(x, Batch) else tuple(shape_of(x)),
            difference=best.difference,
            cosine=best.cosine if self.plain.precision == "fast" else None,
            trials=tuple(trials),
        )

    def pays_more(self, held: Choice, kinds: Sequence[Backend]) -> bool:
        """Whether this job is long enough for a backend that a shorter one did not try."""
        self.known = {one.backend: one.prepare for one in held.trials if one.prepare}
        tried = {one.backend for one in held.trials if not one.why.startswith((_SHORT, _NO_TIME))}
        eager = [one for one in held.trials if one.backend == "eager" and one.rate]
        left = [one for one in kinds if one.name not in tried]
        return not eager or any(self._long_enough(one, eager) for one in left)

    def reused(self, held: Choice, kinds: Sequence[Backend]) -> Choice | None:
        """Return a remembered choice, or the next best where this job is too short for it."""
        eager = [one for one in held.trials if one.backend == "eager" and one.rate]
        # What keeps its programs has them at hand; what compiles does so in each process.
        ready = {
            one.name
            for one in kinds
            if not any(map(lacks, one.packages))
            and not remembered.crashed(self.model, one)
            and (one.keeps or not one.seconds or (eager and self._long_enough(one, eager)))
        }
        if held.backend in ready:
            return held
        left = [one for one in held.trials if one.rate and one.backend in ready]
        if not left:
            return None
        best = max(left, key=_rate)
        return replace(
            held,
            backend=best.backend,
            side=best.side,
            batch=best.batch,
            difference=best.difference,
            cosine=best.cosine if held.precision == "fast" else None,
        )

    def _job(self, trials: Sequence[Trial]) -> float:
        """Return how long the job takes with the model itself, in seconds."""
        return self.calls * _units(self.plain.side, self.plain.batch) / _rate(trials[0])

    def _long_enough(self, backend: Backend, trials: Sequence[Trial]) -> bool:
        expected = self.known.get(backend.name, backend.seconds)
        if not expected or self.willing:
            return True
        return self.paid + expected <= PREPARE * self._job(trials) / options.cores()

    def _pays(self, backend: Backend, eager: Trial) -> bool:
        """Whether a backend is worth its preparation, and did no harm before."""
        missing = [one for one in backend.packages if lacks(one)]
        why = ""
        if missing:
            why = f"not installed: {', '.join(missing)}"
        elif remembered.crashed(self.model, backend):
            why = "a process ended while it was tried. Try: xeo tune --forget"
        elif not self._long_enough(backend, [eager]):
            why = f"{_SHORT} the {backend.seconds:.0f} s that preparing it takes"
            self.thorough = False
        if why:
            self.refused.append(Trial(backend.name, *_size(eager), why=why))
        return not why

    def _affords(self, like: Trial, size: Size, *, share: float) -> bool:
        """Whether two calls on a size fit into a share of what is left of the time."""
        return 2 * _units(*size) / _rate(like) <= share * (self.seconds - self.spent)

    def _eager(self, size: Size) -> Trial:
        x = self.sample(*size)
        made, best = self._timed(self.model, x)
        units = _kept(size, x)
        trial = Trial("eager", *size, rate=units / best, difference=0.0, cosine=1.0)
        self.references[size] = _Reference(x, made, units, trial)
        return trial

    def _try(self, backend: Backend, size: Size) -> Trial:
        if size not in self.references:
            self._eager(size)
        beside = self.references[size]
        blank = Trial(backend.name, *size)
        running = runner(self.model, replace(self.plain, backend=backend.name, shape=None))
        if not self._affords(beside.trial, size, share=1.0):
            self.thorough = False
            return replace(blank, why=_NO_TIME)
        try:
            before = running.prepared
            call, _ = running.attempt(beside.x, again=True)
            self.paid += running.prepared if running.prepared != before else 0.0
            made, best = self._timed(call, beside.x)
        except Exception as err:
            return replace(blank, why=_why(err))
        prepared, found = running.prepared, compare(made, beside.made)
        blank = replace(blank, prepare=prepared, difference=found.difference, cosine=found.cosine)
        if not found.suits(self.plain.precision):
            return replace(blank, why="its numbers are off")
        running.trust(beside.x, call)
        return replace(blank, rate=beside.units / best)

    def _timed(self, call: Call, x: Any) -> tuple[Any, float]:
        """Return what a call makes, and the time of the fastest of a few."""
        made, best, spent = None, math.inf, 0.0
        for _ in range(self.repeats):
            start = _clock()
            made = call(x)
            took = _clock() - start
            best, spent = min(best, took), spent + took
            self.spent += took
            if spent >= self.spell or self.spent + took > self.seconds:
                break
        return made, max(best, 1e-9)


_SHORT, _NO_TIME = "the job is too short for", "no time was left for its trial"


def lacks(package: str) -> bool:
    """Whether a package is not installed."""
    import importlib.util

    return importlib.util.find_spec(package) is None


def _why(err: Exception) -> str:
    if out_of_memory(err):
        return "out of memory"
    if isinstance(err, (UnsuitedError, ModelError)):
        return str(err)
    return f"{type(err).__name__}: {' '.join(str(err).split())[:200]}"


def _rate(trial: Trial) -> float:
    return trial.rate or 0.0


def _size(trial: Trial) -> Size:
    return trial.side, trial.batch


def _units(side: int | None, batch: int) -> float:
    return float(batch if side is None else batch * side * side)


def _kept(size: Size, x: Any) -> float:
    """Return the pixels or windows of a sample, which may be smaller than it was asked to be."""
    first = next(iter(x.arrays.values())) if isinstance(x, Batch) else x
    side, _ = size
    if side is None:
        return float(len(first))
    return float(len(first) * math.prod(min(side, n) for n in first.shape[-2:]))


def _around(sizes: Sequence[Size], best: Size, *, every: bool) -> list[Size]:
    """Return the sizes beside one, or every other."""
    at = list(sizes).index(best)
    near = sizes if every else sizes[max(0, at - 1) : at + 2]
    return [one for one in near if one != best]
