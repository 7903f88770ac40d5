from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import xarray as xr

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from xeo.errors import BandError, DateError, DimensionError, OptionError
from xeo.ops import plot
from xeo.simulate import simulate_cube


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def cube():
    """One date: red in the north-west, green in the north-east, blue in the south, a hole."""
    values = np.full((3, 4, 4), 100, np.uint16)
    values[0, :2, :2] = values[1, :2, 2:] = values[2, 2:] = 5000
    values[:, 3, 0] = 0
    coords = {
        "band": ["B04", "B03", "B02"],
        "y": ("y", 5000.0 - 10 * np.arange(4), {"units": "m"}),
        "x": ("x", 2000.0 + 10 * np.arange(4), {"units": "m"}),
        "time": np.datetime64("2020-06-01", "ns"),
    }
    attrs = {"_nodata": 0, "reflectance_scale_factor": 1e-4, "units": "DN"}
    da = xr.DataArray(values, coords, ("band", "y", "x"), attrs=attrs, name="s2")
    return da.expand_dims("time")


@pytest.fixture(scope="module")
def series():
    return simulate_cube(dates=4, size=(24, 32))


def image(ax):
    return np.asarray(ax.get_images()[0].get_array())


def test_colours_land_where_expected(cube):
    ax = plot.rgb(cube)
    assert isinstance(ax, Axes)
    assert ax.get_title() == "2020-06-01"
    drawn = image(ax)
    np.testing.assert_array_equal(drawn[0, 0], [1, 0, 0, 1])
    np.testing.assert_array_equal(drawn[0, 3], [0, 1, 0, 1])
    np.testing.assert_array_equal(drawn[3, 3], [0, 0, 1, 1])
    assert drawn[3, 0, 3] == 0


def test_axes_are_in_km_with_pixel_edges(cube):
    ax = plot.rgb(cube)
    assert ax.get_images()[0].get_extent() == pytest.approx((1.995, 2.035, 4.965, 5.005))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Easting (km)", "Northing (km)")
    assert ax.get_aspect() == 1


def test_rendered_pixels_are_upright_and_holes_grey(cube):
    figure, ax = plt.subplots(figsize=(1, 1), dpi=80)
    ax.set_position((0, 0, 1, 1))
    plot.rgb(cube, ax=ax)
    ax.set_axis_on()
    ax.set(title="", xlabel="", ylabel="", xticks=[], yticks=[])
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    assert tuple(pixels[20, 20]) == (255, 0, 0)
    assert tuple(pixels[20, 60]) == (0, 255, 0)
    assert tuple(pixels[60, 60]) == (0, 0, 255)
    assert tuple(pixels[70, 10]) == (217, 217, 217)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("dims", ["y", "x", "yx"])
def test_flipped_cubes_draw_the_same_picture(series, dims, step):
    flip = {dim: slice(None, None, -1) for dim in dims}
    options = {"date": 1, "size": -(-32 // step)}
    as_is, flipped = plot.rgb(series, **options), plot.rgb(series.isel(flip), **options)
    np.testing.assert_array_equal(image(as_is), image(flipped))
    assert as_is.get_images()[0].get_extent() == flipped.get_images()[0].get_extent()
    as_is, flipped = (plot.classes(ds, "SCL", **options) for ds in (series, series.isel(flip)))
    np.testing.assert_array_equal(image(as_is), image(flipped))


def test_bands_as_dimension_or_variables_in_any_order(series):
    wanted = ["B02", "B03", "B04"]
    stacked = series[wanted].to_array("band").transpose("x", "band", "y", "time")
    stacked.attrs = dict(series["B02"].attrs)
    np.testing.assert_array_equal(image(plot.rgb(series, date=0)), image(plot.rgb(stacked, date=0)))


def test_bands_by_either_name(series):
    first = plot.rgb(series, ("nir", "red", "green"), date=0)
    second = plot.rgb(series, ("B08", "B04", "B03"), date=0)
    np.testing.assert_array_equal(image(first), image(second))
    assert not np.array_equal(image(first), image(plot.rgb(series, date=0)))


def test_lazy_cubes_draw_the_same_and_read_once(series, max_computes):
    expected = image(plot.rgb(series, date=2))
    with max_computes(1):
        drawn = plot.rgb(series.chunk({"y": 7, "x": 9}), date=2)
    np.testing.assert_array_equal(image(drawn), expected)


def test_only_the_needed_pixels_are_drawn(series):
    ax = plot.rgb(series, date=0, size=10)
    assert image(ax).shape == (6, 8, 4)
    west, east, south, north = ax.get_images()[0].get_extent()
    assert east - west == pytest.approx(0.32)
    assert north - south == pytest.approx(0.24)


def test_several_dates_are_facets_with_one_stretch(series):
    figure = plot.rgb(series, col_wrap=3)
    assert isinstance(figure, Figure)
    assert [ax.get_title() for ax in figure.axes] == [str(d)[:10] for d in series.time.values]
    np.testing.assert_array_equal(image(figure.axes[2]), image(plot.rgb(series).axes[2]))
    missing = np.stack([image(ax)[..., 3] == 0 for ax in figure.axes])
    np.testing.assert_array_equal(missing, (series.B04 == 0).values)
    two = plot.rgb(series, date=slice("2023-01-01", "2023-05-01"))
    assert len(two.axes) == 2


def test_limits_are_reflectance_and_the_same_in_every_picture(cube):
    brighter = cube.copy(data=cube.values * 2).assign_attrs(cube.attrs)
    drawn = image(plot.rgb(cube, limits=(0.01, 1.01)))
    np.testing.assert_allclose(drawn[0, 0], [0.49, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(image(plot.rgb(brighter, limits=(0.01, 1.01)))[0, 0, 0], 0.99)
    assert drawn[3, 0, 3] == 0
    each = image(plot.rgb(cube, limits=[(0, 0.5), (0, 1), (0, 2)]))
    np.testing.assert_allclose([each[0, 0, 0], each[0, 3, 1], each[3, 3, 2]], [1, 0.5, 0.25])


def test_dates_by_position_and_by_day(series):
    day = str(series.time.values[2])[:10]
    np.testing.assert_array_equal(
        image(plot.rgb(series, date=day)), image(plot.rgb(series, date=-2))
    )


def test_cube_without_coordinates_or_dates(cube):
    bare = cube.isel(time=0, drop=True).drop_vars(["y", "x"])
    ax = plot.rgb(bare)
    assert ax.get_title() == ""
    assert tuple(ax.get_images()[0].get_extent()) == (0, 4, 4, 0)
    assert ax.get_xlabel() == "x (pixel)"
    np.testing.assert_array_equal(image(ax), image(plot.rgb(cube)))


def test_degrees_are_drawn_with_the_aspect_of_the_latitude(cube):
    degrees = {"y": ("y", 60 - 0.001 * np.arange(4)), "x": ("x", 5 + 0.001 * np.arange(4))}
    ax = plot.rgb(cube.assign_coords(degrees).rename(y="lat", x="lon"))
    assert ax.get_xlabel() == "Longitude (°)"
    assert ax.get_aspect() == pytest.approx(2, rel=1e-2)


def test_all_missing_is_all_grey(cube):
    assert np.all(image(plot.rgb(xr.zeros_like(cube)))[..., 3] == 0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bands": ("red", "green")}, BandError, "expected three bands"),
        ({"bands": "red"}, BandError, "expected three bands, got 'red'"),
        ({"bands": ("red", "green", "swir22x")}, BandError, "swir22x"),
        ({"date": 4}, DateError, "expected a date position below 4, got 4"),
        ({"date": "1999-01-01"}, DateError, "1999-01-01"),
        ({"size": 0}, OptionError, "expected a size of 1 pixel or more, got 0"),
        ({"limits": (0.3, 0)}, OptionError, r"got \(0.3, 0\). Try: limits=\(0, 0.3\)"),
        ({"limits": 0.3}, OptionError, "a low and a higher value"),
        ({"limits": (0, float("nan"))}, OptionError, "a low and a higher value"),
        ({"limits": [(0, 1), (0, 1)]}, OptionError, "or three such pairs"),
    ],
)
def test_rgb_errors(series, options, error, message):
    with pytest.raises(error, match=message):
        plot.rgb(series, **options)


def test_many_dates_and_lone_axes_are_refused(series):
    many = xr.concat([series[["B02", "B03", "B04"]].isel(time=0, drop=True)] * 49, "time")
    many = many.assign_coords(
        time=np.datetime64("2020-01-01", "ns") + np.arange(49) * np.timedelta64(1, "D")
    )
    with pytest.raises(DateError, match="at most 48 dates in one figure, got 49"):
        plot.rgb(many)
    with pytest.raises(DateError, match="one date to draw on the given axes, got 4"):
        plot.rgb(series, ax=plt.subplots()[1])
    with pytest.raises(DateError, match="a time dimension"):
        plot.rgb(series.isel(time=0, drop=True), date=0)


@pytest.fixture
def vectors():
    rng = np.random.default_rng(1)
    along = rng.normal(size=(20, 20))
    values = np.stack([3 * along, rng.normal(size=(20, 20)), 0.5 * rng.normal(size=(20, 20)),
                       0.01 * rng.normal(size=(20, 20))])  # fmt: skip
    values[:, 0, 0] = np.nan
    return xr.DataArray(values.astype("f4"), dims=("embedding", "y", "x"), name="e")


def test_embedding_shows_the_main_directions(vectors):
    drawn = image(plot.embedding(vectors))
    assert drawn[0, 0, 3] == 0
    for i in range(3):
        shown, truth = drawn[..., i].ravel()[1:], vectors.values[i].ravel()[1:]
        assert np.corrcoef(shown, truth)[0, 1] > 0.95


def test_embedding_pictures_are_reproducible(vectors):
    expected = image(plot.embedding(vectors))
    np.testing.assert_array_equal(image(plot.embedding(vectors.transpose("x", "embedding", "y"))),
                                  expected)  # fmt: skip
    np.testing.assert_array_equal(image(plot.embedding(vectors.chunk(y=5))), expected)
    np.testing.assert_array_equal(image(plot.embedding(vectors.to_dataset())), expected)
    grey = image(plot.embedding(vectors, 1))
    np.testing.assert_array_equal(grey[..., 0], expected[..., 0])
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])


def test_embedding_of_bytes(vectors):
    from xeo.kernels.quantize import quantize

    unit = vectors / np.sqrt((vectors**2).sum("embedding"))
    coded = unit.copy(data=quantize(unit.values, axis=0))
    full, few = image(plot.embedding(unit)), image(plot.embedding(coded))
    np.testing.assert_array_equal(full[..., 3], few[..., 3])
    assert np.abs(full - few)[..., :3].mean() < 0.02


def test_embedding_errors(vectors):
    with pytest.raises(OptionError, match="expected components 3"):
        plot.embedding(vectors, 2)
    with pytest.raises(DimensionError, match="at least 3 positions along 'embedding', got 2"):
        plot.embedding(vectors.isel(embedding=slice(2)))
    with pytest.raises(DimensionError, match="expected one variable with a dimension of channels"):
        plot.embedding(vectors.isel(embedding=0))


def classes_of(values, **attrs):
    return xr.DataArray(np.asarray(values, "u1"), dims=("y", "x"), attrs=attrs, name="c")


def test_classes_have_their_colours_and_legend():
    da = classes_of([[1, 2], [7, 255]], flag_values=[1, 2, 3, 255],
                    flag_meanings="sea land sky no_data",
                    flag_colors="#0000ff #00ff00 #ffffff #000000")  # fmt: skip
    ax = plot.classes(da)
    np.testing.assert_allclose(image(ax)[0], [to_rgba("#0000ff"), to_rgba("#00ff00")])
    assert np.all(image(ax)[1, :, 3] == 0)
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["sea", "land"]
    assert [mark.get_facecolor() for mark in legend.get_patches()] == [
        to_rgba("#0000ff"), to_rgba("#00ff00"),
    ]  # fmt: skip


def test_known_classes_get_customary_colours_others_distinct_ones():
    da = classes_of([[0, 1], [2, 3]], flag_meanings="water vegetation apples pears")
    drawn = image(plot.classes(da)).reshape(4, 4)
    np.testing.assert_allclose(drawn[0], to_rgba("#419bdf"), atol=1e-6)
    np.testing.assert_allclose(drawn[1], to_rgba("#00a000"), atol=1e-6)
    assert len({tuple(one) for one in drawn}) == 4


def test_codes_without_meaning_are_classes():
    ax = plot.classes(classes_of([[4, 9]]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["class 4", "class 9"]


def test_classes_of_several_dates(series):
    figure = plot.classes(series, "SCL")
    assert len(figure.axes) == 4
    assert len(figure.legends) == 1
    shown = image(figure.axes[1])[..., 3] > 0
    np.testing.assert_array_equal(shown, series.SCL.values[1] != 0)


def test_classes_errors(series):
    with pytest.raises(BandError, match=r"those with flag_meanings are \['SCL', 'land_cover'\]"):
        plot.classes(series)
    with pytest.raises(OptionError, match="got 3, 2 and 0"):
        plot.classes(classes_of([[1]], flag_values=[1, 2, 3], flag_meanings="a b"))
    many = xr.DataArray(np.arange(400).reshape(20, 20), dims=("y", "x"))
    with pytest.raises(OptionError, match="got 400 different values"):
        plot.classes(many)


def test_real_cube(data_dir):
    import zarr

    store = zarr.storage.ZipStore(data_dir / "s2_l2a_bolzano_202206.zarr.zip", mode="r")
    with xr.open_zarr(store) as ds:
        drawn = image(plot.rgb(ds, date="2022-06-10", size=200))
        assert drawn.shape == (192, 192, 4)
        assert 0.2 < drawn[drawn[..., 3] > 0][:, :3].mean() < 0.7
        ax = plot.classes(ds, date=0)
        assert "vegetation" in [text.get_text() for text in ax.get_legend().get_texts()]
