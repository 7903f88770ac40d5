import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.likeness import order_dates


@given(st.integers(1, 12), st.integers(0, 99))
def test_every_date_is_there_once(dates, seed):
    cube = np.random.default_rng(seed).normal(size=(dates, 2, 5, 7))
    assert sorted(order_dates(cube)) == list(range(dates))


def test_dates_that_change_steadily_are_put_in_their_order():
    ramp = np.linspace(-1, 1, 20)
    shuffled = np.random.default_rng(0).permutation(9)
    cube = shuffled[:, None, None, None] * ramp[None, None, None, :]
    found = shuffled[order_dates(cube)].tolist()
    assert found in (list(range(9)), list(range(8, -1, -1)))


def test_two_kinds_of_dates_are_not_mixed():
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(2, 1, 16, 16))
    cube = kinds[np.arange(10) % 2] + rng.normal(size=(10, 1, 16, 16)) / 20
    kind = order_dates(cube) % 2
    assert np.count_nonzero(np.diff(kind)) == 1


def test_means_of_dates_do_not_matter():
    cube = np.random.default_rng(0).normal(size=(6, 2, 9, 9))
    moved = cube + np.arange(6)[:, None, None, None] * 1000
    np.testing.assert_array_equal(order_dates(cube), order_dates(moved))


def test_what_means_nothing_does_not_matter():
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(6, 2, 9, 9))
    valid = rng.random(cube.shape) < 0.8
    hurt = np.where(valid, cube, np.nan)
    spoilt = np.where(valid, cube, 1e30)
    np.testing.assert_array_equal(order_dates(hurt, valid), order_dates(spoilt, valid))


@pytest.mark.parametrize("scale", [1e-300, 1e150])
def test_units_do_not_matter(scale):
    cube = np.random.default_rng(0).normal(size=(6, 2, 9, 9))
    np.testing.assert_array_equal(order_dates(cube), order_dates(cube * scale))


def test_many_dates_take_little_time():
    cube = np.random.default_rng(0).normal(size=(700, 1, 4, 4))
    assert sorted(order_dates(cube)) == list(range(700))
