import hashlib

import numpy as np
import pytest

from xeo.kernels.densities import (
    FREEDOMS,
    PHASES,
    REACH,
    SCALES,
    SYMBOLS,
    distribution,
    frequencies,
    scale,
)
from xeo.kernels.rans import PRECISION


def test_every_table_is_complete():
    every = frequencies()
    assert every.shape == (len(FREEDOMS) * SCALES * PHASES, SYMBOLS)
    assert (every.sum(axis=1) == 1 << PRECISION).all()
    assert every.min() >= 1


def test_tables_are_the_same_on_every_machine():
    # Files depend on each of these numbers: they may never change.
    text = frequencies().astype("<u2").tobytes()
    assert (
        hashlib.sha256(text).hexdigest()
        == "7bad4e0527f7fc4eab06587d2fcd03f378c879dd13de2d9a9e5598ab3b2c4124"
    )


def test_distribution_by_hand():
    # With two degrees of freedom: x / (2 sqrt(2 + x^2)).
    x = np.array([-1.0, 0.0, np.sqrt(2)])
    expected = [-0.5 / np.sqrt(3), 0, 0.5 / np.sqrt(2)]
    np.testing.assert_allclose(distribution(x, 2), expected, atol=1e-15)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_distribution_is_that_of_student(freedom):
    stats = pytest.importorskip("scipy.stats")
    x = np.linspace(-30, 30, 301)
    np.testing.assert_allclose(distribution(x, freedom), stats.t.cdf(x, freedom) - 0.5, atol=1e-14)


def test_scales_double_every_four():
    assert scale(20) == 1
    assert [scale(n + 4) / scale(n) for n in range(SCALES)] == [2] * SCALES
    assert (np.diff([scale(n) for n in range(SCALES)]) > 0).all()


def test_the_middle_moves_with_the_phase():
    every = frequencies().reshape(len(FREEDOMS), SCALES, PHASES, SYMBOLS)[1, 20, :, :-1]
    mean = every @ np.arange(-REACH, REACH + 1) / every.sum(axis=1)
    np.testing.assert_allclose(mean, np.arange(PHASES) / PHASES, atol=0.05)
