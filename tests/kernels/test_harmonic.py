"""Harmonic series: against least squares of numpy, and answers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeo.kernels.harmonic import harmonic

YEAR = 365.25


def season(days):
    return 0.5 + 1e-4 * (days - 17_000) + 0.3 * np.cos(2 * np.pi * days / YEAR)


def series(seed, dates=90, bands=2, pixels=5, missing=0.4, noise=0.05):
    rng = np.random.default_rng(seed)
    days = 17_000 + np.cumsum(rng.integers(3, 12, dates)).astype(float)
    y = season(days)[:, None, None] + rng.normal(0, noise, (dates, bands, pixels))
    bad = rng.random((dates, 1, pixels)) < missing
    return np.where(bad, np.nan, y), bad, days


PLAIN = {"ridge": 0.0, "outliers": None, "residuals": None}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 3), st.booleans())
def test_fit_is_ordinary_least_squares(seed, frequencies, trend):
    values, bad, days = series(seed)
    at = np.linspace(days[0], days[-1], 50)
    made = harmonic(values, bad, days, at, frequencies=frequencies, trend=trend, **PLAIN)

    def design(t):
        phases = [2 * np.pi * k * t / YEAR for k in range(1, frequencies + 1)]
        waves = [f(phase) for phase in phases for f in (np.cos, np.sin)]
        return np.stack([np.ones_like(t), *([(t - days[0]) / YEAR] if trend else []), *waves], 1)

    for pixel in range(3):
        good = ~bad[:, 0, pixel]
        terms = np.linalg.lstsq(design(days[good]), values[good, :, pixel], rcond=None)[0]
        np.testing.assert_allclose(made[..., pixel], design(at) @ terms, rtol=1e-7, atol=1e-9)


def test_a_pure_season_is_found_in_a_long_gap():
    days = np.arange(17_000, 18_100, 6.0)
    values = season(days)[:, None]
    bad = ((days > 17_400) & (days < 17_560))[:, None]
    made = harmonic(np.where(bad, np.nan, values), bad, days, days, ridge=0.0)
    np.testing.assert_allclose(made, values, atol=1e-6)


def test_residuals_lead_through_the_values_and_fade():
    values, bad, days = series(1)
    clear = np.broadcast_to(~bad, values.shape)
    made = harmonic(values, bad, days, days, outliers=None, residuals="linear")
    np.testing.assert_allclose(made[clear], values[clear], rtol=1e-9)
    at = days[-1] + np.array([0.0, 30.0, 3000.0])
    fit = harmonic(values, bad, days, at, **{**PLAIN, "ridge": 0.05})
    full = harmonic(values, bad, days, at, outliers=None, ridge=0.05, decay=10.0)
    ratio = (full - fit)[1] / (full - fit)[0]
    last = np.array([days[~bad[:, 0, pixel]][-1] for pixel in range(5)])
    expected = np.exp(-(at[1] - last) / 10) / np.exp(-(at[0] - last) / 10)
    np.testing.assert_allclose(ratio, np.broadcast_to(expected, ratio.shape), rtol=1e-6)
    np.testing.assert_allclose(full[2], fit[2])


@pytest.mark.parametrize(("outliers", "sign"), [("low", -1), ("high", 1), ("both", 1)])
def test_outliers_lose_their_weight(outliers, sign):
    values, bad, days = series(2, missing=0.2)
    spoiled = values.copy()
    spoiled[5::9] += sign
    truth = season(days)[:, None, None]
    for residuals in (None, "smooth", "linear"):
        how = {"residuals": residuals, "iterations": 3}
        made = harmonic(spoiled, bad, days, days, outliers=outliers, **how)
        blind = harmonic(spoiled, bad, days, days, outliers=None, **how)
        assert np.abs(made - truth).max() < 0.3
        assert np.abs(made - truth).mean() < 0.5 * np.abs(blind - truth).mean()
    if outliers != "both":
        other = {"low": "high", "high": "low"}[outliers]
        wrong = harmonic(spoiled, bad, days, days, outliers=other, residuals=None)
        assert np.abs(wrong - truth).mean() > 2 * np.abs(made - truth).mean()


def test_few_dates_and_short_series_stay_near_the_values():
    rng = np.random.default_rng(3)
    for count, span in ((1, 1), (2, 300), (5, 900), (11, 100), (30, 150)):
        days = 17_000 + np.sort(rng.uniform(0, span, count))
        values = rng.uniform(0.2, 0.4, (count, 1, 20))
        at = np.linspace(days[0] - 20, days[-1] + 20, 200)
        made = harmonic(values, np.zeros((count, 1, 20), bool), days, at)
        assert made.min() > 0
        assert made.max() < 0.6


def test_six_dates_get_a_constant():
    days = np.arange(6) * 100.0
    values = np.arange(6.0)[:, None]
    made = harmonic(values, np.zeros((6, 1), bool), days, days, trend=False, **PLAIN)
    np.testing.assert_allclose(made, 2.5, atol=1e-5)


def test_nothing_clear_is_nan():
    values, bad, days = series(4)
    bad[..., 2] = True
    made = harmonic(values, bad, days, days)
    assert np.isnan(made[..., 2]).all()
    assert np.isfinite(made[..., [0, 1, 3, 4]]).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_scale_passes_through_and_inputs_stay(seed):
    values, bad, days = series(seed)
    before = values.copy()
    made = harmonic(values, bad, days, days)
    np.testing.assert_allclose(harmonic(values * 1e4, bad, days, days) / 1e4, made, rtol=1e-6)
    np.testing.assert_array_equal(values, before)


def test_bands_with_their_own_gaps_and_blocks(monkeypatch):
    values, bad, days = series(5)
    whole = harmonic(values, bad, days, days)
    own = harmonic(values, np.repeat(bad, 2, 1), days, days)
    np.testing.assert_allclose(own, whole, rtol=1e-9)
    monkeypatch.setattr("xeo.kernels.harmonic._BLOCK", 2)
    np.testing.assert_allclose(harmonic(values, bad, days, days), whole, rtol=1e-9)


def test_torch_gives_the_same():
    torch = pytest.importorskip("torch")
    values, bad, days = series(6)
    at = days + 0.5
    made = harmonic(values.astype("f4"), bad, days, at)
    other = harmonic(torch.asarray(values.astype("f4")), torch.asarray(bad), days, at)
    assert made.dtype == np.float32
    assert other.dtype == torch.float32
    np.testing.assert_allclose(other.numpy(), made, rtol=1e-4)
