"""Whittaker's smoother: against the package whittaker-eilers, and answers worked by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeo.kernels.whittaker import whittaker


def series(seed, dates=40, bands=2, pixels=6, missing=0.4, dtype="f8"):
    rng = np.random.default_rng(seed)
    days = 17_000 + np.cumsum(rng.integers(1, 9, dates)).astype(float)
    y = np.sin(days / 40)[:, None, None] + rng.normal(0, 0.1, (dates, bands, pixels))
    bad = rng.random((dates, 1, pixels)) < missing
    return np.where(bad, np.nan, y).astype(dtype), bad, days


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 2, 3]), st.sampled_from([1.0, 1e3, 1e5]))
def test_parity_with_whittaker_eilers(seed, order, lmbda):
    package = pytest.importorskip("whittaker_eilers")
    values, bad, days = series(seed)
    made = whittaker(values, bad, days, days, lmbda=lmbda, order=order)
    for pixel in range(3):
        smoother = package.WhittakerSmoother(
            lmbda=lmbda,
            order=order,
            data_length=len(days),
            x_input=days,
            weights=(~bad[:, 0, pixel]).astype(float),
        )
        expected = smoother.smooth(np.nan_to_num(values[:, 1, pixel]))
        # The package loses digits to cancellation with the cube of the distances.
        atol = 1e-10 if order < 3 else 1e-7
        np.testing.assert_allclose(made[:, 1, pixel], expected, rtol=0, atol=atol)


def test_three_dates_by_hand():
    # With 1, 0, 1 on days 0, 1, 2 the second difference over 2 is 1 - z1; row (1/2, -1, 1/2).
    # By symmetry z = (a, b, a): (1 - a) = r / 2 * lambda, b = r lambda, r = a - b.
    values = np.array([1.0, 0.0, 1.0])[:, None]
    days = np.arange(3.0)
    made = whittaker(values, np.zeros((3, 1), bool), days, days, lmbda=2.0)
    np.testing.assert_allclose(made[:, 0], [0.75, 0.5, 0.75])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1e2, 1e7, "gcv", "vcurve"]))
def test_scale_and_level_pass_through(seed, lmbda):
    values, bad, days = series(seed)
    made = whittaker(values, bad, days, days, lmbda=lmbda)
    other = whittaker(values * 8192 - 500, bad, days, days, lmbda=lmbda)
    np.testing.assert_allclose((other + 500) / 8192, made, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_few_dates_give_the_polynomial_through_them(order):
    days = np.array([0.0, 3.0, 10.0, 12.0, 30.0])
    values = np.stack([(days / 10) ** k for k in range(3)], 1)
    bad = np.ones((5, 3), bool)
    bad[1, :] = bad[4, 1:] = bad[0, 2] = False
    made = whittaker(np.where(bad, np.nan, values), bad, days, days, lmbda=1e-9, order=order)
    # One date is a constant; of two and three the degree is below the order.
    np.testing.assert_allclose(made[:, 0], 1)
    if order > 1:
        np.testing.assert_allclose(made[:, 1], days / 10, atol=1e-12)
    if order > 2:
        np.testing.assert_allclose(made[:, 2], (days / 10) ** 2, atol=1e-12)


@pytest.mark.parametrize("dates", [1, 2, 3])
def test_nothing_clear_is_nan_and_short_axes_are_taken(dates):
    days = np.arange(dates) * 5.0
    bad = np.zeros((dates, 2), bool)
    bad[:, 1] = True
    for lmbda in (10.0, "gcv", "vcurve"):
        made = whittaker(np.full((dates, 2), 0.5), bad, days, days, lmbda=lmbda, order=3)
        np.testing.assert_allclose(made[:, 0], 0.5)
        assert np.isnan(made[:, 1]).all()


@pytest.mark.parametrize("lmbda", [1e-6, 1e12, 1e25])
def test_long_gaps_stay_finite_and_near_the_values(lmbda):
    days = np.array([0.0, 0.01, 5.0, *np.arange(400, 2000, 60.0)])
    values = np.linspace(0, 10_000, len(days))[:, None]
    bad = np.zeros_like(values, bool)
    bad[4:-2] = True
    made = whittaker(values, bad, days, days, lmbda=lmbda)
    assert np.isfinite(made).all()
    assert np.abs(made).max() < 1e5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 2, 3]))
def test_wanted_days_do_not_change_the_curve(seed, order):
    values, bad, days = series(seed)
    rng = np.random.default_rng(seed)
    at = np.sort(np.append(days[::3], rng.uniform(days[0] - 9, days[-1] + 9, 20)))
    made = whittaker(values, bad, days, at, lmbda=1e3, order=order)
    own = whittaker(values, bad, days, days, lmbda=1e3, order=order)
    np.testing.assert_allclose(made[np.isin(at, days)], own[::3], rtol=0, atol=1e-6)
    if order == 1:
        expected = np.interp(at, days, own[:, 0, 0])
        np.testing.assert_allclose(made[:, 0, 0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_polynomials_of_lower_degree_pass_between_dates(order):
    days = np.array([0.0, 3.0, 10.0, 12.0, 30.0])
    at = np.linspace(-5, 40, 31)
    bad = np.zeros((5, 1), bool)
    bad[2] = True
    made = whittaker(((days / 10) ** (order - 1))[:, None], bad, days, at, order=order, lmbda=1e4)
    np.testing.assert_allclose(made[:, 0], (at / 10) ** (order - 1), rtol=1e-7, atol=1e-7)


def test_days_seconds_apart_are_one():
    values, bad, days = series(4)
    made = whittaker(values, bad, days, days + 1e-4)
    np.testing.assert_array_equal(made, whittaker(values, bad, days, days))


def test_bands_with_their_own_gaps_and_weights():
    values, bad, days = series(5)
    shared = whittaker(values, bad, days, days)
    apart = whittaker(values, np.repeat(bad, 2, 1), days, days)
    np.testing.assert_allclose(shared, apart, rtol=1e-10)
    weights = np.where(bad, 0.0, 1.0)
    wild = np.where(bad, 77.0, values)
    weighted = whittaker(wild, np.zeros_like(bad), days, days, weights=weights)
    np.testing.assert_allclose(weighted, shared, rtol=1e-10)


def test_envelope_lies_above_and_robust_forgets_outliers():
    values, bad, days = series(6, missing=0.2)
    plain = whittaker(values, bad, days, days, lmbda=1e3)
    above = whittaker(values, bad, days, days, lmbda=1e3, upper_envelope=0.95)
    assert (above > plain).mean() > 0.95
    spoiled = values.copy()
    spoiled[7::10] -= 2
    doubted = whittaker(spoiled, bad, days, days, lmbda=1e3, robust="bisquare")
    misled = whittaker(spoiled, bad, days, days, lmbda=1e3)
    assert np.abs(doubted - plain).mean() < 0.3 * np.abs(misled - plain).mean()


@pytest.mark.parametrize("rule", ["gcv", "vcurve"])
def test_chosen_smoothness_beats_wrong_ones(rule):
    rng = np.random.default_rng(0)
    days = np.arange(0, 600, 5.0)
    truth = np.sin(days / 50)[:, None]
    values = truth + rng.normal(0, 0.2, (120, 50))
    bad = rng.random(values.shape) < 0.3

    def error(lmbda):
        made = whittaker(values, bad, days, days, lmbda=lmbda)
        return np.sqrt(((made - truth) ** 2).mean())

    assert error(rule) < 0.6 * min(error(1.0), error(1e9))


def test_blocks_have_no_seams(monkeypatch):
    values, bad, days = series(7, pixels=11)
    whole = whittaker(values, bad, days, days, lmbda="gcv", robust="bisquare")
    monkeypatch.setattr("xeo.kernels.whittaker._BLOCK", 4)
    parts = whittaker(values, bad, days, days, lmbda="gcv", robust="bisquare")
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


@pytest.mark.parametrize("settings", [{}, {"lmbda": "gcv"}, {"robust": "huber", "lmbda": 1e3}])
def test_torch_gives_the_same_and_inputs_stay(settings):
    torch = pytest.importorskip("torch")
    values, bad, days = series(8, dtype="f4")
    bad[1:, :, 0] = True
    before = values.copy()
    made = whittaker(values, bad, days, days, **settings)
    other = whittaker(torch.asarray(values), torch.asarray(bad), days, days, **settings)
    assert made.dtype == np.float32
    assert other.dtype == torch.float32
    np.testing.assert_allclose(other.numpy(), made, rtol=1e-5)
    np.testing.assert_array_equal(values, before)


@pytest.mark.slow
def test_at_least_twenty_times_whittaker_eilers():
    package = pytest.importorskip("whittaker_eilers")
    values, bad, days = series(9, dates=100, bands=4, pixels=8192, dtype="f4")
    start = time.process_time()
    whittaker(values, bad, days, days, lmbda=1e4)
    ours = (time.process_time() - start) / (4 * 8192)
    start = time.process_time()
    for pixel in range(500):
        smoother = package.WhittakerSmoother(
            lmbda=1e4,
            order=2,
            data_length=100,
            x_input=days,
            weights=(~bad[:, 0, pixel]).astype(float),
        )
        smoother.smooth(np.nan_to_num(values[:, 0, pixel]))
    assert (time.process_time() - start) / 500 > 20 * ours
