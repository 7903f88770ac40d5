from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import xeo
from xeo.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a cube of six dates in cube.zarr."""
    monkeypatch.chdir(tmp_path)
    cube = xeo.simulate_cube(dates=6, size=32, chunks={"time": 2})
    cube.to_zarr("cube.zarr", consolidated=False, zarr_format=3)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["cloud-mask", *map(str, arguments)])


def test_the_command_is_the_verb(here):
    done = call("cube.zarr", "mask.zarr")
    assert done.exit_code == 0, done.stderr
    assert re.match(r"wrote mask.zarr: time 6, y 32, x 32; [\d.]+ MB in", done.stdout)
    assert "cloud_mask: 100%" in done.stderr
    truth = xeo.open_cube("cube.zarr").eo.cloud_mask()
    with xr.open_zarr("mask.zarr") as made:
        assert made["cloud_mask"].dtype == bool
        assert made["cloud_mask"].attrs["xeo_model"] == "scl"
        xr.testing.assert_identical(made["cloud_mask"].compute(), truth.compute())


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (
            ("--method", "threshold", "--dilate", 60, "--min-size", 4, "--threshold", 0.4),
            {"method": "threshold", "dilate": 60, "min_size": 4, "threshold": 0.4},
        ),
        (("--method", "threshold", "--no-shadows"), {"method": "threshold", "shadows": False}),
        (
            ("--method", "threshold", "--shadows", "--heights", 100, 3000, "--dark", 0.2),
            {"method": "threshold", "shadows": True, "heights": (100, 3000), "dark": 0.2},
        ),
        (("--set", "classes=[8,9,10]", "--method", "scl"), {"classes": [8, 9, 10]}),
        (("--set", "classes=snow", "--method", "scl", "--time", "2023-03:"), {"classes": "snow"}),
        (
            ("--set", "bright=0.3", "--method", "threshold", "--set", "ratio=-0.1"),
            {"method": "threshold", "bright": 0.3, "ratio": -0.1},
        ),
    ],
)
def test_options_and_settings_reach_the_verb(here, arguments, options):
    done = call("cube.zarr", "mask.zarr", "--quiet", *arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    dates = slice("2023-03", None) if "--time" in arguments else None
    truth = xeo.open_cube("cube.zarr").eo.cloud_mask(**({"method": "scl"} | options), dates=dates)
    np.testing.assert_array_equal(xr.open_zarr("mask.zarr")["cloud_mask"], truth)


def test_probabilities(here):
    done = call("cube.zarr", "out.zarr", "--method", "threshold", "--probability")
    assert done.exit_code == 0, done.stderr
    truth = xeo.open_cube("cube.zarr").eo.cloud_mask("threshold", probability=True)
    np.testing.assert_allclose(xr.open_zarr("out.zarr")["cloud_probability"], truth, rtol=1e-6)


def test_a_dry_run_prints_the_plan_and_does_nothing(here):
    done = call("cube.zarr", "mask.zarr", "--method", "threshold", "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert "threshold: 6 x 32 x 32" in done.stdout
    assert done.stdout.endswith("would write mask.zarr\n")
    assert os.listdir() == ["cube.zarr"]


def test_a_profile_is_printed_where_there_is_one(here):
    assert "reading" in call("cube.zarr", "mask.zarr", "--profile").stdout
    done = call("cube.zarr", "grown.zarr", "--dilate", 60, "--profile")
    assert done.exit_code == 1
    assert "reads another lazy result" in done.stderr
    assert not Path("grown.zarr").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.zarr", "out.zarr"], "expected a cube at 'nothing.zarr', found nothing"),
        (["cube.zarr", "out.zarr", "--method", "scll"], "Did you mean 'scl'?"),
        (["cube.zarr", "out.zarr", "--method", "fmask"], "Fmask"),
        (["cube.zarr", "out.zarr", "--method", "scl", "--set", "classes=[99]"], "99"),
        (["cube.zarr", "out.zarr", "--method", "scl", "--set", "clases=1"], "mean 'classes'?"),
        (["cube.zarr", "out.zarr", "--method", "threshold", "--set", "bright=x"], "'bright': 'x'"),
        (["cube.zarr", "out.zarr", "--probability", "--dilate", "60"], "no threshold, dilate"),
        (["cube.zarr", "out.zarr", "--dilate", "nan"], "expected dilate in metres"),
        (["cube.zarr", "out.zarr", "--shadows", "--heights", "9", "1"], "expected heights"),
    ],
)
def test_errors_take_one_line_and_exit_code_1(here, arguments, words):
    done = call(*arguments)
    assert done.exit_code == 1
    assert re.fullmatch(r"xeo: [^\n]+\n", done.stderr)
    assert words in done.stderr
    assert not Path("out.zarr").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["cube.zarr"],
        ["cube.zarr", "out.zarr", "--dilate", "-1"],
        ["cube.zarr", "out.zarr", "--threshold", "1.5"],
        ["cube.zarr", "out.zarr", "--min-size", "0.5"],
        ["cube.zarr", "out.zarr", "--heights", "100", "high"],
        ["cube.zarr", "out.zarr", "--set", "classes"],
        ["cube.zarr", "out.zarr", "--set", "dilate=60"],
        ["cube.zarr", "out.zarr", "--valid-fraction"],
    ],
)
def test_a_wrong_command_line_has_exit_code_2(here, arguments):
    done = call(*arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr
    assert not Path("out.zarr").exists()


@pytest.mark.parametrize(
    "name", ["cloud_mask", "remove_clouds", "composite", "evaluate_gap_filling"]
)
def test_defaults_are_those_of_the_verb(name):
    command = main.commands[name.replace("_", "-")]
    places = ["cube.zarr"] if name == "evaluate_gap_filling" else ["cube.zarr", "out.zarr"]
    given = command.make_context(name, places).params
    usual = inspect.signature(getattr(xeo, name)).parameters
    same = {word: value for word, value in given.items() if word in usual}
    assert len(same) > 8
    for word, value in same.items():
        # Of what can be given several times, none is given.
        assert (None if value == () else value) == usual[word].default, word
