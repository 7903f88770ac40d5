import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.pyramid import KINDS, date_tree, likeness_order, steps

SIDES = st.integers(1, 40)


@given(SIDES, SIDES)
def test_every_pixel_is_refined_once(rows, columns):
    at = np.concatenate([step.at for step in steps(rows, columns)])
    np.testing.assert_array_equal(np.sort(at), np.arange(rows * columns))


@given(SIDES, SIDES)
def test_neighbours_are_known_by_then(rows, columns):
    known = np.zeros(rows * columns, bool)
    for step in steps(rows, columns):
        assert 0 <= step.kind < KINDS
        if step.kind:
            assert known[step.near].all()
            assert known[step.far].all()
        else:
            assert not known.any()
        known[step.at] = True


def test_most_pixels_lie_between_their_neighbours():
    last = steps(64, 64)[-1]
    y, x = np.divmod(last.near, 64)
    inside = (last.at // 64 < 63) & (last.at % 64 > 0) & (last.at % 64 < 63)
    np.testing.assert_array_equal((y.sum(axis=0) / 4)[inside], (last.at // 64)[inside])
    np.testing.assert_array_equal((x.sum(axis=0) / 4)[inside], (last.at % 64)[inside])


@pytest.mark.parametrize("count", [1, 2, 3, 12, 118])
def test_dates_need_few_others(count):
    sources, rounds = date_tree(count)
    assert sources[0] == ()
    for date, own in enumerate(sources):
        assert all(rounds[s] < rounds[date] for s in own)
        assert len(own) == min(2, rounds[date])
    assert max(rounds) <= 1 + np.ceil(np.log2(max(count - 1, 1)))


def test_dates_by_hand():
    assert date_tree(5) == ([(), (0, 2), (0, 4), (2, 4), (0,)], [0, 3, 2, 3, 1])


def test_dates_are_ordered_by_likeness():
    level = np.array([3.0, 9.0, 4.0, 8.0, 5.0])
    sample = level[:, None] + np.zeros((5, 4))
    assert likeness_order(sample) == [0, 2, 4, 3, 1]
