import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("imagecodecs")

from xeo.codecs.container import pack, unpack
from xeo.codecs.lossless import LosslessCodec, LosslessTwin
from xeo.errors import CodecError, OptionError

DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">f4", ">i2"]
CODEC = LosslessCodec(effort=3)


def same_bits(values, codec=CODEC):
    made = codec.decode_array(codec.encode_array(values), values.shape, values.dtype)
    assert made.dtype == values.dtype
    assert made.shape == values.shape
    assert made.tobytes() == values.tobytes()


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(DTYPES).flatmap(
        lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=5, max_side=6))
    )
)
def test_every_bit_of_anything_comes_back(values):
    same_bits(values)


def field(shape=(6, 3, 40, 50)):
    t, b, y, x = np.indices(shape)
    return 280 + 9 * np.sin(t / 2 + y / 9) + 4 * np.cos(x / 7 + b)


@pytest.mark.parametrize("effort", [1, 7, 9])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_smooth_floats(dtype, effort):
    same_bits(field().astype(dtype), LosslessCodec(effort=effort))


def kind(values):
    return unpack(CODEC.encode_array(values))[0]["own"]["as"]


def packed(values):
    """Pack each plane with an offset of its own, as GRIB does."""
    low = values.min(axis=(2, 3), keepdims=True)
    return (low.astype("f4") + np.rint((values - low) * 512) / 512).astype("f4")


def test_packed_floats_are_stored_as_integers():
    values = packed(field())
    assert kind(values) == "lattice"
    same_bits(values)
    values[2, 1] = np.nan
    values[0, 0, 3:9] = np.nan
    assert kind(values) == "lattice"
    same_bits(values)
    size = len(LosslessCodec().encode_array(values))
    assert size < values.nbytes / 3


def test_few_different_floats_are_stored_as_ranks():
    table = np.exp(np.random.default_rng(0).normal(size=50)).astype("f4")
    values = table[np.random.default_rng(1).integers(0, 50, (2, 1, 60, 60))]
    assert kind(values) == "ranks"
    same_bits(values)
    values[0, 0, :30] = np.nan
    same_bits(values)


def test_other_floats_are_stored_by_order():
    values = (field() + np.random.default_rng(0).normal(size=field().shape)).astype("f4")
    assert kind(values) == "order"
    values[0, 0, 0, :4] = [0.0, -0.0, 1e-45, -1e-45]
    values[1, 0, 0, :3] = [np.inf, -np.inf, np.nan]
    same_bits(values)


def test_random_values_fall_back():
    values = np.random.default_rng(0).integers(0, 65536, (2, 2, 50, 50), "u2")
    coded = CODEC.encode_array(values)
    assert len(coded) < values.nbytes + 200
    same_bits(values)


def test_dates_are_decoded_alone():
    values = packed(field((9, 2, 200, 180)))
    header, parts = unpack(CODEC.encode_array(values))
    own = header["own"]
    dates = np.array([2, 7])
    wanted = CODEC._wanted(own, dates, values.shape)
    assert 0 < len(wanted) < len(parts)
    some = [part if n in wanted else memoryview(b"") for n, part in enumerate(parts)]
    made = CODEC._decode(own, some, values.shape, values.dtype, dates)
    np.testing.assert_array_equal(made, values[dates])


def test_bytes_do_not_change_from_call_to_call():
    values = packed(field())
    assert CODEC.encode_array(values) == CODEC.encode_array(values)


@pytest.mark.parametrize("effort", [0, 10, 2.0, True, "7"])
def test_an_effort_is_a_number_from_1_to_9(effort):
    with pytest.raises(OptionError, match=r"expected an effort from 1, fast, to 9, small"):
        LosslessCodec(effort=effort)


CHANGES = [{"as": "plain"}, {"as": 3}, {"own": {}}, {"own": 1}, {"own": {"sets": [{}]}}]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("values", [packed(field()), field().astype("f4")])
def test_a_header_that_cannot_be_is_an_error(change, values):
    header, parts = unpack(CODEC.encode_array(values))
    forged = pack(header | {"own": header["own"] | change}, parts)
    with pytest.raises(CodecError):
        CODEC.decode_array(forged)


def test_the_twin_writes_the_same():
    values = packed(field())
    twin = LosslessTwin(effort=3)
    assert twin.encode(values) == CODEC.encode_array(values)
    np.testing.assert_array_equal(twin.decode(twin.encode(values)), values)
    assert twin.get_config() == {"id": "xeo.lossless", "effort": 3}


def test_flags_are_stored_as_ranks():
    draw = np.random.default_rng(0)
    flags = (1 << draw.integers(0, 31, (6, 1, 8, 8))).astype("u4").repeat(8, 2).repeat(8, 3)
    flags[0, 0, 0, 0] = 5
    assert kind(flags) == "ranks"
    same_bits(flags)
    assert len(CODEC.encode_array(flags)) < flags.nbytes / 40


def test_wide_integers_of_repeating_bytes():
    values = np.random.default_rng(0).integers(0, 2, (2, 2, 50, 50)).astype("u8") * 2**40
    values += np.arange(values.size, dtype="u8").reshape(values.shape) % 7
    same_bits(values)
    same_bits(values, LosslessCodec(effort=7))
