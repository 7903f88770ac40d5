"""What people really have, understood: dimensions, bands, dates, grid and CRS of any cube.

A `Cube` reads nothing. It finds which dimension is which, which variable or index is which
band, which way is north, and hands the engine sources in canonical order: dates as they come,
north first, west first.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xeo.bands import Band, Sensor, canonical, identify, pick
from xeo.bands import sensor as find_sensor
from xeo.calibration import Calibration, Stored, Told, explain, settle
from xeo.engine.grid import Place
from xeo.engine.plan import LONGEST
from xeo.engine.source import Part, Source, is_dask, origin
from xeo.engine.stored import store_chunks
from xeo.errors import BandError, DateError, DimensionError, GridError, UnitsError
from xeo.kernels.units import conversion
from xeo.layers import Grid, Layer, all_labels, find_layers, find_roles, sensor_hint
from xeo.spec import Input

_COLLECTION_2 = ("c2l2", "c2-l2", "c2 l2", "collection 2", "collection2", "l2sp", "_02_t1")
_BASELINES = (
    "s2:processing_baseline",
    "processing:baseline",
    "processing_baseline",
    "s2_processing_baseline",
)


@dataclass(frozen=True, eq=False)
class Cube:
    """A DataArray or Dataset, understood.

    Parameters
    ----------
    obj : DataArray or Dataset
        As the user has it.
    layers : tuple of Layer
        Its bands.
    roles : mapping of str to str
        ``time``, ``band``, ``y``, ``x`` to the names of the dimensions, those that there are.
    sensors : tuple of Sensor
        What it can be a product of.
    picked : array of int, optional
        Positions of the dates to use; None for all.
    named : bool
        Whether the user named the sensor.
    """

    obj: Grid
    layers: tuple[Layer, ...]
    roles: Mapping[str, Hashable]
    sensors: tuple[Sensor, ...]
    picked: NDArray[np.int64] | None = None
    named: bool = False

    @classmethod
    def of(cls, obj: Any, *, sensor: str | None = None, name: str = "") -> Cube:
        """Understand an xarray object.

        Parameters
        ----------
        obj : DataArray or Dataset
            Bands as a dimension, or as variables.
        sensor : str, optional
            Name of its sensor or product, where attributes and labels do not tell.
        name : str
            What it is called, such as its node in a tree: one more hint to the sensor.

        Raises
        ------
        DimensionError
            If there are dimensions that are neither time, band, y nor x, or an axis is empty.
        BandError
            If there is no variable that could be a band.
        """
        if not isinstance(obj, (xr.DataArray, xr.Dataset)):
            raise DimensionError(
                f"expected a DataArray or Dataset, got {type(obj).__name__}. For a DataTree name "
                "its node: tree['sentinel2'].to_dataset()"
            )
        roles = find_roles(obj)
        layers = find_layers(obj, roles)
        labels = [layer.label for layer in layers]
        hint = " ".join([name, sensor_hint(obj)])
        sensors = (find_sensor(sensor),) if sensor else identify(all_labels(obj, labels), hint)
        cube = cls(obj, layers, roles, sensors, named=sensor is not None)
        for role, size in zip(("time", "y", "x"), cube.sizes, strict=True):
            if size == 0:
                raise DimensionError(
                    f"expected at least one position along {role} "
                    f"({roles.get(role)!r}), got 0. Try: check the selection that made this cube"
                )
        return cube

    @property
    def labels(self) -> list[str]:
        """Labels of the bands, in order."""
        return [layer.label for layer in self.layers]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Dates, rows and columns; 1 for an axis that is not there."""
        sizes = {str(k): v for k, v in self.obj.sizes.items()}
        time, y, x = (sizes.get(str(self.roles.get(role)), 1) for role in ("time", "y", "x"))
        return (time if self.picked is None else len(self.picked)), y, x

    @property
    def has_place(self) -> bool:
        """Whether it has rows and columns."""
        return "y" in self.roles and "x" in self.roles

    @cached_property
    def dates(self) -> NDArray[np.datetime64] | None:
        """Its dates, in order, or None."""
        name = self.roles.get("time")
        if name is None or name not in self.obj.coords:
            return None
        values = np.asarray(self.obj.coords[name].values)
        if values.dtype.kind != "M":
            index = self.obj.indexes.get(name)
            if not isinstance(index, xr.CFTimeIndex):
                return None
            values = np.asarray(index.to_datetimeindex(time_unit="ns").values)
        return values if self.picked is None else values[self.picked]

    def check_dates(self) -> NDArray[np.datetime64]:
        """Return the dates, or say what is wrong with them.

        Raises
        ------
        DateError
            If there are none, or they are missing, doubled or out of order.
        """
        dates, name = self.dates, self.roles.get("time", "time")
        if dates is None:
            raise DateError(
                "expected a coordinate of dates along time, got none. Try: "
                "obj.assign_coords(time=pandas.to_datetime([...])) or obj.expand_dims(time=[...])"
            )
        if np.isnat(dates).any():
            raise DateError(
                f"expected dates along {name!r}, got {int(np.isnat(dates).sum())} NaT. "
                f"Try: obj.isel({name}=obj[{name!r}].notnull())"
            )
        steps = np.diff(dates)
        if (steps == np.timedelta64(0, "ns")).any() or len(np.unique(dates)) < len(dates):
            twice = pd.Index(dates)[pd.Index(dates).duplicated()][0]
            raise DateError(
                f"expected each date once along {name!r}, got {twice} more than once. "
                f"Try: obj.groupby({str(name)!r}).first() or obj.drop_duplicates("
                f"{str(name)!r})"
            )
        if (steps < np.timedelta64(0, "ns")).any():
            at = int(np.argmax(steps < np.timedelta64(0, "ns")))
            raise DateError(
                f"expected dates in order along {name!r}, got {dates[at + 1]} after "
                f"{dates[at]}. Try: obj.sortby({str(name)!r})"
            )
        return dates

    def select_dates(self, dates: Any) -> Cube:
        """Return the cube with fewer dates, without touching values.

        Parameters
        ----------
        dates : slice, str or sequence
            Anything that ``obj.sel(time=...)`` takes.

        Raises
        ------
        DateError
            If nothing is selected, or a date is not there.
        """
        if dates is None:
            return self
        self.check_dates()
        name = self.roles["time"]
        times = self.obj.coords[name]
        positions = xr.DataArray(np.arange(times.size), coords={name: times}, dims=[name])
        try:
            picked = np.atleast_1d(positions.sel({name: dates}).values)
        except KeyError as err:
            raise DateError(
                f"expected dates of the cube ({times.values[0]} to "
                f"{times.values[-1]}), got {dates!r}: {err} is not there. Try: a slice, "
                "slice('2020-01', '2020-12')"
            ) from err
        if not len(picked):
            raise DateError(
                f"expected at least one date from {times.values[0]} to "
                f"{times.values[-1]}, but {dates!r} selects none"
            )
        return replace(self, picked=picked)

    def select_bands(self, wanted: Sequence[str]) -> Cube:
        """Return the cube with only some bands, in that order.

        Raises
        ------
        BandError
            If one is not there.
        """
        places = self.find(tuple(wanted))
        return replace(self, layers=tuple(self.layers[p] for p in places if p is not None))

    def find(self, wanted: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[int | None]:
        """Return where each wanted band is; None for one that may be missing, and is.

        Raises
        ------
        BandError
            If a band is missing, or cannot be told from another.
        """
        places = list(pick(self.labels, wanted, self.sensors))
        missing = [
            name
            for name, place in zip(wanted, places, strict=True)
            if place is None and name not in optional
        ]
        if missing:
            taken = ", ".join(one.name for one in self.sensors) or "no known sensor"
            raise BandError(
                f"expected the bands {list(wanted)}, but {missing} are missing: the cube has "
                f"{self.labels}, taken for {taken}. Try: rename them, or say sensor='...'"
            )
        return places

    def meaning(self, layer: Layer) -> tuple[Band | None, Sensor | None]:
        """Return what a layer is in the vocabulary, where that is beyond doubt."""
        found = {(s.name): canonical(layer.label, s) for s in self.sensors}
        known = [
            (band, one) for one, band in zip(self.sensors, found.values(), strict=True) if band
        ]
        if not known:
            return None, None
        same = {(b.name, s.units, s.scale, b.scale) for b, s in known}
        return known[0] if len(same) == 1 else (None, None)

    def stored(self, layer: Layer) -> Stored:
        """Return what the cube says of the numbers of one layer."""
        band, one = self.meaning(layer)
        attrs = {**self.obj.attrs, **layer.variable.attrs}
        if isinstance(self.obj, xr.Dataset) and "scale_factor" not in layer.variable.attrs:
            attrs.pop("scale_factor", None)
        return Stored(
            layer.label,
            layer.variable.dtype,
            attrs,
            layer.variable.encoding,
            band,
            one,
            self.dates,
            self._baselines(),
            self.named or any(word in sensor_hint(self.obj).lower() for word in _COLLECTION_2),
        )

    def _baselines(self) -> NDArray[np.float64] | None:
        count = self.sizes[0]
        for name in _BASELINES:
            value = self.obj.coords.get(name, self.obj.attrs.get(name))
            if value is None:
                continue
            numbers = pd.to_numeric(pd.Series(np.ravel(np.asarray(value)).astype(str)), "coerce")
            found = numbers.to_numpy(dtype=float)
            if self.picked is not None and len(found) > 1:
                found = found[self.picked]
            return np.broadcast_to(found, (count,)) if len(found) in (1, count) else None
        return None

    def source(
        self, request: Input, told: Told, mask: xr.DataArray | None = None
    ) -> tuple[Source, tuple[int, ...], list[str]]:
        """Return where a model's bands are read from, in its units.

        Parameters
        ----------
        request : Input
            The bands and units that the model wants.
        told : Told
            What the user says of the numbers.
        mask : DataArray, optional
            Further bad pixels, True where bad.

        Returns
        -------
        source : Source
            In the model's order of bands.
        absent : tuple of int
            Positions, in that order, of optional bands that the cube lacks.
        reasons : list of str
            Why the units are what they are, for provenance.
        """
        places = (
            self._bands()
            if request.bands is None
            else self.find(request.bands, request.optional_bands)
        )
        absent = tuple(i for i, place in enumerate(places) if place is None)
        given = next((place for place in places if place is not None), None)
        if given is None:
            raise BandError(
                f"expected at least one of {list(request.bands or ())}, but the cube "
                f"has {self.labels}. Try: rename its bands, or say sensor='...'"
            )
        layers = [self.layers[given if place is None else place] for place in places]
        settled = [
            self._calibrate(layer, request.units_of(i), told) for i, layer in enumerate(layers)
        ]
        source = Source(
            parts=_parts(layers),
            time=self._axis("time"),
            y=self._axis("y"),
            x=self._axis("x"),
            scale=np.array([c.scale for c, _ in settled]),
            offset=np.stack(
                [np.broadcast_to(np.asarray(c.offset, float), self.sizes[:1]) for c, _ in settled],
                axis=1,
            ),
            nodata=np.array([c.nodata for c, _ in settled]),
            convert=tuple(function for _, function in settled),
            mask=None if mask is None else self._mask(mask),
            dtype=np.result_type(*(layer.variable.dtype for layer in layers)),
        )
        return source, absent, sorted({c.reason for c, _ in settled} - {""})

    def layers_of(self, request: Input) -> tuple[Layer | None, ...]:
        """Return the layers that `source` reads, in its order; None for absent bands."""
        places = (
            self._bands()
            if request.bands is None
            else self.find(request.bands, request.optional_bands)
        )
        return tuple(None if place is None else self.layers[place] for place in places)

    def units_of(self, layer: Layer, told: Told) -> str | None:
        """Return what the values of a layer are in once they are decoded; None if not known."""
        return self._calibrate(layer, None, told)[0].units

    def _bands(self) -> list[int | None]:
        """Return all bands; of a Dataset of a known sensor its bands, in the sensor's order.

        Beside its bands such a data set may hold elevation, angles or results, and a store
        does not promise to list variables in the order in which they were written.
        """
        every: list[int | None] = list(range(len(self.layers)))
        if isinstance(self.obj, xr.DataArray) or len({v.name for v in self.layers}) == 1:
            return every
        ranked = [(self._rank(layer), i) for i, layer in enumerate(self.layers)]
        return [i for _, i in sorted((rank, i) for rank, i in ranked if rank is not None)] or every

    def _rank(self, layer: Layer) -> int | None:
        """Return a layer's place among the bands of its sensor; None if it is none of them."""
        for sensor in self.sensors:
            band = canonical(layer.label, sensor)
            if band is not None and sensor.family not in ("weather", "terrain"):
                return sensor.bands.index(band)
        return None

    def _calibrate(self, layer: Layer, wanted: str | None, told: Told) -> tuple[Calibration, str]:
        stored = self.stored(layer)
        if stored.dtype.kind not in "iufb":
            raise UnitsError(f"expected real numbers in {layer.label!r}, got {stored.dtype}")
        found = settle(stored, told)
        if wanted is None:
            return found, ""
        if found.units is None:
            raise explain(stored, wanted)
        way = conversion(found.units, wanted)
        if way is None:
            raise UnitsError(
                f"expected {wanted} in {layer.label!r}, got {found.units} "
                f"({found.reason}). Try: convert it, or say units='{wanted}' if the "
                "attribute is wrong"
            )
        factor, shift, function = way
        return (
            replace(found, scale=found.scale * factor, offset=found.offset * factor + shift),
            function,
        )

    def _mask(self, mask: xr.DataArray) -> Part:
        roles = {dim: role for role, dim in self.roles.items()}
        unknown = [dim for dim in mask.dims if roles.get(dim) not in ("time", "y", "x")]
        if unknown:
            raise DimensionError(
                f"expected a mask with dims among {list(roles)}, got {mask.dims}. "
                "Try: mask.any('band')"
            )
        if mask.dtype != bool:
            raise UnitsError(
                f"expected a boolean mask, True where bad, got {mask.dtype}. Try: mask != 0"
            )
        for dim in mask.dims:
            if mask.sizes[dim] != self.obj.sizes[dim] or not _same(mask, self.obj, dim):
                raise GridError(
                    f"expected the mask on the cube's own {dim!r}, got other "
                    f"coordinates or {mask.sizes[dim]} for {self.obj.sizes[dim]} "
                    f"positions. Try: {_mend(str(dim), roles[dim])}"
                )
        return Part(origin(_array(mask.variable)), tuple(roles[d] for d in mask.dims), (0,), "mask")

    def _axis(self, role: str) -> NDArray[np.int64]:
        """Positions along an axis in canonical order: north first, west first."""
        if role == "time":
            return np.arange(self.sizes[0]) if self.picked is None else self.picked
        positions = np.arange(self.sizes[1 if role == "y" else 2])
        return positions[::-1] if self.flip[0 if role == "y" else 1] else positions

    @cached_property
    def flip(self) -> tuple[bool, bool]:
        """Whether its rows run from south to north, and its columns from east to west."""
        y, x = self.coordinate("y"), self.coordinate("x")
        return (
            y is not None and len(y) > 1 and bool(y[-1] > y[0]),
            x is not None and len(x) > 1 and bool(x[-1] < x[0]),
        )

    def coordinate(self, role: str) -> NDArray[np.float64] | None:
        """Return the coordinate of an axis as stored, or None.

        Raises
        ------
        GridError
            If it goes back and forth, or has two dimensions.
        """
        name = self.roles.get(role)
        if name is None or name not in self.obj.coords:
            return None
        values = np.asarray(self.obj.coords[name].values, dtype=float)
        steps = np.diff(values)
        if not ((steps > 0).all() or (steps < 0).all()):
            raise GridError(
                f"expected {name!r} to rise or fall all along, but it does not. "
                f"Try: obj.sortby({str(name)!r})"
            )
        return values

    @cached_property
    def grid_mapping(self) -> Hashable | None:
        """Name of the variable that holds the CRS, or None."""
        variables = {**self.obj.coords}
        if isinstance(self.obj, xr.Dataset):
            variables.update(self.obj.data_vars)
        named = [
            layer.variable.encoding.get("grid_mapping") or layer.variable.attrs.get("grid_mapping")
            for layer in self.layers
        ]
        for name in [*named, "spatial_ref", "crs"]:
            if name in variables and variables[name].ndim == 0:
                return str(name)
        holders = [n for n, v in variables.items() if {"crs_wkt", "spatial_ref"} & set(v.attrs)]
        return holders[0] if holders else None

    @cached_property
    def crs(self) -> str | None:
        """Well-known text of its CRS, or None."""
        if self.grid_mapping is not None:
            attrs = self.obj[self.grid_mapping].attrs
            text = attrs.get("crs_wkt") or attrs.get("spatial_ref")
            if text:
                return str(text)
            if attrs.get("grid_mapping_name"):
                return _wkt(dict(attrs), cf=True)
        epsg = self.obj.coords.get("epsg", self.obj.coords.get("proj:epsg"))
        if epsg is not None and np.ndim(epsg) == 0:
            return _wkt(int(epsg))
        if "crs" in self.obj.attrs:
            return _wkt(self.obj.attrs["crs"])
        geographic = str(self.roles.get("y", "")).lower().startswith("lat")
        return _wkt(4326) if geographic and self.coordinate("y") is not None else None

    def place(self) -> Place:
        """Return where its pixels are on the Earth.

        Raises
        ------
        GridError
            If it has no CRS or no coordinates.
        """
        y, x = self.coordinate("y"), self.coordinate("x")
        if self.crs is None or y is None or x is None:
            lacking = "no CRS" if y is not None and x is not None else "no coordinates"
            raise GridError(
                f"expected to know where the pixels are, but the cube has {lacking}. "
                "Try: obj.rio.write_crs('EPSG:32631') (import rioxarray)"
            )
        return Place(self.crs, y[self._axis("y")], x[self._axis("x")])

    def chunks(self, source: Source) -> tuple[int, int, int]:
        """Return what its store keeps together, ``(time, y, x)``: the largest among its parts.

        Shards where there are any and they are no larger than a block; else chunks.
        """
        time, y, x = _largest(source, [_chunks(part)[0] for part in source.parts])
        return (time, y, x) if y * x <= LONGEST**2 else self.inner_chunks(source)

    def inner_chunks(self, source: Source) -> tuple[int, int, int]:
        """Return what its store decodes at once, ``(time, y, x)``: chunks, within shards too."""
        return _largest(source, [_chunks(part)[1] for part in source.parts])


def _mend(dim: str, role: str) -> str:
    """Say how a mask gets the positions of a cube: its dates must be the same ones."""
    if role == "time":
        return f"cube.sel({dim}=mask[{dim!r}]), or a mask of all of the cube's dates"
    return "mask.reindex_like(cube, method='nearest')"


def _parts(layers: Sequence[Layer]) -> tuple[Part, ...]:
    """Join neighbouring bands of one variable, so that their chunks are decoded once."""
    parts: list[Part] = []
    last: xr.Variable | None = None
    for layer in layers:
        if last is layer.variable and "band" in layer.roles:
            parts[-1] = replace(parts[-1], bands=(*parts[-1].bands, layer.index))
        else:
            array = _array(layer.variable)
            token, blocks = "", ()
            if is_dask(array):
                token, blocks = str(array.name), tuple(max(sizes) for sizes in array.chunks)
            made = Part(origin(array), layer.roles, (layer.index,), layer.name, token, blocks)
            parts.append(made)
        last = layer.variable
    return tuple(parts)


def _array(variable: xr.Variable) -> Any:
    """Return what can be sliced: the array itself, or the variable while it is on disk."""
    return variable.data if variable._in_memory or variable.chunks is not None else variable


def _largest(source: Source, shapes: list[tuple[int, ...]]) -> tuple[int, int, int]:
    found = {"time": 1, "y": 1, "x": 1}
    for part, shape in zip(source.parts, shapes, strict=True):
        for role, size in zip(part.roles, shape, strict=True):
            if role in found:
                found[role] = max(found[role], size)
    return found["time"], found["y"], found["x"]


def _chunks(part: Part) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape of a part's shards and of the chunks within, alike without shards."""
    array = part.array
    found = None if is_dask(array) else store_chunks(array)
    if found is not None:
        return found
    told = getattr(array, "encoding", {}).get("preferred_chunks") or {}
    if told and hasattr(array, "dims"):
        shape = tuple(
            int(np.max(told.get(dim, size)))
            for dim, size in zip(array.dims, array.shape, strict=True)
        )
    else:
        shape = part.blocks or tuple(array.shape)
    return shape, shape


def _same(mask: xr.DataArray, obj: Grid, dim: Hashable) -> bool:
    if dim not in mask.coords or dim not in obj.coords:
        return True
    return bool(mask.indexes[dim].equals(obj.indexes[dim]))


def _wkt(crs: Any, *, cf: bool = False) -> str | None:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return str((CRS.from_cf(crs) if cf else CRS.from_user_input(crs)).to_wkt())
    except CRSError as err:
        raise GridError(
            f"expected a CRS that PROJ knows, got {crs!r}: {err}. "
            "Try: obj.rio.write_crs('EPSG:32631')"
        ) from err
