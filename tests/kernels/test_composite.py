"""Monthly composites: properties against numpy's own, and answers worked by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels.composite import (
    masked_mean,
    masked_median,
    masked_total,
    month_window,
    monthly,
    normalized_difference,
)


def days(*texts):
    return np.array(texts, "datetime64[ns]")


@st.composite
def masked(draw):
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=3, max_side=7))
    values = st.floats(-100, 100, width=32)
    return draw(hnp.arrays("f4", shape, elements=values)), draw(hnp.arrays(bool, shape))


@given(masked())
def test_reductions_are_those_of_numpy_on_nan(pair):
    x, bad = pair
    holes = np.where(bad, np.nan, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        median, mean = np.nanmedian(holes, axis=1), np.nanmean(holes, axis=1)
    np.testing.assert_allclose(masked_median(x, bad, 1), median, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(masked_mean(x, bad, 1), mean, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(masked_total(x, bad, 1), mean * x.shape[1], rtol=1e-5, atol=1e-3)


@given(masked())
def test_bad_values_do_not_matter_and_inputs_stay(pair):
    x, bad = pair
    wild = np.where(bad, np.float32(np.nan), x)
    before = wild.copy()
    for reduce in (masked_median, masked_mean, masked_total):
        np.testing.assert_array_equal(reduce(wild, bad, 1), reduce(x, bad, 1))
        assert reduce(x, bad, 1).dtype == x.dtype
    np.testing.assert_array_equal(wild, before)


@given(masked(), st.randoms(use_true_random=False))
def test_order_of_dates_does_not_matter(pair, random):
    x, bad = pair
    start = np.datetime64("2020-01-05", "ns")
    dates = start + np.arange(x.shape[1]) * np.timedelta64(20, "D")
    months = month_window(dates, 24)
    order = np.array(random.sample(range(x.shape[1]), x.shape[1]))
    np.testing.assert_array_equal(
        monthly(x[:, order], bad[:, order], dates[order], months),
        monthly(x, bad, dates, months),
    )


def test_median_by_hand():
    x = np.array([[5, 1, 9, 7], [5, 1, 9, 7], [5, 1, 9, 7], [5, 1, 9, 7]], "f4")
    bad = np.array([[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 0], [1, 1, 1, 1]], bool)
    np.testing.assert_array_equal(masked_median(x, bad, 1), np.array([6, 5, 7, np.nan], "f4"))


def test_total_fills_gaps_with_the_mean():
    x = np.array([[1, 2, 3, 100]], "f4")
    bad = np.array([[False, False, False, True]])
    assert masked_total(x, bad, 1) == 8


def test_monthly_by_hand():
    dates = days("2020-03-20", "2020-01-01", "2020-01-31T23:59", "2019-12-31")
    x = np.array([[3, 1, 2, 50]], "f4")
    out = monthly(x, np.zeros_like(x, bool), dates, np.arange("2020-01", "2020-04", dtype="M8[M]"))
    np.testing.assert_array_equal(out, np.array([[1.5, np.nan, 3]], "f4"))


@pytest.mark.parametrize(
    ("start", "count", "first", "size"),
    [
        (None, 12, "2019-11", 5),
        (None, 3, "2020-01", 3),
        ("2019-11", 2, "2019-11", 2),
        ("2019-09", 4, "2019-09", 4),
        ("2020-02", 12, "2020-02", 2),
        ("2020-04", 12, None, 0),
    ],
)
def test_month_window(start, count, first, size):
    window = month_window(days("2020-03-31", "2019-11-01", "2020-01-15"), count, start)
    assert len(window) == size
    if size:
        assert str(window[0]) == first
        assert (np.diff(window).astype(int) == 1).all()


def test_normalized_difference_by_hand():
    near = np.array([3, 0, -2, np.nan], "f4")
    red = np.array([1, 0, 1, 1], "f4")
    expected = np.array([0.5, 0, 0, np.nan], "f4")
    np.testing.assert_array_equal(normalized_difference(near, red), expected)
