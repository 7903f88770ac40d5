"""Pixels to look at: every n-th, north up, decoded, NaN where missing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xeo.calibration import Told, settle
from xeo.cube import Cube
from xeo.errors import OptionError, UnitsError
from xeo.layers import Layer


def step_of(cube: Cube, size: int) -> int:
    """Return which n makes every n-th pixel fit a longest side of ``size``."""
    if size < 1:
        raise OptionError(f"expected a size of 1 pixel or more, got {size}")
    return -(-max(cube.sizes[1:]) // size)


def _rows(count: int, flipped: bool, step: int) -> slice:
    """Every n-th position, the same pixels whatever the storage order."""
    return slice((count - 1) % step if flipped else 0, None, step)


def strided(cube: Cube, variable: xr.Variable, step: int) -> xr.Variable:
    """Choose dates and every n-th pixel without reading."""
    _, ny, nx = cube.sizes
    want: dict[str, Any] = {"y": _rows(ny, cube.flip[0], step), "x": _rows(nx, cube.flip[1], step)}
    if cube.picked is not None:
        want["time"] = cube.picked
    chosen = {cube.roles[role]: at for role, at in want.items() if role in cube.roles}
    return variable.isel({dim: at for dim, at in chosen.items() if dim in variable.dims})


def upright(cube: Cube, variable: xr.Variable, *after: Hashable) -> npt.NDArray[Any]:
    """Return values as ``(time, y, x, ...)``, north and west first."""
    dims = [cube.roles.get(role, f"no_{role}") for role in ("time", "y", "x")]
    absent = [dim for dim in dims if dim not in variable.dims]
    values = np.asarray(
        variable.set_dims([*absent, *variable.dims]).transpose(*dims, *after).values
    )
    values = values[:, ::-1] if cube.flip[0] else values
    return values[:, :, ::-1] if cube.flip[1] else values


def take(cube: Cube, variable: xr.Variable, step: int) -> npt.NDArray[Any]:
    """Read every n-th pixel of a variable, as it is stored."""
    return upright(cube, strided(cube, variable, step))


def read_bands(cube: Cube, layers: Sequence[Layer], step: int) -> list[npt.NDArray[np.float32]]:
    """Read bands in one go, decoded, NaN where missing."""
    band = cube.roles.get("band")
    chosen = {}
    for i, layer in enumerate(layers):
        at = {band: layer.index} if band in layer.variable.dims else {}
        chosen[str(i)] = strided(cube, layer.variable, step).isel(at)
    loaded = xr.Dataset(chosen).load()
    return [
        _decode(cube, layer, upright(cube, loaded[str(i)].variable))
        for i, layer in enumerate(layers)
    ]


def _decode(cube: Cube, layer: Layer, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    try:
        found = settle(cube.stored(layer), Told())
    except UnitsError:
        # A picture is stretched anyway: numbers whose offset nobody knows are good enough.
        found = settle(cube.stored(layer), Told(offset=0.0))
    offset = np.reshape(np.asarray(found.offset, float), (-1, 1, 1))
    out = values * found.scale + offset
    return np.where(values == found.nodata, np.nan, out).astype(np.float32)
