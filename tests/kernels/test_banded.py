"""Banded systems: against dense ones of numpy, and differences worked by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xeo.kernels.banded import divided_differences, factorize, inverse_diagonal, solve


@st.composite
def systems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    order = draw(st.sampled_from([1, 2, 3]))
    dates = draw(st.integers(order, 14))
    days = np.cumsum(rng.uniform(0.5, 20, dates))
    weights = rng.uniform(0.2, 2, (dates, 1, 3)) * (rng.random((dates, 1, 3)) < 0.7)
    weights[rng.permutation(dates)[:order]] = 1.0
    penalty = draw(st.sampled_from([1e-2, 1.0, 1e3]))
    return days, order, weights, penalty, rng.normal(size=(dates, 2, 3))


def dense(days, order, weights, penalty):
    """Return what turns square roots of weights times values into the solution."""
    rows = divided_differences(days, order)
    full = np.zeros((len(rows), len(days)))
    for first, row in enumerate(rows):
        full[first, first : first + order + 1] = row
    return np.linalg.pinv(np.concatenate([np.diag(weights**0.5), penalty**0.5 * full]))


@settings(max_examples=60, deadline=None)
@given(systems())
def test_solution_and_inverse_are_those_of_the_dense_system(given_system):
    days, order, weights, penalty, y = given_system
    factors = factorize(list(weights), divided_differences(days, order), penalty)
    right = list(weights * y)
    solve(factors, right)
    diagonal = np.broadcast_to(np.stack(inverse_diagonal(factors)), (len(days), 1, 3))
    for pixel in range(3):
        root = weights[:, 0, pixel] ** 0.5
        inverse = dense(days, order, weights[:, 0, pixel], penalty)
        expected = (y[..., pixel] * root[:, None]).T @ inverse[:, : len(days)].T
        np.testing.assert_allclose(np.stack(right)[..., pixel].T, expected, 1e-6, 1e-6)
        np.testing.assert_allclose(diagonal[:, 0, pixel], (inverse**2).sum(1), 1e-6, 1e-6)


def test_divided_differences_by_hand():
    # Of 0, 1, 3: 1/((0-1)(0-3)), 1/((1-0)(1-3)), 1/((3-0)(3-1)).
    made = divided_differences(np.array([0.0, 1.0, 3.0]), 2)
    np.testing.assert_allclose(made, [[1 / 3, -1 / 2, 1 / 6]])


@given(st.integers(1, 3), st.integers(0, 1000))
def test_polynomials_of_lower_degree_cost_nothing(order, seed):
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.uniform(1, 9, 8))
    rows = divided_differences(days, order)
    windows = np.lib.stride_tricks.sliding_window_view(days**order, order + 1)
    np.testing.assert_allclose((rows * windows).sum(1), 1, rtol=1e-6)
    windows = np.lib.stride_tricks.sliding_window_view(days ** (order - 1), order + 1)
    np.testing.assert_allclose((rows * windows).sum(1), 0, atol=1e-8)


def test_enormous_penalties_lose_no_digits():
    # Its limit is the straight line of ordinary least squares.
    rng = np.random.default_rng(1)
    days = np.cumsum(rng.uniform(0.1, 60, 50))
    weights = (rng.random((50, 1)) < 0.5).astype(float)
    y = rng.normal(size=(50, 1))
    right = list(weights * y)
    solve(factorize(list(weights), divided_differences(days, 2), 1e25), right)
    clear = weights[:, 0] > 0
    line = np.polyval(np.polyfit(days[clear], y[clear, 0], 1), days)
    np.testing.assert_allclose(np.stack(right)[:, 0], line, atol=1e-8)
