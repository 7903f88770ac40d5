"""Patches and ragged sequences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.tokens import equal_batches, fill_patches


def test_gaps_get_the_mean_of_their_patch():
    nan = np.nan
    x = np.array([[1, nan, 5, 5], [3, 2, 5, 5], [nan, nan, 0, nan], [nan, nan, 4, 2]], "f4")
    filled, share = fill_patches(x, 2)
    expected = np.array([[1, 2, 5, 5], [3, 2, 5, 5], [0, 0, 0, 2], [0, 0, 4, 2]], "f4")
    np.testing.assert_array_equal(filled, expected)
    np.testing.assert_array_equal(share, [[0.75, 1], [0, 0.75]])
    assert filled.dtype == np.float32


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_a_patch_knows_nothing_of_the_others(patch, side, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, side * patch, side * patch)).astype("f4")
    x[rng.random(x.shape) < 0.4] = np.nan
    filled, share = fill_patches(x, patch)
    corner, part = fill_patches(x[:, :patch, :patch], patch)
    np.testing.assert_allclose(filled[:, :patch, :patch], corner, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(share[:, :1, :1], part)
    np.testing.assert_array_equal(filled[~np.isnan(x)], x[~np.isnan(x)])


def test_sizes_must_be_multiples():
    with pytest.raises(ValueError, match=r"cannot cut \(4, 6\) pixels into patches of 4"):
        fill_patches(np.zeros((4, 6), "f4"), 4)


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 30))
def test_batches_are_equal_small_and_complete(lengths, budget):
    lengths = np.array(lengths, int)
    batches = list(equal_batches(lengths, budget))
    for at in batches:
        assert len(set(lengths[at])) == 1
        assert len(at) == 1 or lengths[at].sum() <= budget
    together = np.sort(np.concatenate([*batches, np.array([], int)]))
    np.testing.assert_array_equal(together, np.flatnonzero(lengths))
