"""Bands that are variables become one array with a ``band`` coordinate, and variables again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xeo.bands import canonical
from xeo.cube import Cube
from xeo.errors import OptionError, StoreError, XeoError, XeoWarning
from xeo.ops.coding import Coding
from xeo.ops.place import COMPLETE, local
from xeo.warn import warn

#: Attribute of a stacked array: the dimension, and each variable's name and own attributes.
STACKED = "xeo_stacked"
_NAMES = ("band", "bands", "spectral_band")
# What belongs to the stacked array as it is stored, and would not fit a variable of it.
_OF_STORE = ("serializer", "chunks", "preferred_chunks", "shards", "compressors", "filters")
_PACKING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")


@dataclass(frozen=True)
class Entry:
    """One array of a store: a variable, or several that are stacked.

    Parameters
    ----------
    name : str
        Of the array.
    members : tuple of Coding
        The variables in it, in the order of the bands.
    dim : str
        Dimension of the bands; empty for a lone variable.
    """

    name: str
    members: tuple[Coding, ...]
    dim: str = ""

    @property
    def coding(self) -> Coding:
        """How it is stored; bounds that differ between bands are a tuple."""
        first = self.members[0]
        if not self.dim:
            return first
        axes = self._insert(first.axes, "b")
        whole = replace(first, axes=axes, chunks=self._insert(first.chunks, len(self.members)))
        if first.codec is None:
            return whole
        changed: dict[str, Any] = {"axes": axes}
        for bound in ("max_error", "relative_error"):
            values = tuple(getattr(m.codec, bound, None) for m in self.members)
            if len(set(values)) > 1:
                changed[bound] = values
        return replace(whole, codec=replace(first.codec, **changed))

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the array."""
        dims = tuple(map(str, self.members[0].stored.dims))
        return self._insert(dims, self.dim) if self.dim else dims

    @property
    def axis(self) -> int:
        """Where the bands are."""
        return self.members[0].stored.ndim - 2

    def _insert(self, values: Any, value: Any) -> Any:
        one = value if isinstance(values, str) else (value,)
        return values[: self.axis] + one + values[self.axis :]

    def attrs(self) -> dict[str, Any]:
        """Return the attributes of the array: what its variables share, and what they do not."""
        every = [dict(m.stored.attrs) for m in self.members]
        if not self.dim:
            return every[0]
        shared = {k: v for k, v in every[0].items() if all(_alike(v, a.get(k)) for a in every)}
        own = [
            {"name": m.name, "attrs": {k: _plain(v) for k, v in a.items() if k not in shared}}
            for m, a in zip(self.members, every, strict=True)
        ]
        shared[STACKED] = json.dumps({"dim": self.dim, "variables": own})
        return shared


def group(ds: xr.Dataset, codings: Sequence[Coding], stack: Any) -> list[Entry]:
    """Decide which variables are stored as one array.

    Parameters
    ----------
    ds : Dataset
        The variables.
    codings : sequence of Coding
        How each is stored.
    stack : "auto", bool or mapping
        ``"auto"`` and True put bands of one sensor, grid, dtype and codec together; a mapping
        of array names to lists of variables says it all; False keeps an array a variable.

    Returns
    -------
    list of Entry
        In the order of the first variable of each.

    Raises
    ------
    OptionError
        If ``stack`` names variables that are not there, or do not go together.
    """
    if isinstance(stack, Mapping):
        wanted = _told(stack, codings)
    elif stack in ("auto", True):
        wanted = _found(ds, codings)
    elif stack is False:
        wanted = {}
    else:
        raise OptionError(f"expected stack to be 'auto', True, False or a mapping, got {stack!r}")
    dim = next((n for n in _NAMES if n not in ds.variables and n not in ds.dims), "")
    if not dim:
        wanted = {}
    where = {name: label for label, names in wanted.items() for name in names}
    by_name = {one.name: one for one in codings}
    entries = []
    for one in codings:
        label = where.get(one.name)
        if label is None:
            entries.append(Entry(one.name, (one,)))
        elif wanted[label][0] == one.name:
            entries.append(Entry(label, tuple(by_name[n] for n in wanted[label]), dim))
    return entries


def _told(stack: Mapping[str, Sequence[str]], codings: Sequence[Coding]) -> dict[str, list[str]]:
    known = {one.name: one for one in codings}
    made = {}
    for label, names in stack.items():
        missing = [name for name in names if name not in known]
        if missing or not names:
            raise OptionError(f"expected variables among {list(known)} to stack, got {missing}")
        if len({_key(known[name], "") for name in names}) > 1:
            raise OptionError(
                f"expected variables of one grid, dtype, packing and codec to stack as {label!r}, "
                f"got {list(names)}, which differ. Try: stack='auto'"
            )
        made[str(label)] = list(names)
    return made


def _found(ds: xr.Dataset, codings: Sequence[Coding]) -> dict[str, list[str]]:
    families = _families(ds)
    groups: dict[Any, list[str]] = {}
    for one in codings:
        if one.codec is not None and one.name in families and _stackable(one):
            groups.setdefault(_key(one, families[one.name][0]), []).append(one.name)
    taken = {str(name) for name in ds.variables}
    made: dict[str, list[str]] = {}
    for key, names in groups.items():
        if len(names) < 2:
            continue
        label = next(n for n in _labels(key[0]) if n not in taken and n not in made)
        # Stores without consolidated metadata list their variables in another order each time.
        made[label] = sorted(names, key=lambda name: (families[name][1], name))
    return made


def _labels(family: str) -> Any:
    yield family
    for number in range(2, 1000):
        yield f"{family}_{number}"


def _families(ds: xr.Dataset) -> dict[str, tuple[str, int]]:
    """Return the sensor of each variable that is a band, and which of its bands that is."""
    try:
        cube = Cube.of(ds)
    except XeoError:
        return {}
    found = {}
    for layer in cube.layers:
        for sensor in cube.sensors:
            band = canonical(layer.label, sensor)
            if band is not None:
                name = sensor.family or sensor.name
                found[layer.name] = name, sensor.bands.index(band)
                break
    return found


def _stackable(one: Coding) -> bool:
    dims = one.stored.dims
    # A band is put before y and x, which are the last two.
    return one.codec is not None and len(dims) >= 2 and one.axes[-2:] == "yx"


def _key(one: Coding, family: str) -> tuple[Any, ...]:
    settings: dict[str, Any] = one.codec.settings() if one.codec is not None else {"left": one.name}
    for bound in ("max_error", "relative_error"):
        settings[bound] = bound in settings
    packing = [repr(one.stored.attrs.get(name)) for name in _PACKING]
    name = one.codec.name if one.codec is not None else ""
    return (
        family,
        one.stored.dims,
        one.chunks,
        str(one.stored.dtype),
        name,
        json.dumps(settings, sort_keys=True),
        *packing,
    )


def unstack_bands(obj: xr.Dataset) -> xr.Dataset:
    """Give bands that `compress` stacked back as the variables they were.

    Parameters
    ----------
    obj : Dataset
        With arrays that `compress` made, or parts of them.

    Returns
    -------
    Dataset
        With the names, dims, attributes and order of the original; lazy if ``obj`` is lazy.
        Arrays that are not stacked stay as they are.

    Raises
    ------
    StoreError
        If the attribute that says how they were stacked cannot be read.

    See Also
    --------
    open_zarr : Opens a store and does this.

    Examples
    --------
    >>> ds = xr.Dataset({"t": ("x", [1.0, 2.0])})
    >>> ds.eo.unstack_bands().identical(ds)
    True
    """
    order = obj.attrs.get(f"{STACKED}_order")
    made: dict[str, xr.DataArray] = {}
    dims = set()
    for name, da in obj.data_vars.items():
        if STACKED not in da.attrs:
            made[str(name)] = da
            continue
        dim, own = _layout(da.attrs, str(name))
        dims.add(dim)
        made |= _split(da, dim, own)
    if not dims:
        return obj
    names = json.loads(order) if order else list(made)
    names = [n for n in names if n in made] + [n for n in made if n not in names]
    attrs = {k: v for k, v in obj.attrs.items() if k != f"{STACKED}_order"}
    coords = obj.coords.to_dataset().drop_vars([d for d in dims if d in obj.coords])
    # One band that was selected is left as a coordinate of every variable.
    bare = {n: made[n].drop_vars([d for d in dims if d in made[n].coords]) for n in names}
    whole = coords.assign(bare)
    whole.attrs = attrs
    return whole


def members_of(attrs: Mapping[str, Any], name: str) -> tuple[str, list[str]]:
    """Return the dimension of the bands of an array and its variables; ``""`` and itself if lone.

    Raises
    ------
    StoreError
        If the attribute that says it cannot be read.
    """
    if STACKED not in attrs:
        return "", [name]
    dim, own = _layout(attrs, name)
    return dim, list(own)


def _layout(attrs: Mapping[str, Any], name: str) -> tuple[str, dict[str, dict[str, Any]]]:
    try:
        said = json.loads(attrs[STACKED])
        dim = str(said["dim"])
        own = {str(one["name"]): dict(one["attrs"]) for one in said["variables"]}
    except (ValueError, KeyError, TypeError) as err:
        raise StoreError(
            f"expected the attribute {STACKED!r} of {name!r} to say how its bands were variables, "
            f"but it cannot be read: {err!r}. Try: xr.open_zarr, which takes it as it is"
        ) from err
    return dim, own


def _split(
    da: xr.DataArray, dim: str, own: Mapping[str, Mapping[str, Any]]
) -> dict[str, xr.DataArray]:
    if dim not in da.coords:
        raise StoreError(f"expected the coordinate {dim!r} with the names of the bands, got none")
    made = {}
    for number, label in enumerate(np.atleast_1d(da[dim].values)):
        one = (da.isel({dim: number}) if dim in da.dims else da).drop_vars(dim)
        one = one.copy(deep=False)
        shared = {k: v for k, v in da.attrs.items() if k != STACKED}
        one.attrs = shared | dict(own.get(str(label), {}))
        one.encoding = {k: v for k, v in da.encoding.items() if k not in _OF_STORE}
        made[str(label)] = one.rename(str(label))
    return made


def open_zarr(store: str | os.PathLike[str], **options: Any) -> xr.Dataset:
    """Open a Zarr store, with bands that were stacked as the variables they were.

    Parameters
    ----------
    store : str or path
        Local path, or any URL that fsspec knows.
    **options :
        Of `xarray.open_zarr`: ``chunks=None``, ``storage_options={"anon": True}``.

    Returns
    -------
    Dataset
        Lazy.

    Warns
    -----
    XeoWarning
        If writing it was stopped before the end.

    Raises
    ------
    StoreError
        If it cannot be opened.

    See Also
    --------
    unstack_bands : What this does to a Dataset that is open.

    Examples
    --------
    >>> xeo.open_zarr("small.zarr")  # doctest: +SKIP
    """
    try:
        opened: xr.Dataset = xr.open_zarr(local(store), **options)
    except Exception as err:
        # Zarr, fsspec and each file system have errors of their own.
        raise StoreError(
            f"expected a Zarr store at {os.fspath(store)!r}, but opening it failed: "
            f"{type(err).__name__}: {err}"
        ) from err
    if opened.attrs.pop(COMPLETE, 1) == 0:
        warn(f"{os.fspath(store)!r} is not complete: its writing was stopped", XeoWarning)
    return unstack_bands(opened)


def _plain(value: Any) -> Any:
    """Return an attribute as JSON says it, as Zarr would."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _alike(one: Any, other: Any) -> bool:
    # NaN, which fill values often are, is like itself here.
    return type(one) is type(other) and repr(one) == repr(other)
