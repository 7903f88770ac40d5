from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("av")

import av

from xeo.errors import StoreError, XeoWarning
from xeo.readers import frames, matroska
from xeo.readers.xarrayvideo import XarrayVideoBackend

DATA = Path(__file__).parent / "data"
NAMES = ("B02", "B03", "B04", "B08", "B11", "B12", "B8A")
T, Y, X = 4, 40, 72


def open_archive(path, **options):
    return xr.open_dataset(path, engine="xarrayvideo", **options)


def band(k):
    """What the stored archives were written from."""
    t, y, x = np.meshgrid(np.arange(T), np.arange(Y), np.arange(X), indexing="ij")
    wave = 0.1 + 0.05 * np.sin(x / 9 + t) + 0.04 * np.cos(y / (5 + k))
    return ((k + 1) * wave).astype("f4")


def classes():
    t, y, x = np.meshgrid(np.arange(T), np.arange(Y), np.arange(X), indexing="ij")
    return ((x // 9 + y // 8 + t) % 12).astype("u1")


def tag(bands, values, **other):
    """Metadata in the words of xarrayvideo, of values ``(t, d1, d2, channel)``."""
    pad = list(bands) + [bands[-1]] * (-len(bands) % 3)
    pixels = {"u1": ("gbrp", "bgr0"), "u2": ("gbrp16le", "gbrp16le")}[values.dtype.str[1:]]
    told = {
        "VERSION": "0.2",
        "BANDS": str(pad),
        "CHANNELS": 3,
        "COORDS_DIMS": "('time', 'x', 'y')",
        "ATTRS": str({name: {} for name in bands}),
        "FRAMES": str(len(values)),
        "RANGE": str([[0.0, 65535.0]] * len(pad)),
        "OUT_PIX_FMT": pixels[0],
        "REQ_PIX_FMT": pixels[1],
        "PLANAR": True,
        "BITS": 8 * values.dtype.itemsize,
        "NORMALIZED": False,
        "CHANNEL_ORDER": "gbr",
        "PCA_PARAMS": None,
    }
    return {**told, **other}


def write(folder, rule, values, bands=None, number=None, keyframes=None, **other):
    """Write a rule as xarrayvideo lays it out, exactly."""
    folder.mkdir(exist_ok=True)
    bands = list(bands or (f"c{i}" for i in range(values.shape[-1])))
    fill = -values.shape[-1] % 3
    full = np.concatenate([values, np.repeat(values[..., -1:], fill, axis=-1)], axis=-1)
    told = tag(bands, values, **other)
    for i in range(full.shape[-1] // 3):
        name = f"{rule}_{number or i + 1:03d}.mkv"
        text = str({**told, "ORDER": number or i + 1})
        _video(folder / name, full[..., 3 * i : 3 * i + 3], text, keyframes)
    return folder


def _video(path, values, text, keyframes):
    pixels = "bgr0" if values.dtype == np.uint8 else "gbrp16le"
    with av.open(str(path), "w") as container:
        container.metadata["XARRAY"] = text
        stream = container.add_stream("ffv1", rate=Fraction(30))
        stream.height, stream.width = values.shape[2], values.shape[1]
        stream.pix_fmt, stream.options = pixels, {"level": "3"}
        stream.gop_size = keyframes or 1
        for picture in values:
            rgb = np.ascontiguousarray(picture.transpose(1, 0, 2))
            frame = _frame(rgb, pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _frame(rgb, pixels):
    if pixels == "gbrp16le":
        return av.VideoFrame.from_ndarray(rgb, format="gbrp16le")
    wide = np.zeros((*rgb.shape[:2], 4), np.uint8)
    wide[..., :3] = rgb[..., ::-1]
    return av.VideoFrame.from_ndarray(wide, format="bgra").reformat(format="bgr0")


def rest(folder, *, time=T, x=20, y=12, **more):
    folder.mkdir(exist_ok=True)
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(time) * np.timedelta64(1, "D"),
        "x": np.arange(x) * 10.0,
        "y": np.arange(y)[::-1] * 10.0,
    }
    xr.Dataset(more, coords).to_netcdf(folder / "x.nc", engine="h5netcdf")
    return folder


@pytest.fixture
def values():
    """``(t, x, y, channel)``; each number occurs once."""
    return np.arange(T * 20 * 12 * 9, dtype="u2").reshape(T, 20, 12, 9)


@pytest.fixture
def archive(tmp_path, values):
    return write(rest(tmp_path / "one"), "s2", values)


@pytest.fixture(autouse=True)
def _forget():
    yield
    frames.close([*frames._films._held])


def test_archive_written_by_xarrayvideo():
    with open_archive(DATA / "videos") as ds:
        assert dict(ds.sizes) == {"time": T, "x": X, "y": Y}
        assert ds["B8A"].dtype == np.float32
        for k, name in enumerate(NAMES):
            assert ds[name].attrs == {"center_wavelength": pytest.approx(0.4 + k / 10)}
            error = np.abs(ds[name].transpose("time", "y", "x").values - band(k)).max()
            assert error < 0.0025 * (k + 1)
        np.testing.assert_array_equal(ds["SCL"].transpose("time", "y", "x"), classes())
        assert ds["SCL"].dtype == np.uint8
        assert ds["void"].isnull().all()
        np.testing.assert_array_equal(ds["slope"][0], (np.arange(X) / 4).astype("f4"))
        assert str(ds.time.values[1])[:10] == "2024-03-06"


def test_pictures_written_by_xarrayvideo():
    pytest.importorskip("imagecodecs")
    with open_archive(DATA / "pictures") as ds:
        assert ds["B02"].dims == ("time", "y", "x")
        for k, name in enumerate(NAMES[:2]):
            assert np.abs(ds[name].values - band(k)[:2]).max() < 0.003 * (k + 1)
        np.testing.assert_array_equal(ds["B03"][1, 3:5, ::7], ds["B03"].values[1, 3:5, ::7])


def test_backend_is_found_by_name_and_by_folder(archive):
    assert "xarrayvideo" in xr.backends.list_engines()
    with xr.open_dataset(archive) as ds:
        assert "c0" in ds
    guess = XarrayVideoBackend().guess_can_open
    assert not guess(archive / "x.nc")
    assert not guess(DATA)
    assert not guess(b"bytes")


def test_three_videos_come_in_order(archive, values):
    with open_archive(archive) as ds:
        for i in range(9):
            np.testing.assert_array_equal(ds[f"c{i}"], values[..., i])
            assert ds[f"c{i}"].dtype == np.uint16


def test_bands_that_fill_up_three_are_dropped(tmp_path, values):
    folder = write(rest(tmp_path / "one"), "s2", values[..., :4])
    with open_archive(folder) as ds:
        assert sorted(ds.data_vars) == ["c0", "c1", "c2", "c3"]
        np.testing.assert_array_equal(ds["c3"], values[..., 3])


KEYS = [
    {"time": 2},
    {"time": slice(1, 3), "x": slice(3, 17, 2)},
    {"time": [3, 0, 3], "y": [5, 1]},
    {"time": slice(None, None, -1), "x": -1},
    {"x": slice(5, 5)},
    {"time": 0, "x": 1, "y": 2},
    {"y": slice(10, 2, -3)},
]


@pytest.mark.parametrize("key", KEYS)
def test_parts_equal_parts_of_the_whole(archive, values, key):
    whole = xr.Variable(("time", "x", "y"), values[..., 4])
    with open_archive(archive) as ds:
        part = ds["c4"].isel(key)
        np.testing.assert_array_equal(part.values, whole.isel(key).values)
        assert part.dtype == np.uint16


@pytest.mark.parametrize("chunks", [{}, {"time": 1}, {"time": 2, "x": 7}, {"time": 3, "y": 5}])
@pytest.mark.filterwarnings("ignore:The specified chunks separate")
def test_chunked_equals_eager(archive, values, chunks, max_computes):
    with max_computes(0):
        ds = open_archive(archive, chunks=chunks)
    assert ds["c0"].chunks is not None
    np.testing.assert_array_equal(ds["c7"].values, values[..., 7])
    ds.close()


class Count:
    """Counts decoded pictures, and files that were opened."""

    def __init__(self, monkeypatch):
        self.pictures, self.opened = 0, []
        make, start = frames._picture, frames._open
        monkeypatch.setattr(frames, "_picture", lambda frame: self.note() or make(frame))
        monkeypatch.setattr(
            frames, "_open", lambda path: self.opened.append(Path(path).name) or start(path)
        )

    def note(self):
        self.pictures += 1


def test_opening_decodes_nothing(archive, monkeypatch):
    count = Count(monkeypatch)
    with open_archive(archive) as ds:
        assert ds["c8"].shape == (T, 20, 12)
        assert ds.nbytes > 0
    assert count.pictures == 0
    assert sorted(count.opened) == ["s2_001.mkv", "s2_002.mkv", "s2_003.mkv"]


def test_only_what_is_wanted_is_read(archive, values, monkeypatch):
    with open_archive(archive) as ds:
        count = Count(monkeypatch)
        np.testing.assert_array_equal(ds["c4"][2], values[2, ..., 4])
        assert set(count.opened) == {"s2_002.mkv"}
        assert count.pictures == 1
        # Another band of the same picture is there already.
        np.testing.assert_array_equal(ds["c5"][2], values[2, ..., 5])
        assert count.pictures == 1


def many(folder, count=30, each=10):
    values = np.random.default_rng(0).integers(0, 255, (count, 20, 12, 3)).astype("u1")
    return write(rest(folder, time=count), "s2", values, keyframes=each), values


def test_decoding_begins_at_the_last_key_frame(tmp_path, monkeypatch):
    folder, values = many(tmp_path / "one")
    passed = []
    advance = frames._Film._advance

    def spy(film, position):
        before = film._next
        found = advance(film, position)
        passed.append((position, film._next - max(before, position // 10 * 10)))
        return found

    monkeypatch.setattr(frames._Film, "_advance", spy)
    with open_archive(folder) as ds:
        for date in (24, 25, 27, 3, 12, 29, 0):
            np.testing.assert_array_equal(ds["c1"][date], values[date, ..., 1])
    assert [position for position, _ in passed] == [24, 25, 27, 3, 12, 29, 0]
    # Pictures decoded for each: from the key frame, or from where the last one stopped.
    assert [steps for _, steps in passed] == [5, 1, 2, 4, 3, 10, 1]


def test_what_is_kept_is_bounded(tmp_path, monkeypatch):
    folder, values = many(tmp_path / "one")
    monkeypatch.setattr(frames, "CACHE", 5 * 20 * 12 * 3)
    with open_archive(folder) as ds:
        np.testing.assert_array_equal(ds["c2"], values[..., 2])
        assert len(frames._cache._held) == 5
        assert frames._cache._bytes == 5 * 20 * 12 * 3
    assert frames._cache._bytes == 0


def test_many_files_do_not_stay_open(tmp_path, values):
    folder = rest(tmp_path / "one")
    for i in range(20):
        write(folder, f"r{i}", values[..., :1], bands=[f"b{i}"])
    with open_archive(folder) as ds:
        ds.load()
        assert len(frames._films._held) == frames._OPEN
    assert not frames._films._held


def test_threads_share_files(tmp_path):
    folder, values = many(tmp_path / "one")
    wrong = []

    def read(seed):
        rng = np.random.default_rng(seed)
        for date in rng.integers(0, 30, 12):
            channel = int(rng.integers(3))
            if not np.array_equal(ds[f"c{channel}"][date], values[date, ..., channel]):
                wrong.append((seed, date))

    with open_archive(folder, cache=False) as ds:
        threads = [threading.Thread(target=read, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_pickles_small(archive, values):
    with open_archive(archive, chunks={}) as ds:
        np.testing.assert_array_equal(ds["c3"][1], values[1, ..., 3])
        packed = pickle.dumps(ds[["c3"]])
        assert len(packed) < 20_000
        again = pickle.loads(packed)
        np.testing.assert_array_equal(again["c3"], values[..., 3])


def test_a_fork_reads_on(archive, values):
    if not hasattr(os, "fork"):
        pytest.skip("no fork")
    with open_archive(archive) as ds:
        held = frames._films
        np.testing.assert_array_equal(ds["c3"][1], values[1, ..., 3])
        frames._fresh()
        assert frames._films is not held
        np.testing.assert_array_equal(ds["c3"][2], values[2, ..., 3])
        frames._films = held


def test_a_file_that_was_replaced_is_read_anew(archive, values):
    with open_archive(archive) as ds:
        ds["c0"].isel(time=0).load()
    write(archive, "s2", values + np.uint16(1))
    with open_archive(archive) as ds:
        np.testing.assert_array_equal(ds["c0"], values[..., 0] + 1)


def test_ranges_scale_codes(tmp_path, values):
    ranges = [[-1.0, 3.0], [5.0, 5.0], [float("nan")] * 2]
    folder = write(
        rest(tmp_path / "one"), "s2", values[..., :3], NORMALIZED=True, RANGE=str(ranges)
    )
    with open_archive(folder) as ds:
        np.testing.assert_allclose(ds["c0"], values[..., 0] / 65535 * 4.0 - 1, rtol=1e-6)
        assert (ds["c1"] == 5).all()
        assert ds["c2"].isnull().all()
        assert ds["c0"].dtype == np.float32


def test_text_as_numpy_writes_it(tmp_path, values):
    attrs = (
        "{'c0': {'scale': np.float32(0.5), 'wave': array([1., nan]), 'ok': np.False_}, 'c1': {}}"
    )
    folder = write(rest(tmp_path / "one"), "s2", values[..., :2], ATTRS=attrs)
    path = folder / "s2_001.mkv"
    text = str(tag(["c0", "c1"], values, ATTRS=attrs)).replace("': False", "': np.False_")
    _video(path, np.repeat(values[..., :1], 3, axis=-1), text, None)
    with open_archive(folder) as ds:
        assert ds["c0"].attrs["scale"] == 0.5
        assert ds["c0"].attrs["wave"][0] == 1
        assert ds["c0"].attrs["ok"] is False


def test_attributes_that_cannot_be_read_are_left_out(tmp_path, values):
    attrs = "{'c0': {'crs': <CRS EPSG:32631>}}"
    folder = write(rest(tmp_path / "one"), "s2", values[..., :1], ATTRS=attrs)
    with pytest.warns(XeoWarning, match="attributes of the rule 's2' cannot be read"):
        ds = open_archive(folder)
    np.testing.assert_array_equal(ds["c0"], values[..., 0])
    ds.close()


def test_a_dimension_of_bands(tmp_path, values):
    dims = {"COORDS_DIMS": "('time', 'x', 'y', 'level')", "BANDS": "['w']", "ATTRS": "{'w': {}}"}
    folder = rest(tmp_path / "one", level=("level", np.arange(5) * 10.0))
    write(folder, "s2", values[..., :5], **dims)
    with open_archive(folder) as ds:
        assert ds["w"].dims == ("time", "x", "y", "level")
        np.testing.assert_array_equal(ds["w"], values[..., :5])
        np.testing.assert_array_equal(ds["w"][1, 2, :, [4, 0]], values[1, 2][:, [4, 0]])


def test_a_dimension_of_bands_without_coordinate(tmp_path, values):
    ranges = [[0.0, i + 1.0] for i in (0, 1, 2, 3, 4, 4)]
    dims = {"COORDS_DIMS": "('time', 'x', 'y', 'level')", "BANDS": "['w']", "ATTRS": "{'w': {}}"}
    folder = write(rest(tmp_path / "one"), "s2", values[..., :5], RANGE=str(ranges), **dims)
    with open_archive(folder) as ds:
        assert ds["w"].shape == (T, 20, 12, 5)


@pytest.mark.parametrize("keep", [2, 3])
def test_principal_components(tmp_path, keep):
    rng = np.random.default_rng(0)
    matrix = np.linalg.qr(rng.normal(size=(4, 4)))[0][:keep]
    means = np.array([1.0, 2, 3, 4])
    codes = rng.integers(0, 65535, (T, 20, 12, keep)).astype("u2")
    ranges = [[-1.0 - i, 2.0] for i in range(keep)]
    scaled = codes / 65535 * (np.diff(ranges)[:, 0]) + np.array(ranges)[:, 0]
    pca = {
        "scaler": "None",
        "dr": "{'n_components': 2}",
        "dr_matrix": str(matrix.tolist()),
        "dr_mean": str(means.tolist()),
        "dr_bands": "4",
    }
    folder = write(
        rest(tmp_path / "one"), "s2", codes, bands=["a", "b", "c", "d"],
        NORMALIZED=True, RANGE=str(ranges), PCA_PARAMS=str(pca),
    )  # fmt: skip
    with open_archive(folder) as ds:
        for i, name in enumerate("abcd"):
            expected = scaled @ matrix[:, i] + means[i]
            np.testing.assert_allclose(ds[name], expected, atol=1e-5)
        np.testing.assert_allclose(ds["d"][1, 3], (scaled @ matrix[:, 3] + 4)[1, 3], atol=1e-5)


def test_components_of_scaled_bands_are_refused(tmp_path, values):
    pca = str({"scaler": "{'copy': True}", "dr_matrix": "[[1.0]]", "dr_mean": "[0.0]"})
    folder = write(rest(tmp_path / "one"), "s2", values[..., :1], PCA_PARAMS=pca)
    with pytest.raises(StoreError, match="whose scales xarrayvideo does not store"):
        open_archive(folder)


def test_bytes_of_wide_integers_are_put_together(tmp_path):
    """The writer takes int64 that fit 8 bits for bytes, and stores all eight of each."""
    wide = np.random.default_rng(0).integers(0, 255, (T, 20, 12, 3)).astype("<i8")
    planes = wide.transpose(0, 3, 2, 1)[:, [1, 2, 0]]
    cut = np.frombuffer(planes.tobytes(), "u1").reshape(8 * T, 3, 12, 20)
    pictures = cut[:, [2, 0, 1]].transpose(0, 3, 2, 1)
    folder = write(rest(tmp_path / "one"), "s2", np.ascontiguousarray(pictures), FRAMES=str(T))
    with open_archive(folder) as ds:
        for i in range(3):
            np.testing.assert_array_equal(ds[f"c{i}"], wide[..., i])
        np.testing.assert_array_equal(ds["c1"][3, 2:4], wide[3, 2:4, :, 1])


def test_signed_integers_that_were_stored_bit_by_bit(tmp_path):
    signed = np.random.default_rng(0).integers(-900, 900, (T, 20, 12, 1)).astype("i2")
    ranges = str([[-900.0, 900.0]] * 3)
    folder = write(rest(tmp_path / "one"), "s2", signed.view("u2"), RANGE=ranges)
    with open_archive(folder) as ds:
        assert ds["c0"].dtype == np.int16
        np.testing.assert_array_equal(ds["c0"], signed[..., 0])


def test_axes_that_old_versions_named_wrongly_are_turned(tmp_path, values):
    wrong = {"COORDS_DIMS": "('time', 'y', 'x')"}
    folder = write(rest(tmp_path / "one"), "s2", values[..., :1], **wrong)
    with open_archive(folder) as ds:
        np.testing.assert_array_equal(ds["c0"].transpose("time", "x", "y"), values[..., 0])


def test_archive_without_coordinates(tmp_path, values):
    folder = write(tmp_path / "one", "s2", values[..., :1])
    with open_archive(folder) as ds:
        assert dict(ds.sizes) == {"time": T, "x": 20, "y": 12}
        assert not ds.coords


def test_variables_can_be_dropped(archive):
    with open_archive(archive, drop_variables=["c0", "c1"]) as ds:
        assert "c0" not in ds
        assert "c2" in ds
    with open_archive(archive, drop_variables="c0") as ds:
        assert "c0" not in ds


def test_yuv_is_unmixed_as_ffmpeg_mixed_it():
    gradient = np.zeros((8, 256, 3), np.uint8)
    gradient[..., 0] = np.arange(256)
    gradient[..., 1] = 255 - np.arange(256)
    gradient[..., 2] = np.arange(8)[:, None] * 30
    for space, code in (("ITU601", 5), ("ITU709", 1)):
        frame = av.VideoFrame.from_ndarray(gradient, format="rgb24")
        mixed = frame.reformat(format="yuv444p", dst_colorspace=space)
        mixed.colorspace = code
        picture = frames._picture(mixed)
        for i, letter in enumerate("rgb"):
            found = picture.colour(letter, (slice(None), slice(None)))
            assert np.abs(found - gradient[..., i]).max() < 2


@pytest.mark.parametrize(
    "pixels", ["yuv420p", "rgb24", "gray", "gbrp12le", "gray12le", "yuv422p10be"]
)
def test_other_pixels_become_colours(pixels):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    frame = av.VideoFrame.from_ndarray(flat, format="rgb24").reformat(format=pixels)
    picture = frames._picture(frame)
    scale = (2**picture.depth - 1) / 255
    found = [picture.colour(c, (slice(None), slice(None))).mean() / scale for c in "rgb"]
    if pixels.startswith("gray"):
        assert found[0] == found[1] == found[2]
    else:
        np.testing.assert_allclose(found, (200, 100, 50), atol=3)


def spoil(path, change):
    data = bytearray(path.read_bytes())
    path.write_bytes(bytes(change(data)))


def test_truncated_videos(archive):
    path = archive / "s2_002.mkv"
    with open_archive(archive) as ds:
        spoil(path, lambda data: data[: len(data) * 2 // 3])
        ds["c0"].load()
        with pytest.raises(StoreError, match=r"s2_002.mkv.*truncated"):
            ds["c3"].load()
    with pytest.raises(StoreError, match=r"s2_002.mkv.*truncated"):
        open_archive(archive)


def test_damage_without_checksums_is_found_by_the_decoder(archive, monkeypatch):
    monkeypatch.setattr(matroska, "check", lambda path, **options: None)
    path = archive / "s2_002.mkv"
    spoil(path, lambda data: data[: len(data) * 2 // 3])
    with (
        open_archive(archive) as ds,
        pytest.raises(StoreError, match=r"s2_002.mkv.*(truncated|failed|cannot be decoded)"),
    ):
        ds["c3"].load()


def test_damaged_pictures_are_no_values(archive, values):
    """FFmpeg would patch them up from the picture before."""
    path = archive / "s2_001.mkv"
    clean = path.read_bytes()
    rng = np.random.default_rng(0)
    told = 0
    for at in rng.integers(0, len(clean), 60):
        data = bytearray(clean)
        data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            with open_archive(archive) as ds:
                np.testing.assert_array_equal(ds["c0"], values[..., 0])
        except StoreError:
            told += 1
    assert told > 40


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"BITS": 40}, "8 to 16 bits"),
        ({"BITS": "many"}, "metadata of xarrayvideo 0.2"),
        ({"FRAMES": "-4"}, "a date or more"),
        ({"FRAMES": str(10**12)}, "to fit the coordinates"),
        ({"COORDS_DIMS": "('x', 'y')"}, "3 or 4 dimensions"),
        ({"COORDS_DIMS": "('time', 'x', 'x')"}, "3 or 4 dimensions"),
        ({"COORDS_DIMS": "5"}, "metadata of xarrayvideo 0.2"),
        ({"BANDS": "open('x')"}, "call of 'open'"),
        ({"BANDS": "[[1]]"}, "names of bands"),
        ({"RANGE": "[[0.0]]"}, "metadata of xarrayvideo 0.2"),
        ({"RANGE": "[[0.0, 1.0]]", "NORMALIZED": True}, "a range for each band"),
        ({"CHANNEL_ORDER": "xyz"}, "letters r, g and b"),
        ({"PCA_PARAMS": "{'dr_matrix': '[1.0]', 'dr_mean': '[1.0]'}"}, "a matrix of components"),
        ({"PCA_PARAMS": "{'dr_matrix': '[[1.0]]', 'dr_mean': '[1.0]'}"}, "components of 9 bands"),
    ],
)
def test_metadata_that_makes_no_sense(tmp_path, values, other, message):
    folder = write(rest(tmp_path / "one"), "s2", values, **other)
    with pytest.raises(StoreError, match=message):
        open_archive(folder)


def test_archives_that_contradict_themselves(tmp_path, values):
    folder = write(rest(tmp_path / "one", x=21), "s2", values[..., :1])
    with pytest.raises(StoreError, match=r"to fit the coordinates.*'x': 21"):
        open_archive(folder)
    folder = write(rest(tmp_path / "two", time=5), "s2", values[..., :1])
    with pytest.raises(StoreError, match="'time': 5"):
        open_archive(folder)
    folder = write(tmp_path / "three", "s2", values[..., :1], FRAMES="7")
    with (
        open_archive(folder) as ds,
        pytest.raises(StoreError, match=r"expected 7 pictures.*found 4"),
    ):
        ds["c0"].isel(time=0).load()


def test_missing_and_foreign_files(tmp_path, archive, values):
    (archive / "s2_002.mkv").unlink()
    with pytest.raises(StoreError, match="expected 3 videos of 9 bands"):
        open_archive(archive)
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(StoreError, match="expected videos"):
        open_archive(plain)
    with pytest.raises(StoreError, match=r"found none. Try: .*one"):
        open_archive(tmp_path)
    with pytest.raises(StoreError, match="folder of an archive of xarrayvideo"):
        open_archive(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="local folder"):
        open_archive("s3://bucket/one")
    _video(plain / "a_001.mkv", values[..., :3], "7", None)
    with pytest.raises(StoreError, match="expected a dict in the tag"):
        open_archive(plain)
    (plain / "a_001.mkv").write_bytes(b"no video at all")
    with pytest.raises(StoreError, match=r"a Matroska file at .*a_001.mkv"):
        open_archive(plain)
    shutil.copy(DATA / "videos" / "s2_001.mkv", plain / "a_001.mkv")
    (plain / "x.nc").write_bytes(b"no NetCDF")
    with pytest.raises(StoreError, match="expected NetCDF"):
        open_archive(plain)


@pytest.fixture
def pictures(tmp_path):
    codecs = pytest.importorskip("imagecodecs")
    folder = rest(tmp_path / "one")
    made = {}
    for rule, kind, count in (("s2", "u2", 5), ("s2_b", "u1", 1)):
        stored = np.random.default_rng(count).integers(0, 250, (T, 20, 12, count)).astype(kind)
        bands = [f"{rule}{i}" for i in range(count)]
        told = tag(bands, stored, OUT_PIX_FMT=None, ATTRS=str({b: {} for b in bands}))
        (folder / f"{rule}.json").write_text(json.dumps(told), "utf-8")
        for i in range(T):
            data = codecs.jpeg2k_encode(stored[i], reversible=True, level=0)
            (folder / f"{rule}_{i:06d}.jp2").write_bytes(data)
        made |= {band: stored[..., i] for i, band in enumerate(bands)}
    return folder, made


def test_rules_of_pictures_with_like_names(pictures):
    folder, made = pictures
    with open_archive(folder) as ds:
        for name, stored in made.items():
            np.testing.assert_array_equal(ds[name], stored)
        np.testing.assert_array_equal(ds["s24"][1:3, ::5, 4], made["s24"][1:3, ::5, 4])


def test_only_wanted_pictures_are_decoded(pictures, monkeypatch):
    folder, made = pictures
    codecs = pytest.importorskip("imagecodecs")
    calls = []
    decode = codecs.jpeg2k_decode
    monkeypatch.setattr(codecs, "jpeg2k_decode", lambda data: calls.append(1) or decode(data))
    with open_archive(folder) as ds:
        assert not calls
        np.testing.assert_array_equal(ds["s23"][2], made["s23"][2])
        np.testing.assert_array_equal(ds["s21"][2], made["s21"][2])
    assert len(calls) == 1


def test_damaged_pictures(pictures):
    folder, _ = pictures
    path = folder / "s2_000001.jp2"
    clean = path.read_bytes()
    with open_archive(folder) as ds:
        path.write_bytes(clean[:60])
        with pytest.raises(StoreError, match=r"s2_000001.jp2"):
            ds["s20"].isel(time=1).load()
        # Sizes that would ask for terabytes are not believed.
        at = clean.find(b"\xff\x4f\xff\x51")
        path.write_bytes(clean[: at + 8] + b"\x7f\xff\xff\xff" * 2 + clean[at + 16 :])
        with pytest.raises(StoreError, match=r"expected .20, 12. pixels and 5 bands"):
            ds["s20"].isel(time=1).load()
        path.write_bytes(clean)
        ds["s20"].isel(time=1).load()
    path.unlink()
    with pytest.raises(StoreError, match="expected 4 pictures of the rule 's2', found 3"):
        open_archive(folder)
    (folder / "s2.json").write_text("[1]", "utf-8")
    with pytest.raises(StoreError, match="expected a JSON object"):
        open_archive(folder)
    (folder / "s2.json").write_text("{", "utf-8")
    with pytest.raises(StoreError, match="expected JSON"):
        open_archive(folder)
