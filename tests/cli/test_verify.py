from __future__ import annotations

import re
from pathlib import Path

import pytest
import zarr
from click.testing import CliRunner

import xeo
from xeo.cli import main

pytest.importorskip("imagecodecs")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a cube and small.zarr, within 0.002 of it."""
    monkeypatch.chdir(tmp_path)
    cube = xeo.simulate_cube(dates=4, size=48, chunks={"time": 1}, truth=False)
    cube = cube[["B02", "B04", "SCL"]]
    cube.to_zarr("cube.zarr", consolidated=False, zarr_format=3)
    chunks = {"time": 2, "y": 24, "x": 24}
    cube.eo.compress("small.zarr", max_error=0.002, chunks=chunks, effort=2, progress=False)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def change(name: str, place: tuple[int, ...], amount: int) -> None:
    """Change one value of the source."""
    array = zarr.open_group("cube.zarr")[name]
    array[place] = array[place] + amount


def test_what_holds_has_exit_code_0(here):
    done = call("cube.zarr", "small.zarr")
    assert done.exit_code == 0, done.stderr
    assert "all promises kept" in done.stdout.splitlines()[0]
    assert "verify: 100%" in done.stderr


def test_a_broken_bound_has_exit_code_1_and_is_named(here):
    change("B04", (3, 30, 40), 500)
    done = call("cube.zarr", "small.zarr", "--quiet")
    assert done.exit_code == 1
    assert done.stderr == ""
    assert "A PROMISE IS BROKEN" in done.stdout
    done = call("cube.zarr", "small.zarr")
    assert done.exit_code == 1
    found = re.search(
        r"chunk \[2:4, 0:2, 24:48, 24:48\], band 1 is ([\d.]+) reflectance off, beyond 0.002",
        done.stdout,
    )
    assert found is not None, done.stdout
    assert 0.048 <= float(found[1]) <= 0.052


def test_a_class_that_changed_is_named(here):
    change("SCL", (0, 0, 0), 1)
    done = call("cube.zarr", "small.zarr")
    assert done.exit_code == 1
    assert "chunk [0:2, 0:24, 0:24] is 1 off, not exact" in done.stdout


@pytest.mark.parametrize("how", ["missing", "damaged", "cut", "swapped"])
def test_chunks_that_are_not_what_they_were_are_found(here, how):
    chunk = Path("small.zarr/sentinel2/c/1/0/0/1")
    data = bytearray(chunk.read_bytes())
    if how == "missing":
        chunk.unlink()
    elif how == "damaged":
        data[len(data) // 2] ^= 16
        chunk.write_bytes(data)
    elif how == "cut":
        chunk.write_bytes(data[:-7])
    else:
        chunk.write_bytes(Path("small.zarr/sentinel2/c/0/0/1/0").read_bytes())
    done = call("cube.zarr", "small.zarr")
    assert done.exit_code == 1
    assert "chunk [2:4, 0:2, 0:24, 24:48]" in done.stdout
    assert "SCL: PROMISE" not in done.stdout


def test_a_quiet_one_is_one_line(here):
    done = call("cube.zarr", "small.zarr", "--quiet", "--workers", 1)
    assert done.exit_code == 0
    assert re.fullmatch(r"small.zarr: [^\n]*all promises kept\n", done.stdout)
    assert done.stderr == ""


def test_the_report_is_written(here):
    assert call("cube.zarr", "small.zarr", "--report", "report.html").exit_code == 0
    assert "small.zarr" in Path("report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.zarr", "small.zarr"], "expected a cube at 'nothing.zarr'"),
        (["cube.zarr", "nothing.zarr"], "nothing.zarr"),
        (["cube.zarr", "small.zarr", "--group", "a"], "has no 'a'"),
    ],
)
def test_errors_take_one_line_and_exit_code_1(here, arguments, words):
    done = call(*arguments)
    assert done.exit_code == 1
    assert re.fullmatch(r"xeo: [^\n]+\n", done.stderr)
    assert words in done.stderr


def test_a_wrong_command_line_has_exit_code_2(here):
    assert call("cube.zarr").exit_code == 2
    assert call("cube.zarr", "small.zarr", "--workers", 0).exit_code == 2
