from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.errors import DimensionError, OptionError
from xeo.models.cloud_detectors.threshold import Threshold
from xeo.testing import CloudDetectorTests


class TestThreshold(CloudDetectorTests):
    model = Threshold()
    array_kinds = ("numpy", "torch")


def one(green: float, red: float, swir: float = np.nan, **settings: float) -> float:
    model = Threshold(**settings)
    return float(model(np.array([green, red, swir], "f8").reshape(1, 3, 1, 1)).item())


@pytest.mark.parametrize(
    ("pixel", "cloud"),
    [
        ((0.5, 0.5), True),  # a thick cloud
        ((0.2, 0.19), True),  # a thin one
        ((0.08, 0.04), False),  # vegetation
        ((0.2, 0.3), False),  # soil
        ((0.4, 0.6), True),  # brighter than any soil
        ((0.6, 0.6, 0.1), False),  # snow
        ((0.6, 0.6, 0.5), True),  # the same, of droplets
    ],
)
def test_known_answers(pixel: tuple[float, ...], cloud: bool) -> None:
    assert (one(*pixel) >= 0.5) == cloud


def test_it_is_one_half_on_a_threshold_and_nearly_sure_a_tenth_beyond() -> None:
    assert one(0.175, 0.0) == pytest.approx(0.5)
    assert one(0.39, 0.9) == pytest.approx(0.5)
    assert one(0.49, 0.9) == pytest.approx(0.95, abs=1e-3)
    assert one(0.075, 0.0) == pytest.approx(0.05, abs=1e-3)
    assert one(0.2, 0.2, ratio=0.0) == pytest.approx(0.5)
    # 0.8 and 0.2: a normalised difference of 0.6.
    assert one(0.8, 0.8, 0.2) == pytest.approx(0.5)
    assert one(0.8, 0.8, 0.2, snow=1.0) > 0.99


@given(st.floats(0, 2), st.floats(0, 2), st.floats(0, 2), st.floats(0, 0.5))
def test_more_green_is_never_less_cloud(green: float, red: float, swir: float, more: float) -> None:
    # Without the snow test, which is there to say no to bright green.
    assert one(green + more, red) >= one(green, red)
    assert one(green, red, swir) <= one(green, red)
    assert 0 <= one(green, red, swir) <= 1


def test_missing_pixels_are_bad() -> None:
    assert one(np.nan, 0.1, 0.1) == one(0.1, np.nan, 0.1) == 1
    assert one(0.1, 0.1, np.nan) < 0.5


def test_values_below_zero_and_beyond_reason_are_survived() -> None:
    for value in (-0.3, 0.0, 1e6, np.inf):
        assert 0 <= one(value, value, value) <= 1
    assert one(0.0, 0.0, 0.0) < 0.1


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(OptionError, match="divide digital numbers by 10000"):
        Threshold(green=1750, bright=3900)
    with pytest.raises(OptionError, match="green not above bright"):
        Threshold(green=0.5)
    with pytest.raises(OptionError, match="from -1 to 1"):
        Threshold(snow=4)
    with pytest.raises(DimensionError, match=r"3 bands .* got shape \(1, 2, 4, 4\)"):
        Threshold()(np.zeros((1, 2, 4, 4)))


def test_it_agrees_with_the_scene_classification(data_dir: Path) -> None:
    zarr = pytest.importorskip("zarr")
    with zarr.storage.ZipStore(data_dir / "s2_l2a_bolzano_202206.zarr.zip", mode="r") as store:
        cube = zarr.open_group(store, mode="r")
        green, red, codes = (cube[name][:4, ::2, ::2] for name in ("B03", "B04", "SCL"))
    x = np.stack([green / 1e4, red / 1e4, np.full(green.shape, np.nan)], 1).astype("f4")
    found = Threshold()(x)[:, 0] >= 0.5
    cloud, clear = np.isin(codes, (8, 9)), np.isin(codes, (2, 4, 5, 6, 7))
    assert found[cloud].mean() > 0.9
    assert found[clear].mean() < 0.1
