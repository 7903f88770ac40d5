"""The table of what runs a model fastest, and what later jobs make of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xeo
from xeo.engine import backends
from xeo.engine.backends import TABLE, Choice, Trial, running
from xeo.errors import DimensionError, OptionError, UnknownNameError
from xeo.ops.tune import TuneReport, forget

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XEO_TUNE_FOLDER", str(tmp_path / "kept"))
    yield
    running.forget()


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 8, 3, padding=1), torch.nn.Conv2d(8, 3, 1))
    spec = xeo.ModelSpec("mine", bands=("red", "nir"), halo=1, channels=3)
    return xeo.models.from_torch(net, spec, folder=tmp_path)


@pytest.fixture
def cube():
    return xeo.simulate_cube(dates=2, size=96, units="reflectance")


def test_a_cube_gives_the_sample(model, cube):
    found = xeo.tune(model, cube, seconds=0.1, backends=["packed"])
    assert "pixels of the cube" in str(found)
    assert {one.backend for one in found.choice.trials if one.rate} == {"eager", "packed"}
    assert {one.side for one in found.choice.trials} == {64, 96}
    assert not found.remembered
    assert "not remembered" in str(found)


def test_without_a_cube_numbers_are_random(model):
    found = xeo.tune(model, seconds=0.1, backends=["packed"])
    assert "random numbers" in str(found)
    assert {one.side for one in found.choice.trials} <= {64, 128, 256, 512}


def test_a_job_uses_what_was_found(model, cube, monkeypatch):
    for name in set(TABLE) - {"eager", "packed"}:
        monkeypatch.delitem(TABLE, name)
    found = xeo.tune(model, cube, seconds=0.1)
    assert found.remembered
    choices, plain = [], backends.choose

    def choose(*args, **options):
        choices.append(plain(*args, **options))
        return choices[-1]

    monkeypatch.setattr(backends, "choose", choose)
    monkeypatch.delenv("XEO_BACKEND")
    made = xeo.embed(cube.chunk(x=32, y=32), model, chunk=32).compute()
    np.testing.assert_allclose(made, xeo.embed(cube, model, backend="eager"), rtol=1e-4, atol=1e-5)
    assert (choices[0].remembered, choices[0].backend) == (True, found.choice.backend)


def test_models_of_windows_are_tried_in_batches(tmp_path):
    spec = xeo.ModelSpec("windows", bands=("red", "nir"), window=16, stride=16, channels=4)
    model = xeo.models.from_torch(torch.nn.Conv2d(2, 4, 16, 16), spec, folder=tmp_path)
    found = xeo.tune(model, seconds=0.1, backends=["packed"])
    assert {one.batch for one in found.choice.trials} == {1, 4, 8}
    assert "windows/s" in str(found)


def test_numpy_models_run_as_they_are():
    found = xeo.tune("band_stats", seconds=1, precision="fast")
    assert found.choice.backend == "eager"
    assert found.speedup == 1
    assert "not one torch module" in str(found)


def report():
    trials = (
        Trial("eager", 128, 1, 2e6, 0.0, 0.0, 1.0),
        Trial("packed", 128, 1, 5e6, 0.1, 4e-7, 1.0),
        Trial("compile", 128, 1, why="the job is too short <for> it"),
        Trial("bfloat16", 128, 1, None, 0.0, float("inf"), -1.0, "its numbers are off"),
    )
    choice = Choice("packed", 128, 1, "fast", 1, None, 4e-7, 0.99998, trials)
    return TuneReport("mine", choice, "pixels of the cube", True)


def test_the_table_says_what_was_tried_and_why():
    lines = str(report()).splitlines()
    assert lines[0] == "mine, fast: packed, 128 px, 2.50 times eager, cosine similarity 0.99998"
    assert " ".join(lines[3].split()) == "packed 128 px 5 Mpx/s 2.50 0.1 s cos 1.00000 chosen"
    assert "too short" in lines[4]
    assert lines[-1].endswith("remembered for later jobs")
    assert repr(report()).startswith("<xeo.TuneReport>")


def test_html_is_escaped_and_json_is_finite():
    assert "short &lt;for&gt; it" in report()._repr_html_()
    held = json.loads(json.dumps(report().to_dict(), allow_nan=False))
    assert (held["backend"], held["speedup"]) == ("packed", 2.5)
    assert held["trials"][3]["difference"] is None


def test_forget_deletes_what_is_kept(tmp_path):
    xeo.tune("band_stats", seconds=0.05)
    assert list((tmp_path / "kept").iterdir())
    forget()
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "some"}, "expected precision"),
        ({"seconds": 0}, "expected seconds above 0"),
        ({"backends": ["warp"]}, "expected backend to be one of"),
        ({"verb": "paint"}, "expected verb to be one of"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(OptionError, match=message):
        xeo.tune("band_stats", **options)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="expected the name of a model"):
        xeo.tune("nobody")
    with pytest.raises(UnknownNameError, match="a model that can classify"):
        xeo.tune("band_stats", verb="classify")


def test_a_cube_of_nothing_is_refused(model, cube):
    with pytest.raises(DimensionError, match="valid pixels"):
        xeo.tune(model, cube.where(False), seconds=0.1)
