from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner

import xeo
from xeo.cli import main
from xeo.cli.words import by_variable, sizes, values
from xeo.ops.place import COMPLETE

pytest.importorskip("imagecodecs")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a cube of four dates in cube.zarr."""
    monkeypatch.chdir(tmp_path)
    cube = xeo.simulate_cube(dates=4, size=48, chunks={"time": 1}, truth=False)
    cube[["B02", "B04", "B08", "SCL"]].to_zarr("cube.zarr", consolidated=False, zarr_format=3)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["compress", *map(str, arguments)])


def cube():
    return xeo.open_cube("cube.zarr").load()


def test_the_command_is_the_verb(here):
    done = call("cube.zarr", "small.zarr", "--max-error", "0.002")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match(
        r"64.5 kB to [\d.]+ kB \([\d.]+ times smaller\), [\d.]+ bits a value; all", lines[0]
    )
    assert "sentinel2  bounded" in done.stdout
    assert re.fullmatch(r"wrote small.zarr in [\d.]+ s", lines[-1])
    cube().eo.compress("truth.zarr", max_error=0.002, progress=False)
    xr.testing.assert_identical(xr.open_zarr("small.zarr"), xr.open_zarr("truth.zarr"))


def test_options_reach_the_verb(here):
    done = call(
        *("cube.zarr", "small.zarr", "--lossless", "--quiet", "--no-stack", "--no-check"),
        *("--effort", 2, "--chunk", "y=16", "--chunk", "time=all", "--chunk", "x=24"),
        *("--workers", 1, "--zarr-format", 2),
    )
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    assert re.fullmatch(r"wrote small.zarr in [\d.]+ s: [^\n]*not compared\n", done.stdout)
    group = zarr.open_group("small.zarr")
    assert group.metadata.zarr_format == 2
    assert group["B04"].chunks == (4, 16, 24)
    assert group["B04"].metadata.compressor.get_config()["effort"] == 2
    xr.testing.assert_identical(xeo.open_zarr("small.zarr").load(), cube())


def test_variables_can_differ(here):
    done = call(
        *("cube.zarr", "small.zarr", "--max-error", 0.004),
        *("--var", "B02=max-error:0.001", "--var", "B04=lossless", "--var", "SCL=max-error:1"),
    )
    assert done.exit_code == 0, done.stderr
    again = xeo.open_zarr("small.zarr").load()
    worst = abs(again.astype(int) - cube().astype(int)).max()
    assert worst["B02"] <= 10 < worst["B08"] <= 40
    assert worst["B04"] == 0
    assert zarr.open_group("small.zarr")["SCL"].metadata.codecs[0].name == "xeo.bounded"


@pytest.mark.parametrize(
    ("words", "shared", "made"),
    [
        ([], {"psnr": 50.0}, {"psnr": 50.0}),
        (["a=lossless"], {"psnr": 50.0}, {"psnr": 50.0, "lossless": {"a": True}}),
        (["a=psnr:40"], {"psnr": 50.0}, {"psnr": {...: 50.0, "a": 40.0}}),
        (
            ["a=psnr:40,codec:video,peak:2", "b=relative-error:.1"],
            {"codec": "auto"},
            {
                "psnr": {"a": 40.0},
                "codec": {...: "auto", "a": "video"},
                "peak": {"a": 2.0},
                "relative_error": {"b": 0.1},
            },
        ),
    ],
)
def test_words_for_variables(words, shared, made):
    assert by_variable(words, shared) == made


def test_words_for_sizes_and_values():
    assert sizes(["y=12", "time=all"]) == {"y": 12, "time": -1}
    assert sizes([]) is None
    assert values(["SCL=3,8", "SCL=9", "c=0.5"]) == {"SCL": [3, 8, 9], "c": [0.5]}


def test_packed_netcdf_comes_back_as_it_was(here):
    stored = np.arange(2 * 20 * 20, dtype="i2").reshape(2, 20, 20)
    stored[0, :3] = -999
    attrs = {"scale_factor": 0.01, "add_offset": 273.15, "_FillValue": np.int16(-999), "units": "K"}
    raw = xr.Dataset({"t": (("time", "y", "x"), stored, attrs)})
    raw = raw.assign_coords(time=("time", np.array(["2020-01-01", "2020-01-02"], "M8[ns]")))
    raw.to_netcdf("cube.nc", engine="h5netcdf")
    done = call("cube.nc", "small.zarr", "--lossless")
    assert done.exit_code == 0, done.stderr
    for how in ({"mask_and_scale": False}, {}):
        truth = xr.open_dataset("cube.nc", engine="h5netcdf", **how).load()
        again = xr.open_zarr("small.zarr", **how).load()
        xr.testing.assert_equal(again, truth)
        assert again["t"].dtype == truth["t"].dtype
        assert again["t"].attrs == truth["t"].attrs
    assert again["t"].encoding["_FillValue"] == -999
    assert again["t"].encoding["scale_factor"] == 0.01
    lossy = call("cube.nc", "lossy.zarr", "--max-error", "0.05")
    assert lossy.exit_code == 0, lossy.stderr
    error = np.abs(xr.open_zarr("lossy.zarr")["t"] - truth["t"]).max()
    assert 0 < error <= 0.05 * (1 + 1e-6)


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_store_with_packing_comes_back_as_it_was(here, version):
    made = cube()[["B04"]]
    made["B04"] = (made["B04"] * 1e-4).astype("f4").assign_attrs(units="1")
    made["B04"].encoding = {"dtype": "u2", "scale_factor": 1e-4, "_FillValue": np.uint16(0)}
    made.drop_encoding().to_zarr("packed.zarr", encoding={"B04": made["B04"].encoding},
                                 consolidated=False, zarr_format=version)  # fmt: skip
    done = call("packed.zarr", "small.zarr", "--lossless")
    assert done.exit_code == 0, done.stderr
    for how in ({"mask_and_scale": False}, {}):
        truth = xr.open_zarr("packed.zarr", consolidated=False, **how).load()
        xr.testing.assert_equal(xr.open_zarr("small.zarr", **how).load(), truth)
    xr.testing.assert_identical(
        xeo.open_zarr("small.zarr")["B04"].load(),
        xr.open_zarr("packed.zarr", consolidated=False)["B04"].load(),
    )


def test_ignored_pixels(here):
    done = call("cube.zarr", "small.zarr", "--max-error", 0.002, "--ignore", "SCL=8,9")
    assert done.exit_code == 0, done.stderr
    truth = cube()
    np.testing.assert_array_equal(xr.open_zarr("small.zarr")["xeo_ignored"], truth.SCL.isin([8, 9]))


def test_a_dry_run_estimates_and_writes_nothing(here):
    before = sorted(os.listdir())
    done = call("cube.zarr", "small.zarr", "--max-error", "0.002", "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert re.match(r"64.5 kB to [\d.]+ kB \([\d.]+ times smaller\)", done.stdout)
    assert "at work; from 100 % of the values" in done.stdout
    assert done.stdout.endswith("would write small.zarr\n")
    assert sorted(os.listdir()) == before


def test_the_report_is_written(here):
    done = call("cube.zarr", "small.zarr", "--lossless", "--report", "report.html")
    assert done.exit_code == 0, done.stderr
    page = Path("report.html").read_text("utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert "small.zarr" in page


def test_the_bar_shows_rate_ratio_and_time_left(here):
    done = call("cube.zarr", "small.zarr", "--lossless")
    assert "compress: 100%" in done.stderr
    assert re.search(r"B/s, [\d.]+ times smaller\]", done.stderr)


def test_one_node_of_several(here):
    tree = xr.DataTree.from_dict({"/s2": cube(), "/s1/grd": cube()[["B04"]].rename(B04="vv")})
    tree.to_zarr("tree.zarr", consolidated=False, zarr_format=3)
    done = call("tree.zarr", "small.zarr", "--lossless")
    assert done.exit_code == 1
    assert (
        "expected one of the nodes ['s1/grd', 's2'] of 'tree.zarr', none was named" in done.stderr
    )
    assert "--group s1/grd" in done.stderr or "--group s2" in done.stderr
    assert call("tree.zarr", "small.zarr", "--lossless", "--group", "s3").exit_code == 1
    assert not Path("small.zarr").exists()
    done = call("tree.zarr", "small.zarr", "--lossless", "--group", "/s2")
    assert done.exit_code == 0, done.stderr
    xr.testing.assert_equal(xeo.open_zarr("small.zarr").load(), cube())
    assert "has no 's2'" in call("cube.zarr", "b.zarr", "--lossless", "--group", "s2").stderr


def test_urls_of_fsspec_are_read_and_written(here):
    source, target = "memory://test_cli_compress/cube.zarr", "memory://test_cli_compress/a.zarr"
    cube().to_zarr(source, consolidated=False, zarr_format=3)
    done = call(source, target, "--lossless")
    assert done.exit_code == 0, done.stderr
    xr.testing.assert_identical(xeo.open_zarr(target).load(), cube())
    assert call(source, target, "--lossless").exit_code == 1
    assert call(source, source, "--lossless", "--overwrite").exit_code == 1


@pytest.mark.parametrize("out", ["cube.zarr", "./cube.zarr/", "cube.zarr/inside.zarr", "."])
def test_the_source_is_never_overwritten(here, out):
    done = call("cube.zarr", out, "--lossless", "--overwrite")
    assert done.exit_code == 1
    assert "expected another place than the source" in done.stderr
    assert cube().sizes["time"] == 4


def test_what_is_there_needs_overwrite(here):
    assert call("cube.zarr", "small.zarr", "--max-error", 0.01).exit_code == 0
    done = call("cube.zarr", "small.zarr", "--lossless")
    assert done.exit_code == 1
    assert "overwrite" in done.stderr
    assert call("cube.zarr", "small.zarr", "--lossless", "--overwrite").exit_code == 0
    xr.testing.assert_identical(xeo.open_zarr("small.zarr").load(), cube())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.zarr", "small.zarr", "--lossless"], "expected a cube at 'nothing.zarr'"),
        (["cube.zarr", "small.zarr"], "expected to know how close 'B02' has to stay"),
        (["cube.zarr", "small.zarr", "--max-error", "-1"], "a number above 0, got -1.0"),
        (["cube.zarr", "small.zarr", "--max-error", "nan"], "a number above 0, got nan"),
        (["cube.zarr", "small.zarr", "--lossless", "--var", "B99=lossless"], "got ['B99']"),
        (["cube.zarr", "small.zarr", "--lossless", "--chunk", "z=2"], "got ['z']"),
        (["cube.zarr", "small.zarr", "--lossless", "--ignore", "B99=2"], "got ['B99']"),
        (["cube.zarr", "small.nc", "--lossless"], "expected a Zarr store to write, got 'small.nc'"),
        (["cube.zarr", "small.zarr", "--lossless", "--report", "no/report.html"], "a folder to"),
        (["cube.zarr", "no_such_scheme://small.zarr", "--lossless"], "looking there failed"),
    ],
)
def test_errors_take_one_line_and_exit_code_1(here, arguments, words):
    done = call(*arguments)
    assert done.exit_code == 1
    assert re.fullmatch(r"xeo: [^\n]+\n", done.stderr)
    assert words in done.stderr
    assert sorted(os.listdir()) == ["cube.zarr"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["cube.zarr"],
        ["cube.zarr", "small.zarr", "--no-such-option"],
        ["cube.zarr", "small.zarr", "--max-error", "much"],
        ["cube.zarr", "small.zarr", "--max-error", "0.1", "--lossless"],
        ["cube.zarr", "small.zarr", "--psnr", "50", "--bpppb", "1"],
        ["cube.zarr", "small.zarr", "--lossless", "--codec", "zip"],
        ["cube.zarr", "small.zarr", "--lossless", "--effort", "11"],
        ["cube.zarr", "small.zarr", "--lossless", "--workers", "0"],
        ["cube.zarr", "small.zarr", "--lossless", "--chunk", "y=0"],
        ["cube.zarr", "small.zarr", "--lossless", "--chunk", "y"],
        ["cube.zarr", "small.zarr", "--var", "B02"],
        ["cube.zarr", "small.zarr", "--var", "B02=exact"],
        ["cube.zarr", "small.zarr", "--var", "B02=max-error"],
        ["cube.zarr", "small.zarr", "--var", "B02=max-error:much"],
        ["cube.zarr", "small.zarr", "--var", "B02=codec:zip"],
        ["cube.zarr", "small.zarr", "--lossless", "--ignore", "SCL=cloud"],
        ["cube.zarr", "small.zarr", "--lossless", "--storage-option", "anon"],
    ],
)
def test_a_wrong_command_line_has_exit_code_2(here, arguments):
    done = call(*arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr
    assert sorted(os.listdir()) == ["cube.zarr"]


# After a stop


def _chunks() -> dict[Path, int]:
    """Whole chunks that codecs of ours wrote, and when."""
    found = {}
    for path in Path("small.zarr").glob("*/c/**/*"):
        if path.is_file() and path.suffix != ".partial" and len(path.parts) > 5:
            found[path] = path.stat().st_mtime_ns
    return found


@pytest.fixture
def large(here):
    """A cube that takes a while."""
    made = xeo.simulate_cube(dates=6, size=256, chunks={"time": 6}, truth=False)
    made[["B02", "B04", "SCL"]].to_zarr("large.zarr", consolidated=False, zarr_format=3)
    return here


LARGE = ["large.zarr", "small.zarr", "--max-error", "0.002"]
LARGE += [
    "--chunk",
    "time=1",
    "--chunk",
    "y=64",
    "--chunk",
    "x=64",
    "--workers",
    "2",
    "--effort",
    "2",
]
COUNT = 6 * 4 * 4 * 2


def _start(*arguments) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "xeo", "compress", *arguments], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_same_command_goes_on_after_a_stop(large, signum):
    running = _start(*LARGE)
    while running.poll() is None and len(_chunks()) < 10:
        time.sleep(0.01)
    running.send_signal(signum)
    _, complained = running.communicate(timeout=60)
    assert running.returncode == {2: 130, 15: 143, 9: -9}[signum], complained
    assert "Traceback" not in complained
    if signum != signal.SIGKILL:
        last = complained.splitlines()[-1]
        assert re.match(r"xeo: stopped by SIG\w+\. \d+ chunks are written and whole", last)
        assert "the same call again" in last
    before = _chunks()
    assert 10 <= len(before) < COUNT
    assert zarr.open_group("small.zarr").attrs[COMPLETE] == 0
    refused = call(*LARGE, "--effort", 3)
    assert refused.exit_code == 1
    assert "begun with other options" in refused.stderr
    done = call(*LARGE)
    assert done.exit_code == 0, done.stderr
    assert "all promises kept" in done.stdout
    after = _chunks()
    assert len(after) == COUNT
    assert {path: after[path] for path in before} == before
    assert not list(Path("small.zarr").rglob("*.partial"))
    _assert_right()
    assert call(*LARGE).exit_code == 1


def _assert_right() -> None:
    truth = xr.open_zarr("large.zarr", consolidated=False).load()
    again = xeo.open_zarr("small.zarr").load()
    for name in ("B02", "B04"):
        assert abs(again[name].astype(int) - truth[name].astype(int)).max() <= 20
        np.testing.assert_array_equal(again[name] == 0, truth[name] == 0)
    xr.testing.assert_identical(again["SCL"], truth["SCL"])


def test_killed_again_and_again_it_ends(large):
    """Killed at any moment, of which some are while the store is laid out."""
    kept: dict[Path, int] = {}
    for turn in range(4):
        running = _start(*LARGE)
        wanted = len(kept) + 20 * turn
        while running.poll() is None and len(_chunks()) < wanted:
            time.sleep(0.01)
        if turn == 0:
            while running.poll() is None and not Path("small.zarr/zarr.json").exists():
                time.sleep(0.001)
        running.kill()
        running.communicate()
        found = _chunks()
        assert {path: found.get(path) for path in kept} == kept
        kept = found
    done = call(*LARGE)
    assert done.exit_code == 0, done.stderr
    assert {path: when for path, when in _chunks().items() if path in kept} == kept
    _assert_right()
