import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels import climatology as module
from xeo.kernels.climatology import climatology

MASKS = hnp.arrays(bool, st.tuples(*(st.integers(1, n) for n in (12, 2, 4))))
YEAR = 365.2425


def series(bad, dtype="f8"):
    rng = np.random.default_rng(0)
    values = rng.normal(1000, 300, bad.shape).astype(dtype)
    values[bad] = rng.choice(np.array([np.nan, np.inf, 65535], dtype), bad.sum())
    return values, 17_000 + np.cumsum(rng.uniform(1, 90, len(bad)))


def test_the_usual_value_by_hand():
    # Two clear values, 10 days before and 20 days after that day of the year, in other years.
    days = np.array([100.0, 100 + YEAR + 30, 110 + 2 * YEAR])
    values = np.array([1.0, 4.0, np.nan])[:, None]
    bad = np.isnan(values)
    one, other = np.exp(-0.5), np.exp(-2.0)
    usual = (one + 4 * other) / (one + other)
    made = climatology(values, bad, days, days, sigma=10, anomaly=False)
    np.testing.assert_allclose(made[2, 0], usual)
    # The last clear date was 4 where 4 is usual but for what is left of the first one.
    far = np.exp(-0.5 * 3.0**2)
    unlike = 4 - (4 + far) / (1 + far)
    shifted = climatology(values, bad, days, days, sigma=10, decay=100)
    np.testing.assert_allclose(shifted[2, 0], usual + unlike * np.exp(-(YEAR - 20) / 100))


def test_the_turn_of_the_year_is_no_border():
    days = np.array([364.0, 366 + YEAR])
    values = np.array([5.0, np.nan])[:, None]
    made = climatology(values, np.isnan(values), days, days, sigma=1, anomaly=False)
    assert made.ravel().tolist() == [5, 5]


@given(MASKS, st.booleans())
def test_it_lies_within_the_clear_values_and_says_where_it_knows_nothing(bad, shared):
    bad = np.repeat(bad[:, :1], 2, axis=1) if shared else bad
    values, days = series(bad)
    mask = bad[:, :1] if shared else bad
    at = np.linspace(days[0] - 40, days[-1] + 40, 9)
    made = climatology(values, mask, days, at, sigma=6, anomaly=False)
    apart = np.abs(at[:, None] - days) % YEAR
    near = (np.minimum(apart, YEAR - apart) <= 18)[:, :, None, None] & ~bad
    np.testing.assert_array_equal(np.isnan(made), ~near.any(1))
    clear = np.where(bad, np.inf, values).min(0), np.where(bad, -np.inf, values).max(0)
    known = ~np.isnan(made)
    low, high = (np.broadcast_to(edge, made.shape)[known] for edge in clear)
    assert (made[known] >= low * (1 - 1e-9)).all()
    assert (made[known] <= high * (1 + 1e-9)).all()


@given(MASKS)
def test_clear_values_stay_with_the_anomaly(bad):
    values, days = series(bad)
    made = climatology(values, bad, days, days)
    np.testing.assert_allclose(made[~bad], values[~bad], rtol=1e-12)
    zero = np.where(bad, 0, values)
    np.testing.assert_array_equal(climatology(zero, bad, days, days), made)


def test_blocks_leave_no_seams(monkeypatch):
    bad = np.random.default_rng(1).random((30, 1, 40)) < 0.5
    values, days = series(np.repeat(bad, 2, 1))
    whole = climatology(values, bad, days, days + 0.5)
    monkeypatch.setattr(module, "_PIXELS", 7)
    np.testing.assert_allclose(climatology(values, bad, days, days + 0.5), whole, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_torch_gives_the_same(dtype):
    torch = pytest.importorskip("torch")
    bad = np.random.default_rng(1).random((30, 1, 40)) < 0.5
    values, days = series(np.repeat(bad, 2, 1), dtype)
    for at in (days, days + 0.5):
        made = climatology(torch.asarray(values), torch.asarray(bad), days, at)
        assert made.dtype == getattr(torch, np.dtype(dtype).name)
        expected = climatology(values, bad, days, at)
        np.testing.assert_allclose(np.asarray(made), expected, rtol=2e-5)
