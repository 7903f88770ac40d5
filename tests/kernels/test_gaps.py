import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels.gaps import fill

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=4, max_dims=4, max_side=6))


@given(MASKS, st.sampled_from(["u2", "f4"]))
def test_what_is_known_stays_and_the_rest_is_between(valid, dtype):
    cube = np.random.default_rng(0).integers(10, 20, valid.shape).astype(dtype)
    hurt = np.where(valid, cube, 0).astype(dtype)
    made = fill(hurt, valid)
    assert made.dtype == dtype
    np.testing.assert_array_equal(made[valid], cube[valid])
    for band in range(valid.shape[1]):
        if valid[:, band].any():
            assert (made[:, band] >= 10).all()
            assert (made[:, band] <= 20).all()
    np.testing.assert_array_equal(hurt, np.where(valid, cube, 0))


def test_a_gap_repeats_the_date_before_it_else_the_one_after():
    cube = np.arange(1, 5, dtype="u2").repeat(4).reshape(4, 1, 2, 2)
    valid = np.ones(cube.shape, bool)
    valid[2, 0, 0, 0] = valid[:2, 0, 1, 1] = False
    made = fill(cube, valid)
    assert made[2, 0, 0, 0] == 2
    assert (made[:2, 0, 1, 1] == 3).all()


def test_a_pixel_that_no_date_has_is_like_its_neighbours():
    cube = np.zeros((1, 1, 8, 8))
    cube[..., 4:] = 10
    valid = np.ones(cube.shape, bool)
    valid[0, 0, 3:5, 1] = valid[0, 0, 3:5, 6] = False
    made = fill(cube, valid)
    assert (made[0, 0, 3:5, 1] == 0).all()
    assert (made[0, 0, 3:5, 6] == 10).all()


def test_nan_is_no_obstacle():
    cube = np.full((2, 1, 3, 3), np.nan)
    cube[1, 0, 1, 1] = 5
    assert (fill(cube, np.isfinite(cube)) == 5).all()
