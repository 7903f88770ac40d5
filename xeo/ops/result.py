"""Dims, coordinates, CRS and GeoTransform of an output."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo.cube import Cube
from xeo.engine.plan import Axis, Plan


def coordinates(
    cube: Cube, plan: Plan, channel: str, at: NDArray[np.datetime64] | None = None
) -> tuple[tuple[Hashable, ...], dict[Hashable, Any]]:
    """Return the dims and coordinates of the output of a plan.

    Parameters
    ----------
    cube : Cube
        The first modality.
    plan : Plan
        Of the work.
    channel : str
        Name of the dimension of channels; ``""`` for an output without one.
    at : array of datetime64, optional
        Dates of the output, where they are others than the cube's.

    Returns
    -------
    dims : tuple of hashable
        ``([time,] [channel,] y, x)`` under the cube's own names.
    coords : dict
        Centres of the output's cells, dates, the CRS with the GeoTransform of the output, and
        scalar coordinates of the cube.
    """
    time, y, x = (cube.roles.get(role) for role in ("time", "y", "x"))
    dims = [*([time] if plan.keeps_time else []), *([channel] if channel else []), y, x]
    coords: dict[Hashable, Any] = {}
    if at is not None and time is not None:
        coords[time] = xr.Variable((time,), at, cube.obj.coords[time].attrs)
    elif plan.keeps_time and time in cube.obj.coords:
        along = cube.obj.coords[time].variable
        along = along if cube.picked is None else along.isel({time: cube.picked})
        coords[time] = _unstored(along)
    for role, name, axis, flipped in (
        ("y", y, plan.y, cube.flip[0]),
        ("x", x, plan.x, cube.flip[1]),
    ):
        values = cube.coordinate(role)
        if values is not None:
            attrs = cube.obj.coords[name].attrs
            coords[name] = xr.Variable((name,), centres(values, axis, flipped), attrs)
    if channel:
        coords[channel] = np.arange(plan.channels)
    if cube.grid_mapping is not None:
        coords[cube.grid_mapping] = _grid_mapping(cube, plan)
    return tuple(d for d in dims if d is not None), coords


def _unstored(variable: xr.Variable) -> xr.Variable:
    """Drop how a coordinate was stored: compressors of one Zarr format break the other."""
    made = variable.copy(deep=False)
    made.encoding = {k: v for k, v in variable.encoding.items() if k in ("units", "calendar")}
    return made


def centres(values: NDArray[np.float64], axis: Axis, flipped: bool) -> NDArray[np.float64]:
    """Return the centres of cells of ``axis.stride`` pixels, in the order of ``values``.

    A last cell that hangs over the border keeps its full size: the grid stays regular.
    """
    stride = axis.stride
    if stride == 1:
        return values
    ordered = values[::-1] if flipped else values
    spare = axis.cells * stride - len(ordered)
    step = ordered[-1] - ordered[-2] if len(ordered) > 1 else 0.0
    longer = np.concatenate([ordered, ordered[-1] + step * np.arange(1, spare + 1)])
    made: NDArray[np.float64] = longer.reshape(axis.cells, stride).mean(axis=1)
    return made[::-1] if flipped else made


def _grid_mapping(cube: Cube, plan: Plan) -> xr.Variable:
    held = cube.obj[cube.grid_mapping].variable
    attrs = dict(held.attrs)
    transform = _transform(cube, plan)
    if transform is not None:
        attrs["GeoTransform"] = " ".join(repr(float(number)) for number in transform)
    else:
        attrs.pop("GeoTransform", None)
    return xr.Variable((), held.values, attrs)


def _transform(cube: Cube, plan: Plan) -> tuple[float, ...] | None:
    """Return ``(x0, dx, 0, y0, 0, dy)`` of the output, in its own orientation."""
    found = []
    for role, axis, flipped in (("x", plan.x, cube.flip[1]), ("y", plan.y, cube.flip[0])):
        values = cube.coordinate(role)
        pixel = _pixel(cube, role, values)
        if values is None or pixel is None:
            return None
        # `pixel` is signed along the stored order, `centres` keeps that order.
        first = centres(values, axis, flipped)[0]
        if len(values) == 1 and axis.stride > 1:
            first = values[0] + pixel * (axis.stride - 1) / 2
        cell = pixel * axis.stride
        found.append((first - cell / 2, cell))
    (x0, dx), (y0, dy) = found
    return x0, dx, 0.0, y0, 0.0, dy


def _pixel(cube: Cube, role: str, values: NDArray[np.float64] | None) -> float | None:
    if values is not None and len(values) > 1:
        return float((values[-1] - values[0]) / (len(values) - 1))
    if cube.grid_mapping is None:
        return None
    numbers = str(cube.obj[cube.grid_mapping].attrs.get("GeoTransform", "")).split()
    return float(numbers[1 if role == "x" else 5]) if len(numbers) == 6 else None
