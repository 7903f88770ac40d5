from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("av")
pytest.importorskip("ffmpeg")

import xeo
from xeo.errors import DimensionError, MissingDependencyError, OptionError, StoreError
from xeo.ops import ffmpeg
from xeo.ops.xarrayvideo import to_xarrayvideo
from xeo.readers import frames

try:
    ffmpeg.program(purpose="run the tests")
except MissingDependencyError:
    pytest.skip("no ffmpeg program", allow_module_level=True)

T, Y, X = 5, 56, 72
FAST = {"preset": "ultrafast", "crf": 2}


def write(obj, path, **options):
    return to_xarrayvideo(obj, path, **{"options": FAST, "progress": False, **options})


def read(path):
    return xr.open_dataset(path, engine="xarrayvideo")


@pytest.fixture(scope="module")
def cube():
    t, y, x = np.meshgrid(np.arange(T), np.arange(Y), np.arange(X), indexing="ij")
    wave = (0.3 + 0.1 * np.sin(x / 9 + t) + 0.1 * np.cos(y / 7)).astype("f4")
    dims = ("time", "y", "x")
    coords = {
        "time": np.datetime64("2024-03-01", "ns") + np.arange(T) * np.timedelta64(5, "D"),
        "y": 500.0 - 10 * np.arange(Y),
        "x": 100.0 + 10 * np.arange(X),
        "spatial_ref": ((), 0, {"crs_wkt": "EPSG:32631"}),
    }
    ds = xr.Dataset({f"B0{i}": (dims, wave * i) for i in (2, 3, 4, 8)}, coords)
    ds["B08"].attrs = {"long_name": "nanometers, nan", "wave": np.float32(0.5), "at": np.arange(3)}
    ds["B08"].attrs |= {"void": np.nan, "top": np.inf, "nested": {"a": (1, None)}}
    ds["SCL"] = (dims, ((x // 9 + t) % 12).astype("u1"), {"flag_meanings": "a b"})
    ds["clouds"] = (dims, x % 7 == 0)
    ds["wide"] = (dims, ((x // 9 + t) % 12).astype("i8"))
    ds["signed"] = (dims, (x % 9 - 4 - t).astype("i1"))
    ds["dn"] = (dims, (wave * 10_000).astype("i2"))
    ds["slope"] = (("y", "x"), wave[0])
    ds["names"] = ("time", [f"S2-{i}" for i in range(T)])
    return ds


@pytest.fixture(scope="module")
def archive(cube, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives") / "one"
    sizes = write(cube, folder)
    assert sizes == {p.name: p.stat().st_size for p in folder.iterdir()}
    return folder


@pytest.fixture(autouse=True)
def _forget():
    yield
    frames.close([*frames._films._held])


def test_round_trip(cube, archive):
    with read(archive) as ds:
        assert set(ds.data_vars) == set(cube.data_vars)
        for name, da in cube.data_vars.items():
            assert ds[name].dims == da.dims
            assert ds[name].dtype == da.dtype or name == "names"
        xr.testing.assert_identical(ds["slope"].load(), cube["slope"])
        for name in cube.coords:
            xr.testing.assert_identical(ds[name].load(), cube[name])


def test_values_with_loss_are_near(cube, archive):
    with read(archive) as ds:
        for i in (2, 3, 4, 8):
            assert abs(ds[f"B0{i}"] - cube[f"B0{i}"]).max() < 0.006 * i
        assert abs(ds["dn"].astype(float) - cube["dn"]).max() < 60


def test_integers_that_span_little_are_exact(cube, archive):
    with read(archive) as ds:
        for name in ("SCL", "clouds", "wide", "signed"):
            np.testing.assert_array_equal(ds[name], cube[name])
        assert ds["SCL"].attrs == {"flag_meanings": "a b"}


def test_attributes(archive):
    with read(archive) as ds:
        assert ds["B08"].attrs == {
            "long_name": "nanometers, nan",
            "wave": 0.5,
            "at": [0, 1, 2],
            "void": "nan",
            "top": "inf",
            "nested": {"a": [1, "None"]},
        }


def test_no_file_has_more_than_three_bands(archive):
    names = sorted(p.name for p in archive.iterdir())
    assert names == ["exact001_001.mkv", "exact002_001.mkv", "video001_001.mkv",
                     "video002_001.mkv", "x.nc"]  # fmt: skip
    tags = [frames.probe(str(archive / name)).tags["XARRAY"] for name in names[:-1]]
    for text in tags:
        # xarrayvideo replaces these letters wherever they stand, then evaluates the tag.
        assert "nan" not in text
        assert "inf" not in text.replace("'inf'", "")


def test_integers_are_exact_on_request(cube, tmp_path):
    wide = cube[["dn"]].assign(low=cube["dn"].astype("i4") - 60_000, dn2=cube["dn"].astype("u2"))
    write(wide, tmp_path / "all", lossless=True)
    write(wide, tmp_path / "one", lossless=["low"])
    with read(tmp_path / "all") as ds:
        for name in wide.data_vars:
            np.testing.assert_array_equal(ds[name], wide[name])
            assert ds[name].dtype == wide[name].dtype
    with read(tmp_path / "one") as ds:
        np.testing.assert_array_equal(ds["low"], wide["low"])


def test_missing_values_come_back(cube, tmp_path):
    holes = cube[["B02", "B03", "B04", "B08"]].copy(deep=True)
    holes["B03"][2, 5:20, 7:30] = np.nan
    holes["B03"][0, 0] = np.inf
    holes["B08"][:] = np.nan
    holes["B03_missing"] = holes["B02"]
    write(holes, tmp_path / "one")
    with read(tmp_path / "one") as ds:
        assert set(ds.data_vars) == set(holes.data_vars)
        missing = ~np.isfinite(holes["B03"])
        np.testing.assert_array_equal(ds["B03"].isnull(), missing)
        np.testing.assert_array_equal(ds["B03"][2, ::3, [9, 8]].isnull(), missing[2, ::3, [9, 8]])
        assert abs(ds["B03"] - holes["B03"].where(~missing)).max() < 0.04
        assert ds["B08"].isnull().all()
        assert not ds["B02"].isnull().any()


def test_lazy_equals_eager(cube, tmp_path):
    part = cube[["B02", "SCL"]]
    write(part, tmp_path / "eager")
    for i, chunks in enumerate([{"time": 1}, {"time": 2, "x": 30}, {"y": 7}]):
        write(part.chunk(chunks), tmp_path / f"lazy{i}")
        with read(tmp_path / "eager") as a, read(tmp_path / f"lazy{i}") as b:
            xr.testing.assert_identical(a.load(), b.load())


def test_any_order_of_dimensions(cube, tmp_path):
    part = cube[["B02", "SCL"]].transpose("x", "time", "y")
    write(part, tmp_path / "one")
    with read(tmp_path / "one") as ds:
        assert ds["SCL"].dims == ("time", "x", "y")
        np.testing.assert_array_equal(ds["SCL"], part["SCL"].transpose("time", "x", "y"))
        assert abs(ds["B02"] - part["B02"]).max() < 0.02


def test_a_few_dates_are_read_at_a_time(cube, tmp_path, monkeypatch):
    from xeo.ops import xarrayvideo

    monkeypatch.setattr(xarrayvideo, "_BLOCK", 2 * Y * X * 4)
    dask_array = pytest.importorskip("dask.array")
    seen = []

    def note(block):
        seen.append(block.shape)
        return block

    lazy = cube[["B02"]].chunk(time=1)
    data = dask_array.map_blocks(note, lazy["B02"].data, meta=lazy["B02"].data._meta)
    lazy["B02"] = lazy["B02"].copy(data=data)
    blocks = [
        block.sizes["time"] for block in xarrayvideo._blocks(lazy.chunk(time=5), ["B02"], "time")
    ]
    assert blocks == [2, 2, 1]
    blocks = [block.sizes["time"] for block in xarrayvideo._blocks(lazy, ["B02"], "time")]
    assert blocks == [1] * T
    assert set(seen) == {(1, Y, X)}


def test_bands_of_a_dimension_become_variables(cube, tmp_path):
    da = cube[["B02", "B03"]].to_dataarray("band").rename("s2")
    files = da.eo.to_xarrayvideo(tmp_path / "one", options=FAST, progress=False)
    assert "video001_001.mkv" in files
    with read(tmp_path / "one") as ds:
        assert set(ds.data_vars) == {"B02", "B03"}
    two = xr.Dataset({"a": da, "b": da * 2})
    two.eo.to_xarrayvideo(tmp_path / "two", options=FAST, progress=False)
    with read(tmp_path / "two") as ds:
        assert set(ds.data_vars) == {"a_B02", "a_B03", "b_B02", "b_B03"}


@pytest.mark.parametrize("shape", [(1, 1), (12, 40), (40, 12), (33, 64), (64, 33), (65, 3)])
def test_sizes_that_x265_cannot_code(tmp_path, shape):
    ramp = np.linspace(0, 1, 3 * shape[0] * shape[1], dtype="f4").reshape(3, *shape)
    da = xr.DataArray(ramp, dims=("time", "y", "x"), name="ramp")
    write(da, tmp_path / "one")
    with read(tmp_path / "one") as ds:
        assert abs(ds["ramp"].transpose("time", "y", "x").values - ramp).max() < 0.05


@pytest.mark.parametrize(("codec", "bits"), [("libx264", 10), ("libx264", 8), ("vp9", 12)])
def test_other_encoders(cube, tmp_path, codec, bits):
    options = {} if codec == "vp9" else FAST
    write(cube[["B02"]], tmp_path / "one", codec=codec, bits=bits, options=options)
    with read(tmp_path / "one") as ds:
        assert abs(ds["B02"] - cube["B02"]).max() < 0.04


def test_values_are_clipped_to_a_range(cube, tmp_path):
    write(cube[["B02", "B03"]], tmp_path / "one", value_range={"B02": (0.4, 0.7)})
    with read(tmp_path / "one") as ds:
        assert ds["B02"].min() >= 0.39
        assert ds["B02"].max() <= 0.71
        assert ds["B03"].min() < 0.4


def test_one_value_alone(tmp_path):
    da = xr.DataArray(np.full((2, 70, 70), 7.25, "f8"), dims=("time", "y", "x"), name="flat")
    write(da, tmp_path / "one")
    with read(tmp_path / "one") as ds:
        np.testing.assert_array_equal(ds["flat"], da)
        assert ds["flat"].dtype == np.float64


def test_input_is_left_as_it_was(cube, tmp_path):
    before = cube.copy(deep=True)
    write(cube[["B02", "names"]], tmp_path / "one")
    xr.testing.assert_identical(cube, before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"codec": "mpeg2"}, OptionError, "expected a codec among"),
        ({"bits": 9}, OptionError, r"expected bits among \(8, 10, 12\)"),
        ({"lossless": ["B99"]}, OptionError, r"got \['B99'\]"),
        ({"lossless": True}, OptionError, "expected something to store as video"),
        ({"value_range": {"B99": (0, 1)}}, OptionError, "expected a range .* got 'B99'"),
        ({"value_range": (1, 0)}, OptionError, "expected a range"),
        ({"options": {"crf": "much"}}, StoreError, "ffmpeg could not write"),
    ],
)
def test_errors_leave_nothing_behind(cube, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        write(cube[["B02"]], tmp_path / "one", **options)
    assert not any(tmp_path.iterdir())


def test_flags_are_exact_though_they_span_much(cube, tmp_path):
    flags = cube[["B02"]].copy()
    flags["pixel_qa"] = (cube["dn"] * 3).astype("u2")
    flags["quality"] = cube["SCL"].astype("u4") * 2**27
    flags["quality"].attrs["flag_masks"] = np.array([1, 2], "u4")
    write(flags, tmp_path / "one")
    with read(tmp_path / "one") as ds:
        for name in ("pixel_qa", "quality"):
            np.testing.assert_array_equal(ds[name], flags[name])
            assert ds[name].dtype == flags[name].dtype


def test_what_no_video_holds_exactly_is_kept_beside(cube, tmp_path, monkeypatch):
    from xeo.ops import xarrayvideo

    monkeypatch.setattr(xarrayvideo, "_BLOCK", 2 * Y * X * 4)
    wide = cube[["B02", "B03"]].copy(deep=True).assign(wide=cube["dn"].astype("i8") * 100)
    wide["B03"][1, 2, 3] = np.nan
    files = write(wide, tmp_path / "one", lossless=["B03", "wide"])
    assert set(files) == {"video001_001.mkv", "x.nc"}
    with read(tmp_path / "one") as ds:
        np.testing.assert_array_equal(ds["wide"], wide["wide"])
        np.testing.assert_array_equal(ds["B03"], wide["B03"])


def test_too_long_attributes(cube, tmp_path):
    long = cube[["B02"]].copy()
    long["B02"].attrs["history"] = "x" * 130_000
    with pytest.raises(OptionError, match=r"attributes of at most.*drop_attrs"):
        write(long, tmp_path / "one")
    assert not any(tmp_path.iterdir())


def test_cubes_that_are_none(cube, tmp_path):
    with pytest.raises(DimensionError, match="expected dimensions time, y and x"):
        write(cube["slope"], tmp_path / "one")
    with pytest.raises(DimensionError, match="expected a variable of numbers"):
        write(cube[["slope", "names"]], tmp_path / "one")
    with pytest.raises(DimensionError, match="got list"):
        to_xarrayvideo([cube], tmp_path / "one")


def test_only_archives_are_overwritten(cube, tmp_path):
    write(cube[["B02"]], tmp_path / "one")
    with pytest.raises(StoreError, match=r"expected nothing at .*overwrite=True"):
        write(cube[["B03"]], tmp_path / "one")
    write(cube[["B03"]], tmp_path / "one", overwrite=True)
    with read(tmp_path / "one") as ds:
        assert set(ds.data_vars) == {"B03"}
    (tmp_path / "one" / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match="which is left alone"):
        write(cube[["B03"]], tmp_path / "one", overwrite=True)
    assert (tmp_path / "one" / "thesis.tex").exists()
    with pytest.raises(StoreError, match="local folder"):
        write(cube[["B03"]], "s3://bucket/one")


def test_what_is_there_stays_when_writing_fails(cube, tmp_path):
    write(cube[["B02"]], tmp_path / "one")
    with pytest.raises(StoreError):
        write(cube[["B03"]], tmp_path / "one", overwrite=True, options={"crf": "much"})
    with read(tmp_path / "one") as ds:
        assert set(ds.data_vars) == {"B02"}
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_without_a_program(monkeypatch, cube, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"the program ffmpeg.*xarray-eo\[video\]"):
        write(cube[["B02"]], tmp_path / "one")
    assert not any(tmp_path.iterdir())


def test_program_of_imageio(monkeypatch):
    imageio = pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert ffmpeg.program(purpose="look") == imageio.get_ffmpeg_exe()


def test_a_program_that_dies_says_why(tmp_path):
    encoder = ffmpeg.Encoder(tmp_path / "a.mkv", (16, 16), "gray", {"c:v": "nothing"})
    picture = np.zeros((10_000, 16, 16), "u1")
    with pytest.raises(StoreError, match=r"exit status \d+.*nothing"), encoder:
        encoder.write(picture)


def test_xarrayvideo_reads_it(cube, tmp_path):
    """Where the real one is installed, or ``XEO_XARRAYVIDEO`` names a Python that has it."""
    python = os.environ.get("XEO_XARRAYVIDEO", sys.executable)
    if python == sys.executable:
        pytest.importorskip("xarrayvideo")
    holes = cube.copy(deep=True)
    holes["B03"][2, 5:20, 7:30] = np.nan
    write(holes, tmp_path / "one", lossless=["dn"])
    code = (
        "import sys, matplotlib; matplotlib.use('agg'); from xarrayvideo import video2xarray;"
        "ds = video2xarray(sys.argv[1], 'one').drop_vars('names'); ds['B08'].attrs.clear();"
        "ds.to_netcdf(sys.argv[2])"
    )
    subprocess.run([python, "-W", "ignore", "-c", code, tmp_path, tmp_path / "r.nc"], check=True)
    with (
        xr.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as theirs,
        read(tmp_path / "one") as ours,
    ):
        for name in ("SCL", "clouds", "wide", "signed", "dn"):
            np.testing.assert_allclose(theirs[name], holes[name].astype(float), atol=1e-3)
        for i in (2, 3, 4, 8):
            name = f"B0{i}"
            close = theirs[name].where(ours[name].notnull())
            np.testing.assert_allclose(close, ours[name], atol=2e-3 * i)
        assert (theirs["B03_missing"] != 0).sum() == 15 * 23


def test_function_is_public():
    assert xeo.to_xarrayvideo is to_xarrayvideo
    assert "obj" not in (xr.Dataset.eo.to_xarrayvideo.__doc__ or "").split("Returns")[0]
