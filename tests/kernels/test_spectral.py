import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.spectral import Rotation, covariance


@given(st.integers(1, 40), st.integers(0, 99))
def test_the_way_back_is_nearly_orthogonal_and_forward_inverts_it(bands, seed):
    some = np.random.default_rng(seed).normal(size=(bands, 3 * bands))
    rotation = Rotation.of(some @ some.T)
    back = rotation.back.T * rotation.unit
    np.testing.assert_allclose(back @ rotation.forward, np.eye(bands), atol=1e-9)
    # Entries of a byte are off by up to 1/254, and add up over bands.
    np.testing.assert_allclose(back.T @ back, np.eye(bands), atol=0.02 * np.sqrt(bands))


def test_two_bands_that_go_together_become_sum_and_difference():
    rotation = Rotation.of(np.array([[2.0, 1.9], [1.9, 2.0]]))
    assert (np.abs(rotation.back) == 90).all()  # 127 / sqrt(2)
    assert (rotation.back[0] == 90).all()
    assert rotation.back[1].sum() == 0


@pytest.mark.parametrize(("bands", "kind"), [(32, "i1"), (33, "i2")])
def test_many_bands_have_finer_numbers(bands, kind):
    rotation = Rotation.of(np.eye(bands))
    assert rotation.back.dtype == kind == Rotation.kind(bands)


@pytest.mark.parametrize("bands", [4, 13, 32])
def test_products_are_exact_in_the_floats_that_it_names(bands):
    rng = np.random.default_rng(0)
    some = rng.normal(size=(bands, 99))
    rotation = Rotation.of(some @ some.T)
    numbers = rng.integers(-2048, 2048, (bands, 500))
    numbers[:, :2] = [-2048, 2047]
    exact = rotation.exact
    found = rotation.back.T.astype(exact) @ numbers.astype(exact)
    np.testing.assert_array_equal(found, rotation.back.T.astype("i8") @ numbers)


def test_covariance_leaves_the_mean_of_dates_out():
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(3, 2, 9, 9)).astype("f4")
    shifted = cube + np.array([0, 100, -50], "f4")[:, None, None, None]
    np.testing.assert_allclose(covariance(cube), covariance(shifted), rtol=1e-3)
    flat = (cube - cube.mean((2, 3), keepdims=True)).transpose(1, 0, 2, 3).reshape(2, -1)
    np.testing.assert_allclose(covariance(cube), flat @ flat.T, rtol=1e-5)


def test_covariance_is_of_pixels_that_all_bands_have():
    cube = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype("f4")
    valid = np.ones(cube.shape, bool)
    valid[0, 0, 0] = False
    hurt = np.where(valid, cube, 1e9).astype("f4")
    np.testing.assert_allclose(covariance(hurt, valid), covariance(cube[:, :, 1:]), rtol=1e-6)
    assert not covariance(cube, np.zeros(cube.shape, bool)).any()
