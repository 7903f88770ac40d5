"""Gaussian processes by Kalman filters: dense matrices as the oracle, limits, doubtful dates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.kalman import foretell, kalman, left_out, trust


@st.composite
def series(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    time, band, pixel = draw(st.tuples(st.integers(1, 12), st.integers(1, 3), st.integers(1, 4)))
    days = np.cumsum(rng.integers(1, 40, time)).astype(float)
    values = rng.normal(size=(time, band, pixel))
    bad = rng.random((time, draw(st.sampled_from([1, band])), pixel)) < 0.4
    return values, bad, days


def covariance(days, other, length, ratio):
    far = np.sqrt(3) * np.abs(days[:, None] - other) / length
    return ratio * (1 + far) * np.exp(-far)


@given(series(), st.sampled_from([(60.0, 20.0), (10.0, 0.5)]))
def test_left_out_is_what_dense_matrices_say(case, settings):
    x, bad, days = case
    length, ratio = settings
    w = np.where(bad, 0, np.random.default_rng(0).uniform(0.1, 1, bad.shape))
    at = np.union1d(days, days + 0.5)
    mean, variance = left_out(x, w, days, at, length=length, ratio=ratio)
    w = np.broadcast_to(w, x.shape)
    variance = np.broadcast_to(variance, mean.shape)
    for b, p in np.ndindex(x.shape[1:]):
        if not w[:, b, p].any():
            assert np.isnan(mean[:, b, p]).all()
            continue
        centre = np.average(x[:, b, p], weights=w[:, b, p])
        for n, day in enumerate(at):
            use = (w[:, b, p] > 0) & (days != day)
            k = covariance(days[use], days[use], length, ratio) + np.diag(1 / w[use, b, p])
            to = covariance(np.array([day]), days[use], length, ratio)[0]
            told = np.linalg.solve(k, np.stack([x[use, b, p] - centre, to], 1))
            assert mean[n, b, p] == pytest.approx(centre + to @ told[:, 0], abs=1e-8)
            assert variance[n, b, p] == pytest.approx(ratio - to @ told[:, 1], abs=1e-8)


@given(series())
def test_clear_dates_are_taken_in(case):
    x, bad, days = case
    others, every = foretell(x, bad, days, days, rounds=0)
    gone = np.broadcast_to(bad, x.shape)
    np.testing.assert_array_equal(others[gone], every[gone])
    seen = ~gone
    # Between what the others say and what was seen.
    assert (np.abs(every - x)[seen] <= np.abs(others - x)[seen] + 1e-12).all()


@given(series(), st.floats(-5, 5))
def test_what_is_bad_does_not_matter_and_a_shift_shifts(case, shift):
    x, bad, days = case
    kept = x.copy()
    filled = kalman(x, bad, days, days)
    np.testing.assert_array_equal(x, kept)
    other = np.where(bad, np.nan, x)
    np.testing.assert_array_equal(kalman(other, bad, days, days), filled)
    np.testing.assert_allclose(kalman(x + shift, bad, days, days), filled + shift, atol=1e-7)


def test_by_hand():
    days = np.array([0.0, 10.0, 20.0])
    x = np.array([1.0, 9.0, -1.0]).reshape(3, 1, 1)
    bad = np.array([0, 1, 0], bool).reshape(3, 1, 1)
    # Opposite values on both sides: their mean, 0, in the middle, and the same without change.
    assert kalman(x, bad, days, days).ravel()[1] == pytest.approx(0, abs=1e-12)
    flat = np.full((3, 1, 1), 0.25)
    np.testing.assert_allclose(kalman(flat, bad, days, days), 0.25)
    # One clear date: that value at every day; far away: the mean.
    one = np.array([1, 1, 0], bool).reshape(3, 1, 1)
    np.testing.assert_allclose(kalman(x, one, days, np.array([-5.0, 100.0])), -1)
    far = np.array([5000.0])
    np.testing.assert_allclose(kalman(x + 3, bad, days, far), 3, atol=1e-9)


def test_nothing_clear_is_nan():
    x = np.ones((4, 2, 3))
    bad = np.zeros((4, 1, 3), bool)
    bad[..., 1] = True
    filled = kalman(x, bad, np.arange(4.0), np.arange(4.0))
    np.testing.assert_array_equal(np.isnan(filled), np.broadcast_to(bad, x.shape))


def test_haze_is_doubted_and_a_harvest_less():
    rng = np.random.default_rng(0)
    days = np.arange(20) * 5.0
    x = rng.normal(0, 0.01, (20, 4, 1)) + 0.3
    haze, harvest = x.copy(), x.copy()
    haze[10] += 0.3
    harvest[10] += np.array([0.3, 0.3, -0.3, -0.3])[:, None]
    weight = np.ones((20, 1, 1))
    hazy, mown = (trust(one, weight, days)[10, 0, 0] for one in (haze, harvest))
    assert hazy < 0.1 < mown
    filled = kalman(haze, weight == 0, days, days)
    trusting = kalman(haze, weight == 0, days, days, rounds=0)
    assert np.abs(filled[10] - 0.3).max() < 0.02
    assert np.abs(trusting[10] - 0.3).max() > 0.05


def test_blocks_of_pixels_and_types():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 1, 20_000)).astype("f4")
    bad = rng.random(x.shape) < 0.3
    days = np.array([0.0, 3, 9])
    filled = kalman(x, bad, days, days)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled[..., -7:], kalman(x[..., -7:], bad[..., -7:], days, days))


def test_other_arrays():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 2, 30))
    bad = rng.random((6, 1, 30)) < 0.3
    days = np.cumsum(rng.random(6))
    ours = kalman(torch.tensor(x), torch.tensor(bad), days, days)
    np.testing.assert_allclose(ours.numpy(), kalman(x, bad, days, days), rtol=1e-10)
