from __future__ import annotations

import numpy as np
import pytest

from xeo.errors import OptionError, UnitsError
from xeo.models.cloud_detectors.fmask import Fmask
from xeo.testing import CloudDetectorTests


class TestFmask(CloudDetectorTests):
    model = Fmask()
    batch = np.random.default_rng(0).choice([0, 2, 64, 96, 192], (2, 1, 8, 8)).astype("f4")
    gain = 1.0
    array_kinds = ("numpy", "torch")


def bad(model: Fmask, *codes: float) -> list[float]:
    return model(np.array(codes, "f4").reshape(1, 1, 1, -1)).ravel().tolist()


# Clear, cloud, adjacent, shadow, snow, water, and four levels of aerosol; fill; missing.
CODES = (0, 2, 4, 8, 16, 32, 64, 128, 192, 255, np.nan)


def test_known_answer() -> None:
    assert bad(Fmask(), *CODES) == [0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1]
    assert bad(Fmask(("snow", "water")), *CODES) == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1]
    assert bad(Fmask(("fill",)), *CODES) == [0] * 9 + [1, 1]


def test_aerosols() -> None:
    assert bad(Fmask(aerosol="moderate"), *CODES) == [0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1]
    assert bad(Fmask(("cloud",), aerosol="high"), *CODES) == [0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1]


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(OptionError, match="expected flags: some of"):
        Fmask(("cirrus",))
    with pytest.raises(OptionError, match="expected aerosol"):
        Fmask(aerosol="low")
    with pytest.raises(UnitsError, match="from 0 to 255"):
        bad(Fmask(), 256)
