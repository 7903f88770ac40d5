from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import xeo
from xeo.cli import main

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XEO_TUNE_FOLDER", str(tmp_path / "kept"))


def call(*arguments):
    return CliRunner().invoke(main, ["tune", *arguments])


def test_the_table_is_printed():
    done = call("band_stats", "--seconds", "0.05", "--backend", "packed")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("band_stats, exact: eager")
    assert "times eager" in done.stdout


def test_json_is_what_was_measured(tmp_path):
    path = tmp_path / "cube.zarr"
    xeo.simulate_cube(dates=2, size=64).to_zarr(path, consolidated=False)
    words = ("band_stats", "--cube", str(path), "--seconds", "0.05", "--precision", "fast")
    done = call(*words, "--json")
    assert done.exit_code == 0, done.output
    held = json.loads(done.stdout)
    assert (held["model"], held["precision"]) == ("band_stats", "fast")
    assert held["sample"] == "pixels of the cube"


def test_forget_empties_the_folder(tmp_path):
    assert call("band_stats", "--seconds", "0.05").exit_code == 0
    assert list((tmp_path / "kept").iterdir())
    done = call("--forget")
    assert (done.exit_code, done.output) == (0, "")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "expected the name of a model"),
        (("nobody",), 1, "expected the name of a model"),
        (("band_stats", "--backend", "warp"), 1, "expected backend to be one of"),
        (("band_stats", "--seconds", "0"), 2, "seconds"),
    ],
)
def test_what_cannot_be_done_is_said(words, code, said):
    done = call(*words)
    assert done.exit_code == code
    assert said in done.output
