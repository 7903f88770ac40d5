from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.errors import UnitsError
from xeo.kernels.bits import has_any_bit, is_any_of, two_bits, whole_codes


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=20), st.data())
def test_codes_come_back_from_floats(codes: list[int], data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.booleans(), min_size=len(codes), max_size=len(codes)))
    x = np.where(gaps, np.nan, np.array(codes, "f4"))
    back, missing = whole_codes(x, 65_535)
    assert back.dtype == np.int32
    np.testing.assert_array_equal(missing, gaps)
    np.testing.assert_array_equal(back, np.where(gaps, 0, codes))


@pytest.mark.parametrize("strange", [0.5, -1.0, 256.0, np.inf, -np.inf])
def test_what_is_no_code_is_refused(strange: float) -> None:
    with pytest.raises(UnitsError, match=r"whole numbers from 0 to 255, got .* nearest"):
        whole_codes(np.array([1.0, strange, np.nan]), 255)


def test_integers_are_taken_as_they_are() -> None:
    codes, missing = whole_codes(np.array([0, 255], "u1"), 255)
    assert codes.tolist() == [0, 255]
    assert not missing.any()


@given(st.integers(0, 65_535), st.sets(st.integers(0, 15)))
def test_bits_are_those_of_the_binary_number(code: int, bits: set[int]) -> None:
    text = f"{code:016b}"[::-1]
    want = any(text[bit] == "1" for bit in bits)
    assert bool(has_any_bit(np.array([code]), bits)[0]) == want


def test_by_hand() -> None:
    codes = np.array([0, 322, 834])  # 0b0101000010 and 0b1101000010
    assert two_bits(codes, 8).tolist() == [0, 1, 3]
    assert two_bits(codes, 6).tolist() == [0, 1, 1]
    assert is_any_of(codes, (322, 7)).tolist() == [False, True, False]
    assert not is_any_of(codes, ()).any()


def test_torch_gives_the_same() -> None:
    torch = pytest.importorskip("torch")
    x = np.array([1.0, np.nan, 834.0])
    codes, missing = whole_codes(torch.from_numpy(x), 65_535)
    want, gaps = whole_codes(x, 65_535)
    np.testing.assert_array_equal(codes.numpy(), want)
    np.testing.assert_array_equal(missing.numpy(), gaps)
    np.testing.assert_array_equal(has_any_bit(codes, [9]).numpy(), has_any_bit(want, [9]))
    np.testing.assert_array_equal(two_bits(codes, 8).numpy(), two_bits(want, 8))
    np.testing.assert_array_equal(is_any_of(codes, [834]).numpy(), is_any_of(want, [834]))
