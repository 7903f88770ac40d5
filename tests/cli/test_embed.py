from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
import zarr
from click.testing import CliRunner

import xeo
from xeo.cli import main
from xeo.ops.write import is_complete


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a cube of twelve dates in cube.zarr."""
    monkeypatch.chdir(tmp_path)
    cube = xeo.simulate_cube(dates=12, size=32, chunks={"time": 1}, truth=False)
    cube.to_zarr("cube.zarr", consolidated=False, zarr_format=3)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_the_command_is_the_verb(here):
    done = call("embed", "cube.zarr", "out.zarr", "--model", "band_stats")
    assert done.exit_code == 0, done.stderr
    assert re.match(r"wrote out.zarr: time 12, embedding 20, y 8, x 8; [\d.]+ MB in", done.stdout)
    truth = xeo.open_cube("cube.zarr").eo.embed("band_stats")
    with xr.open_zarr("out.zarr") as made:
        xr.testing.assert_identical(made["embeddings"].compute(), truth.compute())


def test_options_reach_the_verb(here):
    done = call(
        *("embed", "cube.zarr", "out.zarr", "--model", "band_stats", "--quiet"),
        *("--bands", "B04, B08", "--time", "2023-03:2023-07", "--dtype", "int8"),
        *("--chunk", 16, "--batch", 2, "--workers", 1, "--sensor", "sentinel2_l2a"),
    )
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    truth = xeo.open_cube("cube.zarr").eo.embed(
        "band_stats", bands=["B04", "B08"], dates=slice("2023-03", "2023-07"), dtype="int8"
    )
    made = xr.open_zarr("out.zarr")["embeddings"]
    assert made.dtype == np.int8
    assert made.encoding["chunks"][-2:] == (4, 4)
    np.testing.assert_array_equal(made, truth)
    np.testing.assert_array_equal(made.time, truth.time)


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("2023-03:", slice("2023-03", None)),
        (":2023-03", slice(None, "2023-03")),
        ("2023-03:2023-05", slice("2023-03", "2023-05")),
        ("2023-03-01T12:00/2023-07-31T12:00", slice("2023-03-01T12:00", "2023-07-31T12:00")),
        ("2023-03", "2023-03"),
    ],
)
def test_dates_can_be_told_in_many_ways(here, text, dates):
    done = call("embed", "cube.zarr", "out.zarr", "--model", "band_stats", "--time", text)
    assert done.exit_code == 0, done.stderr
    wanted = xeo.open_cube("cube.zarr").time.sel(time=dates)
    assert 0 < wanted.size < 12
    np.testing.assert_array_equal(xr.open_zarr("out.zarr").time, wanted)


def test_the_bar_shows_rate_and_time_left(here):
    done = call("embed", "cube.zarr", "out.zarr", "--model", "band_stats")
    assert "embeddings: 100%" in done.stderr
    assert "value/s]" in done.stderr


def test_a_dry_run_prints_the_plan_and_does_nothing(here):
    before = sorted(os.listdir())
    done = call("embed", "cube.zarr", "out.zarr", "--dry-run")
    assert done.exit_code == 0
    assert "mosaiks: 12 x 256 x 4 x 4 float32" in done.stdout
    assert "windows" in done.stdout
    assert done.stdout.endswith("would write out.zarr\n")
    assert sorted(os.listdir()) == before


def test_what_is_there_is_left_alone_and_no_model_is_opened(here):
    Path("out.zarr").mkdir()
    Path("out.zarr/zarr.json").write_text("{}")
    done = call("embed", "cube.zarr", "out.zarr", "--model", "no such model")
    assert done.exit_code == 1
    assert done.stderr.startswith("xeo: expected nothing at 'out.zarr', found something.")
    assert Path("out.zarr/zarr.json").read_text() == "{}"


def test_the_last_line_says_what_binds_and_which_backend_ran(here):
    done = call("embed", "cube.zarr", "out.zarr", "--model", "band_stats", "--backend", "eager")
    assert done.exit_code == 0, done.stderr
    assert re.search(r" in [\d.]+ s; (reading|computing|writing) binds; eager\n$", done.stdout)


def test_the_last_line_names_no_backend_where_no_model_ran(here):
    empty = xr.zeros_like(xeo.open_cube("cube.zarr")[["B04"]].load())
    empty.to_zarr("empty.zarr", consolidated=False, zarr_format=3)
    done = call("embed", "empty.zarr", "out.zarr", "--model", "band_stats")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.endswith(" binds\n")
    assert np.isnan(xr.open_zarr("out.zarr")["embeddings"]).all()


def test_a_profile_is_printed_before_the_last_line(here):
    done = call("embed", "cube.zarr", "out.zarr", "--model", "band_stats", "--profile")
    assert done.exit_code == 0, done.stderr
    first, head, *sides, model, last = done.stdout.splitlines()
    assert re.match(r"\d+ blocks in .* binds$", first)
    assert head.startswith("side")
    assert [line.split()[0] for line in sides] == ["reading", "computing", "writing"]
    assert model.startswith("the model ran by ")
    assert last.startswith("wrote out.zarr")


def test_the_valid_fraction_is_written_beside(here):
    done = call("embed", "cube.zarr", "out.zarr", "--model", "band_stats", "--valid-fraction")
    assert done.exit_code == 0, done.stderr
    assert "time 12, embedding 20, y 8, x 8, and valid_fraction; " in done.stdout
    truth = xeo.open_cube("cube.zarr").eo.embed("band_stats", valid_fraction=True)
    with xr.open_zarr("out.zarr") as made:
        xr.testing.assert_equal(made.compute(), truth.compute())


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((), {"precision": "exact", "backend": None, "blend": None}),
        (("--no-blend",), {"blend": False}),
        (("--blend", "--precision", "fast"), {"blend": True, "precision": "fast"}),
        (("--backend", "packed"), {"backend": "packed"}),
    ],
)
def test_options_of_speed_reach_the_verb(here, monkeypatch, arguments, wanted):
    given = {}
    monkeypatch.setattr("xeo.ops.embed", lambda _, **options: given.update(options))
    assert call("embed", "cube.zarr", "out.zarr", "--dry-run", *arguments).exit_code == 0
    assert wanted.items() <= given.items()


def test_overwrite_replaces_a_store(here):
    for name in ("mosaiks", "band_stats"):
        done = call("embed", "cube.zarr", "out.zarr", "--model", name, "--overwrite")
        assert done.exit_code == 0, done.stderr
    assert xr.open_zarr("out.zarr").sizes["embedding"] == 20


def test_overwrite_replaces_nothing_but_a_zarr_store(here):
    Path("photos").mkdir()
    Path("photos/child.txt").write_text("dear")
    done = call("embed", "cube.zarr", "photos", "--overwrite")
    assert done.exit_code == 1
    assert "left alone" in done.stderr
    assert Path("photos/child.txt").read_text() == "dear"


@pytest.mark.parametrize("out", ["cube.zarr", "./cube.zarr/", "cube.zarr/inside.zarr", "."])
def test_the_source_is_never_overwritten(here, out):
    done = call("embed", "cube.zarr", out, "--overwrite")
    assert done.exit_code == 1
    assert "expected another place than the source" in done.stderr
    assert xeo.open_cube("cube.zarr").sizes["time"] == 12


def test_urls_of_fsspec_are_read_and_written(here):
    source, target = "memory://test_cli/cube.zarr", "memory://test_cli/out.zarr"
    xeo.open_cube("cube.zarr").to_zarr(source, consolidated=False, zarr_format=3)
    done = call("embed", source, target, "--model", "band_stats")
    assert done.exit_code == 0, done.stderr
    truth = xeo.open_cube("cube.zarr").eo.embed("band_stats")
    np.testing.assert_array_equal(xr.open_zarr(target)["embeddings"], truth)
    assert call("embed", source, target, "--model", "band_stats").exit_code == 1
    assert call("embed", source, source, "--overwrite").exit_code == 1


# Zarr says so of attributes that it writes twice into a zip.
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_netcdf_and_zip_are_read(here):
    cube = xeo.open_cube("cube.zarr").load()
    cube.to_netcdf("cube.nc", engine="h5netcdf")
    with zarr.storage.ZipStore("cube.zarr.zip", mode="w") as store:
        cube.drop_encoding().to_zarr(store, consolidated=False, zarr_format=3)
    truth = cube.eo.embed("band_stats")
    for source in ("cube.nc", "cube.zarr.zip"):
        done = call("embed", source, "out.zarr", "--model", "band_stats", "--overwrite")
        assert done.exit_code == 0, done.stderr
        np.testing.assert_array_equal(xr.open_zarr("out.zarr")["embeddings"], truth)


def test_a_real_cube(here, data_dir):
    source = data_dir / "s2_l2a_bolzano_202206.zarr.zip"
    done = call("embed", source, "out.zarr", "--model", "band_stats", "--time", "2022-06-02")
    assert done.exit_code == 0, done.stderr
    assert xr.open_zarr("out.zarr", decode_coords="all").rio.crs.to_epsg() == 32632


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.zarr", "out.zarr"], "expected a cube at 'nothing.zarr', found nothing"),
        (["cube.zarr", "out.zarr", "--model", "no"], "expected the name of a model that can embed"),
        (["cube.zarr", "out.zarr", "--bands", "B99"], "['B99'] are missing"),
        (["cube.zarr", "out.zarr", "--time", "1999"], "expected dates of the cube"),
        (["cube.zarr", "out.nc"], "expected a Zarr store to write, got 'out.nc'"),
        (["cube.zarr", "out.zarr", "--device", "tpu"], "got 'tpu'"),
        (["cube.zarr", "out.zarr", "--backend", "abacus"], "got 'abacus'"),
        (["cube.zarr", "out.zarr", "--blend"], "'mosaiks' takes any size and has no seams"),
        (["cube.zarr", "no_such_scheme://out.zarr"], "looking there failed"),
    ],
)
def test_errors_take_one_line_and_exit_code_1(here, arguments, words):
    done = call("embed", *arguments)
    assert done.exit_code == 1
    assert re.fullmatch(r"xeo: [^\n]+\n", done.stderr)
    assert words in done.stderr
    assert not Path("out.zarr").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["cube.zarr"],
        ["cube.zarr", "out.zarr", "--no-such-option"],
        ["cube.zarr", "out.zarr", "--time", "spring"],
        ["cube.zarr", "out.zarr", "--time", ":"],
        ["cube.zarr", "out.zarr", "--time", "2023:2024:2025"],
        ["cube.zarr", "out.zarr", "--bands", "B04,,B08"],
        ["cube.zarr", "out.zarr", "--chunk", "0"],
        ["cube.zarr", "out.zarr", "--dtype", "float64"],
        ["cube.zarr", "out.zarr", "--precision", "double"],
        ["cube.zarr", "out.zarr", "--units", "dn", "--units", "db"],
        ["cube.zarr", "out.zarr", "--storage-option", "anon"],
    ],
)
def test_a_wrong_command_line_has_exit_code_2(here, arguments):
    done = call("embed", *arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr
    assert not Path("out.zarr").exists()


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_traceback_is_shown_where_asked_for(here, monkeypatch, how):
    arguments = ["embed", "nothing.zarr", "out.zarr"]
    if how == "variable":
        monkeypatch.setenv("XEO_TRACEBACK", "1")
    else:
        arguments.append("--traceback")
    assert isinstance(call(*arguments).exception, xeo.errors.StoreError)


def test_warnings_take_one_line(here):
    zarr.open_group("cube.zarr").attrs["xeo_complete"] = 0
    done = call("embed", "cube.zarr", "out.zarr", "--model", "band_stats", "--quiet")
    assert done.exit_code == 0
    assert re.fullmatch(r"xeo: warning: 'cube.zarr' is not complete[^\n]+\n", done.stderr)


def _examples() -> list[str]:
    texts = [command.epilog or "" for command in main.commands.values()]
    return re.findall(r"^ {2}(xeo .*)$", "\n".join(texts), re.MULTILINE)


def test_there_are_examples():
    assert len(_examples()) > 5


@pytest.mark.parametrize("line", _examples())
def test_the_examples_of_the_help_work(here, line, request):
    if "s3://" in line:
        line += " --dry-run"  # without the network or s3fs it gets as far as a clear error
    if line.startswith("xeo tune ") and "--forget" not in line:
        line += " --backend packed --seconds 0.1"  # converting and compiling take a minute
    if "presto" in line or "classify" in line or "dynamic_world" in line:
        request.getfixturevalue("weights_dir")
        pytest.importorskip("torch")
    _, *arguments = shlex.split(line)
    if arguments[0] in ("compress", "decompress", "verify", "inspect"):
        pytest.importorskip("imagecodecs")
    if arguments[0] in ("decompress", "verify", "inspect"):
        assert call("compress", "cube.zarr", "small.zarr", "--lossless").exit_code == 0
    done = call(*arguments)
    if "s3://" in line:
        assert done.exit_code == 1
        assert done.stderr.startswith("xeo: ")
    else:
        assert done.exit_code == 0, done.stderr


def test_an_interrupt_says_what_is_written(here):
    cube = xeo.simulate_cube(dates=8, size=128, truth=False, chunks={"time": 8})
    cube.to_zarr("large.zarr", consolidated=False, zarr_format=3)
    running = subprocess.Popen(
        [sys.executable, "-m", "xeo", "embed", "large.zarr", "out.zarr", "--chunk", "8"],
        stderr=subprocess.PIPE,
        text=True,
    )
    chunks = Path("out.zarr/embeddings/c")
    while running.poll() is None and not chunks.exists():
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, complained = running.communicate(timeout=60)
    assert running.returncode == 130, complained
    assert "Traceback" not in complained
    last = complained.splitlines()[-1]
    found = re.match(r"xeo: stopped by SIGINT\. (\d+) of 256 blocks are written and whole", last)
    assert found is not None, complained
    assert int(found[1]) == sum(path.is_file() for path in chunks.rglob("*"))
    assert not is_complete("out.zarr")


def test_termination_has_its_own_exit_code(here, monkeypatch):
    from xeo.ops.stop import Interrupted

    def stopped(*_, **__):
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("xeo.ops.write", stopped)
    done = call("embed", "cube.zarr", "out.zarr", "--model", "band_stats")
    assert done.exit_code == 143
    assert done.stderr == "xeo: stopped by SIGTERM\n"
