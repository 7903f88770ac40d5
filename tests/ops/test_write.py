from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds .rio)
import xarray as xr
import zarr

import xeo
from xeo.errors import OptionError, StoreError
from xeo.ops.write import COMPLETE, is_complete
from xeo.spec import ModelSpec


@dataclass(frozen=True)
class Halves:
    """Half of the first band, at half the resolution."""

    spec: ClassVar[ModelSpec] = ModelSpec(name="halves", stride=2, channels=1)

    def __call__(self, x, /):
        return x[:, :1, ::2, ::2] / 2


#: What `Calls` calls; a model must pickle, and these functions do not.
FUNCTION = []


@dataclass(frozen=True)
class Calls:
    """Calls a function before each block."""

    spec: ClassVar[ModelSpec] = ModelSpec(name="calls", channels=1)

    def __call__(self, x, /):
        FUNCTION[0]()
        return x[:, :1]


@pytest.fixture
def stored(tmp_path):
    """A cube in a Zarr store: three dates of 40 x 40, chunks of one date and 16 x 16."""
    path = tmp_path / "cube.zarr"
    cube = xeo.simulate_cube(dates=3, size=40, chunks={"time": 1, "y": 16, "x": 16}, truth=False)
    cube[["B04", "B08"]].to_zarr(path, consolidated=False, zarr_format=3)
    return path


def calling(stored, function):
    FUNCTION[:] = [function]
    return xeo.open_cube(stored).eo.embed(Calls(), chunk=16)


def embedded(stored, **options):
    return xeo.open_cube(stored).eo.embed(Halves(), chunk=16, **options)


def test_plain_open_zarr_gives_what_embed_returns(stored, tmp_path):
    made = embedded(stored)
    xeo.write(made, tmp_path / "out.zarr", progress=False)
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        xr.testing.assert_identical(again["embeddings"].compute(), made.compute())
        assert again["spatial_ref"].attrs["GeoTransform"].split()[1] == "20.0"
        assert again.attrs == {COMPLETE: 1}


def test_the_crs_is_found_again(stored, tmp_path):
    xeo.write(embedded(stored), tmp_path / "out.zarr", progress=False)
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        assert again.rio.crs.to_epsg() == 32631


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_small_types_stay_what_they_are(stored, tmp_path, dtype):
    made = embedded(stored, dtype=dtype)
    xeo.write(made, tmp_path / "out.zarr", progress=False)
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        assert again["embeddings"].dtype == dtype
        np.testing.assert_array_equal(again["embeddings"], made)


def test_names_of_classes_survive(tmp_path):
    names = xr.DataArray(np.zeros((2, 3)), dims=("class", "x"), coords={"class": ["sea", "land"]})
    xeo.write(names.rename("p").chunk(), tmp_path / "out.zarr", progress=False)
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        assert list(again["class"].values) == ["sea", "land"]


def test_an_array_in_memory_is_written(tmp_path):
    array = xr.DataArray(np.arange(12.0).reshape(3, 4), dims=("y", "x"), name="a")
    seen = []
    xeo.write(array, tmp_path / "out.zarr", progress=seen.append)
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        xr.testing.assert_equal(again["a"].compute(), array)
    assert sum(seen) == 12
    assert is_complete(tmp_path / "out.zarr")


def test_blocks_that_no_zarr_grid_can_have_are_cut_anew(tmp_path):
    array = xr.DataArray(np.arange(10.0), dims="x", name="a").chunk(x=(2, 4, 4))
    xeo.write(array, tmp_path / "out.zarr", progress=False)
    assert zarr.open_group(tmp_path / "out.zarr")["a"].chunks == (4,)
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        np.testing.assert_array_equal(again["a"], array)


def test_a_cube_with_south_up_is_written_as_it_is(stored, tmp_path):
    cube = xr.open_zarr(stored, consolidated=False).isel(y=slice(None, None, -1)).chunk(y=16)
    cube.to_zarr(tmp_path / "south.zarr", consolidated=False, zarr_format=3)
    made = embedded(tmp_path / "south.zarr")
    xeo.write(made, tmp_path / "out.zarr", progress=False)
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        np.testing.assert_array_equal(again["embeddings"], made)


def test_one_file_a_block(stored, tmp_path):
    made = embedded(stored)
    xeo.write(made, tmp_path / "out.zarr", progress=False)
    files = [p for p in (tmp_path / "out.zarr" / "embeddings" / "c").rglob("*") if p.is_file()]
    assert len(files) == np.prod(made.data.numblocks)


def test_the_source_and_its_encoding_are_left_alone(stored, tmp_path):
    made = embedded(stored)
    before = {name: dict(coord.encoding) for name, coord in made.coords.items()}
    xeo.write(made, tmp_path / "out.zarr", progress=False)
    assert {name: dict(coord.encoding) for name, coord in made.coords.items()} == before
    assert made.name == "embeddings"


def test_progress_counts_every_value_once(stored, tmp_path):
    made = embedded(stored)
    seen = []
    xeo.write(made, tmp_path / "out.zarr", progress=seen.append)
    assert sum(seen) == made.size
    assert len(seen) == np.prod(made.data.numblocks)


def test_the_bar_shows_a_rate(stored, tmp_path, capsys):
    xeo.write(embedded(stored), tmp_path / "out.zarr")
    assert "value/s" in capsys.readouterr().err


def test_a_url_of_fsspec(stored):
    made = embedded(stored)
    xeo.write(made, "memory://test_write/out.zarr", progress=False)
    with xr.open_zarr("memory://test_write/out.zarr") as again:
        np.testing.assert_array_equal(again["embeddings"], made)
    assert is_complete("memory://test_write/out.zarr")
    with pytest.raises(StoreError, match="expected nothing at"):
        xeo.write(made, "memory://test_write/out.zarr", progress=False)
    xeo.write(made, "memory://test_write/out.zarr", progress=False, overwrite=True)


def test_the_url_of_a_local_path(stored, tmp_path):
    xeo.write(embedded(stored), f"file://{tmp_path}/out.zarr", progress=False)
    assert is_complete(tmp_path / "out.zarr")


def test_workers_must_be_some(stored, tmp_path):
    with pytest.raises(OptionError, match="1 or more, got 0"):
        xeo.write(embedded(stored), tmp_path / "out.zarr", workers=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_model_keeps_its_class_and_tells_what_is_written(stored, tmp_path, workers):
    calls = []

    def third_fails():
        calls.append(1)
        if len(calls) == 3:
            raise FloatingPointError("no")

    made = calling(stored, third_fails)
    with pytest.raises(FloatingPointError, match="no") as caught:
        xeo.write(made, tmp_path / "out.zarr", progress=False, workers=workers)
    group = zarr.open_group(tmp_path / "out.zarr")
    assert group.attrs[COMPLETE] == 0
    written = group["embeddings"].nchunks_initialized
    assert f"{written} of {group['embeddings'].nchunks} blocks" in caught.value.__notes__[0]
    assert not is_complete(tmp_path / "out.zarr")


def test_opening_an_incomplete_store_warns(stored, tmp_path):
    xeo.write(embedded(stored), tmp_path / "out.zarr", progress=False)
    zarr.open_group(tmp_path / "out.zarr").attrs[COMPLETE] = 0
    with pytest.warns(xeo.errors.XeoWarning, match="not complete"):
        xeo.open_cube(tmp_path / "out.zarr")


def test_blocks_that_are_not_written_read_as_missing(stored, tmp_path):
    def fails():
        raise FloatingPointError

    made = calling(stored, fails)
    with pytest.raises(FloatingPointError):
        xeo.write(made, tmp_path / "out.zarr", progress=False)
    with xr.open_zarr(tmp_path / "out.zarr") as half:
        assert np.isnan(half["embeddings"]).all()


def test_a_source_that_vanishes_is_an_error(stored, tmp_path):
    made = calling(stored, lambda: shutil.rmtree(stored, ignore_errors=True))
    with pytest.raises(StoreError, match=r"cube.zarr/B0\d to be there until the end.*vanished"):
        xeo.write(made, tmp_path / "out.zarr", progress=False)
    assert not is_complete(tmp_path / "out.zarr")


def test_a_chunk_that_is_cut_short_is_an_error(stored, tmp_path):
    chunk = stored / "B04" / "c" / "1" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(StoreError, match=r"reading B04 at .* failed"):
        xeo.write(embedded(stored), tmp_path / "out.zarr", progress=False)
    assert not is_complete(tmp_path / "out.zarr")


SLOW = """
import sys, time
from dataclasses import dataclass
from typing import ClassVar
import xeo
from xeo.spec import ModelSpec

@dataclass(frozen=True)
class Slow:
    spec: ClassVar[ModelSpec] = ModelSpec(name="slow", channels=64)
    def __call__(self, x, /):
        time.sleep({seconds})
        return x[:, :1].repeat(64, axis=1)

def show(_):
    print("+", flush=True)

def main():
    made = xeo.open_cube(sys.argv[1]).eo.embed(Slow(), chunk=8)
    xeo.write(made, sys.argv[2], workers=int(sys.argv[3]), progress=show)
"""


def _chunks(out: Path) -> list[Path]:
    return [p for p in (out / "embeddings" / "c").rglob("*") if p.is_file()]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_between_blocks(stored, tmp_path, signum, workers):
    out = tmp_path / "out.zarr"
    code = SLOW.format(seconds=0.05) + (
        "try:\n    main()\nexcept KeyboardInterrupt as err:\n"
        "    print(err.signum, *err.__notes__, flush=True)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code, stored, out, str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for _ in range(4):
        assert running.stdout.readline() == "+\n"
    running.send_signal(signum)
    printed, complained = running.communicate(timeout=60)
    assert running.returncode == 0, complained
    number, done, *_ = printed.splitlines()[-1].split()
    assert int(number) == signum
    assert 4 <= int(done) < 25
    assert len(_chunks(out)) == int(done)
    assert "stopping when the blocks at work are written" in complained
    assert not is_complete(out)
    _assert_every_chunk_is_whole(stored, out)


def _assert_every_chunk_is_whole(stored: Path, out: Path) -> None:
    assert not list(out.rglob("*.partial"))
    array = zarr.open_group(out)["embeddings"]
    truth = xr.open_zarr(stored, consolidated=False)["B04"].transpose("time", "y", "x").values
    rows, columns = array.chunks[-2:]
    for path in _chunks(out):
        _, _, y, x = map(int, path.parts[-4:])
        at = slice(y * rows, (y + 1) * rows), slice(x * columns, (x + 1) * columns)
        block = array[(slice(None), slice(None), *at)]
        np.testing.assert_array_equal(
            np.isnan(block), np.broadcast_to(np.isnan(block[:, :1]), block.shape)
        )
        assert np.isfinite(block).any()
        np.testing.assert_array_equal(np.isnan(block[:, 0]), truth[(slice(None), *at)] == 0)


def test_a_second_signal_stops_at_once(stored, tmp_path):
    code = SLOW.format(seconds="print('called', flush=True) or 3") + "main()\n"
    running = subprocess.Popen(
        [sys.executable, "-c", code, stored, tmp_path / "out.zarr", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "called\n"
    running.send_signal(signal.SIGTERM)
    assert running.stderr is not None
    assert "stopping" in running.stderr.readline()
    start = time.monotonic()
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGTERM
    assert time.monotonic() - start < 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of a process are those of POSIX")
def test_a_full_disk_is_an_error_and_leaves_no_half_chunk(stored, tmp_path):
    code = (
        SLOW.format(seconds=0)
        + "import resource\n"
        + "import numpy as np\n"
        # A block of noise does not compress: 8 x 8 x 64 x 3 floats are 49 kB.
        + "Slow.__call__ = lambda self, x: np.random.default_rng(0).random("
        + "(len(x), 64, *x.shape[2:]), dtype='f4')\n"
        + "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        + "try:\n    main()\nexcept xeo.errors.StoreError as err:\n    print(err, *err.__notes__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, stored, tmp_path / "out.zarr", "2"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "failed: OSError" in done.stdout
    assert os.strerror(errno.EFBIG) in done.stdout
    assert "0 of 25 blocks are written and whole" in done.stdout
    assert not _chunks(tmp_path / "out.zarr")
    assert not is_complete(tmp_path / "out.zarr")


def test_zarr_renames_chunks_into_place(tmp_path, monkeypatch):
    """Whole chunks or none, even if the process is killed: Zarr's local store does that."""
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4,), chunks=(4,), dtype="f4")
    names = []
    replace = Path.replace

    def spy(self, target):
        names.append((self.suffix, Path(target).name))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", spy)
    array[:] = 1
    assert names == [(".partial", "0")]


def test_metadata_says_incomplete_before_the_first_block(stored, tmp_path):
    seen = []

    def look():
        text = (tmp_path / "out.zarr" / "zarr.json").read_text()
        seen.append(json.loads(text)["attributes"][COMPLETE])

    made = calling(stored, look)
    xeo.write(made, tmp_path / "out.zarr", progress=False)
    assert set(seen) == {0}
    assert json.loads((tmp_path / "out.zarr" / "zarr.json").read_text())["attributes"][COMPLETE]


def codecs_of(path, name="embeddings"):
    import zarr

    return zarr.open_group(path, mode="r")[name].compressors


def test_codecs_of_the_encoding_are_used_and_those_of_zarr_2_are_not(stored, tmp_path):
    import numcodecs

    made = embedded(stored)
    xeo.write(made, tmp_path / "own.zarr", progress=False)
    assert "lz4" in str(codecs_of(tmp_path / "own.zarr"))
    made.encoding["compressors"] = None
    xeo.write(made, tmp_path / "none.zarr", progress=False)
    assert codecs_of(tmp_path / "none.zarr") == ()
    made.encoding["compressors"] = (numcodecs.Zlib(),)
    xeo.write(made, tmp_path / "old.zarr", progress=False)
    assert "lz4" in str(codecs_of(tmp_path / "old.zarr"))


def test_a_dataset_is_written_in_one_pass(stored, tmp_path):
    calls = []
    FUNCTION[:] = [lambda: calls.append(1)]
    both = xeo.open_cube(stored).eo.embed(Calls(), chunk=16, batch=1, valid_fraction=True)
    profile = xeo.write(both, tmp_path / "out.zarr", progress=False, profile=True)
    assert len(calls) == 27
    assert profile.blocks == 9
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        for name in both:
            xr.testing.assert_identical(again[name].compute(), both[name].compute())
        assert again.valid_fraction.dims == ("time", "y", "x")
        assert 0 < float(again.valid_fraction.mean()) <= 1


def test_a_profile_tells_where_the_time_went(stored, tmp_path):
    profile = xeo.write(embedded(stored), tmp_path / "out.zarr", progress=False, profile=True)
    assert profile.blocks == 9
    assert profile.skipped == 0
    assert profile.bound in ("reading", "computing", "writing")
    for side in (profile.reading, profile.computing, profile.writing):
        assert side.threads >= 1
        assert side.busy > 0
        assert side.nbytes > 0
    assert f"{profile.bound} binds" in str(profile)
    assert "eager" in str(profile)


def test_what_xeo_did_not_make_has_no_profile(tmp_path):
    da = xr.DataArray(np.zeros(4), dims="x", name="a")
    with pytest.raises(OptionError, match="lazy result of xeo"):
        xeo.write(da, tmp_path / "out.zarr", profile=True)
    assert not (tmp_path / "out.zarr").exists()


def test_a_dataset_of_anything_is_written(tmp_path):
    ds = xr.Dataset({"a": ("x", np.arange(5)), "b": (("y", "x"), np.ones((3, 5), "f4"))})
    xeo.write(ds, tmp_path / "out.zarr", progress=False)
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        xr.testing.assert_equal(again.compute().drop_attrs(), ds)
    with pytest.raises(OptionError, match="empty"):
        xeo.write(xr.Dataset(), tmp_path / "none.zarr")


def test_blocks_of_nothing_are_left_out_and_others_are_not(tmp_path):
    values = np.zeros((4, 4), "f4")
    values[:2] = np.nan
    values[0, 1], values[3, 3] = 1, np.nan
    da = xr.DataArray(values, dims=("y", "x"), name="a").chunk({"y": 2, "x": 2})
    xeo.write(da, tmp_path / "out.zarr", progress=False)
    chunks = {str(one.relative_to(tmp_path / "out.zarr/a/c")) for one in
              (tmp_path / "out.zarr/a/c").rglob("*") if one.is_file()}  # fmt: skip
    # The first begins with NaN and goes on; the second is all NaN, which the fill value says.
    assert chunks == {"0/0", "1/0", "1/1"}
    with xr.open_zarr(tmp_path / "out.zarr") as again:
        np.testing.assert_array_equal(again.a.values, values)
