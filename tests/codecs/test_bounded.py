import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("imagecodecs")

from xeo.codecs.bounded import BoundedCodec, BoundedTwin
from xeo.codecs.container import pack, unpack
from xeo.errors import CodecError, OptionError

DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">f4", ">i2"]
CUBES = st.sampled_from(DTYPES).flatmap(
    lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6))
)
BOUNDS = st.floats(1e-6, 1e6) | st.sampled_from([1e-300, 1e300, 0.5, 1.0, 20.0])


def trip(codec, values):
    made = codec.decode_array(codec.encode_array(values), values.shape, values.dtype)
    assert made.dtype == values.dtype
    return made


def exact(value):
    return value if isinstance(value, int) else float(value)


def check(values, made, bound, relative=False):
    bits = f"u{values.dtype.itemsize}"
    usual = np.isfinite(values)
    assert (values.view(bits)[~usual] == made.view(bits)[~usual]).all()
    for x, y in zip(values[usual].tolist(), made[usual].tolist(), strict=True):
        assert abs(exact(y) - exact(x)) <= (bound * abs(x) if relative else bound)


@settings(max_examples=150, deadline=None)
@given(CUBES, BOUNDS)
def test_no_value_is_further_off_than_the_bound(values, bound):
    check(values, trip(BoundedCodec(max_error=bound, effort=1), values), bound)


@settings(max_examples=150, deadline=None)
@given(CUBES, st.floats(1e-7, 0.99))
def test_no_value_is_further_off_than_the_ratio(values, bound):
    made = trip(BoundedCodec(relative_error=bound, effort=1), values)
    check(values, made, bound, relative=True)


def field(shape=(6, 3, 40, 50)):
    t, b, y, x = np.indices(shape)
    return 280 + 9 * np.sin(t / 2 + y / 9) + 4 * np.cos(x / 7 + b)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("bound", [1e-4, 0.01, 0.3, 50.0])
def test_smooth_floats(dtype, bound):
    values = field().astype(dtype)
    codec = BoundedCodec(max_error=bound)
    made = trip(codec, values)
    check(values, made, bound)
    assert len(codec.encode_array(values)) < values.nbytes / 2


def test_a_bound_for_each_band():
    values = field().astype("f4")
    made = trip(BoundedCodec(max_error=(0.01, 1.0, 5.0)), values)
    errors = np.abs(made.astype("f8") - values).max(axis=(0, 2, 3))
    assert (errors <= [0.01, 1.0, 5.0]).all()
    assert errors[1] > 0.5
    with pytest.raises(OptionError, match=r"expected an error for each of 3 bands, got 2"):
        BoundedCodec(max_error=(1.0, 2.0)).encode_array(values)


def header(codec, values):
    return unpack(codec.encode_array(values))[0]["own"]


def test_integers_use_the_whole_bound():
    values = np.random.default_rng(0).integers(0, 9000, (2, 2, 30, 30), "u2")
    codec = BoundedCodec(max_error=20.4)
    assert header(codec, values)["bins"][0][0] == "integer"
    assert np.abs(trip(codec, values).astype(int) - values).max() == 20
    # Integers that came as floats are as good.
    assert header(codec, values.astype("f4"))["bins"][0][0] == "lattice"
    check(values.astype("f4"), trip(codec, values.astype("f4")), 20.4)


def test_what_the_dtype_cannot_resolve_is_exact():
    values = field().astype("f4") * np.float32(1e30)
    codec = BoundedCodec(max_error=1e-3)
    assert "exact" in header(codec, values)
    np.testing.assert_array_equal(trip(codec, values), values)


def test_missing_values_and_nodata_come_back():
    values = field().astype("f4")
    values[0, 0, 3:9, 4:20] = np.nan
    values[2, :, :5] = np.inf
    values[3, 1, 7] = -9999
    made = trip(BoundedCodec(max_error=0.1, nodata=(-9999,)), values)
    check(values, made, 0.1)
    np.testing.assert_array_equal(made == -9999, values == -9999)


def test_no_value_becomes_nodata():
    values = np.random.default_rng(0).integers(0, 256, (2, 1, 40, 40), "u1")
    made = trip(BoundedCodec(max_error=3, nodata=(100,)), values)
    np.testing.assert_array_equal(made == 100, values == 100)


def test_zeros_stay_zeros_under_a_ratio():
    values = np.zeros((1, 1, 20, 20), "f4")
    values[0, 0, 5:9] = [[3.0], [-3.0], [1e-12], [1e12]]
    made = trip(BoundedCodec(relative_error=0.05), values)
    check(values, made, 0.05, relative=True)


def test_dates_are_decoded_alone():
    values = field((9, 2, 200, 180)).astype("f4")
    codec = BoundedCodec(max_error=0.01, effort=3)
    found, parts = unpack(codec.encode_array(values))
    dates = np.array([2, 7])
    wanted = codec._wanted(found["own"], dates, values.shape)
    assert 0 < len(wanted) < len(parts)
    some = [part if n in wanted else memoryview(b"") for n, part in enumerate(parts)]
    made = codec._decode(found["own"], some, values.shape, values.dtype, dates)
    check(values[dates], made, 0.01)


@pytest.mark.parametrize("bound", [0, -1.0, np.nan, np.inf, "1", True, (), (1.0, 0.0), None])
def test_bounds_are_positive_numbers(bound):
    with pytest.raises(OptionError, match="expected"):
        BoundedCodec(max_error=bound)
    with pytest.raises(OptionError, match="expected"):
        BoundedCodec(relative_error=bound)


def test_one_bound_is_given():
    with pytest.raises(OptionError, match="expected one of max_error and relative_error"):
        BoundedCodec(max_error=1.0, relative_error=0.1)
    with pytest.raises(OptionError, match="between 0 and 1"):
        BoundedCodec(relative_error=1.0)


BINS = [
    [],
    ["float", 0.0, 1.0, 0.0],
    ["float", 0.0, "1", 0.1],
    ["float", 2.0, 1.0, 0.1],
    ["integer", 0, 9, 1],
    ["log", 0.0, 1.0, 0.1],
    ["log", 1.0, 2.0, 0.0],
    ["table", 1, 2, 0.1],
    ["lattice", 0.0, 0.0, False, 0, 9, 1],
    ["lattice", 0.0, 1.0, 2, 0, 9, 1],
    ["lattice", 0.0, 1.0, False, 0, 9],
    ["other"],
]


@pytest.mark.parametrize("bins", BINS)
def test_bins_that_cannot_be_are_errors(bins):
    values = field().astype("f4")
    found, parts = unpack(BoundedCodec(max_error=0.1, effort=1).encode_array(values))
    found["own"]["bins"] = [bins]
    with pytest.raises(CodecError):
        BoundedCodec.decode_array(pack(found, parts))


def test_the_twin_writes_the_same():
    values = field().astype("f4")
    codec, twin = BoundedCodec(max_error=(1, 2, 3)), BoundedTwin(max_error=[1, 2, 3])
    assert twin.encode(values) == codec.encode_array(values)
    assert twin.get_config() == {"id": "xeo.bounded", "max_error": [1.0, 2.0, 3.0]}
