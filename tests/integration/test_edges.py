"""Awkward cubes, from memory, lazily, and from store to store, against the whole image at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import xeo
from tests.engine.toys import Convolution, Patch, pool
from xeo.errors import DimensionError
from xeo.spec import ModelSpec

pytestmark = pytest.mark.filterwarnings("error")


@dataclass(frozen=True)
class Leaning:
    """Each pixel and twice the one north of it: a network that knows up from down."""

    stride: int = 1

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec("leaning", halo=1, stride=self.stride, channels_per_band=1)

    def __call__(self, x: Any, /) -> Any:
        above = np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 0)])[:, :, :-1]
        return pool(x + 2 * above, self.stride)


#: Size, model, side of tiles and chunks, and what is missing.
CASES = {
    "non-square": ((32, 80), Convolution(3), 16, None),
    "ragged": ((50, 37), Convolution(3), 16, None),
    "leaning": ((50, 37), Leaning(), 16, None),
    "halo larger than a chunk": ((40, 30), Convolution(20), 16, None),
    "stride does not divide the size": ((50, 37), Leaning(4), 16, None),
    "stride does not divide the chunk": ((72, 56), Leaning(4), 18, None),
    "one pixel": ((1, 1), Convolution(3), 16, None),
    "one row": ((1, 40), Leaning(), 16, None),
    "one column": ((40, 1), Convolution(2, 2), 16, None),
    "one pixel missing, at a corner of chunks": ((48, 48), Convolution(3), 16, (16, 16)),
    "one pixel missing, in a cell of others": ((48, 48), Convolution(2, 4), 16, (17, 18)),
    "a chunk missing": ((48, 48), Leaning(), 16, (slice(16, 32), slice(16, 32))),
    "an edge missing": ((48, 40), Leaning(), 16, (slice(None), slice(32, None))),
    "all missing": ((20, 20), Leaning(), 16, (slice(None), slice(None))),
    "windows, ragged": ((50, 37), Patch(16, 0, 4), 16, None),
    "windows with a halo": ((50, 37), Patch(16, 4, 4), 16, None),
    "a window over the whole image": ((10, 13), Patch(32, 8, 4), 32, None),
    "a window over one pixel": ((1, 1), Patch(8), 8, None),
}


def make_cube(size, missing=None):
    # Whole numbers: sums of any order have the same bits, and a mean over 2**n pixels has none.
    values = np.random.default_rng(1).integers(1, 50, (2, 1, *size)).astype("f4")
    if missing is not None:
        values[1, 0][missing] = np.nan
    coords = {
        "time": np.array(["2021-01-01", "2021-02-01"], "M8[ns]"),
        "band": ["red"],
        "y": 5_000_000 - 10.0 * np.arange(size[0]),
        "x": 600_000 + 10.0 * np.arange(size[1]),
    }
    return xr.DataArray(values, dims=("time", "band", "y", "x"), coords=coords, name="cube")


def whole(model, values):
    """Fill the image up by reflection, run the model once, or once a window, and mask."""
    spec = model.spec
    cells = [-(-n // spec.stride) for n in values.shape[2:]]
    side = spec.kept or spec.unit
    border = spec.margin if spec.window else 0
    pad = [(border, border + -n % side) for n in values.shape[2:]]
    full = np.pad(np.nan_to_num(values), [(0, 0), (0, 0), *pad], mode="reflect")
    made = _windows(model, full) if spec.window else model(full)
    made = made[:, :, : cells[0], : cells[1]].copy()
    fill = [(0, -n % spec.stride) for n in values.shape[2:]]
    valid = np.pad(~np.isnan(values[:, :1]), [(0, 0), (0, 0), *fill])
    return np.where(pool(valid, spec.stride), made, np.nan)


def _windows(model, full):
    spec = model.spec
    edge, kept = spec.margin // spec.stride, spec.kept // spec.stride
    rows = [
        [
            model(full[:, :, y : y + spec.window, x : x + spec.window])
            for x in range(0, full.shape[3] - 2 * spec.margin, spec.kept)
        ]
        for y in range(0, full.shape[2] - 2 * spec.margin, spec.kept)
    ]
    middle = [[m[:, :, edge : edge + kept, edge : edge + kept] for m in row] for row in rows]
    return np.block(middle)


def from_memory(cube, model, side, folder):
    return cube.eo.embed(model, chunk=side).values


def lazily(cube, model, side, folder):
    return cube.chunk(time=1, y=side, x=side).eo.embed(model, chunk=side).values


def store_to_store(cube, model, side, folder):
    chunked = cube.chunk(time=1, y=side, x=side)
    chunked.to_zarr(folder / "in.zarr", consolidated=False, zarr_format=2)
    opened = xr.open_zarr(folder / "in.zarr", consolidated=False)["cube"]
    made = opened.eo.embed(model, chunk=side)
    xeo.write(made, folder / "out.zarr", progress=False)
    return zarr.open_group(folder / "out.zarr", mode="r")[made.name][...]


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize(
    ("path", "south_up"), [(from_memory, False), (lazily, True), (store_to_store, True)]
)
def test_awkward_cubes_equal_the_whole_image(case, path, south_up, tmp_path):
    size, model, side, missing = CASES[case]
    upright = make_cube(size, missing)
    # One row has no direction: it counts as upright however it is turned.
    turn = slice(None, None, -1 if south_up and size[0] > 1 else 1)
    made = path(upright.isel(y=turn), model, side, tmp_path)
    np.testing.assert_array_equal(made[:, :, turn], whole(model, upright.values))


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_pixels_is_refused(size):
    with pytest.raises(DimensionError, match="at least one position"):
        make_cube(size).eo.embed(Leaning())
