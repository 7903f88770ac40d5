from __future__ import annotations

import numpy as np
import pytest

from xeo.errors import OptionError, UnitsError
from xeo.models.cloud_detectors.qa_pixel import QaPixel
from xeo.testing import CloudDetectorTests

#: Codes of the product guide, and what they mean.
FILL, CLEAR, WATER, CLOUD, SHADOW, SNOW = 1, 21824, 21952, 22280, 23888, 30048
DILATED, CIRRUS, MEDIUM = 21826, 54596, CLEAR - 0x0100 + 0x0200


class TestQaPixel(CloudDetectorTests):
    model = QaPixel()
    batch = (
        np.random.default_rng(0).choice([CLEAR, WATER, CLOUD, SHADOW], (2, 1, 8, 8)).astype("f4")
    )
    gain = 1.0
    array_kinds = ("numpy", "torch")


def bad(model: QaPixel, *codes: float) -> list[float]:
    return model(np.array(codes, "f4").reshape(1, 1, 1, -1)).ravel().tolist()


def test_known_answer() -> None:
    codes = (FILL, CLEAR, WATER, CLOUD, SHADOW, SNOW, DILATED, CIRRUS, np.nan)
    assert bad(QaPixel(), *codes) == [1, 0, 0, 1, 1, 0, 1, 1, 1]
    assert bad(QaPixel(("snow",)), *codes) == [0, 0, 0, 0, 0, 1, 0, 0, 1]
    assert bad(QaPixel("water"), *codes) == [0, 0, 1, 0, 0, 0, 0, 0, 1]  # type: ignore[arg-type]


def test_a_code_without_any_flag_is_fill() -> None:
    assert bad(QaPixel(), 0) == bad(QaPixel(("fill",)), 0) == [1]
    assert bad(QaPixel(("cloud",)), 0) == [0]


def test_a_confidence_makes_it_stricter() -> None:
    assert bad(QaPixel(), MEDIUM) == [0]
    assert bad(QaPixel(confidence="high"), MEDIUM) == [0]
    assert bad(QaPixel(confidence="medium"), MEDIUM, CLEAR, WATER) == [1, 0, 0]
    # Only that of flags that were asked for.
    assert bad(QaPixel(("shadow",), confidence="medium"), MEDIUM) == [0]


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(OptionError, match="expected flags: some of"):
        QaPixel(("clouds",))
    with pytest.raises(OptionError, match="expected flags"):
        QaPixel(())
    with pytest.raises(OptionError, match=r"one of \('medium', 'high'\) or None, got 'low'"):
        QaPixel(confidence="low")
    with pytest.raises(UnitsError, match="from 0 to 65535"):
        bad(QaPixel(), 70_000)
