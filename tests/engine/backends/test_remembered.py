"""What is kept between processes, told apart by model, machine and versions."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from xeo.engine.backends import remembered, stored
from xeo.engine.backends.call import Backend
from xeo.engine.backends.choice import Choice, Trial
from xeo.engine.backends.shapes import Shapes
from xeo.spec import ModelSpec

KEEPING = Backend("keeping", lambda request: request.model, keeps="keeping")


@dataclass(frozen=True)
class Named:
    name: str = "named"
    weights: str | None = None

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(self.name, channels=1, weights=self.weights)

    def __call__(self, x):
        return x


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XEO_TUNE_FOLDER", str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_a_choice_comes_back_as_it_was():
    trials = (Trial("eager", 128, 1, 10.0), Trial("packed", why="no", difference=float("inf")))
    choice = Choice("packed", 128, 1, "fast", 2, (1, 3, 128, 128), 0.1, 0.99, trials)
    remembered.save("name", choice, thorough=True)
    assert remembered.load("name") == (choice, True)
    assert remembered.load("other") is None


def test_models_settings_and_machines_are_told_apart(monkeypatch):
    keys = {
        remembered.key(Named(), "exact"),
        remembered.key(Named("other"), "exact"),
        remembered.key(Named(), "fast"),
        remembered.key(Named(weights="dynamicworld_forward"), "exact"),
    }
    monkeypatch.setattr(remembered, "machine", lambda: "another")
    assert len(keys | {remembered.key(Named(), "exact")}) == 5
    assert "torch" in "".join(remembered._versions())


def test_what_does_not_pickle_is_not_kept():
    class Local(Named):
        def __reduce__(self):
            raise TypeError("not me")

    assert remembered.key(Local()) is None
    assert remembered.program(Local(), KEEPING, (1, 3, 8, 8)) is None
    with remembered.trying(Local(), KEEPING):
        assert not remembered.crashed(Local(), KEEPING)


def test_a_folder_that_cannot_be_made_is_done_without(folder):
    folder.write_text("a file")
    remembered.save("name", Choice(), thorough=True)
    assert remembered.load("name") is None
    with remembered.trying(Named(), KEEPING):
        pass


def test_the_default_folder_is_in_the_cache_of_the_user(monkeypatch):
    monkeypatch.delenv("XEO_TUNE_FOLDER")
    assert remembered.folder().name == "backends"
    assert "xeo" in str(remembered.folder())


@pytest.mark.skipif(os.name == "nt", reason="asking for a process interrupts it")
def test_a_process_that_dies_while_it_tries_leaves_a_note(folder):
    code = """
    import os
    from tests.engine.backends.test_remembered import KEEPING, Named
    from xeo.engine.backends import remembered
    with remembered.trying(Named(), KEEPING):
        os._exit(9)
    """
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=root, check=False)
    assert done.returncode == 9
    assert remembered.crashed(Named(), KEEPING)
    assert not remembered.crashed(Named("other"), KEEPING)
    remembered.forget()
    assert not folder.exists()
    assert not remembered.crashed(Named(), KEEPING)


def test_files_appear_whole_or_not_at_all(tmp_path):
    keep = tmp_path / "program"

    def write(path):
        path.write_text("half")
        raise OSError("disk full")

    assert not stored.save(keep, ".txt", Shapes((1, 2)), write)
    assert list(tmp_path.iterdir()) == []
    sizes = Shapes((1, ("n", 2, 2, 9)))
    assert stored.save(keep, ".txt", sizes, lambda path: path.write_text("whole"))
    assert stored.load(keep, ".txt", (1, 8), Path.read_text) == ("whole", sizes)
    assert stored.load(keep, ".txt", (1, 7), Path.read_text) is None
    assert stored.load(keep, ".txt", (2, 8), Path.read_text) is None
    stored.discard(keep)
    assert stored.load(keep, ".txt", (1, 8), Path.read_text) is None
