"""The geometric median: against geometry, and against scipy's minimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeo.kernels.geomedian import geomedian_of


def spectra(*points):
    """Return points as dates of one pixel."""
    return np.array(points, "f8")[:, :, None]


def clear(x):
    return np.zeros((len(x), 1, x.shape[2]), bool)


def total(x, y):
    return np.linalg.norm(x[:, :, 0] - y, axis=1).sum()


def test_of_a_triangle_it_is_the_point_that_sees_each_side_at_120_degrees():
    x = spectra((0, 0), (1, 0), (0.5, np.sqrt(3) / 2))
    made = geomedian_of(x, clear(x), tolerance=1e-9)[:, 0]
    np.testing.assert_allclose(made, [0.5, np.sqrt(3) / 6], atol=1e-7)


def test_a_corner_of_more_than_120_degrees_is_its_own_answer():
    x = spectra((0, 0), (10, 1), (-10, 1))
    np.testing.assert_array_equal(geomedian_of(x, clear(x))[:, 0], [0, 0])


def test_of_two_it_is_the_middle_of_one_itself_of_none_missing():
    x = spectra((0, 0), (1, 3), (9, 9))
    bad = clear(x)
    bad[2] = True
    np.testing.assert_allclose(geomedian_of(x, bad)[:, 0], [0.5, 1.5])
    bad[1] = True
    np.testing.assert_array_equal(geomedian_of(x, bad)[:, 0], [0, 0])
    bad[0] = True
    assert np.isnan(geomedian_of(x, bad)).all()


def test_from_a_mean_that_is_one_of_the_spectra_it_moves_on():
    x = spectra((0, 0), (1, 0), (2, 0.1), (3, -0.1), (-6, 0))
    made = geomedian_of(x, clear(x), tolerance=1e-7, iterations=5000)[:, 0]
    assert total(x, made) < total(x, np.zeros(2))


def test_an_outlier_hardly_matters():
    x = spectra(*[(0.1, 0.4)] * 5, (0.9, 0.8))
    np.testing.assert_array_equal(geomedian_of(x, clear(x))[:, 0], [0.1, 0.4])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 20), st.integers(3, 9), st.integers(1, 4))
def test_it_is_where_scipy_finds_the_least_sum_of_distances(seed, dates, bands):
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    x = rng.random((dates, bands, 1))
    made = geomedian_of(x, clear(x), tolerance=1e-8, iterations=5000)[:, 0]
    starts = [x.mean(axis=(0, 2)), *x[:, :, 0]]
    best = min(
        minimize(lambda y: total(x, y), s, method="Nelder-Mead", tol=1e-10).fun for s in starts
    )
    assert total(x, made) <= best + 1e-6


def test_pixels_are_apart_and_bad_values_do_not_matter():
    rng = np.random.default_rng(3)
    x = rng.random((8, 3, 50)).astype("f4")
    bad = rng.random((8, 1, 50)) < 0.4
    wild = np.where(bad, np.float32(np.nan), x)
    before = wild.copy()
    made = geomedian_of(wild, bad)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(wild, before)
    for pixel in range(50):
        one = geomedian_of(x[..., [pixel]], bad[..., [pixel]])
        np.testing.assert_allclose(one[:, 0], made[:, pixel], rtol=1e-5)


def test_other_libraries_give_the_same():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x = rng.random((8, 3, 20)).astype("f4")
    bad = rng.random((8, 1, 20)) < 0.4
    other = geomedian_of(torch.asarray(x), torch.asarray(bad))
    np.testing.assert_allclose(other.numpy(), geomedian_of(x, bad), rtol=1e-4)
