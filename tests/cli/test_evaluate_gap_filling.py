from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import xeo
from xeo.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a cube of twelve dates in cube.zarr."""
    monkeypatch.chdir(tmp_path)
    cube = xeo.simulate_cube(dates=12, size=24, chunks={"time": 3})
    cube[["B03", "B04", "B08", "SCL"]].to_zarr("cube.zarr", consolidated=False, zarr_format=3)
    return tmp_path


def call(*arguments):
    words = ("evaluate-gap-filling", *map(str, arguments))
    return CliRunner().invoke(main, words)


def truth(*methods, **options):
    cube = xeo.open_cube("cube.zarr")
    return cube.eo.evaluate_gap_filling(methods, progress=False, **options)


def test_it_prints_the_table_of_the_verb(here):
    done = call("cube.zarr", "--method", "linear", "--method", "nearest")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{truth('linear', 'nearest')}\n"
    assert "evaluate: 100%" in done.stderr


def test_options_reach_the_verb(here):
    done = call(
        *("cube.zarr", "--method", "linear", "--quiet", "--mask", "none", "--share", 0.5),
        *("--whole", 0.2, "--margin", 0, "--sample", 400, "--seed", 3, "--bands", "B04,B08"),
        *("--time", "2023-02:"),
    )
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    made = truth(
        "linear", mask=False, share=0.5, whole=0.2, margin=0, sample=400, seed=3,
        bands=["B04", "B08"], dates=slice("2023-02", None),
    )  # fmt: skip
    assert done.stdout == f"{made}\n"


def test_scores_as_json(here):
    printed = call("cube.zarr", "--method", "linear", "--json", "-", "--quiet")
    assert printed.exit_code == 0, printed.stderr
    rows = json.loads(printed.stdout)
    table = truth("linear").to_dataframe()
    assert len(rows) == len(table)
    assert set(rows[0]) == set(table.columns)
    whole = next(r for r in rows if (r["band"], r["hidden"], r["gap"]) == ("B04", "all", "all"))
    known = truth("linear").dataset["rmse"].sel(band="B04", hidden="all", gap="all")
    assert whole["rmse"] == pytest.approx(known.item(), rel=1e-6)
    written = call("cube.zarr", "--method", "linear", "--json", "scores.json", "--quiet")
    assert written.stdout == f"{truth('linear')}\n"
    assert json.loads(Path("scores.json").read_text("utf-8")) == rows


def test_a_picture(here):
    pytest.importorskip("matplotlib")
    done = call("cube.zarr", "--method", "linear", "--plot", "scores.png", "--quiet")
    assert done.exit_code == 0, done.stderr
    assert Path("scores.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "linaer"], "Did you mean 'linear'?"),
        (["--method", "linear", "--method", "linear"], "of different names"),
        (["--mask", "cloudy"], "that can cloud_mask"),
        (["--json", "no/folder.json"], "expected a folder to write 'no/folder.json' in"),
        (["--time", "2023-01:2023-03"], "expected four dates or more"),
    ],
)
def test_errors_take_one_line_and_exit_code_1(here, arguments, words):
    done = call("cube.zarr", "--quiet", *arguments)
    assert done.exit_code == 1
    assert re.fullmatch(r"xeo: [^\n]+\n", done.stderr)
    assert words in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--share", "2"], ["--plot", "scores.xyz"], ["--sample", "0"], ["--out", "a"]]
)
def test_a_wrong_command_line_has_exit_code_2(here, arguments):
    done = call("cube.zarr", *arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr
