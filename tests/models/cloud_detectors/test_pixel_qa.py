from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xeo.errors import OptionError
from xeo.models.cloud_detectors.pixel_qa import PixelQa
from xeo.testing import CloudDetectorTests

#: Codes of the product guide: clear with low confidences, and so on.
FILL, CLEAR, WATER, SHADOW, SNOW, CLOUD, CIRRUS, MEDIUM = 1, 322, 324, 328, 336, 480, 834, 386
OCCLUDED = 1346


class TestPixelQa(CloudDetectorTests):
    model = PixelQa()
    batch = (
        np.random.default_rng(0).choice([CLEAR, WATER, CLOUD, SHADOW], (2, 1, 8, 8)).astype("f4")
    )
    gain = 1.0
    array_kinds = ("numpy", "torch")


def bad(model: PixelQa, *codes: float) -> list[float]:
    return model(np.array(codes, "f4").reshape(1, 1, 1, -1)).ravel().tolist()


def test_known_answer() -> None:
    codes = (FILL, CLEAR, WATER, SHADOW, SNOW, CLOUD, CIRRUS, MEDIUM, OCCLUDED, np.nan)
    assert bad(PixelQa(), *codes) == [1, 0, 0, 1, 0, 1, 1, 0, 0, 1]
    assert bad(PixelQa(("terrain_occlusion", "snow")), *codes) == [0, 0, 0, 0, 1, 0, 0, 0, 1, 1]
    assert bad(PixelQa(("cloud",)), *codes) == [0, 0, 0, 0, 0, 1, 0, 0, 0, 1]


def test_a_code_without_any_flag_is_fill() -> None:
    assert bad(PixelQa(), 0) == bad(PixelQa(("fill",)), 0) == [1]
    assert bad(PixelQa(("cloud",)), 0) == [0]


def test_a_confidence_makes_it_stricter() -> None:
    assert bad(PixelQa(confidence="medium"), MEDIUM, CLEAR) == [1, 0]
    assert bad(PixelQa(confidence="high"), MEDIUM, CIRRUS) == [0, 1]
    assert bad(PixelQa(("shadow",), confidence="medium"), MEDIUM) == [0]


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(OptionError, match="expected flags: some of"):
        PixelQa(("dilated_cloud",))
    with pytest.raises(OptionError, match="expected confidence"):
        PixelQa(confidence="low")


def test_a_real_layer(data_dir: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(data_dir / "flanders_a_l8.nc") as file:
        codes = file["pixel_qa"][:].astype("f4")
    made = PixelQa()(codes[:, None])[:, 0]
    clear = (codes.astype(int) & 0b10) > 0
    # What CFMask calls clear is bad only where cirrus is sure.
    assert made[clear].mean() < 0.3
    assert made[(codes.astype(int) & 0b101000) > 0].all()
