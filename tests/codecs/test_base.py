"""What is around every codec: axes, missing values, margins, damage, Zarr v2 and v3."""

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zarr.registry import register_codec
from zarr.storage import MemoryStore

from tests.codecs.toys import PlainCodec, PlainTwin
from xeo.codecs.container import pack, read_index
from xeo.errors import CodecError, OptionError

register_codec("test.plain", PlainCodec)
numcodecs.register_codec(PlainTwin)

_NUMBERS = ("bool", "int8", "uint8", "int16", ">u2", "int64", "float16", "float32", ">f8")


def same(a, b):
    """Whether two arrays are alike to the bit, NaN and all."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@given(
    hnp.arrays(st.sampled_from(_NUMBERS), hnp.array_shapes(min_dims=0, max_dims=6, max_side=4)),
    st.data(),
)
def test_a_codec_that_changes_nothing_gives_back_every_bit(array, data):
    # An axis of each letter but x and y may come twice.
    axes = list("tbyx"[: array.ndim]) + ["t"] * max(0, array.ndim - 4)
    axes = "".join(data.draw(st.permutations(axes)))
    codec = PlainCodec(axes=axes, nodata=(0, 7))
    read = PlainCodec.decode_array(codec.encode_array(array), array.shape, array.dtype)
    assert same(read, array)


def test_margins_that_zarr_adds_cost_nothing():
    inner = np.random.default_rng(0).integers(1, 200, (3, 2, 10, 12), dtype="u2")
    padded = np.zeros((8, 2, 64, 64), "u2")
    padded[:3, :, :10, :12] = inner
    codec = PlainCodec()
    assert len(codec.encode_array(padded)) <= len(codec.encode_array(inner)) + 40
    assert same(PlainCodec.decode_array(codec.encode_array(padded)), padded)


@pytest.mark.parametrize("value", [0.0, -0.0, np.nan, 1e300, np.inf])
def test_a_chunk_that_is_all_alike_needs_no_codec(value):
    array = np.full((3, 2, 64, 64), value)
    data = PlainCodec().encode_array(array)
    assert len(data) < 100
    assert same(PlainCodec.decode_array(data), array)


def test_missing_values_come_back_to_the_bit_whatever_the_codec_does_to_the_rest():
    array = np.random.default_rng(1).uniform(0, 200, (4, 3, 9, 11)).astype("f4")
    array[0, :, :4] = np.nan
    array[1, 2, 3, 4] = -np.inf
    array.view("u4")[2, 1, 0, 0] = 0x7FC12345
    array[3, 0, 5:] = -9999
    codec = PlainCodec(squeeze=True, nodata=(-9999,))
    read = PlainCodec.decode_array(codec.encode_array(array))
    special = ~np.isfinite(array) | (array == -9999)
    assert (read.view("u4")[special] == array.view("u4")[special]).all()
    assert (read[~special] == np.floor(array[~special])).all()


@pytest.mark.parametrize("nodata", [np.nan, (0, 1), -1, np.int16(3)])
def test_settings_survive_the_metadata(nodata):
    codec = PlainCodec(nodata=nodata, axes="ytx")
    assert PlainCodec.from_dict(codec.to_dict()) == codec
    assert numcodecs.get_codec(PlainTwin(**codec.settings()).get_config())._codec == codec


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(OptionError, match=r"among .*'axes'.*got .'colour'"):
        PlainCodec.from_settings({"colour": 1})
    with pytest.raises(OptionError, match="expected numbers as nodata, got 'none'"):
        PlainCodec(nodata=("none",))
    with pytest.raises(OptionError, match=r"got axes='tyy'\. Try: axes='tyx'"):
        PlainCodec(axes="tyy")
    with pytest.raises(OptionError, match="booleans, integers or floats of at most 64 bits"):
        PlainCodec().encode_array(np.zeros(3, "M8[s]"))


class Counting(MemoryStore):
    """Counts the bytes that are read of chunks."""

    read = 0

    async def get(self, key, prototype, byte_range=None):
        data = await super().get(key, prototype, byte_range)
        if data is not None and "/c/" in key:
            Counting.read += len(data)
        return data


@pytest.mark.parametrize(
    "where",
    [
        np.s_[2],
        np.s_[3:5],
        np.s_[1:9:3, 1],
        np.s_[:, 1, 3:9],
        np.s_[-1, ..., 2],
        np.s_[4, 0, 3, 3],
    ],
)
@pytest.mark.parametrize("shards", [None, (12, 2, 32, 32)])
def test_some_dates_are_read_alone(where, shards):
    cube = np.random.default_rng(2).integers(0, 200, size=(10, 2, 20, 24)).astype("f8")
    cube[3, 0, :4] = np.nan
    store = Counting()
    root = zarr.create_group(store)
    # Chunks that reach beyond the array on every side.
    stored = root.create_array(
        "a",
        shape=cube.shape,
        dtype="f8",
        chunks=(6, 2, 16, 16),
        shards=shards,
        serializer=PlainCodec(squeeze=True),
        compressors=None,
    )
    stored[...] = cube
    np.testing.assert_array_equal(stored[where], cube[where])


def test_one_date_reads_few_bytes():
    cube = np.random.default_rng(2).integers(0, 200, size=(10, 2, 40, 40)).astype("f8")
    store = Counting()
    stored = zarr.create_group(store).create_array(
        "a", shape=cube.shape, dtype="f8", chunks=cube.shape, compressors=None,
        serializer=PlainCodec(squeeze=True),
    )  # fmt: skip
    stored[...] = cube
    Counting.read = 0
    np.testing.assert_array_equal(stored[7], cube[7])
    assert 3200 < Counting.read < 3200 + 5000
    np.testing.assert_array_equal(stored.oindex[[7, 2, 7]], cube[[7, 2, 7]])
    points = [7, 2], [0, 1], [3, 4], [5, 5]
    np.testing.assert_array_equal(stored.vindex[points], cube[points])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">i2"])
def test_zarr_v2_reads_what_its_twin_wrote(order, dtype):
    cube = np.random.default_rng(3).normal(size=(5, 2, 7, 9)).astype(dtype)
    stored = zarr.create_array(
        {}, shape=cube.shape, dtype=dtype, chunks=(4, 2, 4, 4), order=order, zarr_format=2,
        compressors=PlainTwin(),
    )  # fmt: skip
    stored[...] = cube
    np.testing.assert_array_equal(stored[...], cube)
    np.testing.assert_array_equal(stored[1:3, 1], cube[1:3, 1])


@pytest.mark.parametrize("constant", [False, True])
def test_damage_is_found_wherever_it_is(constant):
    array = np.random.default_rng(4).normal(size=(3, 2, 5, 5))
    array[0, 0, 0, 0] = np.nan
    if constant:
        array[...] = 7
    whole = PlainCodec().encode_array(array)
    for at in range(len(whole)):
        for bit in range(8):
            broken = bytearray(whole)
            broken[at] ^= 1 << bit
            with pytest.raises(CodecError):
                PlainCodec.decode_array(bytes(broken), array.shape, array.dtype)
        with pytest.raises(CodecError):
            PlainCodec.decode_array(whole[:at], array.shape, array.dtype)
    with pytest.raises(CodecError, match="was cut or something was added"):
        PlainCodec.decode_array(whole + b"x")


def test_a_chunk_of_another_array_is_refused():
    data = PlainCodec().encode_array(np.arange(24.0).reshape(2, 3, 4))
    with pytest.raises(
        CodecError, match=r"expected a chunk of shape \(4, 3, 2\), got one of \(2, "
    ):
        PlainCodec.decode_array(data, (4, 3, 2))
    with pytest.raises(CodecError, match="expected a chunk of float32, got one of float64"):
        PlainCodec.decode_array(data, (2, 3, 4), np.dtype("f4"))
    with pytest.raises(CodecError, match="begin with b'xeo', got b'PK"):
        PlainCodec.decode_array(b"PK\x03\x04 and more bytes")
    other = pack({"shape": [2], "dtype": "int16", "codec": "fancy"}, [])
    with pytest.raises(CodecError, match="of the codec 'plain', got one of 'fancy'"):
        PlainCodec.decode_array(other)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [10**9, 10**9]},
        {"shape": [-3]},
        {"shape": "abc"},
        {"shape": None},
        {"dtype": "O"},
        {"dtype": "M8[s]"},
        {"axes": "zz"},
        {"trim": [10**6, 1, 1]},
        {"trim": [0, 0, 0]},
        {"value": "ffffffffffffffffffff"},
        {"value": "x"},
        {"nodata": ["00"] * 300},
        {"own": {"d": "O"}},
        {"own": {"d": "<f4"}},
        {"own": 3},
        {"codec": "constant"},
    ],
)
def test_a_header_that_lies_is_found(change):
    array = np.arange(60.0).reshape(5, 3, 4)
    whole = PlainCodec(squeeze=True).encode_array(array)
    index = read_index(whole)
    parts = [whole[a:b] for a, b in index.spans]
    lie = pack(dict(index.header) | change, parts)
    with pytest.raises(CodecError):
        PlainCodec.decode_array(lie, most=2**31)
