from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
from click.testing import CliRunner

import xeo
from xeo.cli import main
from xeo.ops.write import is_complete


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a cube of eight dates in cube.zarr."""
    monkeypatch.chdir(tmp_path)
    cube = xeo.simulate_cube(dates=8, size=32, chunks={"time": 2, "y": 16})
    kept = ["B03", "B04", "B08", "SCL", "sunZenithAngles", "sunAzimuthAngles"]
    cube[kept].to_zarr("cube.zarr", consolidated=False, zarr_format=3)
    return tmp_path


def call(*arguments, command="remove-clouds"):
    return CliRunner().invoke(main, [command, *map(str, arguments)])


def cube():
    return xeo.open_cube("cube.zarr")


def test_the_command_is_the_verb(here):
    done = call("cube.zarr", "clear.zarr", "--method", "linear")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("wrote clear.zarr: time 8, y 32, x 32, and B04, B08; ")
    with xr.open_zarr("clear.zarr") as made:
        xr.testing.assert_equal(made.compute(), cube().eo.remove_clouds("linear").compute())
        assert made["B08"].attrs["xeo_model"] == "linear"
        assert made["B08"].attrs["xeo_mask"] == "scl"
    assert is_complete("clear.zarr")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("--at", "20D"), {"at": "20D"}),
        (
            ("--at", "2023-03-01,2023-05-01", "--quality"),
            {"at": ["2023-03-01", "2023-05-01"], "quality": True},
        ),
        (("--at", "2023-03-01", "--bands", "B04"), {"at": ["2023-03-01"], "bands": ["B04"]}),
        (("--limit", 40, "--extrapolate"), {"limit": 40, "extrapolate": True}),
        (
            ("--method", "whittaker", "--set", "lmbda=1000", "--set", "robust=null", "--smooth"),
            {"method": "whittaker", "lmbda": 1000, "robust": None, "smooth": True},
        ),
        (("--mask", "none"), {"mask": False}),
        (("--mask", "threshold", "--time", "2023-03:"), {"mask": "threshold"}),
    ],
)
def test_options_and_settings_reach_the_verb(here, arguments, options):
    words = () if "--method" in arguments else ("--method", "linear")
    done = call("cube.zarr", "clear.zarr", "--quiet", *words, *arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    dates = slice("2023-03", None) if "--time" in arguments else None
    truth = cube().eo.remove_clouds(**({"method": "linear"} | options), dates=dates)
    made = xr.open_zarr("clear.zarr")
    assert set(made) == set(truth)
    # A code has its own number for nothing; of floats it is NaN.
    xr.testing.assert_allclose(made.compute(), truth.compute(), rtol=1e-6)


def test_quality_layers_keep_their_codes(here):
    done = call("cube.zarr", "clear.zarr", "--method", "linear", "--quality")
    assert done.exit_code == 0, done.stderr
    assert ", and 7 others; " in done.stdout
    reason = xr.open_zarr("clear.zarr")["gap_reason"]
    assert reason.dtype == np.uint8
    assert reason.attrs["flag_meanings"].split()[:2] == ["observed", "filled"]


def test_a_mask_can_be_a_store(here):
    words = ("--method", "threshold", "--dilate", 40)
    assert call("cube.zarr", "mask.zarr", *words, command="cloud-mask").exit_code == 0
    done = call("cube.zarr", "clear.zarr", "--mask", "mask.zarr", "--method", "linear")
    assert done.exit_code == 0, done.stderr
    mask = cube().eo.cloud_mask("threshold", dilate=40)
    truth = cube().eo.remove_clouds("linear", mask=mask)
    xr.testing.assert_equal(xr.open_zarr("clear.zarr").compute(), truth.compute())


def test_a_dry_run_prints_the_plan(here):
    done = call("cube.zarr", "clear.zarr", "--method", "linear", "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("linear: 8 x 3 x 32 x 32 float32")
    assert not Path("clear.zarr").exists()


def test_a_real_cube(here, data_dir):
    source = data_dir / "s2_l2a_bolzano_202206.zarr.zip"
    done = call(source, "clear.zarr", "--method", "nearest", "--bands", "B04", "--quiet")
    assert done.exit_code == 0, done.stderr
    made = xr.open_zarr("clear.zarr", decode_coords="all")
    assert made.rio.crs.to_epsg() == 32632
    assert float(made["B04"].max()) < 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.zarr", "out.zarr"], "expected a cube at 'nothing.zarr', found nothing"),
        (["cube.zarr", "out.zarr", "--method", "linaer"], "Did you mean 'linear'?"),
        (["cube.zarr", "out.zarr", "--mask", "cloudy"], "that can cloud_mask"),
        (["cube.zarr", "out.zarr", "--mask", "no.zarr"], "expected a cube at 'no.zarr'"),
        (["cube.zarr", "out.zarr", "--mask", "cube.zarr"], "expected the variable cloud_mask"),
        (["cube.zarr", "out.zarr", "--at", "fortnight"], "expected at to be a step"),
        (["cube.zarr", "out.zarr", "--at", "2023-05,2023-03"], "dates in order"),
        (["cube.zarr", "out.zarr", "--bands", "B99"], "B99"),
        (["cube.zarr", "out.zarr", "--set", "window=x", "--method", "savgol"], "'window': 'x'"),
        (["cube.zarr", "cube.zarr", "--overwrite"], "another place than the source"),
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
        ["cube.zarr", "out.zarr", "--limit", "-1"],
        ["cube.zarr", "out.zarr", "--at", "2023-03-01,soon"],
        ["cube.zarr", "out.zarr", "--at", "2023-03-01,"],
        ["cube.zarr", "out.zarr", "--set", "mask=scl"],
        ["cube.zarr", "out.zarr", "--set", "obj=1"],
        ["cube.zarr", "out.zarr", "--backend", "eager"],
        ["cube.zarr", "out.zarr", "--bands", "B04,,B08"],
    ],
)
def test_a_wrong_command_line_has_exit_code_2(here, arguments):
    done = call(*arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr
    assert not Path("out.zarr").exists()
