import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xeo.errors import DimensionError
from xeo.kernels.blocks import block_count, block_mean, block_std


def test_known_answer():
    x = np.array([[1.0, 3.0, np.nan, np.nan], [5.0, np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(block_count(x, 2), [[3, 0]])
    np.testing.assert_array_equal(block_mean(x, 2), [[3, np.nan]])
    np.testing.assert_allclose(block_std(x, 2), [[np.sqrt(8 / 3), np.nan]])


@given(
    st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31), st.booleans()
)
def test_agrees_with_numpy_square_by_square(stride, rows, columns, seed, holes):
    rng = np.random.default_rng(seed)
    x = rng.normal(5000, 1, (2, rows * stride, columns * stride))
    if holes:
        x[rng.random(x.shape) < 0.2] = np.nan
        x[:, ::stride, ::stride] = 1.0
    before = x.copy()
    for i in range(rows):
        for j in range(columns):
            square = x[:, i * stride :, j * stride :][:, :stride, :stride].reshape(2, -1)
            np.testing.assert_allclose(block_mean(x, stride)[:, i, j], np.nanmean(square, -1))
            got = block_std(x, stride)[:, i, j]
            np.testing.assert_allclose(got, np.nanstd(square, -1), atol=1e-9)
    np.testing.assert_array_equal(x, before)


def test_integers_do_not_overflow():
    x = np.full((4, 4), 65535, "u2")
    assert block_mean(x, 4).item() == 65535
    assert block_mean(x, 4).dtype == np.float32
    assert block_std(x, 4).item() == 0


def test_half_precision_does_not_overflow():
    assert block_mean(np.full((8, 8), 60000, "f2"), 8).item() == 60000


def test_tensors_give_tensors():
    x = np.random.default_rng(0).random((3, 8, 8), "f4")
    x[0, :2, :3] = np.nan
    made = block_std(torch.from_numpy(x), 2)
    assert isinstance(made, torch.Tensor)
    np.testing.assert_allclose(made.numpy(), block_std(x, 2), rtol=1e-5)


@pytest.mark.parametrize("function", [block_count, block_mean, block_std])
def test_sizes_must_fit(function):
    with pytest.raises(DimensionError, match=r"multiples of 4 pixels, got \(8, 6\).*\(8, 4\)"):
        function(np.zeros((8, 6)), 4)
