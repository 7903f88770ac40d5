"""Quality layers: codes and flags beside the bands, on the same grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import xarray as xr

from xeo.calibration import Calibration, Stored, Told
from xeo.cube import Cube
from xeo.errors import BandError
from xeo.layers import Layer, find_layers, find_roles


class QualityCube(Cube):
    """A cube whose first layer holds codes, which no scale of the bands applies to."""

    def _bands(self) -> list[int | None]:
        return [0]

    def _calibrate(self, layer: Layer, wanted: str | None, told: Told) -> tuple[Calibration, str]:
        if layer is self.layers[0]:
            told = Told()
        return super()._calibrate(layer, wanted, told)

    def stored(self, layer: Layer) -> Stored:
        """Return what the cube says of the numbers of one layer; of codes only what is missing."""
        found = super().stored(layer)
        if layer is not self.layers[0]:
            return found
        return replace(found, attrs=layer.variable.attrs, band=None, sensor=None)


def quality_cube(obj: Any, wanted: tuple[str, ...], method: str, sensor: str | None) -> QualityCube:
    """Return the cube whose first layer is a quality layer, and whose others are the bands.

    Parameters
    ----------
    obj : DataArray or Dataset
        What the user has.
    wanted : tuple of str
        Names of the layer, however their letters are cased.
    method : str
        Who reads it, for messages.
    sensor : str, optional
        Of the bands, as the user says.

    Raises
    ------
    BandError
        If there is no such layer on the grid of the cube.
    """
    roles = find_roles(obj)
    layer = _find(obj, {dim: role for role, dim in roles.items()}, wanted)
    if layer is None:
        held = obj.data_vars if isinstance(obj, xr.Dataset) else find_layers(obj, roles)
        names = [str(getattr(one, "label", one)) for one in held]
        raise BandError(
            f"expected the layer {' or '.join(wanted)} on the grid of the cube for method "
            f"{method!r}, got {names}. Try: rename it, or method='auto'"
        )
    try:
        whole = Cube.of(obj, sensor=sensor)
    except BandError:
        # Codes alone are enough, but for shadows.
        return QualityCube(obj, (layer,), roles, ())
    layers = (layer, *whole.layers)
    return QualityCube(obj, layers, roles, whole.sensors, named=whole.named)


def _find(obj: Any, roles: Mapping[Any, str], wanted: tuple[str, ...]) -> Layer | None:
    """Return a layer of codes: a variable, a band, or the array itself."""
    low = [name.lower() for name in wanted]
    if isinstance(obj, xr.Dataset):
        for name, da in obj.data_vars.items():
            if str(name).lower() in low and set(da.dims) <= set(roles):
                own = tuple(roles[dim] for dim in da.dims)
                return Layer(str(name), da.variable, str(name), own, 0)
        return None
    layers = find_layers(obj, {role: dim for dim, role in roles.items()})
    found = [one for one in layers if one.label.lower() in low]
    return next(iter(found or (layers if len(layers) == 1 else ())), None)
