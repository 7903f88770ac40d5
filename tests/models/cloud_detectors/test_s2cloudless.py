from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xeo.errors import DimensionError, OptionError
from xeo.models.cloud_detectors.s2cloudless import S2Cloudless
from xeo.testing import CloudDetectorTests

package = pytest.importorskip("s2cloudless")

BANDS = ("B01", "B02", "B04", "B05", "B08", "B8A", "B09", "B10", "B11", "B12")


class TestS2Cloudless(CloudDetectorTests):
    model = S2Cloudless()
    array_kinds = ("numpy", "torch")


class TestSmoothed(CloudDetectorTests):
    model = S2Cloudless(average_over=2, dilation_size=1)


@pytest.fixture(scope="module")
def dubai(data_dir: Path) -> np.ndarray[Any, Any]:
    zarr = pytest.importorskip("zarr")
    with zarr.storage.ZipStore(data_dir / "s2_l1c_pair_dubai.zarr.zip", mode="r") as store:
        cube = zarr.open_group(store, mode="r")
        return np.stack([cube[name][:, 240:300, 220:290] for name in BANDS], 1).astype("f4") / 1e4


def test_it_is_the_package(dubai: np.ndarray[Any, Any]) -> None:
    detector = package.S2PixelCloudDetector(average_over=None, dilation_size=None)
    want = detector.get_cloud_probability_maps(dubai.transpose(0, 2, 3, 1))
    made = S2Cloudless()(dubai)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[:, 0], want, rtol=0, atol=1e-7)
    assert want.std() > 0.01


@pytest.mark.parametrize(("average", "dilation"), [(0, 0), (2, 0), (1, 3), (3, 2)])
def test_its_mask_is_that_of_the_package(
    average: int, dilation: int, dubai: np.ndarray[Any, Any]
) -> None:
    detector = package.S2PixelCloudDetector(average_over=average, dilation_size=dilation)
    want = detector.get_cloud_masks(dubai.transpose(0, 2, 3, 1)) > 0
    made = S2Cloudless(average, dilation)(dubai)[:, 0] > S2Cloudless.threshold
    np.testing.assert_array_equal(made, want)
    assert 0 < want.mean() < 1


def test_dilation_alone_is_the_largest_probability_around(dubai: np.ndarray[Any, Any]) -> None:
    plain = S2Cloudless()(dubai[:1])[0, 0]
    made = S2Cloudless(dilation_size=1)(dubai[:1])[0, 0]
    y, x = 30, 30
    assert made[y, x] == max(plain[y, x - 1 : x + 2].max(), plain[y - 1 : y + 2, x].max())


def test_the_band_order_is_that_of_the_package() -> None:
    from xeo.sensors import SENSORS

    labels = {band.name: band.label for band in SENSORS["sentinel2_l1c"].bands}
    assert tuple(labels[name] for name in S2Cloudless().spec.inputs[0].bands or ()) == BANDS


def test_no_sample_gives_none() -> None:
    assert S2Cloudless()(np.zeros((0, 10, 4, 4), "f4")).shape == (0, 1, 4, 4)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="expected average_over of 0, 1, 2"):
        S2Cloudless(average_over=-1)
    with pytest.raises(OptionError, match=r"dilation_size .* got 1.5"):
        S2Cloudless(dilation_size=1.5)  # type: ignore[arg-type]
    with pytest.raises(DimensionError, match=r"the 10 bands .*got shape \(1, 13, 4, 4\)"):
        S2Cloudless()(np.zeros((1, 13, 4, 4)))
