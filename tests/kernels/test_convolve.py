import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xeo.errors import DimensionError
from xeo.kernels.convolve import rectified_features


def reference(x, filters, stride, bias):
    """Compute the same by torch, in float64."""
    functional, side = torch.nn.functional, filters.shape[-1]
    edges = ((side - 1) // 2, side // 2) * 2
    padded = functional.pad(torch.tensor(x, dtype=torch.float64), edges, mode="replicate")
    response = functional.conv2d(padded, torch.tensor(filters, dtype=torch.float64))
    parts = [torch.relu(sign * response - bias) for sign in (1, -1)]
    return torch.cat([functional.avg_pool2d(part, stride) for part in parts], 1).numpy()


def test_known_answer():
    x = np.array([[[[1.0, -2.0], [3.0, 4.0]]]], "f4")
    made = rectified_features(x, np.full((1, 1, 1, 1), 2.0, "f4"), 2)
    np.testing.assert_array_equal(made.ravel(), [2 * (1 + 3 + 4) / 4, 2 * 2 / 4])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 7),
    st.sampled_from([1, 2, 3, 5, 8, 16, 40]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.3, -0.2]),
    st.integers(0, 2**31),
)
def test_agrees_with_torch(side, stride, rows, columns, bias, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 3, rows * stride, columns * stride)).astype("f4")
    filters = rng.normal(size=(4, 3, side, side)).astype("f4")
    before = x.copy()
    made = rectified_features(x, filters, stride, bias)
    assert made.dtype == np.float32
    assert made.min() >= 0
    np.testing.assert_allclose(made, reference(x, filters, stride, bias), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("stride", [1, 6, 8])
def test_a_part_has_the_bits_of_the_whole(stride):
    rng = np.random.default_rng(0)
    x = rng.random((1, 5, 24 * stride, 60 * stride), "f4")
    filters = rng.normal(size=(32, 5, 3, 3)).astype("f4")
    whole = rectified_features(x, filters, stride)
    for top, left, height, width in ((0, 0, 5, 7), (3, 11, 9, 30), (6, 2, 17, 58), (9, 8, 3, 3)):
        part = x[
            :, :, top * stride : (top + height) * stride, left * stride : (left + width) * stride
        ]
        made = rectified_features(part, filters, stride)[:, :, 1:-1, 1:-1]
        want = whole[:, :, top + 1 : top + height - 1, left + 1 : left + width - 1]
        np.testing.assert_array_equal(made, want)


def test_shapes_must_fit():
    filters = np.zeros((2, 3, 3, 3), "f4")
    with pytest.raises(DimensionError, match=r"with 3 bands, got \(1, 4, 8, 8\)"):
        rectified_features(np.zeros((1, 4, 8, 8), "f4"), filters, 8)
    with pytest.raises(DimensionError, match=r"multiples of 8 pixels, got \(8, 12\)"):
        rectified_features(np.zeros((1, 3, 8, 12), "f4"), filters, 8)


def test_many_bands_and_an_odd_number_of_filters():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 200, 8, 16)).astype("f4")
    filters = rng.normal(size=(11, 200, 5, 5)).astype("f4")
    made = rectified_features(x, filters, 8)
    np.testing.assert_allclose(made, reference(x, filters, 8, 0), rtol=1e-3, atol=1e-3)
