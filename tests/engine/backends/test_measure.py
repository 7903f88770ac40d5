"""The micro-benchmark, on a clock that stands still unless a model is called."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from xeo.engine.backends import measure, remembered, running
from xeo.engine.backends.call import Backend, UnsuitedError
from xeo.engine.backends.measure import choose
from xeo.engine.backends.table import TABLE
from xeo.errors import OptionError, XeoWarning
from xeo.spec import ModelSpec


class Clock:
    """Seconds that calls are said to take."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        self.calls += 1


CLOCK = Clock()


@dataclass(frozen=True)
class Slow:
    """Takes so many seconds for a million pixels."""

    name: str = "slow"
    seconds: float = 1.0
    window: int | None = None

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(self.name, window=self.window, channels_per_band=1)

    def __call__(self, x: Any, /) -> Any:
        CLOCK.pass_by(self.seconds * x[:, 0].size / 1e6)
        return x * np.float32(2)


def sample(side: int | None, count: int) -> Any:
    return np.ones((count, 2, side or 100, side or 100), "f4")


def faster(times, *, off=0.0, **settings):
    """Return a backend that takes a part of the time."""

    def prepare(request):
        def call(x):
            CLOCK.pass_by(request.model.seconds * x[:, 0].size / 1e6 / times)
            made = x * np.float32(2)
            made[:, 0] += np.float32(off)
            return made

        return call

    return lambda name: Backend(name, prepare, **settings)


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """A clock, a folder and a table of its own for each test."""
    global CLOCK
    CLOCK = Clock()
    monkeypatch.setattr(measure, "_clock", lambda: CLOCK())
    monkeypatch.delenv("XEO_BACKEND")
    monkeypatch.setenv("XEO_TUNE_FOLDER", str(tmp_path))
    for name in [one for one in TABLE if one != "eager"]:
        monkeypatch.delitem(TABLE, name)
    yield
    running.forget()


@pytest.fixture
def table(monkeypatch):
    def put(**made):
        for name, backend in made.items():
            monkeypatch.setitem(TABLE, name, backend(name))

    return put


def tried(choice):
    return {one.backend for one in choice.trials if one.rate}


def test_the_fastest_is_taken(table):
    table(twice=faster(2), thrice=faster(3))
    found = choose(Slow(), sample, sides=(512, 256, 128), calls=5000)
    assert found.backend == "thrice"
    assert tried(found) == {"eager", "twice", "thrice"}


def test_a_little_faster_is_no_reason(table):
    table(hardly=faster(1.03))
    assert choose(Slow(), sample, sides=(128,), calls=5000).backend == "eager"


@pytest.mark.parametrize("seconds", [0.01, 0.3, 3.0])
def test_it_takes_a_second_at_most(table, seconds):
    table(one=faster(1.2), two=faster(2), three=faster(3))
    found = choose(Slow(seconds=seconds), sample, sides=(512, 256, 128), calls=5000)
    assert found.backend == "three"
    assert 0.01 < CLOCK.now < 1.1


def test_a_long_job_of_long_calls_may_take_longer(table):
    table(two=faster(2))
    slow = Slow(seconds=100.0, window=100)
    assert choose(slow, sample, batches=(8, 4, 1), calls=10_000).backend == "two"
    assert 1 < CLOCK.now < 17


def test_no_calls_no_trial(table):
    table(two=faster(2))
    found = choose(Slow(), sample, sides=(512,), batches=(1,), calls=0)
    assert (found.backend, found.side, CLOCK.calls) == ("eager", 512, 0)


def test_the_better_side_is_taken(table):
    @dataclass(frozen=True)
    class Cached(Slow):
        def __call__(self, x):
            CLOCK.pass_by(x[:, 0].size * (2e-6 if x.shape[-1] > 300 else 1e-6))
            return x

    found = choose(Cached("cached"), sample, sides=(512, 256, 128), calls=5000)
    assert found.side == 128
    assert found.shape == (1, 2, 128, 128)


def test_batches_that_pay_are_taken():
    @dataclass(frozen=True)
    class Overhead(Slow):
        def __call__(self, x):
            CLOCK.pass_by(0.01 + 0.0001 * len(x))
            return x

    found = choose(Overhead("overhead", window=100), sample, batches=(8, 4, 1), calls=5000)
    assert (found.batch, found.side) == (8, None)


def test_exact_refuses_what_is_off_and_fast_takes_it(table):
    table(rough=faster(4, off=1e-3))
    exact = choose(Slow(), sample, sides=(128,), calls=5000)
    assert exact.backend == "eager"
    assert exact.cosine is None
    assert [one.why for one in exact.trials if one.backend == "rough"] == ["its numbers are off"]
    fast = choose(Slow(), sample, sides=(128,), calls=5000, precision="fast")
    assert fast.backend == "rough"
    assert 0.99 < fast.cosine < 1


def test_what_takes_long_to_prepare_is_for_long_jobs(table):
    table(dear=faster(2, seconds=30.0))
    short = choose(Slow(), sample, sides=(128,), calls=5000)
    assert short.backend == "eager"
    assert "too short" in short.trials[-1].why
    long = choose(Slow(), sample, sides=(128,), calls=10_000_000)
    assert long.backend == "dear"
    assert not long.remembered


def test_a_choice_is_remembered(table):
    table(two=faster(2))
    first = choose(Slow(), sample, sides=(512, 256), calls=5000)
    calls = CLOCK.calls
    second = choose(Slow(), sample, sides=(512, 256), calls=5000)
    assert (second.backend, second.side, second.remembered) == (first.backend, first.side, True)
    assert CLOCK.calls == calls
    assert not choose(Slow("other"), sample, sides=(512, 256), calls=5000).remembered
    assert not choose(Slow(), sample, sides=(512, 256), calls=5000, precision="fast").remembered
    assert not choose(Slow(), sample, sides=(512, 256), calls=5000, fresh=True).remembered


def test_a_remembered_choice_fits_another_cube(table):
    first = choose(Slow(), sample, sides=(512, 256, 128), calls=5000)
    assert first.side == 128
    assert choose(Slow(), sample, sides=(100, 64), calls=5000).side == 100
    windows = choose(Slow("windows", window=100), sample, batches=(8, 4, 1), calls=5000)
    other = choose(Slow("windows", window=100), sample, batches=(2,), calls=5000)
    assert windows.batch == 1
    assert (other.batch, other.remembered, other.shape[0]) == (2, True, 2)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"trials": [], "backend": 3}', '{"trials": 1}'])
def test_a_damaged_file_is_passed_over(text, tmp_path):
    choose(Slow(), sample, sides=(128,), calls=5000)
    (path,) = tmp_path.glob("*.json")
    path.write_text(text)
    found = choose(Slow(), sample, sides=(128,), calls=5000)
    assert not found.remembered
    assert choose(Slow(), sample, sides=(128,), calls=5000).remembered


def test_a_backend_that_is_gone_is_not_reused(table, monkeypatch):
    table(two=faster(2))
    assert choose(Slow(), sample, sides=(128,), calls=5000).backend == "two"
    monkeypatch.delitem(TABLE, "two")
    assert choose(Slow(), sample, sides=(128,), calls=5000).backend == "eager"


def test_what_compiles_in_each_process_is_not_reused_by_a_short_job(table):
    table(dear=faster(2, seconds=30.0))
    assert choose(Slow(), sample, sides=(128,), calls=10_000_000).backend == "dear"
    found = choose(Slow(), sample, sides=(128,), calls=10)
    assert (found.backend, found.remembered) == ("eager", True)


def test_a_backend_that_ended_a_process_is_left_alone(table, monkeypatch):
    table(bad=faster(9, keeps="bad"))
    backend, model = TABLE["bad"], Slow()
    with remembered.trying(model, backend):
        assert not remembered.crashed(model, backend)
        monkeypatch.setattr(remembered, "_alive", lambda pid: False)
        assert remembered.crashed(model, backend)
        held = remembered._note(model, backend).read_text()
    assert not remembered.crashed(model, backend)
    remembered._note(model, backend).write_text(held)
    found = choose(model, sample, sides=(128,), calls=5000)
    assert found.backend == "eager"
    assert "a process ended" in found.trials[-1].why
    remembered.forget()
    assert choose(model, sample, sides=(128,), calls=5000).backend == "bad"


def refuses(err):
    def prepare(request):
        raise err

    return lambda name: Backend(name, prepare)


@pytest.mark.parametrize(
    ("err", "why"),
    [
        (UnsuitedError("not for me"), "not for me"),
        (MemoryError(), "out of memory"),
        (ValueError("five"), "ValueError: five"),
    ],
)
def test_what_fails_says_why(table, err, why):
    table(bad=refuses(err))
    found = choose(Slow(), sample, sides=(128,), calls=5000)
    assert found.backend == "eager"
    assert [one.why for one in found.trials if one.backend == "bad"] == [why]


def test_a_forced_backend_is_used_however_slow(table, monkeypatch):
    table(slower=faster(0.5), two=faster(2))
    found = choose(Slow(), sample, sides=(256, 128), calls=10, backend="slower")
    assert found.backend == "slower"
    assert tried(found) == {"eager", "slower"}
    monkeypatch.setenv("XEO_BACKEND", "slower")
    assert choose(Slow(), sample, sides=(256, 128), calls=10).backend == "slower"
    calls = CLOCK.calls
    assert choose(Slow(), sample, sides=(256, 128), calls=10, backend="eager").side == 256
    assert CLOCK.calls == calls


def test_a_forced_backend_that_cannot_says_so(table):
    table(bad=refuses(UnsuitedError("not for me")))
    with pytest.warns(XeoWarning, match="'bad' cannot run model 'slow': not for me"):
        assert choose(Slow(), sample, sides=(128,), calls=10, backend="bad").backend == "eager"
    with pytest.raises(OptionError, match="expected backend to be one of"):
        choose(Slow(), sample, sides=(128,), calls=10, backend="warp")


def test_infinite_jobs_try_everything(table):
    table(dear=faster(2, seconds=1e9))
    assert choose(Slow(), sample, sides=(128,), calls=math.inf).backend == "dear"


def test_a_short_job_is_not_kept_waiting():
    # 1.6 seconds of work: a trial may take a tenth of what that takes on all cores.
    before = CLOCK.now
    found = choose(Slow(), sample, sides=(512, 256, 128), calls=6)
    assert found.trials[0].rate is not None
    assert CLOCK.now - before <= 0.2
