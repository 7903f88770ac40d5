"""The sun's angles, where a cube has them: one of each for a date."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo.cube import Cube
from xeo.engine.source import is_dask, load, origin

#: Names as they are left without separators, prefixes and "angle"; see `_plain`.
_ZENITH = ("sunzenith", "solarzenith", "meansolarzenith", "meansunzenith", "sza")
_AZIMUTH = ("sunazimuth", "solarazimuth", "meansolarazimuth", "meansunazimuth", "saa")
_ELEVATION = ("sunelevation", "solarelevation")


def sun_angles(cube: Cube) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return zenith and azimuth of the sun on each date, in degrees, or None.

    They are variables, coordinates or attributes of the cube, such as ``sunZenithAngles``,
    ``view:sun_elevation`` or ``s2:mean_solar_azimuth``, one number a date or one for all.

    Parameters
    ----------
    cube : Cube
        What the user has.

    Returns
    -------
    zenith, azimuth : array, shape (time,)
        From the vertical; clockwise from north. NaN where a date has none.
    """
    zenith, azimuth = _find(cube, _ZENITH), _find(cube, _AZIMUTH)
    elevation = _find(cube, _ELEVATION) if zenith is None else None
    if elevation is not None:
        zenith = 90.0 - elevation
    return None if zenith is None or azimuth is None else (zenith, azimuth)


def _find(cube: Cube, names: tuple[str, ...]) -> NDArray[np.float64] | None:
    for name, held in _held(cube):
        if _plain(name) in names:
            values = _values(cube, held)
            if values is not None:
                return values
    return None


def _held(cube: Cube) -> list[tuple[str, Any]]:
    obj = cube.obj
    variables = {**(obj.data_vars if isinstance(obj, xr.Dataset) else {}), **obj.coords}
    return [(str(k), v) for k, v in variables.items()] + list(obj.attrs.items())


def _plain(name: str) -> str:
    """Return ``"sunzenith"`` for ``"sunZenithAngles"`` and ``"view:sun_zenith_angle"``."""
    bare = name.rpartition(":")[2]
    return re.sub(r"angles?$", "", re.sub(r"[^a-z]", "", bare.lower()))


def _values(cube: Cube, held: Any) -> NDArray[np.float64] | None:
    """Return one number a date; None for what has pixels, or is no number."""
    if isinstance(held, xr.DataArray):
        if any(dim != cube.roles.get("time") for dim in held.dims):
            return None
        held = _read(held.variable)
    try:
        values = np.asarray(held, dtype=float)
    except (TypeError, ValueError):
        return None
    if values.ndim and cube.picked is not None:
        values = values[cube.picked]
    return np.broadcast_to(values, cube.sizes[:1]).copy() if values.ndim < 2 else None


def _read(variable: xr.Variable) -> Any:
    """Return a number a date: metadata, which decides how much context is read.

    Though it may be stored as a variable, it is read while the work is planned, as coordinates
    are; in this thread, which takes no scheduler.
    """
    raw = variable.data if variable._in_memory or variable.chunks is not None else variable
    array = origin(raw)
    if is_dask(array):
        return array.compute(scheduler="synchronous")
    return load(array[(slice(None),) * variable.ndim])
