"""Robust weights: against numpy's median, and answers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.robust import median_size, trust


@given(st.integers(0, 1000), st.integers(1, 9))
def test_median_is_that_of_numpy(seed, dates):
    rng = np.random.default_rng(seed)
    x, good = rng.normal(size=(dates, 2, 5)), rng.random((dates, 1, 5)) < 0.6
    good[0] = True
    expected = np.nanmedian(np.where(good, abs(x), np.nan), 0)
    np.testing.assert_allclose(median_size(x, good), expected, rtol=1e-6)


def test_nothing_good_has_no_median():
    assert np.isinf(median_size(np.ones((3, 1)), np.zeros((3, 1), bool))).all()


def test_weights_by_hand():
    # Sizes 0, 1, 2, 1, 100: the median is 1, a standard deviation 1.4826.
    x = np.array([0.0, 1.0, -2.0, -1.0, 100.0])[:, None]
    good = np.ones_like(x, bool)
    border = 1.345 * 1.4826
    np.testing.assert_allclose(
        trust(x, good, 0.0, "huber")[:, 0], [1, 1, border / 2, 1, border / 100], rtol=1e-6
    )
    near = (1 - (np.array([0, 1, 2, 1]) / (4.685 * 1.4826)) ** 2) ** 2
    np.testing.assert_allclose(trust(x, good, 0.0)[:, 0], [*near, 0], rtol=1e-6)


@pytest.mark.parametrize("doubt", ["huber", "bisquare"])
def test_what_is_below_the_floor_is_no_outlier(doubt):
    x = np.array([0.0, 0.0, 0.0, 1e-3])[:, None]
    good = np.ones_like(x, bool)
    assert trust(x, good, 1.0, doubt).min() > 0.99
    assert trust(x, good, 1e-6, doubt).min() < 0.01
    np.testing.assert_array_equal(trust(0 * x, good, 0.0, doubt), 1)


def test_torch_gives_the_same():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, good = rng.normal(size=(8, 2, 5)), rng.random((8, 1, 5)) < 0.6
    for doubt in ("huber", "bisquare"):
        made = trust(torch.asarray(x), torch.asarray(good), 0.0, doubt)
        np.testing.assert_allclose(made.numpy(), trust(x, good, 0.0, doubt), rtol=1e-6)
