from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.errors import OptionError
from xeo.kernels.shadows import cast_shadow, shadow_offsets, shadow_reach


def one_cloud(size: int = 21) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[size // 2, size // 2] = True
    return mask


@pytest.mark.parametrize(
    ("azimuth", "down", "right"),
    [(180, -1, 0), (0, 1, 0), (90, 0, -1), (270, 0, 1), (135, -1, -1), (225, -1, 1)],
)
def test_the_shadow_lies_away_from_the_sun(azimuth: float, down: int, right: int) -> None:
    # With the sun at 45 degrees, a cloud at 40 to 60 m throws its shadow 4 to 6 pixels away.
    made = cast_shadow(one_cloud(), 45, azimuth, (40, 60), (10, 10))
    share = np.sqrt(0.5) if down and right else 1
    want = {
        (10 + down * int(n * share + 0.5), 10 + right * int(n * share + 0.5)) for n in (4, 5, 6)
    }
    assert {(int(y), int(x)) for y, x in zip(*np.nonzero(made), strict=True)} == want


def test_pixels_need_not_be_square() -> None:
    made = cast_shadow(one_cloud(), 45, 135, (80, 80), (10, 20))
    # 80 m at 45 degrees are 57 m north and west: 6 rows of 10 m, 3 columns of 20 m.
    assert np.argwhere(made).tolist() == [[4, 7]]


def test_each_image_has_its_own_sun() -> None:
    masks = np.random.default_rng(0).random((3, 16, 18)) < 0.05
    zenith, azimuth = np.array([30.0, 50.0, 70.0]), np.array([150.0, 170.0, 200.0])
    made = cast_shadow(masks, zenith, azimuth, (20, 90), (10, 10))
    for number in range(3):
        alone = cast_shadow(masks[number], zenith[number], azimuth[number], (20, 90), (10, 10))
        np.testing.assert_array_equal(made[number], alone)
    same = cast_shadow(masks, 30, azimuth, (20, 90), (10, 10))
    np.testing.assert_array_equal(same[0], made[0])


@given(st.floats(0, 85), st.floats(0, 360), st.floats(0, 500), st.floats(0, 2000))
def test_shadows_touch_and_stay_within_reach(
    zenith: float, azimuth: float, low: float, more: float
) -> None:
    offsets = shadow_offsets(zenith, azimuth, (low, low + more), (10, 20))
    assert len(set(offsets)) == len(offsets)
    steps = np.abs(np.diff(offsets, axis=0)) if len(offsets) > 1 else np.zeros((1, 2))
    assert steps.max() <= 1
    assert np.abs(offsets).max() <= shadow_reach(zenith, low + more, (10, 20))


@given(st.floats(0, 80), st.floats(0, 360), st.integers(0, 1000))
def test_a_window_with_the_reach_is_enough(zenith: float, azimuth: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((40, 40)) < 0.03
    reach = shadow_reach(zenith, 20, (10, 10))
    whole = cast_shadow(mask, zenith, azimuth, (5, 20), (10, 10))
    top = max(20 - reach, 0)
    window = mask[top : 21 + reach, top : 21 + reach]
    made = cast_shadow(window, zenith, azimuth, (5, 20), (10, 10))
    assert made[20 - top, 20 - top] == whole[20, 20]


def test_a_sun_overhead_shades_what_lies_below() -> None:
    mask = one_cloud()
    np.testing.assert_array_equal(cast_shadow(mask, 0, 180, (200, 9000), (10, 10)), mask)
    assert mask.sum() == 1
    assert shadow_reach(0, 9000, (10, 10)) == 0


def test_shadows_may_leave_the_image() -> None:
    assert not cast_shadow(one_cloud(), 60, 180, (2000, 9000), (10, 10)).any()


@pytest.mark.parametrize("zenith", [90.0, 120.0, -1.0, np.nan])
def test_a_sun_below_the_horizon_is_refused(zenith: float) -> None:
    with pytest.raises(OptionError, match="sun above the horizon"):
        cast_shadow(one_cloud(), zenith, 180, (200, 9000), (10, 10))
    with pytest.raises(OptionError, match="sun above the horizon"):
        shadow_reach([30.0, zenith], 9000, (10, 10))


@pytest.mark.parametrize("heights", [(200, 100), (-1, 100), (0, np.inf)])
def test_heights_that_cannot_be_are_refused(heights: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="the lowest first"):
        cast_shadow(one_cloud(), 45, 180, heights, (10, 10))


def test_torch_gives_the_same() -> None:
    torch = pytest.importorskip("torch")
    masks = np.random.default_rng(2).random((2, 12, 12)) < 0.1
    made = cast_shadow(torch.from_numpy(masks), 40, [120, 200], (10, 50), (10, 10))
    assert isinstance(made, torch.Tensor)
    want = cast_shadow(masks, 40, [120, 200], (10, 50), (10, 10))
    np.testing.assert_array_equal(made.numpy(), want)
