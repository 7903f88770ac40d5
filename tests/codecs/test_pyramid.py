import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeo.codecs.pyramid import (
    can_code,
    decode_pyramid,
    encode_pyramid,
    parts_of_pyramid,
    wanted_of_pyramid,
)
from xeo.errors import CodecError


def cube(shape=(5, 3, 40, 36), noise=3.0, seed=0):
    t, b, y, x = np.indices(shape)
    draw = np.random.default_rng(seed)
    smooth = 900 + 300 * np.sin(y / 9 + b / 3) + 200 * np.cos(x / 7 + t / 2)
    made = np.rint(smooth + draw.normal(size=shape) * noise)
    return (made - made.min()).astype("u8")


def coded(values, valid=None):
    header, parts = encode_pyramid(values, valid, int(values.max()))
    return json.loads(json.dumps(header)), [memoryview(part) for part in parts]


def back(values, valid=None):
    header, parts = coded(values, valid)
    assert len(parts) == parts_of_pyramid(header, values.shape)
    dates = np.arange(len(values))
    return decode_pyramid(header, parts, values.shape, int(values.max()), dates)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(1, n) for n in (6, 3, 20, 40)]),
    st.integers(0, 31),
    st.integers(0, 99),
)
def test_integers_come_back(shape, bits, seed):
    draw = np.random.default_rng(seed)
    values = draw.integers(0, 2**bits, shape, "u8", endpoint=True)
    np.testing.assert_array_equal(back(values), values)


@pytest.mark.parametrize("shape", [(5, 3, 40, 36), (1, 1, 150, 140), (300, 1, 3, 2), (2, 9, 9, 9)])
def test_smooth_cubes_take_few_bits(shape):
    values = cube(shape)
    np.testing.assert_array_equal(back(values), values)
    size = sum(map(len, coded(values)[1]))
    # Of noise of three the entropy is some 3.6 bits.
    assert size * 8 < values.size * 4.5 + 20_000


def test_outliers_come_back():
    values = cube()
    draw = np.random.default_rng(1)
    values.reshape(-1)[draw.integers(0, values.size, 40)] = 2**32 - 1
    np.testing.assert_array_equal(back(values), values)


def test_what_does_not_matter_costs_next_to_nothing():
    values = cube((3, 2, 128, 128), noise=50)
    valid = np.zeros(values.shape, bool)
    valid[:, :, 20:50, 30:70] = True
    np.testing.assert_array_equal(back(values, valid)[valid], values[valid])
    whole, part = (sum(map(len, coded(values, v)[1])) for v in (None, valid))
    assert part < whole * (valid.mean() + 0.1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.98])
def test_what_matters_comes_back(share):
    values = cube((3, 2, 40, 50))
    draw = np.random.default_rng(1)
    for valid in (draw.random(values.shape) < share, draw.random((3, 1, 40, 50)) < share):
        valid = np.broadcast_to(valid, values.shape)
        np.testing.assert_array_equal(back(values, valid)[valid], values[valid])
        assert ("mask" in coded(values, valid)[0]) == (share < 0.9)


@pytest.mark.parametrize("widths", [[3, 3, 3], [1, 8, 41], [10**6, 255, 2]])
def test_codes_stay_within_half_their_width(widths):
    values = cube()
    header, parts = encode_pyramid(values, None, int(values.max()), widths)
    parts = list(map(memoryview, parts))
    made = decode_pyramid(header, parts, values.shape, int(values.max()), np.arange(5))
    off = np.abs(made.astype("i8") - values.astype("i8")).max(axis=(0, 2, 3))
    assert (off <= np.array(widths) // 2).all()
    assert sum(map(len, parts)) < sum(map(len, coded(values)[1]))


def test_some_dates_need_some_parts():
    values = cube((20, 1, 200, 170), noise=1)
    header, parts = coded(values)
    for dates in ([0], [7], [3, 19]):
        dates = np.array(dates)
        wanted = wanted_of_pyramid(header, dates, values.shape)
        assert len(wanted) < 12
        some = [part if n in wanted else memoryview(b"") for n, part in enumerate(parts)]
        made = decode_pyramid(header, some, values.shape, int(values.max()), dates)
        np.testing.assert_array_equal(made, values[dates])


def test_large_ranges_are_left_to_others():
    assert can_code(2**32 - 1)
    assert not can_code(2**32)


def test_bytes_do_not_change_from_call_to_call():
    assert coded(cube()) == coded(cube())


@pytest.mark.parametrize(
    "change",
    [
        {"order": [0, 1]},
        {"order": [0, 0, 1, 2, 3]},
        {"first": [0.0, 1, 2]},
        {"first": []},
        {"each": 0},
        {"each": 1},
        {"widths": [1, 2]},
        {"widths": [0, 0, 0]},
        {"mask": 2},
    ],
)
def test_a_header_that_cannot_be_is_an_error(change):
    values = cube()
    header, parts = coded(values)
    with pytest.raises(CodecError):
        decode_pyramid(header | change, parts, values.shape, 5000, np.arange(5))


def test_a_part_too_few_is_an_error():
    values = cube()
    header, parts = coded(values)
    with pytest.raises(CodecError, match="lacks parts"):
        decode_pyramid(header, parts[1:], values.shape, 5000, np.arange(5))


def test_damaged_parts_are_errors_or_integers():
    values = cube((2, 2, 20, 20))
    span = int(values.max())
    header, parts = coded(values)
    draw = np.random.default_rng(0)
    errors = 0
    for _ in range(300):
        which = draw.integers(len(parts))
        broken = bytearray(parts[which])
        for at in draw.integers(0, len(broken), 2):
            broken[at] = draw.integers(256)
        forged = list(parts)
        forged[which] = memoryview(bytes(broken[: draw.integers(len(broken) + 1) or None]))
        try:
            made = decode_pyramid(header, forged, values.shape, span, np.arange(2))
        except CodecError:
            errors += 1
            continue
        assert made.shape == values.shape
        assert made.max() <= span
    assert errors
