"""Figures of decoded cubes: oracles written plainly, joins of blocks, answers worked by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.errors import DimensionError, OptionError
from xeo.kernels.fidelity import SIDE, Fidelity, measure

DTYPES = ["u1", "i2", "u2", ">u2", "i4", "u8", "f2", "f4", "f8", ">f4"]


@st.composite
def pairs(draw, side=12):
    """Two cubes that resemble each other, with holes that are the same in both."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *draw(sizes(side)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.integers(1, 100, shape).astype(dtype)
    y = (x.astype(float) + rng.integers(-1, 3, shape)).astype(dtype)
    holes = rng.random(shape) < draw(st.sampled_from([0, 0.01, 0.3, 1]))
    x[holes] = y[holes] = np.nan if dtype.kind == "f" else 0
    return x, y


def sizes(side):
    return st.tuples(st.integers(1, side), st.integers(1, side))


def check_alike(one: Fidelity, other: Fidelity):
    for field in fields(Fidelity):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if field.name == "kept":
            assert (first is None) == (second is None)
            if first is not None:
                check_alike(first, second)
        else:
            np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-9, err_msg=field.name)


@given(pairs())
def test_figures_are_those_of_plain_formulas(pair):
    x, y = pair
    found = measure(x, y, nodata=(0,), relative=True)
    a, b = (one.astype(float) for one in pair)
    good = np.isfinite(a) & (a != 0)
    e = np.where(good, b - a, 0)
    share = np.abs(e) / np.where(good, np.abs(a), 1)
    np.testing.assert_array_equal(found.count, good.sum((2, 3)))
    np.testing.assert_array_equal(found.missing, (~good).sum((2, 3)))
    np.testing.assert_allclose(found.total, e.sum((2, 3)))
    np.testing.assert_allclose(found.squares, (e**2).sum((2, 3)))
    np.testing.assert_array_equal(found.largest, np.abs(e).max((2, 3)))
    np.testing.assert_allclose(found.relative, share.max((2, 3)), rtol=1e-15)
    np.testing.assert_array_equal(found.lowest, np.where(good, a, np.inf).min((2, 3)))
    np.testing.assert_array_equal(found.highest, np.where(good, a, -np.inf).max((2, 3)))
    assert found.histogram.sum() == good.sum()
    assert found.exact_missing() == (not (good & (b == 0)).any())


@given(pairs(), st.data())
def test_blocks_add_up_to_the_whole(pair, data):
    x, y = pair
    options = {"nodata": (0,), "relative": data.draw(st.booleans())}
    mask = np.random.default_rng(1).random(x.shape) < 0.5 if data.draw(st.booleans()) else None
    whole = measure(x, y, ignored=mask, **options)
    cuts = [data.draw(st.integers(0, size)) for size in x.shape]
    joined = Fidelity.empty(*x.shape[:2])
    for corner in np.ndindex(2, 2, 2, 2):
        at = tuple(
            slice(cut, None) if i else slice(0, cut) for i, cut in zip(corner, cuts, strict=True)
        )
        part = None if mask is None else mask[at]
        block = measure(x[at], y[at], ignored=part, **options)
        joined += block.place(at[0], x.shape[0], at[1], x.shape[1])
    # Angles need all bands at once.
    if 0 < cuts[1] < x.shape[1]:
        whole, joined = (strip_angles(one) for one in (whole, joined))
    check_alike(joined, whole)


def strip_angles(one):
    if one is None:
        return None
    made = {f.name: getattr(one, f.name) for f in fields(one)}
    nil = {"angle": np.zeros(one.shape[0]), "pixels": np.zeros(one.shape[0], int)}
    return Fidelity(**{**made, **nil, "kept": strip_angles(one.kept)})


def plain_similarity(x, y, peak):
    """Return the mean over windows without NaN, and their number."""
    found = []
    for i, j in np.ndindex(x.shape[0] - 6, x.shape[1] - 6):
        a, b = x[i : i + 7, j : j + 7].ravel(), y[i : i + 7, j : j + 7].ravel()
        if np.isnan(a).any():
            continue
        c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        (va, cov), (_, vb) = np.cov(a, b)
        light = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
        found.append(light * (2 * cov + c2) / (va + vb + c2))
    return np.mean(found), len(found)


@settings(max_examples=25)
@given(st.integers(7, 11), st.integers(7, 11), st.sampled_from([0, 0.02]), st.integers(0, 99))
def test_similarity_is_that_of_the_definition(ny, nx, holes, seed):
    rng = np.random.default_rng(seed)
    x = 5000 + 300 * rng.random((1, 1, ny, nx))
    y = x + 20 * rng.normal(size=x.shape)
    gone = rng.random(x.shape) < holes
    gone[..., :7, :7] = False
    x[gone] = y[gone] = np.nan
    found = measure(x, y, peak=1000.0)
    mean, windows = plain_similarity(x[0, 0], y[0, 0], 1000.0)
    assert found.windows.item() == windows
    assert found.ssim() == pytest.approx(mean, abs=1e-5)


def test_similarity_does_not_depend_on_tiles():
    rng = np.random.default_rng(0)
    x = rng.random((1, 1, 70, 9000), np.float32)
    y = x + 0.1 * rng.random(x.shape, np.float32)
    found = measure(x, y, peak=1.0)
    assert found.windows.item() == 64 * 8994
    parts = [measure(x[..., a : a + 14, :], y[..., a : a + 14, :], peak=1.0) for a in (0, 8)]
    top = measure(x[..., :22, :], y[..., :22, :], peak=1.0)
    joined = sum(parts, Fidelity.empty(1, 1))
    assert joined.ssim() == pytest.approx(float(top.ssim()), abs=1e-6)


def test_similarity_of_equal_and_of_small_pictures():
    x = np.ones((2, 1, 8, 8), np.uint16)
    assert measure(x, x, peak=10.0).ssim() == 1
    assert np.isnan(measure(x[..., :6, :], x[..., :6, :], peak=10.0).ssim())
    assert np.isnan(measure(x, x).ssim())


def test_similarity_of_each_band_has_its_own_peak():
    rng = np.random.default_rng(0)
    x = rng.random((1, 1, 9, 9))
    y = x + 0.1 * rng.random(x.shape)
    both = [np.concatenate([one, one * 1000], axis=1) for one in (x, y)]
    found = measure(*both, peak=(1.0, 1000.0)).ssim("band")
    np.testing.assert_allclose(found, float(measure(x, y, peak=1.0).ssim()), rtol=1e-6)


@given(hnp.arrays("f8", (2, 4, 3, 5), elements=st.integers(-9, 9)), st.integers(0, 99))
def test_angles_are_those_of_the_arc_cosine(x, seed):
    x = x + 10.0
    y = x + np.random.default_rng(seed).integers(-1, 2, x.shape)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    good = lengths > 0
    cosine = (x * y).sum(axis=1)[good] / lengths[good]
    found = measure(x - 3, y - 3, offset=3.0)
    assert found.pixels.sum() == good.sum()
    if good.any():
        angle = np.arccos(np.clip(cosine, -1, 1)).mean()
        assert found.spectral_angle() == pytest.approx(angle, abs=1e-7)


def test_answers_by_hand():
    x = np.array([[[[1, 2], [3, 4]]], [[[5, 5], [5, 9]]]], np.int16)
    y = np.array([[[[1, 2], [3, 6]]], [[[5, 5], [4, 9]]]], np.int16)
    found = measure(x, y, nodata=(9,), relative=True)
    np.testing.assert_array_equal(found.rmse("date"), [1, np.sqrt(1 / 3)])
    assert found.rmse() == pytest.approx(np.sqrt(5 / 7))
    assert found.bias() == pytest.approx(1 / 7)
    assert found.max_error() == 2
    np.testing.assert_array_equal(found.max_error("date"), [2, 1])
    np.testing.assert_array_equal(found.max_relative("both"), [[0.5], [0.2]])
    assert found.psnr(10.0) == pytest.approx(20 - 10 * np.log10(5 / 7))
    assert found.psnr([10.0], "band") == pytest.approx([20 - 10 * np.log10(5 / 7)])
    assert (found.missing == [[0], [1]]).all()
    assert found.exact_missing()
    assert np.isnan(found.spectral_angle())


def test_without_errors_psnr_is_infinite_and_of_nothing_nan():
    x = np.zeros((1, 1, 2, 2), "f4")
    assert measure(x, x).psnr(1.0) == np.inf
    gone = np.full_like(x, np.nan)
    assert np.isnan(measure(gone, gone).psnr(1.0))
    assert measure(gone, gone).max_error() == 0


def test_missing_values_count_to_the_bit():
    x = np.array([np.nan, -np.inf, 7, 1, 2], "f4").reshape(1, 1, 1, 5)
    assert measure(x, x, nodata=(7,)).missing.item() == 3
    other = x.copy()
    other.view("u4")[..., 0] ^= 1
    assert np.isnan(other[..., 0]).all()
    assert measure(x, other).wrong.item() == 1
    lost = x.copy()
    lost[..., 3] = 7
    found = measure(x, lost, nodata=(7,))
    assert found.wrong.item() == 1
    assert not found.exact_missing()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_came_back_as_none_is_an_infinite_error(bad):
    x = np.ones((1, 2, 8, 8), "f4")
    y = x.copy()
    y[0, 1, 3, 3] = bad
    found = measure(x, y, peak=1.0, relative=True)
    np.testing.assert_array_equal(found.max_error("band"), [0, np.inf])
    np.testing.assert_array_equal(found.max_relative("band"), [0, np.inf])
    assert found.rmse() == np.inf
    assert found.wrong.item(1) == 1
    np.testing.assert_array_equal(found.histogram[:, [SIDE, -1]], [[64, 0], [63, 1]])
    np.testing.assert_array_equal(found.ssim("band"), [1, 0])


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_an_error_of_one_is_seen_in_the_largest_integers(dtype):
    x = np.full((1, 1, 1, 3), np.iinfo(dtype).max, dtype)
    y = x - np.array([0, 1, 3], dtype)
    found = measure(x, y)
    assert found.total.item() == -4
    assert found.max_error() == 3
    x[..., 1], y[..., 1] = np.iinfo(dtype).min, np.iinfo(dtype).max
    assert measure(x, y).max_error() == 2.0**64


def test_huge_values_do_no_harm():
    x = np.full((1, 2, 8, 8), 1e308)
    found = measure(x, -x, peak=1e308, relative=True)
    assert found.max_error() == np.inf
    assert found.max_relative() == np.inf
    assert found.histogram[:, -1].sum() == 128


@given(st.floats(1e-3, 1e3), st.floats(1e-6, 1))
def test_a_relative_bound_that_is_just_kept_is_seen_as_kept(value, bound):
    x = np.full((1, 1, 1, 2), value)
    e = bound * value
    y = x + e
    e = float((y - x)[0, 0, 0, 0])
    found = float(measure(x, y, relative=True).max_relative())
    assert e <= found * value
    assert not e <= np.nextafter(found, 0) * value


def test_booleans():
    x = np.array([True, True, False, False]).reshape(1, 1, 2, 2)
    found = measure(x, ~x)
    assert found.count.item() == 4
    assert found.rmse() == 1
    assert found.bias() == 0


def test_histogram_by_hand():
    x = np.zeros((1, 1, 1, 4), np.int16)
    y = np.array([0, -1, 100, 3], np.int16).reshape(x.shape)
    found = measure(x, y)
    # 100 lies below 128: steps of two.
    assert found.step.item() == 1
    where = {int(i) - SIDE: int(n) for i, n in enumerate(found.histogram[0]) if n}
    assert where == {0: 1, -1: 1, 1: 1, 50: 1}


def test_figures_with_and_without_the_ignored():
    x = np.zeros((1, 2, 3, 3), "f4")
    y = x.copy()
    y[0, :, 1, 1] = 5
    y[0, 0, 0, 0] = 1
    cloud = np.zeros((3, 3), bool)
    cloud[1, 1] = True
    found = measure(x, y, ignored=cloud)
    assert found.max_error() == 5
    assert found.kept.max_error() == 1
    assert found.kept.count.sum() == 16
    # What another block has not ignored counts with and without.
    assert (found + measure(x, y)).kept.max_error() == 5


def test_tiles_do_not_change_figures():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (1, 2, 300, 500)).astype("u2")
    y = rng.integers(0, 9, x.shape).astype("u2")
    found, e = measure(x, y), y.astype(int) - x
    np.testing.assert_array_equal(found.squares, (e**2).sum((2, 3)))
    assert found.histogram.sum() == x.size
    assert found.pixels.item() == ((x > 0).any(1) & (y > 0).any(1)).sum()


def test_inputs_stay():
    rng = np.random.default_rng(0)
    x = rng.random((1, 2, 9, 9)).astype("f4")
    x[0, 0, 0, 0] = np.nan
    y = x * np.float32(1.1)
    before = x.copy(), y.copy()
    measure(x, y, peak=1.0, relative=True, nodata=(0,), ignored=x > 0.5)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


def test_errors_say_what_to_do():
    x = np.zeros((1, 1, 2, 2), "u2")
    with pytest.raises(DimensionError, match="one shape and dtype"):
        measure(x, x.astype("u1"))
    with pytest.raises(DimensionError, match="one shape and dtype"):
        measure(x[0], x[0])
    with pytest.raises(OptionError, match="above zero, got 0"):
        measure(x, x, peak=0)
    with pytest.raises(DimensionError, match="Try: place"):
        measure(x, x) + Fidelity.empty(2, 1)
    with pytest.raises(OptionError, match="expected by to be one of"):
        measure(x, x).rmse("month")
    with pytest.raises(OptionError, match="for angles"):
        measure(x, x).spectral_angle("band")
