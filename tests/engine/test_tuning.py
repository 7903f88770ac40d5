"""How a job's model is called: decided once, and halved where memory runs out."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

import xeo
from tests.engine.toys import Convolution, Patch
from xeo.engine import backends, lazy, tuning
from xeo.engine.backends import out_of_memory
from xeo.engine.tuning import candidates, settle
from xeo.errors import XeoWarning


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "_SETTLED", {})
    cube = xeo.simulate_cube(dates=1, size=64, truth=False)[["B04", "B08"]]
    cube.to_zarr(tmp_path / "cube.zarr", consolidated=False, zarr_format=3)
    made = xeo.open_cube(tmp_path / "cube.zarr").eo.embed(Convolution(1), chunk=16)
    found = lazy.job_of(made.data)
    assert found is not None
    return found


def test_one_decision_for_all_threads(job, monkeypatch):
    asked = []

    def choose(model, sample, **told):
        asked.append(told)
        return backends.Choice("eager", told["sides"][0], told["batches"][0])

    monkeypatch.setattr(backends, "choose", choose)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(settle(job, lambda side, count: None)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    assert len({id(one) for one in found}) == 1
    assert tuning.settled(job) is found[0]
    # Other settings are another decision.
    settle(replace(job, precision="fast"), lambda side, count: None)
    assert [one["precision"] for one in asked] == ["exact", "fast"]
    assert asked[0]["calls"] == 16 / job.plan.batch


def test_few_windows_are_not_worth_a_trial(job, monkeypatch):
    told = {}
    monkeypatch.setattr(
        backends, "choose", lambda *_, **given: (told.update(given), backends.Choice())[1]
    )
    plan = replace(job.plan, y=replace(job.plan.y, size=16), x=replace(job.plan.x, size=16))
    settle(replace(job, plan=plan), lambda side, count: None)
    assert told["calls"] == 0


def test_candidates_suit_the_model(job):
    plan = replace(job.plan, tile=512)
    assert candidates(plan, fixed=False) == ((job.plan.batch,), (512, 256, 128, 64))
    wide = replace(plan, spec=Convolution(30).spec)
    assert candidates(wide, fixed=False)[1] == (512, 256)
    patches = replace(plan, spec=Patch(8).spec, batch=16)
    assert candidates(patches, fixed=False) == ((16, 4, 1), ())
    assert candidates(patches, fixed=True) == ((16,), ())


def test_memory_that_runs_out_halves_batch_then_tile(job):
    plan = replace(job.plan, tile=4)
    one = tuning.Settled(backends.Choice(), lambda x: x, 2, None)
    with pytest.warns(XeoWarning, match="1 windows at once"):
        assert one.shrink(plan, 2)
    # Another thread, whose call of two windows failed as well: it has been done.
    assert one.shrink(plan, 2)
    with pytest.warns(XeoWarning, match="tiles of 2 pixels"):
        assert one.shrink(plan, 1)
    assert not one.shrink(replace(plan, tile=1), 1)
    fixed = replace(plan, spec=Patch(8).spec)
    assert not tuning.Settled(backends.Choice(), lambda x: x, 1, None).shrink(fixed, 1)


def test_what_says_that_memory_ran_out():
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not out_of_memory(RuntimeError("shapes differ"))
    assert not out_of_memory(ValueError("allocate memory"))


def test_an_object_that_does_not_hash_is_its_own_key(job):
    class Odd(Convolution):
        __hash__ = None

    odd = Odd(1)
    made = settle(replace(job, model=odd), lambda side, count: np.zeros((1, 2, 16, 16), "f4"))
    assert tuning.settled(replace(job, model=odd)) is made
    assert tuning.settled(replace(job, model=Odd(1))) is None


def test_what_failed_is_not_named(job, monkeypatch):
    monkeypatch.setattr(backends, "choose", lambda *_, **told: backends.Choice("openvino", 16, 1))
    made = settle(job, lambda side, count: None)
    assert made.told() == ("openvino", "tiles of 16 px")
    with pytest.warns(XeoWarning, match="not used any more"):
        made.runner._give_up("on purpose")
    assert made.told() == ("eager", "tiles of 16 px")
