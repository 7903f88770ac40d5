"""A result that looks like its cube: the same bands, as a dimension or as variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xeo.calibration import Told, decoded
from xeo.errors import OptionError
from xeo.layers import Layer
from xeo.ops.apply import Output, Prepared

#: Units of decoded values, as attributes spell them.
_SPELLED = {
    "reflectance": "1",
    "db": "dB",
    "power": "1",
    "kelvin": "K",
    "celsius": "degC",
    "metre": "m",
    "mm": "mm",
    "degree": "degree",
}


@dataclass(frozen=True)
class Layout:
    """The bands of a result, as the cube has them.

    Parameters
    ----------
    prepared : Prepared
        Whose values begin with a channel for each band.
    told : Told
        What the user said of the numbers.
    """

    prepared: Prepared
    told: Told

    @property
    def layers(self) -> list[Layer]:
        """The bands that were read."""
        return [layer for layer in self.prepared.layers if layer is not None]

    @property
    def count(self) -> int:
        """How many bands there are."""
        return len(self.prepared.layers)

    @property
    def channel(self) -> str:
        """Name of the dimension of bands; ``""`` where bands are variables."""
        layers = self.layers
        one = len({layer.name for layer in layers}) == 1 and all("band" in x.roles for x in layers)
        return str(self.prepared.cube.roles["band"]) if one else ""

    @property
    def main(self) -> str:
        """Name of the only variable, where bands are a dimension or there is but one."""
        return self.layers[0].name or "data"

    def outputs(
        self, *, first: int = 0, suffix: str = "", long_name: str = ""
    ) -> dict[str, Output]:
        """Return the variables of the bands.

        Parameters
        ----------
        first : int
            Channel of the first band.
        suffix : str
            Ends the names.
        long_name : str
            In place of the bands' own, which it begins with.
        """
        if self.channel:
            attrs = self._attrs(self.layers[0], long_name, several=True)
            return {self.main + suffix: Output(attrs, channels=(first, first + self.count))}
        names = [self._name(layer) + suffix for layer in self.layers]
        if len(set(names)) < len(names):
            raise OptionError(f"expected each band once, got {names}. Try: bands=[...]")
        return {
            name: Output(self._attrs(layer, long_name), channels=first + number)
            for number, (name, layer) in enumerate(zip(names, self.layers, strict=True))
        }

    def _name(self, layer: Layer) -> str:
        return layer.label or self.main

    def _attrs(self, layer: Layer, long_name: str, several: bool = False) -> dict[str, Any]:
        """Return the attributes of a band, decoded."""
        units = self.prepared.cube.units_of(layer, self.told)
        attrs = decoded(layer.variable.attrs)
        own = str(attrs.get("long_name") or ("" if several else layer.label))
        if units is not None:
            attrs["units"] = _SPELLED.get(units, units)
            # Says on its own what the values are, wherever it is opened again.
            if units == "reflectance" and "reflectance" not in own:
                own = f"{own} reflectance".strip()
        attrs["long_name"] = f"{long_name} {own}".strip()
        return attrs

    def finish(self, made: xr.Dataset) -> xr.Dataset:
        """Give a result the labels of its bands and the attributes of the cube."""
        cube = self.prepared.cube
        if self.channel and self.channel in made.dims:
            labels: Any = [layer.label for layer in self.layers]
            if self.channel in cube.obj.coords:
                held = cube.obj.coords[self.channel].values
                labels = held[[layer.index for layer in self.layers]]
            made = made.assign_coords({self.channel: np.asarray(labels)})
        return made.assign_attrs(decoded(cube.obj.attrs) if self.whole else {})

    @property
    def whole(self) -> bool:
        """Whether the cube is a Dataset."""
        return isinstance(self.prepared.cube.obj, xr.Dataset)

    def like_cube(self, made: xr.Dataset) -> xr.DataArray | xr.Dataset:
        """Return a Dataset as what the cube was, where it holds nothing but the bands."""
        if self.whole or len(made.data_vars) > 1:
            return made
        array = made[next(iter(made.data_vars))]
        name = self.prepared.cube.obj.name
        return array.rename(name)
