from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr
import zarr
from click.testing import CliRunner

import xeo
from xeo.cli import main
from xeo.ops.place import COMPLETE

pytest.importorskip("imagecodecs")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a cube and small.zarr, which was made of it."""
    monkeypatch.chdir(tmp_path)
    cube = xeo.simulate_cube(dates=4, size=48, chunks={"time": 1}, truth=False)
    cube = cube[["B02", "B04", "SCL"]]
    cube.to_zarr("cube.zarr", consolidated=False, zarr_format=3)
    cube.eo.compress("small.zarr", lossless=True, chunks={"y": 8, "x": 8}, effort=2, progress=False)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["decompress", *map(str, arguments)])


def test_the_command_is_the_verb(here):
    done = call("small.zarr", "plain.zarr")
    assert done.exit_code == 0, done.stderr
    assert re.fullmatch(r"wrote plain.zarr in [\d.]+ s\n", done.stdout)
    assert "decompress: 100%" in done.stderr
    xr.testing.assert_identical(
        xr.open_zarr("plain.zarr").load(), xeo.open_cube("cube.zarr").load()
    )


def test_another_program_reads_it(here):
    assert call("small.zarr", "plain.zarr", "--quiet", "--workers", 1).exit_code == 0
    code = (
        "import sys\n"
        "sys.modules['xeo'] = None\n"
        "import xarray as xr\n"
        "print(int(xr.open_zarr('plain.zarr')['B04'].sum()))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) == int(xeo.open_cube("cube.zarr")["B04"].sum())


def test_urls_of_fsspec(here):
    url = "memory://test_cli_decompress/plain.zarr"
    assert call("small.zarr", url).exit_code == 0
    xr.testing.assert_equal(xr.open_zarr(url).load(), xeo.open_cube("cube.zarr").load())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.zarr", "plain.zarr"], "expected a Zarr store at 'nothing.zarr'"),
        (["small.zarr", "cube.zarr"], "expected nothing at 'cube.zarr'"),
        (["small.zarr", "small.zarr", "--overwrite"], "another place than the source"),
        (["small.zarr", "plain.nc"], "expected a Zarr store to write"),
    ],
)
def test_errors_take_one_line_and_exit_code_1(here, arguments, words):
    done = call(*arguments)
    assert done.exit_code == 1
    assert re.fullmatch(r"xeo: [^\n]+\n", done.stderr)
    assert words in done.stderr
    assert sorted(os.listdir()) == ["cube.zarr", "small.zarr"]


def test_a_damaged_chunk_is_an_error(here):
    path = next(p for p in Path("small.zarr/sentinel2/c").rglob("*") if p.is_file())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = call("small.zarr", "plain.zarr", "--quiet")
    assert done.exit_code == 1
    assert re.fullmatch(r"xeo: [^\n]+\n", done.stderr)
    assert zarr.open_group("plain.zarr").attrs[COMPLETE] == 0


def _chunks() -> dict[Path, int]:
    files = Path("plain.zarr").glob("[BS]*/c/*/*/*")
    return {p: p.stat().st_mtime_ns for p in files if p.is_file() and p.suffix != ".partial"}


def test_the_same_command_goes_on_after_a_kill(here):
    arguments = ["small.zarr", "plain.zarr", "--workers", "1"]
    running = subprocess.Popen([sys.executable, "-m", "xeo", "decompress", *arguments],
                               stderr=subprocess.DEVNULL)  # fmt: skip
    while running.poll() is None and len(_chunks()) < 5:
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = _chunks()
    assert len(before) >= 5
    done = call(*arguments)
    assert done.exit_code == 0 or len(before) == 3 * 36, done.stderr
    assert {path: _chunks()[path] for path in before} == before
    xr.testing.assert_identical(
        xr.open_zarr("plain.zarr").load(), xeo.open_cube("cube.zarr").load()
    )
