from __future__ import annotations

import numpy as np
import pytest

from xeo.errors import DimensionError, OptionError
from xeo.models.quality_codes import (
    as_probability,
    checked_level,
    checked_names,
    layer_codes,
    quality_spec,
)


def test_the_spec_is_of_a_lookup() -> None:
    spec = quality_spec("mine", citation="Me (2026)")
    assert (spec.name, spec.channels, spec.halo, spec.missing) == ("mine", 1, 0, "nan")
    assert spec.inputs[0].bands is None
    assert spec.citation == "Me (2026)"
    assert quality_spec("mine", license="MIT").license == "MIT"


def test_codes_of_one_layer() -> None:
    codes, missing = layer_codes(np.array([3.0, np.nan]).reshape(1, 1, 1, 2), 11, "SCL")
    assert codes.ravel().tolist() == [3, 0]
    assert missing.ravel().tolist() == [False, True]
    for shape in ((1, 2, 4, 4), (1, 4, 4), (4, 4)):
        with pytest.raises(DimensionError, match="one layer 'SCL'"):
            layer_codes(np.zeros(shape), 11, "SCL")


def test_probabilities_are_ones_and_zeros() -> None:
    made = as_probability(np.array([True, False]))
    assert made.dtype == np.float32
    assert made.tolist() == [1, 0]


def test_names() -> None:
    known = {"cloud": 1, "snow": 2}
    assert checked_names(["snow", "cloud"], known, "flags") == ("snow", "cloud")
    assert checked_names("snow", known, "flags") == ("snow",)
    for wrong in ((), ("rain",), "clouds"):
        with pytest.raises(OptionError, match=r"expected flags: some of \('cloud', 'snow'\)"):
            checked_names(wrong, known, "flags")


def test_levels() -> None:
    assert checked_level(None, {"high": 3}, "confidence") is None
    assert checked_level("high", {"high": 3}, "confidence") == "high"
    with pytest.raises(OptionError, match=r"one of \('high',\) or None, got 3"):
        checked_level(3, {"high": 3}, "confidence")  # type: ignore[arg-type]
