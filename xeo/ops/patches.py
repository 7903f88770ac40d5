"""Squares of pixels drawn from a cube, to make filters of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo.calibration import Told
from xeo.cube import Cube
from xeo.engine.source import Source
from xeo.errors import OptionError
from xeo.kernels.decode import bad_pixels, to_physical
from xeo.kernels.whitening import draw_patches as _draw
from xeo.spec import Input

#: Side of the places that are read, and how many of them are tried.
_PLACE = 64
_PLACES = 24


def draw_patches(
    obj: xr.DataArray | xr.Dataset,
    count: int = 128,
    side: int = 3,
    *,
    seed: int = 0,
    sensor: str | None = None,
    units: str | None = None,
    offset: float | None = None,
    dates: Any = None,
    bands: Sequence[str] | None = None,
) -> xr.DataArray:
    """Draw small squares of complete pixels from random places of a cube.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``([time,] [band,] y, x)``, as for `xeo.embed`.
    count : int
        Number of squares.
    side : int
        Side of a square, in pixels.
    seed : int
        Of the draw: the same seed and cube give the same squares.
    sensor, units, offset, dates, bands :
        As for `xeo.embed`.

    Returns
    -------
    DataArray
        Dims ``(patch, band, y, x)``, float32, in the physical units of the cube, in memory:
        this reads up to 24 places of 64 pixels a side, whatever the size of the cube.

    Raises
    ------
    OptionError
        If the places that were read hold too few complete squares.
    BandError, UnitsError, DateError, DimensionError
        As for `xeo.embed`.

    Examples
    --------
    >>> from xeo.models.embedders.mosaiks import Mosaiks
    >>> cube = xeo.simulate_cube(dates=2, size=64)
    >>> patches = cube.eo.draw_patches(count=32)
    >>> cube.eo.embed(Mosaiks.from_patches(patches.values)).sizes["embedding"]
    64
    """
    if count < 1 or side < 1:
        raise OptionError(f"expected count and side of 1 or more, got {count} and {side}")
    cube = Cube.of(obj, sensor=sensor).select_dates(dates)
    cube = cube if bands is None else cube.select_bands(bands)
    source, _, _ = cube.source(Input(), Told(units, offset))
    rng = np.random.default_rng(seed)
    places = [_read(source, cube.sizes, max(side, _PLACE), rng) for _ in range(_PLACES)]
    found = _draw(np.concatenate(places), count, side, seed)
    labels = cube.labels if len(cube.labels) == found.shape[1] else None
    coords = {} if labels is None else {"band": labels}
    return xr.DataArray(found, dims=("patch", "band", "y", "x"), coords=coords, name="patches")


def _read(
    source: Source, sizes: tuple[int, int, int], side: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return one place at one date, ``(1, band, side, side)``, NaN where bad or beyond."""
    time = np.array([rng.integers(sizes[0])])
    y, x = (_span(size, side, rng) for size in sizes[1:])
    raw, _ = source.read(time, y, x)
    values: NDArray[np.float32] = to_physical(raw, source.scale, source.offset[time])
    values[bad_pixels(raw, source.nodata)] = np.nan
    fill = [(0, 0), (0, 0)] + [(0, side - n) for n in values.shape[2:]]
    return np.pad(values, fill, constant_values=np.nan)


def _span(size: int, side: int, rng: np.random.Generator) -> NDArray[np.int64]:
    first = int(rng.integers(max(1, size - side + 1)))
    return np.arange(first, min(first + side, size))
