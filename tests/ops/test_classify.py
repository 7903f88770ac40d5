"""Class maps: flags, probabilities, missing pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from xeo.spec import ModelSpec


@dataclass(frozen=True)
class Brightest:
    """Scores are the bands themselves."""

    spec: ClassVar[ModelSpec] = ModelSpec(
        "brightest", bands=("red", "nir"), channels=2, classes=("red_wins", "nir_wins")
    )

    def __call__(self, x: Any, /) -> Any:
        return x


@pytest.fixture
def cube():
    values = np.array([[[[1, 5], [np.nan, 2]], [[3, 4], [1, np.nan]]]], "f4")
    return xr.DataArray(values, dims=("time", "band", "y", "x"), coords={"band": ["red", "nir"]})


@pytest.mark.parametrize("chunks", [None, 1])
def test_the_largest_score_wins(cube, chunks):
    made = (cube.chunk(chunks) if chunks else cube).eo.classify(Brightest())
    assert made.dims == ("time", "y", "x")
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made[0], [[1, 0], [255, 255]])
    assert made.attrs["flag_meanings"] == "red_wins nir_wins no_data"
    np.testing.assert_array_equal(made.attrs["flag_values"], [0, 1, 255])


def test_probabilities_sum_to_one_and_are_nan_where_missing(cube):
    made = cube.eo.classify(Brightest(), probability=True)
    assert made.dims == ("time", "class", "y", "x")
    assert made["class"].values.tolist() == ["red_wins", "nir_wins"]
    total = made.sum("class", skipna=False).values[0]
    np.testing.assert_allclose(total[0], 1, rtol=1e-6)
    assert np.isnan(total[1]).all()
    assert float(made[0, 1, 0, 0]) == pytest.approx(1 / (1 + np.exp(-2)))


def test_flags_survive_a_store(cube, tmp_path):
    made = cube.eo.classify(Brightest())
    made.to_zarr(tmp_path / "classes.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "classes.zarr", consolidated=False)["class"]
    xr.testing.assert_equal(again.compute(), made)
    assert again.dtype == np.uint8
    assert again.attrs["flag_meanings"] == made.attrs["flag_meanings"]
