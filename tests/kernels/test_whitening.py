import numpy as np
import pytest

from xeo.errors import DimensionError, OptionError
from xeo.kernels.whitening import draw_patches, whiten_patches


def test_patches_are_squares_of_the_image_at_different_places():
    x = np.arange(2 * 1 * 6 * 5, dtype="f4").reshape(2, 1, 6, 5)
    made = draw_patches(x, 2 * 4 * 3, 3)
    assert made.shape == (24, 1, 3, 3)
    assert len({patch[0, 0, 0] for patch in made}) == 24
    for patch in made:
        corner = int(patch[0, 0, 0])
        s, i, j = np.unravel_index(corner, (2, 6, 5))
        np.testing.assert_array_equal(patch[0], x[s, 0, i : i + 3, j : j + 3])


def test_missing_pixels_are_in_no_patch():
    x = np.random.default_rng(0).random((1, 2, 12, 12), "f4")
    x[0, 1, 5, 5] = np.nan
    assert np.isfinite(draw_patches(x, 91, 3)).all()
    with pytest.raises(OptionError, match=r"expected 92 places .* 3 pixels, got 91"):
        draw_patches(x, 92, 3)


def test_a_seed_repeats_a_draw():
    x = np.random.default_rng(0).random((1, 2, 20, 20), "f4")
    np.testing.assert_array_equal(draw_patches(x, 9, 4, seed=5), draw_patches(x, 9, 4, seed=5))
    assert not np.array_equal(draw_patches(x, 9, 4, seed=5), draw_patches(x, 9, 4, seed=6))


def test_an_image_smaller_than_the_patch_has_no_place():
    with pytest.raises(OptionError, match="got 0"):
        draw_patches(np.zeros((1, 1, 2, 2)), 1, 3)


def test_half_way_whitened_patches_have_unit_covariance():
    # Twice whitened is once more than white: undo one of the two by the root of the covariance.
    patches = np.random.default_rng(0).normal(size=(4000, 2, 2, 2)) * np.arange(1, 9).reshape(
        2, 2, 2
    )
    flat = patches.reshape(4000, -1) - patches.reshape(4000, -1).mean(1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(flat.T @ flat / 4000)
    made = whiten_patches(patches, floor=1e-6).reshape(4000, -1)
    once = made @ vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T
    # The mean of each patch is gone, so that one direction has no variance at all.
    expected = np.eye(8) - 1 / 8
    np.testing.assert_allclose(once.T @ once / 4000, expected, atol=1e-3)


def test_scale_and_offset_of_the_units_do_not_matter():
    patches = np.random.default_rng(0).random((50, 3, 3, 3))
    np.testing.assert_allclose(
        whiten_patches(patches), whiten_patches(patches * 10_000 + 1000), rtol=1e-3, atol=1e-4
    )


def test_flat_patches_give_zeros():
    assert not whiten_patches(np.ones((4, 1, 2, 2))).any()


@pytest.mark.parametrize("shape", [(4, 1, 2, 3), (4, 4), (0, 1, 2, 2)])
def test_patches_must_be_a_stack_of_squares(shape):
    with pytest.raises(DimensionError, match=r"expected patches \(n, band, side, side\)"):
        whiten_patches(np.zeros(shape))
