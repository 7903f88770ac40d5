from __future__ import annotations

import base64
import re

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("av")

import av

import xeo
from xeo.errors import BandError, DateError, DimensionError, OptionError, StoreError
from xeo.ops import film, pixels
from xeo.ops.film import Film, to_video

MISSING = 217


@pytest.fixture(scope="module")
def series():
    return xeo.simulate_cube(dates=5, size=(31, 41), cloud_cover=0.2, chunks={"time": 2})


@pytest.fixture
def blocks():
    """Four dates; red, green and blue fields, and a missing one, of ten pixels a side."""
    values = np.full((4, 3, 20, 20), 100.0, np.float32)
    values[:, 0, :10, :10] = values[:, 1, :10, 10:] = values[:, 2, 10:, :10] = 5000
    values[:, :, 10:, 10:] = np.nan
    values[1, :, :10] = np.nan
    coords = {
        "band": ["B04", "B03", "B02"],
        "time": np.datetime64("2020-06-01", "ns") + np.arange(4) * np.timedelta64(1, "D"),
        "y": np.arange(20)[::-1] * 10.0,
        "x": np.arange(20) * 10.0,
    }
    return xr.DataArray(values, coords, ("time", "band", "y", "x"), attrs={"units": "1"})


def make(obj, path, **options):
    return to_video(obj, path, **{"progress": False, **options})


def decode(path):
    with av.open(str(path)) as container:
        return np.stack([
            frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
            for frame in container.decode(video=0)
        ])  # fmt: skip


def test_browsers_play_it(series, tmp_path):
    made = make(series, tmp_path / "clip.mp4", fps=2.5)
    assert made == Film(tmp_path / "clip.mp4", (342, 452), 5, 2.5)
    with av.open(str(made.path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)
        assert (context.height, context.width) == made.shape
        assert float(stream.average_rate) == 2.5
        assert stream.frames == 5
    head = made.path.read_bytes()
    # Browsers begin to play before they have all of it.
    assert head.find(b"moov") < head.find(b"mdat")


def test_colours_land_where_expected(blocks, tmp_path):
    made = make(blocks, tmp_path / "clip.mp4", captions=False, quality=5)
    pictures = decode(made.path)
    assert pictures.shape == (4, 480, 480, 3)
    picture = pictures[0].astype(int)
    assert np.abs(picture[120, 120] - [255, 0, 0]).max() < 12
    assert np.abs(picture[120, 360] - [0, 255, 0]).max() < 12
    assert np.abs(picture[360, 120] - [0, 0, 255]).max() < 12
    assert np.abs(picture[360, 360] - MISSING).max() < 4
    assert np.abs(pictures[1, :220].astype(int) - MISSING).max() < 8


def test_south_up_and_any_order_are_drawn_alike(blocks, tmp_path):
    expected = decode(make(blocks, tmp_path / "a.mp4").path)
    turned = blocks.isel(y=slice(None, None, -1)).transpose("x", "time", "y", "band")
    np.testing.assert_array_equal(decode(make(turned, tmp_path / "b.mp4").path), expected)
    shuffled = blocks.isel(time=[2, 0, 3, 1])
    np.testing.assert_array_equal(decode(make(shuffled, tmp_path / "c.mp4").path), expected)
    dataset = blocks.to_dataset("band").assign_attrs(blocks.attrs)
    for name in dataset:
        dataset[name].attrs = blocks.attrs
    np.testing.assert_array_equal(decode(make(dataset, tmp_path / "d.mp4").path), expected)


def test_one_band_has_a_colour_map(series, tmp_path):
    pytest.importorskip("matplotlib")
    grey = decode(make(series, tmp_path / "a.mp4", bands="nir", cmap="gray").path).astype(int)
    assert np.abs(grey[..., 0] - grey[..., 2]).max() < 6
    colour = decode(make(series["B08"], tmp_path / "b.mp4").path).astype(int)
    assert np.abs(colour[..., 0] - colour[..., 2]).max() > 100


def test_dates_are_written(blocks, tmp_path):
    with_dates = decode(make(blocks, tmp_path / "a.mp4", quality=5).path).astype(int)
    without = decode(make(blocks, tmp_path / "b.mp4", quality=5, captions=False).path).astype(int)
    changed = (np.abs(with_dates - without) > 60).any(axis=-1)
    assert changed[:, :20, :60].any(axis=(1, 2)).all()
    assert not changed[:, 60:].any()
    # The last figure of the day differs, the year does not.
    assert (np.abs(with_dates[0] - with_dates[2])[:18, :120] > 100).any()
    assert not (np.abs(with_dates[0] - with_dates[2])[:18, :40] > 100).any()


def test_texts_of_dates(blocks):
    cube = film._ordered(film.Cube.of(blocks))
    assert film._texts(cube)[1] == "2020-06-02"
    hours = blocks.assign_coords(
        time=np.datetime64("2020-06-01T10:30", "ns") + np.arange(4) * np.timedelta64(1, "h")
    )
    assert film._texts(film._ordered(film.Cube.of(hours)))[1] == "2020-06-01 11:30"
    assert film._texts(film._ordered(film.Cube.of(blocks.drop_vars("time"))))[1] == "1"


def test_large_cubes_are_thinned_and_small_ones_enlarged(series, tmp_path):
    assert make(series, tmp_path / "a.mp4", size=21).shape == (22 * 16, 22 * 21)
    assert make(series.isel(x=slice(1), y=slice(1)), tmp_path / "b.mp4").shape == (480, 480)


def test_a_few_dates_are_read_at_a_time(series, tmp_path, monkeypatch):
    monkeypatch.setattr(film, "_BLOCK", 2 * 8 * 31 * 41 * 3)
    expected = decode(make(series, tmp_path / "a.mp4").path)
    sizes = []
    read = pixels.read_bands

    def note(cube, layers, step):
        sizes.append(cube.sizes[0])
        return read(cube, layers, step)

    monkeypatch.setattr(film, "read_bands", note)
    np.testing.assert_array_equal(decode(make(series, tmp_path / "b.mp4").path), expected)
    assert sizes == [1] * 5 + [2, 2, 1]


def test_notebook_has_a_player(series, tmp_path, monkeypatch):
    made = make(series, tmp_path / "clip <1>.mp4")
    found = re.search(r'src="data:video/mp4;base64,([^"]+)"', made._repr_html_())
    assert base64.b64decode(found[1]) == made.path.read_bytes()
    monkeypatch.setattr(film, "_INLINE", 10)
    text = made._repr_html_()
    assert "clip &lt;1&gt;.mp4" in text
    assert "base64" not in text
    made.path.unlink()
    assert "the file is gone" in made._repr_html_()


def test_all_missing_is_grey(blocks, tmp_path):
    pictures = decode(make(blocks * np.nan, tmp_path / "a.mp4", captions=False).path)
    assert np.abs(pictures.astype(int) - MISSING).max() < 4


def test_what_was_there_is_replaced_only_by_a_whole_film(series, tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(film, "caption", fail)
        with pytest.raises(KeyboardInterrupt):
            make(series, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]
    make(series, path)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bands": ("red", "green")}, BandError, "expected one band or three"),
        ({"bands": "B99"}, BandError, "B99"),
        ({"fps": 0}, OptionError, "dates a second, got 0"),
        ({"fps": float("nan")}, OptionError, "dates a second, got nan"),
        ({"percentiles": (98, 2)}, OptionError, "percentiles from 0 to 100"),
        ({"size": 4}, OptionError, "16 to 8192 pixels, got 4"),
        ({"quality": 99}, OptionError, "quality of 0 to 51"),
        ({"bands": "nir", "cmap": "rainbows"}, OptionError, "colour map of matplotlib"),
    ],
)
def test_errors(series, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        make(series, tmp_path / "clip.mp4", **options)
    assert not any(tmp_path.iterdir())


def test_cubes_and_places_that_will_not_do(series, tmp_path):
    with pytest.raises(OptionError, match=r"a local file \.mp4"):
        make(series, tmp_path / "clip.avi")
    with pytest.raises(OptionError, match=r"a local file \.mp4"):
        make(series, "s3://bucket/clip.mp4")
    with pytest.raises(StoreError, match="expected a folder"):
        make(series, tmp_path / "no" / "clip.mp4")
    with pytest.raises(DateError, match="a time dimension"):
        make(series.isel(time=0, drop=True), tmp_path / "clip.mp4")
    with pytest.raises(DimensionError, match="dimensions y and x"):
        make(series[["B02"]].mean(["y", "x"]), tmp_path / "clip.mp4")
    with pytest.raises(BandError, match=r"red, green and blue, or one.*Try: bands='B08'"):
        make(series[["B08", "B11"]], tmp_path / "clip.mp4")


def test_method_is_the_function(series, tmp_path):
    made = series.eo.to_video(tmp_path / "a.mp4", progress=False)
    assert made.path.read_bytes() == make(series, tmp_path / "b.mp4").path.read_bytes()
    assert xeo.to_video is to_video


def test_real_cube(data_dir, tmp_path):
    import zarr

    store = zarr.storage.ZipStore(data_dir / "s2_l2a_bolzano_202206.zarr.zip", mode="r")
    with xr.open_zarr(store) as ds:
        made = make(ds, tmp_path / "clip.mp4", bands=["nir", "red", "green"], size=200)
        pictures = decode(made.path)
        assert len(pictures) == ds.sizes["time"]
        assert 60 < pictures.mean() < 220
