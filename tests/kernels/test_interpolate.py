import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels import interpolate
from xeo.kernels.interpolate import linear, nearest, previous

MASKS = hnp.arrays(bool, st.tuples(*(st.integers(1, n) for n in (9, 3, 5))))
NAN = np.nan


def series(bad, dtype="f8", seed=0):
    """Values in the bands of a mask, NaN or anything where bad, on uneven days."""
    rng = np.random.default_rng(seed)
    values = rng.normal(1000, 300, bad.shape).astype(dtype)
    values[bad] = rng.choice(np.array([np.nan, np.inf, 0, 65535], dtype), bad.sum())
    days = 17_000 + np.cumsum(rng.uniform(0.1, 9, len(bad)))
    return values, days


def one_by_one(values, bad, days, at):
    """Return what np.interp makes of each series."""
    made = np.full((len(at), *values.shape[1:]), np.nan)
    for place in np.ndindex(values.shape[1:]):
        good = ~bad[(slice(None), *place)]
        if good.any():
            known = values[(slice(None), *place)][good]
            made[(slice(None), *place)] = np.interp(at, days[good], known)
    return made


def test_a_gap_is_a_line_in_days_not_in_dates():
    values = np.array([[NAN], [0.0], [NAN], [8.0], [NAN]])
    days = np.array([0.0, 10.0, 11.0, 14.0, 20.0])
    bad = np.isnan(values)
    assert linear(values, bad, days, days).ravel().tolist() == [0, 0, 2, 8, 8]
    cut = linear(values, bad, days, days, ends="nan").ravel()
    np.testing.assert_array_equal(cut, [NAN, 0, 2, 8, NAN])
    at = np.array([-5.0, 10.5, 12.0, 13.0, 16.0, 30.0])
    assert linear(values, bad, days, at).ravel().tolist() == [0, 1, 4, 6, 8, 8]
    cut = linear(values, bad, days, at, ends="nan").ravel()
    np.testing.assert_array_equal(cut, [NAN, 1, 4, 6, NAN, NAN])


@given(MASKS, st.booleans())
def test_linear_is_np_interp(bad, shared):
    bad = np.repeat(bad[:, :1], 2, axis=1) if shared else bad
    values, days = series(bad)
    mask = bad[:, :1] if shared else bad
    given = values.copy()
    for at in (days, np.linspace(days[0] - 3, days[-1] + 3, 7)):
        made = linear(values, mask, days, at)
        np.testing.assert_allclose(made, one_by_one(values, bad, days, at), rtol=1e-13)
    np.testing.assert_array_equal(values, given)


@given(MASKS)
def test_clear_values_stay_to_the_last_bit(bad):
    values, days = series(bad, "f4")
    made = linear(values, bad, days, days, ends="nan")
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[~bad], values[~bad])


@given(MASKS)
def test_nan_lies_beyond_the_clear_dates_alone(bad):
    values, days = series(bad)
    made = linear(values, bad, days, days, ends="nan")
    order = np.arange(len(days))[:, None, None]
    good = np.where(bad, len(days), order).min(0), np.where(bad, -1, order).max(0)
    np.testing.assert_array_equal(np.isnan(made), (order < good[0]) | (order > good[1]))


def test_float32_stays_near_float64_over_long_gaps():
    bad = np.random.default_rng(1).random((300, 1, 40)) < 0.95
    values, days = series(bad, "f4")
    exact = linear(values.astype("f8"), bad, days, days)
    np.testing.assert_allclose(linear(values, bad, days, days), exact, rtol=5e-6)


def test_nearest_and_previous_by_hand():
    values = np.array([[NAN], [1.0], [NAN], [NAN], [4.0], [NAN]])
    days = np.array([0.0, 10.0, 12.0, 13.0, 14.0, 20.0])
    bad = np.isnan(values)
    assert nearest(values, bad, days, days).ravel().tolist() == [1, 1, 1, 4, 4, 4]
    assert previous(values, bad, days, days).ravel().tolist() == [1, 1, 1, 1, 4, 4]
    at = np.array([-1.0, 11.9, 12.1, 19.0, 30.0])
    assert nearest(values, bad, days, at).ravel().tolist() == [1, 1, 4, 4, 4]
    assert previous(values, bad, days, at).ravel().tolist() == [1, 1, 1, 4, 4]
    cut = nearest(values, bad, days, at, ends="nan").ravel()
    np.testing.assert_array_equal(cut, [NAN, 1, 4, NAN, NAN])
    cut = previous(values, bad, days, at, ends="nan").ravel()
    np.testing.assert_array_equal(cut, [NAN, 1, 1, 4, 4])


@given(MASKS, st.booleans())
def test_nearest_is_the_first_of_the_smallest_distances(bad, shared):
    bad = np.repeat(bad[:, :1], 2, axis=1) if shared else bad
    values, days = series(bad)
    mask = bad[:, :1] if shared else bad
    for at in (days, np.linspace(days[0] - 3, days[-1] + 3, 7)):
        away = np.abs(at[:, None] - days)[:, :, None, None]
        far = np.where(bad, np.inf, away)
        best = np.take_along_axis(values, far.argmin(1), 0)
        expected = np.where(bad.all(0), np.nan, best)
        np.testing.assert_array_equal(nearest(values, mask, days, at), expected)


@given(MASKS)
def test_previous_is_the_last_clear_value(bad):
    values, days = series(bad)
    for at in (days, np.linspace(days[0] - 3, days[-1] + 3, 7)):
        good = ~bad & (days <= at[:, None])[:, :, None, None]
        last = np.where(good, np.arange(len(days))[:, None, None], -1).max(1)
        expected = np.where(last < 0, np.nan, np.take_along_axis(values, np.maximum(last, 0), 0))
        np.testing.assert_array_equal(previous(values, bad, days, at, ends="nan"), expected)
        held = previous(values, bad, days, at)
        first = np.take_along_axis(values, (~bad).argmax(0)[None], 0)
        first = np.where(bad.all(0), np.nan, first)
        np.testing.assert_array_equal(held, np.where(last < 0, first, expected))


@pytest.mark.parametrize("kernel", [linear, nearest, previous])
def test_blocks_leave_no_seams(monkeypatch, kernel):
    bad = np.random.default_rng(2).random((12, 1, 50)) < 0.6
    values, days = series(bad.repeat(3, 1), "f4")
    whole = kernel(values, bad, days, days)
    monkeypatch.setattr(interpolate, "_BLOCK", 7)
    np.testing.assert_array_equal(kernel(values, bad, days, days), whole)


@pytest.mark.parametrize("kernel", [linear, nearest, previous])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_torch_gives_the_same(dtype, kernel):
    torch = pytest.importorskip("torch")
    bad = np.random.default_rng(3).random((12, 1, 50)) < 0.6
    values, days = series(bad.repeat(3, 1), dtype)
    for at in (days, days[:-1] + 0.05):
        for ends in ("hold", "nan"):
            made = kernel(torch.asarray(values), torch.asarray(bad), days, at, ends=ends)
            expected = kernel(values, bad, days, at, ends=ends)
            np.testing.assert_allclose(np.asarray(made), expected, rtol=1e-6)
            assert made.dtype == getattr(torch, np.dtype(dtype).name)


@pytest.mark.parametrize("kernel", [linear, nearest, previous])
def test_half_floats_and_foreign_bytes_are_taken(kernel):
    values = np.array([[1.0], [NAN], [3.0]])
    days = np.array([0.0, 1.0, 4.0])
    for dtype in ("f2", ">f4"):
        made = kernel(values.astype(dtype), np.isnan(values), days, days)
        assert made.dtype == dtype
        assert np.isfinite(made).all()
