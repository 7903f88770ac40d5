"""Which dimension is which, and which variable or index is a band."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xeo.errors import BandError, DimensionError

Grid = xr.DataArray | xr.Dataset

_NAMES = {
    "time": ("time", "t", "date", "dates", "datetime", "valid_time", "acquisition_date"),
    "y": ("y", "lat", "latitude", "northing", "rows", "row", "nav_lat"),
    "x": ("x", "lon", "longitude", "long", "easting", "columns", "column", "col", "nav_lon"),
    "band": ("band", "bands", "channel", "channels", "spectral", "wavelength", "feature", "c"),
}
_CF = {
    "time": (("axis", "T"), ("standard_name", "time")),
    "y": (("axis", "Y"), ("standard_name", "latitude"),
          ("standard_name", "projection_y_coordinate")),
    "x": (("axis", "X"), ("standard_name", "longitude"),
          ("standard_name", "projection_x_coordinate")),
}  # fmt: skip
_HINTS = ("platform", "constellation", "mission", "instrument", "instruments", "sensor", "product",
          "product_type", "productType", "collection", "collections", "title", "long_name",
          "processing:level", "processing_level", "id")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Layer:
    """One band: a label, and the variable (and index) where it is stored."""

    label: str
    variable: xr.Variable
    name: str
    roles: tuple[str, ...]
    index: int


def find_roles(obj: Grid) -> dict[str, Hashable]:
    """Return ``time``, ``band``, ``y``, ``x`` and the dimension that each is, where there is one.

    CF attributes are believed first, then names, then a coordinate of dates.
    """
    roles: dict[str, Hashable] = {}
    for role, names in _NAMES.items():
        dims = [d for d in obj.dims if d not in roles.values()]
        by_name = [d for name in names for d in dims if str(d).lower() == name]
        marks = _CF.get(role, ())
        by_cf = [
            d
            for d in dims
            if d in obj.coords and any(obj.coords[d].attrs.get(key) == word for key, word in marks)
        ]
        by_type = [
            d
            for d in dims
            if role == "time" and d in obj.coords and obj.coords[d].dtype.kind == "M"
        ]
        for found in (by_cf, by_name, by_type):
            if found:
                roles[role] = found[0]
                break
    return roles


def find_layers(obj: Grid, roles: Mapping[str, Hashable]) -> tuple[Layer, ...]:
    """Return the bands of an object: indices of its band dimension, or variables.

    Raises
    ------
    DimensionError
        If a DataArray has a dimension that is none of the four.
    BandError
        If a Dataset has no variable that could hold a band.
    """
    names = {dim: role for role, dim in roles.items()}
    if isinstance(obj, xr.DataArray):
        unknown = [d for d in obj.dims if d not in names]
        if unknown:
            raise DimensionError(
                f"expected dimensions time, band, y and x (or their common names), got {obj.dims}: "
                f"cannot tell what {unknown} are. Try: obj.isel({unknown[0]}=0) or obj.rename(...)"
            )
        return _split(obj.variable, str(obj.name or ""), obj, names)
    layers: list[Layer] = []
    spatial = [v for v in obj.data_vars.values() if {roles.get("y"), roles.get("x")} <= set(v.dims)]
    candidates = spatial or [v for v in obj.data_vars.values() if roles.get("time") in v.dims]
    for variable in candidates:
        if set(variable.dims) <= set(names) and not _is_quality(variable):
            layers.extend(_split(variable.variable, str(variable.name), variable, names))
    if not layers:
        raise BandError(
            f"expected variables with dimensions time, band, y, x that hold bands, got "
            f"{list(obj.data_vars)} with dimensions {dict(obj.sizes)}"
        )
    return tuple(layers)


def _split(
    variable: xr.Variable, name: str, obj: xr.DataArray, names: Mapping[Hashable, str]
) -> tuple[Layer, ...]:
    """Return one layer for each band of a variable."""
    roles = tuple(names[dim] for dim in variable.dims)
    if "band" not in roles:
        return (Layer(_label(obj, name), variable, name, roles, 0),)
    axis = roles.index("band")
    dim = variable.dims[axis]
    labels = [str(v) for v in obj.coords[dim].values] if dim in obj.coords else None
    long = obj.attrs.get("long_name")
    if labels is None or all(label.isdecimal() for label in labels):
        # rioxarray numbers bands and keeps their descriptions in long_name.
        if isinstance(long, (tuple, list)) and len(long) == variable.shape[axis]:
            labels = [str(one) for one in long]
        elif dim in obj.coords and "common_name" in obj.coords:
            labels = [str(v) for v in np.ravel(obj.coords["common_name"].values)]
    labels = labels or [str(i + 1) for i in range(variable.shape[axis])]
    return tuple(Layer(label, variable, name, roles, i) for i, label in enumerate(labels))


def _label(obj: xr.DataArray, name: str) -> str:
    """Return the label of a lone band: a scalar coordinate if it was selected, else the name."""
    for dim in _NAMES["band"]:
        if dim in obj.coords and obj.coords[dim].ndim == 0:
            return str(obj.coords[dim].values)
    return name


def _is_quality(variable: xr.DataArray) -> bool:
    """Classes, flags and masks are not bands."""
    marked = {"flag_values", "flag_meanings", "flag_masks"} & set(variable.attrs)
    return bool(marked) or variable.dtype.kind not in "iuf" or variable.ndim < 1


def all_labels(obj: Grid, labels: list[str]) -> list[str]:
    """Quality layers such as SCL tell products apart, though they are no bands."""
    if isinstance(obj, xr.Dataset):
        return [*labels, *(str(name) for name in obj.data_vars if str(name) not in labels)]
    return labels


def sensor_hint(obj: Grid) -> str:
    """Return all that attributes and coordinates say about the sensor, as free text."""
    words = [str(obj.attrs[name]) for name in _HINTS if name in obj.attrs]
    for name in ("platform", "constellation", "instruments", "collection"):
        if name in obj.coords and obj.coords[name].dtype.kind in "UO":
            words.extend(sorted({str(v) for v in np.ravel(obj.coords[name].values)[:20]}))
    return " ".join([*words, str(getattr(obj, "name", "") or "")])
