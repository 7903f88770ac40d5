"""What lies under the layers of xarray, followed axis by axis."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
import zarr

from xeo.engine.stored import (
    chunk_numbers,
    is_sliced,
    store_array,
    store_chunks,
    with_store_array,
)

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def variable(tmp_path):
    array = zarr.open_group(tmp_path / "c.zarr", mode="w").create_array(
        "c", shape=(6, 10, 8), chunks=(1, 2, 4), shards=(3, 4, 8), dtype="u2",
        dimension_names=("time", "band", "x"), attributes={"scale_factor": 0.5},
    )  # fmt: skip
    array[:] = np.arange(480).reshape(6, 10, 8)
    return xr.open_zarr(tmp_path / "c.zarr", chunks=None, consolidated=False).c.variable


def test_chunks_follow_the_axes(variable):
    assert store_chunks(variable) == ((3, 4, 8), (1, 2, 4))
    assert store_chunks(variable[2]) == ((4, 8), (2, 4))
    assert store_chunks(variable[1:4, :, 3][:, [4, 1]]) == ((3, 4), (1, 2))
    assert store_chunks(np.zeros((3, 4))) is None


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        (slice(None), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (slice(1, 6), [0, 1, 1, 2, 2]),
        (slice(None, None, -3), [0, 1, 2, 3]),
        ([0, 1, 6, 9], [0, 0, 1, 2]),
        ([9, 8, 1], [0, 0, 1]),
    ],
)
def test_numbers_of_chunks(variable, key, numbers):
    for chosen in (variable[:, key], variable[3][key]):
        axis = chosen.dims.index("band")
        count = chosen.shape[axis]
        np.testing.assert_array_equal(chunk_numbers(chosen, axis, np.arange(count)), numbers)
        np.testing.assert_array_equal(chunk_numbers(chosen, axis, np.array([1, 0])), numbers[1::-1])


def test_chunks_that_are_mixed_or_unknown_have_no_numbers(variable):
    picked = xr.Variable("picked", [0, 3, 5])
    for chosen in (variable[:, [0, 7, 1]], variable[picked, picked, :], variable.transpose()):
        assert chunk_numbers(chosen, 1, np.arange(2)) is None
    assert chunk_numbers(np.zeros((3, 4)), 1, np.arange(2)) is None


def test_another_array_under_the_same_layers(variable):
    twice = zarr.create_array({}, shape=(6, 10, 8), chunks=(6, 10, 8), dtype="u2")
    twice[:] = 2 * store_array(variable)[:]
    chosen = variable[2:4, ::-1, 5]
    before = chosen[:].values
    made = with_store_array(chosen, twice)
    np.testing.assert_array_equal(made[:].values, 2 * before)
    np.testing.assert_array_equal(chosen[:].values, before)
    assert store_array(made) is twice


def test_slices_are_told_from_lists(variable):
    assert is_sliced(variable[1, 2:5, ::-1])
    assert not is_sliced(variable[:, [0, 2]])
