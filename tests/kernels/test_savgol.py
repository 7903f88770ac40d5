import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels import savgol as module
from xeo.kernels.savgol import savgol

MASKS = hnp.arrays(bool, st.tuples(*(st.integers(1, n) for n in (12, 2, 4))))


def series(bad, dtype="f8"):
    rng = np.random.default_rng(0)
    values = rng.normal(1000, 300, bad.shape).astype(dtype)
    values[bad] = rng.choice(np.array([np.nan, np.inf, 65535], dtype), bad.sum())
    return values, 17_000 + np.cumsum(rng.uniform(1, 9, len(bad)))


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
def test_parity_with_scipy_on_regular_dates(degree):
    signal = pytest.importorskip("scipy.signal")
    values = np.random.default_rng(0).normal(size=(60, 2, 5))
    days = 17_000 + 5.0 * np.arange(60)
    made = savgol(values, np.zeros((60, 1, 5), bool), days, days, window=25, degree=degree)
    expected = signal.savgol_filter(values, 11, degree, axis=0)
    np.testing.assert_allclose(made[5:-5], expected[5:-5], rtol=1e-10, atol=1e-10)


def test_a_local_fit_by_hand():
    # Around day 5 lie (-2, 1), (-1, 2) and (2, 4): the line through them is 2.5 + 5 / 7 d there,
    # less 1 / 3 of a day, and a parabola would be known worse than an observation.
    values = np.array([[9.0], [1.0], [2.0], [np.nan], [4.0], [9.0]])
    days = np.array([0.0, 3.0, 4.0, 5.0, 7.0, 9.0])
    made = savgol(values, np.isnan(values), days, days, window=2, degree=2)
    mean, lag = 7 / 3, -1 / 3
    slope = (-2 * 1 - 1 * 2 + 2 * 4 - 3 * mean * lag) / (9 - 3 * lag**2)
    np.testing.assert_allclose(made[3, 0], mean - slope * lag)


@given(MASKS, st.integers(0, 3))
def test_polynomials_of_its_degree_are_kept_on_clear_dates(bad, degree):
    # There the degree is never lowered: no fit knows its own point worse than it was seen.
    _, days = series(bad)
    truth = np.polyval([1.0, -2, 0.5, 3][-1 - degree :], (days - days[0]) / 30)
    values = np.where(bad, np.nan, truth[:, None, None])
    made = savgol(values, bad, days, days, window=40, degree=degree)
    np.testing.assert_allclose(made[~bad], values[~bad], atol=1e-6)
    np.testing.assert_array_equal(np.isnan(made), np.broadcast_to(bad.all(0), bad.shape))


@given(MASKS)
def test_gaps_may_be_shared_and_what_is_bad_does_not_count(bad):
    shared = bad[:, :1]
    full = np.repeat(shared, 2, axis=1)
    values, days = series(full)
    at = np.linspace(days[0] - 3, days[-1] + 3, 11)
    settings = {"window": 12, "degree": 2, "upper_envelope": 1}
    one = savgol(values, shared, days, at, **settings)
    np.testing.assert_allclose(savgol(values, full, days, at, **settings), one, rtol=1e-9)
    zero = np.where(full, 0, values)
    np.testing.assert_array_equal(savgol(zero, shared, days, at, **settings), one)


def test_wide_gaps_are_straight():
    days = np.array([0.0, 5, 10, 50, 100, 105])
    values = np.array([1.0, 2, 1, np.nan, 4, 5])[:, None]
    made = savgol(values, np.isnan(values), days, np.array([40.0, 55, 70]), window=20)
    np.testing.assert_allclose(made.ravel(), [2, 2.5, 3])


def test_the_upper_envelope_leaves_low_values_below():
    days = 5.0 * np.arange(40)
    truth = np.sin(days / 40)[:, None] + 2
    values = truth.copy()
    values[[7, 15, 16, 30]] -= 1
    bad = np.zeros(values.shape, bool)
    plain = savgol(values, bad, days, days)
    upper = savgol(values, bad, days, days, upper_envelope=4)
    assert upper.mean() > plain.mean()
    assert np.abs(upper - truth).mean() < 0.5 * np.abs(plain - truth).mean()


def test_blocks_leave_no_seams(monkeypatch):
    bad = np.random.default_rng(1).random((30, 1, 40)) < 0.5
    values, days = series(np.repeat(bad, 2, 1))
    whole = savgol(values, bad, days, days)
    monkeypatch.setattr(module, "_PIXELS", 7)
    monkeypatch.setattr(module, "_DATES", 3)
    np.testing.assert_allclose(savgol(values, bad, days, days), whole, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_torch_gives_the_same(dtype):
    torch = pytest.importorskip("torch")
    bad = np.random.default_rng(1).random((30, 1, 40)) < 0.5
    values, days = series(np.repeat(bad, 2, 1), dtype)
    expected = savgol(values, bad, days, days + 0.5, upper_envelope=1)
    made = savgol(torch.asarray(values), torch.asarray(bad), days, days + 0.5, upper_envelope=1)
    assert made.dtype == getattr(torch, np.dtype(dtype).name)
    np.testing.assert_allclose(np.asarray(made), expected, rtol=2e-5)
