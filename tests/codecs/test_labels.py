import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.codecs.labels import decode_labels, encode_labels
from xeo.errors import CodecError


@given(
    st.sampled_from([0, 1, 2, 255]).flatmap(
        lambda most: hnp.arrays(
            "u1",
            hnp.array_shapes(min_dims=4, max_dims=4, max_side=7),
            elements={"max_value": most},
        )
    )
)
def test_labels_come_back(labels):
    np.testing.assert_array_equal(decode_labels(encode_labels(labels), labels.shape), labels)


def test_patches_cost_little():
    y, x = np.indices((256, 256))
    patch = ((y - 100) ** 2 + (x - 90) ** 2 < 60**2).astype("u1")
    labels = np.broadcast_to(patch, (10, 1, 256, 256))
    assert len(encode_labels(labels)) * 8 < 0.01 * labels.size


def test_labels_of_another_shape_are_damaged():
    coded = encode_labels(np.ones((1, 1, 64, 64), "u1"))
    with pytest.raises(CodecError):
        decode_labels(coded, (1, 1, 32, 32))


@pytest.mark.parametrize("data", [b"", b"\x07abc", b"\x00", b"\x01not zstandard"])
def test_what_is_no_labels_is_an_error(data):
    with pytest.raises(CodecError):
        decode_labels(data, (1, 1, 4, 4))


def test_damaged_labels_are_errors_or_labels():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, (2, 1, 30, 30), "u1")
    coded = encode_labels(labels)
    for _ in range(300):
        broken = bytearray(coded)
        for at in draw.integers(0, len(broken), 2):
            broken[at] = draw.integers(256)
        try:
            made = decode_labels(bytes(broken), labels.shape)
        except CodecError:
            continue
        assert made.shape == labels.shape
