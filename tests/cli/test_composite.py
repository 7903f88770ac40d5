from __future__ import annotations

import re
from pathlib import Path

import pytest
import xarray as xr
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
    return CliRunner().invoke(main, ["composite", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        (("--period", "QS-DEC", "--method", "mean"), {"period": "QS-DEC", "method": "mean"}),
        (
            ("--period", "Q", "--method", "best_pixel", "--date-of", "--set", "distance=20"),
            {"period": "Q", "method": "best_pixel", "date_of": True, "distance": 20},
        ),
        (
            ("--no-count", "--mask", "none", "--period", "60D", "--start", "2023-03-01"),
            {"count": False, "mask": False, "period": "60D", "start": "2023-03-01"},
        ),
        (("--mask", "threshold", "--time", "2023-03:2023-08"), {"mask": "threshold"}),
    ],
)
def test_the_command_is_the_verb(here, arguments, options):
    done = call("cube.zarr", "out.zarr", *arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("wrote out.zarr: time ")
    dates = slice("2023-03", "2023-08") if "--time" in arguments else None
    truth = xeo.open_cube("cube.zarr").eo.composite(**options, dates=dates)
    with xr.open_zarr("out.zarr") as made:
        xr.testing.assert_equal(made.compute(), truth.compute())
        for name, one in truth.items():
            assert made[name].dtype == one.dtype
            assert made[name].attrs["xeo_mask"] == one.attrs["xeo_mask"]


def test_a_dry_run_prints_the_plan(here):
    done = call("cube.zarr", "out.zarr", "--dry-run", "--method", "geomedian")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("composite: 12 x ")
    assert not Path("out.zarr").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--period", "moon"], "'moon'"),
        (["--date-of"], "takes whole observations"),
        (["--set", "distance=20"], "expected settings of 'median'"),
        (["--set", "tolerance=x", "--method", "geomedian"], "expected tolerance to be a number"),
        (["--mask", "cloudy"], "that can cloud_mask"),
        (["--start", "2030"], "2030"),
    ],
)
def test_errors_take_one_line_and_exit_code_1(here, arguments, words):
    done = call("cube.zarr", "out.zarr", *arguments)
    assert done.exit_code == 1
    assert re.fullmatch(r"xeo: [^\n]+\n", done.stderr)
    assert words in done.stderr
    assert not Path("out.zarr").exists()


@pytest.mark.parametrize(
    "arguments", [["--method", "midean"], ["--set", "period=Q"], ["--batch", "3"]]
)
def test_a_wrong_command_line_has_exit_code_2(here, arguments):
    done = call("cube.zarr", "out.zarr", *arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr
