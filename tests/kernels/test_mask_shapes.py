from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from xeo.errors import OptionError
from xeo.kernels.mask_shapes import dilate, fill_small, remove_small

MASKS = arrays.arrays(bool, st.tuples(*[st.integers(1, 12)] * 2))


def by_distance(mask: NDArray[np.bool_], ry: float, rx: float) -> NDArray[np.bool_]:
    """Measure every pixel against every set one."""
    rows, columns = np.indices(mask.shape)
    # A tiny radius reaches no other pixel, as none does.
    ry, rx = max(ry, 0.01), max(rx, 0.01)
    out = np.zeros_like(mask)
    for y, x in zip(*np.nonzero(mask), strict=True):
        out |= ((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2 <= 1 + 1e-9
    return out


@given(MASKS, *[st.integers(0, 150).map(lambda tenths: tenths / 10)] * 2)
def test_dilate_is_the_set_of_pixels_within_the_radius(
    mask: NDArray[np.bool_], ry: float, rx: float
) -> None:
    before = mask.copy()
    np.testing.assert_array_equal(dilate(mask, (ry, rx)), by_distance(mask, ry, rx))
    np.testing.assert_array_equal(mask, before)


def test_dilate_by_hand() -> None:
    mask = np.zeros((7, 7), bool)
    mask[3, 3] = True
    drawn = ["0001000", "0111110", "0111110", "1111111", "0111110", "0111110", "0001000"]
    want = np.array([[c == "1" for c in row] for row in drawn])
    np.testing.assert_array_equal(dilate(mask, 3), want)
    # 3 pixels that are a quotient of metres with a rounding.
    np.testing.assert_array_equal(dilate(mask, 0.3 / 0.1), want)
    assert dilate(mask, 0).sum() == 1
    assert dilate(mask, 1).sum() == 5
    assert dilate(mask, (1, 2)).sum() == 7


def test_dilate_takes_leading_axes_and_radii_beyond_the_image() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((2, 3, 9, 14)) < 0.02
    made = dilate(masks, 2.5)
    for index in np.ndindex(2, 3):
        np.testing.assert_array_equal(made[index], dilate(masks[index], 2.5))
    np.testing.assert_array_equal(dilate(np.asfortranarray(masks), 2.5), made)
    assert (dilate(masks, 99) == masks.any(axis=(-2, -1), keepdims=True)).all()
    assert dilate(np.zeros((0, 4, 4), bool), 2).shape == (0, 4, 4)


@pytest.mark.parametrize("radius", [-1.0, np.nan, np.inf, (1.0, -2.0)])
def test_dilate_refuses_a_radius_that_is_none(radius: float) -> None:
    with pytest.raises(OptionError, match="radius of 0 pixels or more"):
        dilate(np.zeros((3, 3), bool), radius)


def test_dilate_takes_torch() -> None:
    torch = pytest.importorskip("torch")
    mask = np.random.default_rng(1).random((2, 20, 30)) < 0.02
    made = dilate(torch.from_numpy(mask), 3.5)
    assert isinstance(made, torch.Tensor)
    np.testing.assert_array_equal(made.numpy(), dilate(mask, 3.5))


def test_remove_small_by_hand() -> None:
    drawn = ["11000", "00100", "00001", "10001", "00000"]
    mask = np.array([[c == "1" for c in row] for row in drawn])
    # Objects of 3 (by a corner), 2 and 1 pixels.
    assert remove_small(mask, 1).sum() == 6
    assert remove_small(mask, 2).sum() == 5
    assert remove_small(mask, 3).sum() == 3
    assert remove_small(mask, 4).sum() == 0
    stacked = np.stack([mask, mask])
    np.testing.assert_array_equal(remove_small(stacked, 3), np.stack([remove_small(mask, 3)] * 2))


def test_fill_small_by_hand() -> None:
    drawn = ["11111", "10111", "11011", "11111", "00000"]
    mask = np.array([[c == "1" for c in row] for row in drawn])
    # The two clear pixels touch by a corner: two holes of one pixel, and one of five.
    assert fill_small(mask, 1).sum() == mask.sum()
    assert fill_small(mask, 2)[:4].all()
    assert not fill_small(mask, 5)[4].any()
    assert fill_small(mask, 6).all()


@pytest.mark.parametrize("shape", [(24, 24), (30, 7)])
@given(st.integers(2, 6), st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_the_answer_is_local(shape: tuple[int, int], pixels: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    for clean in (remove_small, fill_small):
        whole = clean(mask, pixels)
        for y, x in ((0, 0), (shape[0] // 2, shape[1] // 2), (shape[0] - 1, 1)):
            top, left = max(y - pixels, 0), max(x - pixels, 0)
            near = mask[top : y + pixels + 1, left : x + pixels + 1]
            assert clean(near, pixels)[y - top, x - left] == whole[y, x]


@given(MASKS, st.integers(1, 30))
def test_cleaning_twice_is_cleaning_once(mask: NDArray[np.bool_], pixels: int) -> None:
    less, more = remove_small(mask, pixels), fill_small(mask, pixels)
    assert not (less & ~mask).any()
    assert not (mask & ~more).any()
    np.testing.assert_array_equal(remove_small(less, pixels), less)
    np.testing.assert_array_equal(fill_small(more, pixels), more)


def test_other_libraries_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="numpy or cupy, got one of torch"):
        remove_small(torch.zeros((4, 4), dtype=torch.bool), 3)
