"""Hidden pixels: clear ones only, real shapes, whole dates, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.errors import OptionError
from xeo.kernels.hide import far_from, hide

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=8))
shares = st.floats(0, 1)


@given(masks, st.integers(0, 99), shares, shares, st.integers(0, 3))
def test_only_clear_pixels_and_some_are_kept(bad, seed, dates, whole, keep):
    hidden = hide(bad, seed, dates=dates, whole=whole, keep=keep)
    assert hidden.shape == bad.shape
    assert not (hidden & bad).any()
    left = (~bad & ~hidden).sum(0)
    assert (left >= np.minimum(keep, (~bad).sum(0))).all()
    np.testing.assert_array_equal(hidden, hide(bad, seed, dates=dates, whole=whole, keep=keep))


def test_shapes_are_those_of_other_dates():
    bad = np.zeros((6, 4, 4), bool)
    bad[2, :2] = True
    hidden = hide(bad, dates=1.0, whole=0.0, keep=0)
    for date in (0, 1, 3, 4, 5):
        np.testing.assert_array_equal(hidden[date], bad[2])
    # The only date with a shape has nobody to lend it one: it goes as a whole.
    np.testing.assert_array_equal(hidden[2], ~bad[2])


def test_whole_dates_where_no_shape_is_at_hand():
    hidden = hide(np.zeros((10, 3, 3), bool), dates=0.4, whole=0.0)
    assert sorted(hidden.mean((1, 2))) == [0] * 6 + [1] * 4


def test_seeds_differ():
    bad = np.zeros((20, 2, 2), bool)
    assert (hide(bad, 1) != hide(bad, 2)).any()


def test_share_of_whole_dates():
    bad = np.zeros((40, 4, 4), bool)
    bad[:10, 1:3] = True
    hidden = hide(bad, dates=0.5, whole=0.5)
    wholly = (hidden | bad).all((1, 2)) & hidden.any((1, 2))
    assert hidden.any((1, 2)).sum() >= wholly.sum() >= 10


@pytest.mark.parametrize(
    "options", [{"dates": 2}, {"whole": -1}, {"keep": -1}, {"cover": (0.5, 0.1)}]
)
def test_refused(options):
    with pytest.raises(OptionError, match="Try: "):
        hide(np.zeros((3, 2, 2), bool), **options)


def test_far_from():
    bad = np.zeros((5, 6), bool)
    bad[0, 0] = True
    far = far_from(bad, 2)
    assert not far[:3, :3].any()
    assert far.sum() == 30 - 9
    np.testing.assert_array_equal(far_from(bad, 0), ~bad)


@given(masks, st.integers(0, 10))
def test_a_margin_wider_than_the_picture(bad, margin):
    far = far_from(bad, margin)
    assert not (far & bad).any()
    if margin >= 8:
        np.testing.assert_array_equal(far.any((1, 2)), ~bad.any((1, 2)))
