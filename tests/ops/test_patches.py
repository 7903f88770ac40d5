"""Patches drawn from a cube."""

from __future__ import annotations

import numpy as np
import pytest

import xeo
from xeo.errors import OptionError
from xeo.models.embedders.mosaiks import Mosaiks


@pytest.fixture
def cube():
    return xeo.simulate_cube(dates=4, size=80, cloud_cover=0.2)


def test_patches_are_of_the_cube_and_repeat_by_seed(cube):
    made = cube.eo.draw_patches(count=20, side=5, bands=["red", "nir"], seed=3)
    assert made.dims == ("patch", "band", "y", "x")
    assert made.shape == (20, 2, 5, 5)
    assert made.identical(cube.eo.draw_patches(count=20, side=5, bands=["red", "nir"], seed=3))
    red = np.lib.stride_tricks.sliding_window_view(cube.B04.values, (5, 5), axis=(1, 2))
    stored = np.rint(made.values[0, 0] * 1e4).astype(red.dtype)
    assert (red == stored).all(axis=(-2, -1)).any()


def test_chunked_cubes_give_the_same_patches(cube):
    lazy = cube.chunk(time=1, y=32, x=32)
    assert lazy.eo.draw_patches(count=8).identical(cube.eo.draw_patches(count=8))


def test_drawn_filters_tell_scenes_apart(cube):
    model = Mosaiks.from_patches(cube.eo.draw_patches(count=16).values)
    made = cube.eo.embed(model)
    assert made.sizes["embedding"] == 32
    assert float(made.std()) > 0


def test_too_few_complete_squares_is_an_error(cube):
    empty = cube.map(lambda v: v * 0, keep_attrs=True)
    with pytest.raises(OptionError, match="complete square"):
        empty.eo.draw_patches(count=4)
