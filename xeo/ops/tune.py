"""The verb ``tune``: what runs a model fastest on this machine, and what was tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from xeo import options, registry
from xeo.engine.backends import Choice, Trial, check, choose, remembered
from xeo.engine.plan import Plan
from xeo.engine.sweep import sampler
from xeo.engine.tuning import candidates
from xeo.errors import DimensionError, OptionError, UnknownNameError
from xeo.ops.apply import PRECISIONS, Options, Said, prepare
from xeo.ops.figures import number
from xeo.ops.report_html import part, table
from xeo.spec import Embedder, ModelSpec

_HEADS = ("backend", "at once", "rate", "times eager", "prepared in", "difference", "")
_RIGHT = (2, 3, 4, 5)
#: What is tried where there is no cube to plan for.
_SIDES, _BATCHES = (512, 256, 128, 64), (8, 4, 1)


@dataclass(frozen=True)
class TuneReport:
    """What `tune` returns: the choice, and the table that it was made from.

    Parameters
    ----------
    model : str
        Its name.
    choice : Choice
        Backend, and tile or batch.
    sample : str
        What the model was called with.
    remembered : bool
        Whether later jobs use the choice.
    """

    model: str
    choice: Choice
    sample: str
    remembered: bool

    @property
    def speedup(self) -> float:
        """How many times as fast as the model itself, at its best, the choice is."""
        return self._best(self.choice.backend) / self._best("eager")

    def to_dict(self) -> dict[str, Any]:
        """Return all that is known as JSON can say it.

        Returns
        -------
        dict
        """
        names = ("backend", "side", "batch", "rate", "prepare", "difference", "cosine", "why")
        chosen = ("backend", "side", "batch", "precision", "threads", "difference", "cosine")
        return {
            "model": self.model,
            "sample": self.sample,
            "remembered": self.remembered,
            "speedup": self.speedup,
            **{name: getattr(self.choice, name) for name in chosen},
            "trials": [
                {name: _finite(getattr(one, name)) for name in names} for one in self.choice.trials
            ],
        }

    def __str__(self) -> str:
        rows = [_HEADS, *map(self._cells, self.choice.trials)]
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.model}, {self.choice.precision}: {self._summary()}"]
        for row in rows:
            cells = [
                cell.rjust(width) if n in _RIGHT else cell.ljust(width)
                for n, (cell, width) in enumerate(zip(row, wide, strict=True))
            ]
            lines.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join([*lines, self._foot()])

    def __repr__(self) -> str:
        return f"<xeo.TuneReport> {self}"

    def _repr_html_(self) -> str:
        head = f"<div><b>{self.model}</b>, {self.choice.precision}: {self._summary()}</div>"
        body = table(_HEADS, map(self._cells, self.choice.trials), "store")
        return part(head, f"<div class='wide'>{body}</div>", f"<div>{self._foot()}</div>")

    def _summary(self) -> str:
        at = _at_once(self.choice.side, self.choice.batch)
        said = f"{self.choice.backend}, {at}, {self.speedup:.2f} times eager"
        cost = self.choice.cosine
        return said if cost is None else f"{said}, cosine similarity {cost:.5f}"

    def _foot(self) -> str:
        kept = "remembered for later jobs" if self.remembered else "not remembered"
        return f"measured on {self.sample}, {self.choice.threads} thread a call; {kept}"

    def _best(self, backend: str) -> float:
        return max(one.rate or 0.0 for one in self.choice.trials if one.backend == backend)

    def _cells(self, one: Trial) -> tuple[str, ...]:
        at = _at_once(one.side, one.batch)
        same = ("backend", "side", "batch")
        chosen = all(getattr(one, word) == getattr(self.choice, word) for word in same)
        note = "chosen" if chosen and not one.why else one.why
        if one.rate is None:
            return one.backend, at, "", "", "", _difference(self.choice.precision, one), note
        windows = one.side is None
        return (
            one.backend,
            at,
            number(one.rate, " windows/s") if windows else number(one.rate / 1e6, " Mpx/s"),
            f"{one.rate / self._best('eager'):.2f}",
            f"{one.prepare:.1f} s" if one.prepare else "",
            _difference(self.choice.precision, one),
            note,
        )


def tune(
    model: str | Embedder,
    obj: xr.DataArray | xr.Dataset | xr.DataTree | None = None,
    *,
    verb: str | None = None,
    precision: str = "exact",
    seconds: float = 10.0,
    backends: Sequence[str] | None = None,
    device: str | None = None,
    sensor: Said = None,
    units: Said = None,
    offset: float | None = None,
) -> TuneReport:
    """Measure what runs a model fastest here, and remember it for later jobs.

    A job measures by itself, for a second, when it meets a model for the first time; this
    takes longer, tries all backends, and shows the table.

    Parameters
    ----------
    model : str or Embedder
        Registered name (`xeo.list_models`) or object.
    obj : DataArray, Dataset or DataTree, optional
        Cube whose pixels the model is called with. None takes random numbers.
    verb : {"embed", "classify"}, optional
        What the named model is used for, where there is one of the name for both; None takes
        the first.
    precision : {"exact", "fast"}
        As for `xeo.embed`.
    seconds : float
        Of timed calls, in all. Exporting and compiling come on top: a minute or two.
    backends : sequence of str, optional
        Which ones to try beside ``eager``; None for all. The choice is then not remembered.
    device, sensor, units, offset :
        As for `xeo.embed`.

    Returns
    -------
    TuneReport
        Prints as a table: backend, tile or windows a call, rate, how many times the model
        itself, preparation, and the largest difference (or, for ``fast``, the least cosine
        similarity) to the model's own numbers; or why a backend was not to be had.

    Raises
    ------
    UnknownNameError
        If no such model is registered.
    OptionError
        If a backend is unknown, ``precision`` or ``seconds`` cannot be used.
    DimensionError
        If the cube has no valid pixel in any of some blocks spread over it.

    Examples
    --------
    >>> found = xeo.tune("band_stats", seconds=0.1, backends=["eager"])
    >>> found.choice.backend
    'eager'
    """
    _check(precision, seconds, backends)
    found = _resolve(model, verb)
    asked = Options(sensor, units, offset, device=device, precision=precision)
    sample, (batches, sides), words = _sampling(found, obj, asked)
    # As in a job: one thread a call, as many calls at once as there are cores.
    with options.thread_share(1):
        choice = choose(
            found,
            sample,
            precision=precision,
            device=device,
            sides=sides,
            batches=batches,
            calls=math.inf,
            seconds=seconds,
            names=None if backends is None else ("eager", *backends),
            fresh=True,
        )
    kept = backends is None and remembered.digest(found) is not None
    return TuneReport(found.spec.name, choice, words, kept)


def forget() -> None:
    """Forget all choices of backends, and the converted programs, kept in the user's cache."""
    remembered.forget()


def _check(precision: str, seconds: float, names: Sequence[str] | None) -> None:
    if precision not in PRECISIONS:
        raise OptionError(f"expected precision to be one of {PRECISIONS}, got {precision!r}")
    if not seconds > 0:
        raise OptionError(f"expected seconds above 0, got {seconds!r}")
    for name in names or ():
        check(name)


def _resolve(model: Any, verb: str | None) -> Any:
    """Return a model of whatever verb."""
    verbs = list(registry.GROUPS)
    if verb is not None and verb not in verbs:
        raise OptionError(f"expected verb to be one of {verbs}, got {verb!r}")
    if not isinstance(model, str) or verb is not None:
        return registry.resolve(verb or "embed", model)
    for one in verbs:
        if model in registry.names(one):
            return registry.resolve(one, model)
    every = sorted({name for one in verbs for name in registry.names(one)})
    raise UnknownNameError(f"expected the name of a model, one of {every}, got {model!r}")


Sampling = tuple[Callable[[int | None, int], Any], tuple[tuple[int, ...], tuple[int, ...]], str]


def _sampling(model: Any, obj: Any, asked: Options) -> Sampling:
    """Return what cuts samples, what sizes are tried, and words for both."""
    if obj is None:
        return _random(model.spec)
    spec = model.spec
    prepared = prepare(obj, model, asked, finish=_same, dtype=spec.dtype)
    plan: Plan = prepared.job.plan
    sample = sampler(prepared.job)
    if sample is None:
        raise DimensionError(
            "expected a cube with valid pixels, got none in blocks spread over it. Try: other "
            "dates, obj.sel(time=...)"
        )
    return sample, candidates(plan, fixed=False), "pixels of the cube"


def _same(values: Any) -> Any:
    return values


def _random(spec: ModelSpec) -> Sampling:
    from xeo.testing import make_batch

    def sample(side: int | None, count: int) -> Any:
        return make_batch(spec, count, spec.window or (side or 0) + 2 * spec.margin)

    words = "random numbers, as there was no cube"
    if spec.window is not None:
        return sample, (_BATCHES, ()), words
    least = max(spec.unit, 8 * spec.margin)
    sides = sorted({side // spec.unit * spec.unit for side in _SIDES if side >= least})
    return sample, ((1,), tuple(sides[::-1]) or (least,)), words


def _at_once(side: int | None, batch: int) -> str:
    if side is None:
        return f"{batch} windows" if batch > 1 else "1 window"
    return f"{side} px" if batch == 1 else f"{batch} x {side} px"


def _difference(precision: str, one: Trial) -> str:
    if precision == "fast":
        return "" if one.cosine is None else f"cos {one.cosine:.5f}"
    return "" if one.difference is None else f"{one.difference:.1e}"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
