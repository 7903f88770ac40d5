import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("imagecodecs")

from xeo.codecs.integers import decode_integers, encode_integers, wanted_parts
from xeo.errors import CodecError

DTYPES = ["u1", "i1", "u2", "i2", "i4", "u4", "i8", "u8"]


def back(values, effort=3, dates=None):
    header, parts = encode_integers(values, effort)
    header = json.loads(json.dumps(header))
    views = [memoryview(part) for part in parts]
    return decode_integers(header, views, values.shape, values.dtype, dates)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(DTYPES).flatmap(
        lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=4, max_dims=4, max_side=6))
    )
)
def test_integers_of_any_type_and_range_come_back(values):
    np.testing.assert_array_equal(back(values), values)
    assert back(values).dtype == values.dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("effort", [1, 3, 7, 9])
def test_whole_ranges_come_back(dtype, effort):
    limits = np.iinfo(dtype)
    draw = np.random.default_rng(0).integers
    values = draw(limits.min, limits.max, (3, 2, 9, 40), dtype, endpoint=True)
    values.flat[:2] = limits.min, limits.max
    np.testing.assert_array_equal(back(values, effort), values)


def smooth(shape):
    at = np.indices(shape)
    return (1000 * np.sin(at[0] + at[1] + at[2] / 9 + at[3] / 7) + 2000).astype("u2")


@pytest.mark.parametrize(
    "shape", [(7, 3, 200, 90), (300, 2, 16, 16), (500, 1, 1, 1), (3, 70, 5, 5)]
)
def test_some_dates_need_some_parts(shape):
    values = smooth(shape)
    header, parts = encode_integers(values, 3)
    for dates in ([0], [1, 2], [shape[0] - 1], range(0, shape[0], 3)):
        dates = np.array(dates)
        wanted = wanted_parts(header, dates, shape)
        views = [memoryview(p if n in wanted else b"") for n, p in enumerate(parts)]
        made = decode_integers(header, views, shape, values.dtype, dates)
        np.testing.assert_array_equal(made, values[dates])


def test_random_values_do_not_grow():
    values = np.random.default_rng(0).integers(0, 65536, (2, 3, 64, 64), "u2")
    _, parts = encode_integers(values, 7)
    assert sum(map(len, parts)) <= values.nbytes + len(parts)


CHANGES = [
    {"low": "1"},
    {"low": 2**70},
    {"span": -1},
    {"span": 2**64},
    {"span": True},
    {"dates": 0},
    {"dates": 10**9},
    {"dates": 1},
    {"bands": [0]},
    {"bands": [0, 0]},
    {"bands": [0, 2]},
    {"grid": [1, 1, 1, 0]},
    {"grid": [1, 0, 99, 0]},
    {"grid": [2, 0, 1]},
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_header_that_cannot_be_is_an_error(change):
    values = smooth((4, 2, 30, 30))
    header, parts = encode_integers(values, 3)
    header["sets"][0] |= change
    with pytest.raises(CodecError):
        decode_integers(header, list(map(memoryview, parts)), values.shape, values.dtype)


def test_repeated_bands_are_kept_once():
    draw = np.random.default_rng(0)
    fine = draw.integers(0, 9000, (3, 2, 48, 50), "u2")
    coarse = draw.integers(0, 9000, (3, 2, 24, 25), "u2").repeat(2, 2).repeat(2, 3)
    values = np.concatenate([fine[:, :1], coarse[:, :1], fine[:, 1:], coarse[:, 1:]], 1)
    header, parts = encode_integers(values, 3)
    assert [own.get("bands") for own in header["sets"]] == [[0, 2], [1, 3]]
    assert sum(map(len, parts)) < 1.1 * fine.nbytes * 1.25
    np.testing.assert_array_equal(back(values), values)
    np.testing.assert_array_equal(back(values, dates=np.array([1])), values[1:2])


@pytest.mark.parametrize("dtype", ["u2", "i4", "i8"])
def test_repeated_bands_may_have_exceptions(dtype):
    draw = np.random.default_rng(0)
    values = draw.integers(0, 9000, (3, 2, 24, 25), dtype).repeat(2, 2).repeat(2, 3)
    exact = sum(map(len, encode_integers(values, 3)[1]))
    odd = draw.random(values.shape) < 0.01
    values[odd] = draw.integers(0, np.iinfo(dtype).max, odd.sum())
    header, parts = encode_integers(values, 3)
    assert "apart" in header["sets"][0]
    assert sum(map(len, parts)) < 2 * exact
    np.testing.assert_array_equal(back(values), values)
    np.testing.assert_array_equal(back(values, dates=np.array([1])), values[1:2])
    valid = draw.random(values.shape) < 0.5
    header, parts = encode_integers(values, 3, valid)
    made = decode_integers(header, list(map(memoryview, parts)), values.shape, values.dtype)
    np.testing.assert_array_equal(made[valid], values[valid])


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_what_matters_comes_back(data):
    shape = data.draw(hnp.array_shapes(min_dims=4, max_dims=4, max_side=5))
    values = data.draw(hnp.arrays("i4", shape)).repeat(2, 2)
    valid = data.draw(hnp.arrays(bool, values.shape))
    header, parts = encode_integers(values, 3, valid)
    made = decode_integers(header, list(map(memoryview, parts)), values.shape, values.dtype)
    np.testing.assert_array_equal(made[valid], values[valid])


def test_damaged_pictures_are_errors_or_integers():
    values = smooth((2, 2, 40, 40))
    header, parts = encode_integers(values, 3)
    draw = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(parts[0])
        for at in draw.integers(0, len(broken), 3):
            broken[at] = draw.integers(256)
        cut = bytes(broken[: draw.integers(len(broken) + 1)])
        try:
            made = decode_integers(header, [memoryview(cut)], values.shape, values.dtype)
        except CodecError:
            continue
        assert made.shape == values.shape
