"""Scores of best pixels: by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels.best_pixel import cloud_score, day_score


def test_the_middle_of_the_period_scores_highest():
    made = day_score([0, 15, 30], 15.0, 30.0)
    np.testing.assert_allclose(made, [np.exp(-2), 1, np.exp(-2)], rtol=1e-6)


def test_the_farther_from_clouds_the_better():
    bad = np.zeros((1, 1, 12), bool)
    bad[0, 0, 0] = True
    made = cloud_score(bad, 10)[0, 0]
    assert made[5] == 0.5
    assert (np.diff(made) >= 0).all()
    assert (made[10:] == 1).all()
    assert made[0] < 0.01
    np.testing.assert_array_equal(cloud_score(~np.ones((2, 3, 4), bool), 10), 1)


@given(hnp.arrays(bool, st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9))))
def test_what_is_beyond_the_distance_does_not_matter(bad):
    made = cloud_score(bad, 3)
    wide = np.pad(bad, ((0, 0), (3, 3), (3, 3)))
    np.testing.assert_array_equal(cloud_score(wide, 3)[:, 3:-3, 3:-3], made)
    assert made.shape == bad.shape
    assert ((made > 0) & (made <= 1)).all()
