"""Runners: right numbers whatever a backend does, and one warning."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from xeo.engine.backends import running
from xeo.engine.backends.call import Backend, UnsuitedError
from xeo.engine.backends.choice import Choice
from xeo.engine.backends.running import Runner, runner
from xeo.engine.backends.table import TABLE
from xeo.errors import ModelError, XeoWarning
from xeo.spec import Batch, ModelSpec


@dataclass(frozen=True)
class Doubling:
    """Doubles, and counts."""

    calls: list[Any] = field(default_factory=list, compare=False)
    spec = ModelSpec("doubling", channels_per_band=1)

    def __call__(self, x: Any, /) -> Any:
        self.calls.append(x)
        return (x["image"] if isinstance(x, Batch) else x) * np.float32(2)


def ones(*shape: int) -> Any:
    return np.random.default_rng(1).normal(size=shape or (1, 2, 4, 4)).astype("f4")


@pytest.fixture
def backend(monkeypatch):
    """``backend(call)`` puts a backend in the place of a real one."""

    def put(call, **settings):
        made = Backend("packed", lambda request: call, **settings)
        monkeypatch.setitem(TABLE, "packed", made)
        return Runner(Doubling(), Choice("packed"))

    return put


def quietly(run, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run(x)


def test_a_good_backend_takes_over_after_one_comparison(backend):
    seen = []
    run = backend(lambda x: (seen.append(x), x * np.float32(2))[1])
    x = ones()
    for _ in range(3):
        assert np.array_equal(quietly(run, x), x * 2)
    assert (len(run.model.calls), len(seen)) == (1, 3)


def test_each_shape_is_compared(backend):
    run = backend(lambda x: x * np.float32(2))
    for shape in ((1, 2, 4, 4), (2, 2, 4, 4), (1, 2, 4, 8)):
        for _ in range(2):
            quietly(run, ones(*shape))
    assert [x.shape[0] * x.shape[3] for x in run.model.calls] == [4, 8, 8]


def test_numbers_that_are_a_little_off_are_not_exact(backend):
    run = backend(lambda x: x * np.float32(2.0001))
    with pytest.warns(XeoWarning, match="numbers were off"):
        assert np.array_equal(run(ones()), ones() * 2)
    fast = Runner(Doubling(), Choice("packed", precision="fast"))
    quietly(fast, ones())
    assert np.array_equal(quietly(fast, ones()), ones() * np.float32(2.0001))


def wrong_shape(x):
    return x[:, :1]


def fails(x):
    raise RuntimeError("no such instruction")


def zeros(x):
    return np.zeros_like(x)


@pytest.mark.parametrize("lie", [wrong_shape, fails, zeros])
def test_a_lie_is_found_and_said_once(backend, lie):
    run = backend(lie)
    with pytest.warns(XeoWarning, match="'packed' is not used any more for model 'doubling'") as w:
        assert np.array_equal(run(ones()), ones() * 2)
    assert len(w) == 1
    for shape in ((1, 2, 4, 4), (2, 2, 4, 4)):
        assert np.array_equal(quietly(run, ones(*shape)), ones(*shape) * 2)


def test_a_shape_that_a_backend_cannot_do_runs_eagerly(backend):
    def call(x):
        if x.shape[3] != 4:
            raise UnsuitedError("another size")
        return x * np.float32(2)

    run = backend(call)
    for size in (4, 6, 4, 6):
        assert np.array_equal(quietly(run, ones(1, 2, 4, size)), ones(1, 2, 4, size) * 2)


def test_it_is_not_prepared_anew_for_each_shape(backend, monkeypatch):
    made = []

    def prepare(request):
        made.append(request)

        def call(x):
            if x.shape != request.example.shape:
                raise UnsuitedError("another size")
            return x * np.float32(2)

        return call

    monkeypatch.setitem(TABLE, "packed", Backend("packed", prepare))
    run = Runner(Doubling(), Choice("packed"))
    for size in (4, 6, 8, 6):
        assert np.array_equal(quietly(run, ones(1, 2, 4, size)), ones(1, 2, 4, size) * 2)
    assert len(made) == 1
    run.attempt(ones(1, 2, 4, 6), again=True)
    assert len(made) == 2


def test_a_crash_later_on_ends_it(backend):
    well = [True]
    run = backend(lambda x: x * np.float32(2) if well[0] else fails(x))
    quietly(run, ones())
    quietly(run, ones())
    well[0] = False
    with pytest.warns(XeoWarning, match="no such instruction"):
        assert np.array_equal(run(ones()), ones() * 2)
    well[0] = True
    quietly(run, ones())
    assert len(run.model.calls) == 3


@pytest.mark.parametrize(
    "err", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_full_memory_is_said_as_such(backend, err):
    full = [False]

    def call(x):
        if full[0]:
            raise err
        return x * np.float32(2)

    run = backend(call)
    quietly(run, ones())
    full[0] = True
    with pytest.raises(MemoryError):
        run(ones())
    full[0] = False
    assert np.array_equal(quietly(run, ones()), ones() * 2)


def test_errors_of_the_model_pass(backend):
    def broken(x):
        raise ModelError("not like this")

    run = backend(broken)
    object.__setattr__(run, "model", broken)
    with pytest.raises(ModelError, match="not like this"):
        run(ones())


def test_batches_are_told_apart_by_all_their_shapes(backend):
    run = backend(lambda x: x["image"] * np.float32(2))
    for size in (4, 4, 6):
        quietly(run, Batch({"image": ones(1, 1, 2, size, size)}))
    assert len(run.model.calls) == 2


def test_a_program_of_another_model_on_disk_is_made_anew(backend, monkeypatch):
    made = []

    def prepare(request):
        made.append(request)
        return zeros if len(made) == 1 else lambda x: x * np.float32(2)

    monkeypatch.setitem(TABLE, "packed", Backend("packed", prepare, keeps="nothing"))
    run = Runner(Doubling(), Choice("packed"))
    quietly(run, ones())
    quietly(run, ones())
    assert (len(made), len(run.model.calls)) == (2, 1)


def test_it_is_prepared_for_the_shape_it_was_chosen_for(backend, monkeypatch):
    shapes = []

    def prepare(request):
        shapes.append(request.example.shape)
        return lambda x: x * np.float32(2)

    monkeypatch.setitem(TABLE, "packed", Backend("packed", prepare))
    run = Runner(Doubling(), Choice("packed", shape=(8, 2, 16, 16)))
    quietly(run, ones())
    assert shapes == [(8, 2, 16, 16)]


def test_threads_that_come_while_it_is_prepared_have_right_numbers(backend, monkeypatch):
    started, go = threading.Event(), threading.Event()

    def prepare(request):
        started.set()
        assert go.wait(10)
        return lambda x: x * np.float32(2)

    monkeypatch.setitem(TABLE, "packed", Backend("packed", prepare))
    run = Runner(Doubling(), Choice("packed"))
    thread = threading.Thread(target=run, args=(ones(),))
    thread.start()
    assert started.wait(10)
    assert np.array_equal(run(ones()), ones() * 2)
    go.set()
    thread.join()
    calls = len(run.model.calls)
    run(ones())
    assert len(run.model.calls) == calls


def test_there_is_one_runner_a_process():
    model, choice = Doubling(), Choice("packed", batch=3)
    assert runner(model, choice) is runner(model, Choice("packed", batch=4))
    assert runner(model, choice) is not runner(model, Choice("packed", precision="fast"))


def test_models_that_do_not_hash_are_told_apart():
    @dataclass
    class Loose:
        spec = ModelSpec("loose", channels=1)

        def __call__(self, x):
            return x

    one, other = Loose(), Loose()
    assert runner(one, Choice()) is runner(one, Choice())
    assert runner(one, Choice()) is not runner(other, Choice())


@pytest.fixture(autouse=True)
def _no_runners():
    yield
    running.forget()
