"""Scores of hidden pixels: answers worked by hand, limits, and what does not count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.errors import DimensionError, OptionError
from xeo.kernels.scores import bias, interval, mae, psnr, rmse, sam, ssim
from xeo.kernels.similarity import similarity

everywhere = np.ones((2, 2), bool)
truth = np.array([[0.1, 0.2], [0.3, np.nan]])
values = st.floats(-10, 10, width=32)


def test_errors_by_hand():
    filled = truth + np.array([[0.1, -0.1], [0.3, 5]])
    assert mae(truth, filled, everywhere) == pytest.approx(0.5 / 3)
    assert rmse(truth, filled, everywhere) == pytest.approx(math.sqrt(0.11 / 3))
    assert bias(truth, filled, everywhere) == pytest.approx(0.1)
    hidden = np.array([[True, False], [False, True]])
    assert rmse(truth, filled, hidden) == pytest.approx(0.1)


def test_psnr_by_hand():
    assert psnr(truth, truth + 0.1, everywhere) == pytest.approx(20)
    assert psnr(truth, truth + 0.1, everywhere, peak=10) == pytest.approx(40)
    assert psnr(truth, truth, everywhere) == math.inf


@pytest.mark.parametrize("score", [mae, rmse, bias, psnr, ssim])
def test_nothing_hidden_is_nan(score):
    assert math.isnan(score(truth, truth, ~everywhere))


@given(hnp.arrays("f4", (3, 4), elements=values), hnp.arrays("f4", (3, 4), elements=values))
def test_mean_and_spread_of_errors(x, y):
    hidden = np.ones(x.shape, bool)
    error = mae(x, y, hidden)
    assert abs(bias(x, y, hidden)) <= error + 1e-12
    assert error <= rmse(x, y, hidden) + 1e-12
    assert bias(x, y, hidden) == -bias(y, x, hidden)


def test_shapes_must_agree():
    with pytest.raises(DimensionError, match=r"got \(2, 2\), \(2, 2\) and \(2,\)"):
        mae(truth, truth, everywhere[0])
    with pytest.raises(DimensionError, match="mask"):
        sam(truth, truth, everywhere)


@pytest.mark.parametrize("score", [psnr, ssim])
def test_peaks_are_positive(score):
    with pytest.raises(OptionError, match="Try: peak=1"):
        score(truth, truth, everywhere, peak=0.0)


def test_similarity_of_flat_pictures_by_hand():
    x = np.full((7, 7), 0.2)
    hidden = np.zeros((7, 7), bool)
    hidden[3, 3] = True
    # One of 49 pixels is off by 0.49: means 0.2 and 0.21, variances 0 and 0.49^2 / 49.
    y = x.copy()
    y[3, 3] += 0.49
    light = (2 * 0.2 * 0.21 + 1e-4) / (0.2**2 + 0.21**2 + 1e-4)
    assert ssim(x, y, hidden) == pytest.approx(light * 9e-4 / (0.49**2 / 49 + 9e-4))


@given(st.integers(0, 99))
def test_similarity_agrees_with_that_of_decoded_cubes(seed):
    rng = np.random.default_rng(seed)
    x = rng.random((12, 9)).astype("f4")
    y = x + rng.normal(0, 0.1, x.shape).astype("f4")
    total, windows = similarity(x, y - x, None, 1.0)
    assert ssim(x, y, np.ones(x.shape, bool)) == pytest.approx(total / windows, abs=1e-4)


def test_similarity_looks_at_hidden_pixels_only():
    rng = np.random.default_rng(0)
    x = rng.random((2, 20, 20))
    hidden = np.zeros(x.shape, bool)
    hidden[0, 5:9, 5:9] = True
    assert ssim(x, np.where(hidden, x, rng.random(x.shape)), hidden) == pytest.approx(1)
    y = np.where(hidden, 1 - x, x)
    assert ssim(x, y, hidden) < 0.9
    # A window that lacks a value does not count, nor do small pictures.
    assert math.isnan(ssim(np.where(hidden, np.nan, x), x, hidden))
    assert math.isnan(ssim(x[:, :6], x[:, :6], np.ones((2, 6, 20), bool)))


def test_angles_by_hand():
    x = np.array([1.0, 0, 0]).reshape(3, 1, 1)
    y = np.array([1.0, 1, 0]).reshape(3, 1, 1)
    hidden = np.array([[True]])
    assert sam(x, y, hidden) == pytest.approx(45)
    assert sam(x, 7 * x, hidden) == 0
    assert sam(x, -x, hidden) == pytest.approx(180)
    small = x + np.array([0, 1e-9, 0]).reshape(3, 1, 1)
    assert sam(x, small, hidden) == pytest.approx(math.degrees(1e-9), rel=1e-6)
    assert math.isnan(sam(x, 0 * x, hidden))
    assert math.isnan(sam(x[:1], y[:1], hidden))


@given(hnp.arrays("f8", (4, 3, 2, 2), elements=st.floats(0.01, 1)), st.floats(0.1, 10))
def test_angles_do_not_see_brightness(x, factor):
    hidden = np.ones((4, 2, 2), bool)
    assert sam(x, factor * x, hidden) == pytest.approx(0, abs=1e-6)
    assert sam(x, x[::-1], hidden) == pytest.approx(sam(x[::-1], x, hidden))


def test_interval_of_blocks():
    squares = np.arange(1.0, 41.0)
    low, high = interval(lambda dates: squares[dates].mean(), 40, draws=2000)
    # The mean of 40 draws of a uniform law: 20.5, with a standard error of 1.825.
    assert low == pytest.approx(20.5 - 1.96 * 1.825, abs=0.4)
    assert high == pytest.approx(20.5 + 1.96 * 1.825, abs=0.4)
    assert (low, high) == interval(lambda dates: squares[dates].mean(), 40, draws=2000)


def test_interval_without_figures():
    assert all(map(math.isnan, interval(lambda dates: 1.0, 0)))
    assert all(map(math.isnan, interval(lambda dates: math.nan, 3)))
    assert interval(lambda dates: math.nan if dates[0] else 2.0, 2) == (2.0, 2.0)


@pytest.mark.parametrize("options", [{"level": 1.0}, {"draws": 0}])
def test_interval_refuses(options):
    with pytest.raises(OptionError, match="Try: "):
        interval(lambda dates: 1.0, 3, **options)
