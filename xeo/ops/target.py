"""A Zarr store that is filled chunk by chunk, and can be gone on with after a stop."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo.engine import regions
from xeo.errors import StoreError
from xeo.ops.place import COMPLETE, check_free, local
from xeo.ops.stack import STACKED, Entry
from xeo.ops.write import spelled, writing

#: Attribute of a group that is being filled: which work it is the result of, and how far it is.
PLAN = "xeo_plan"
#: What is added to it while there is no chunk yet, and where the store took another's place.
_LAYOUT, _REPLACING = "layout of ", ", replacing"
#: What an encoding says of numbers rather than of the store that they were read from.
PACKING = (
    "units", "calendar", "dtype", "_FillValue", "missing_value", "scale_factor", "add_offset",
    "_Unsigned",
)  # fmt: skip
Index = tuple[int, ...]
Region = tuple[slice, ...]


class Target:
    """The store, or a group in it, that `compress` fills.

    Parameters
    ----------
    store : str or path
        Local path or URL.
    group : str
        Path of the group inside it, empty for the store itself.
    zarr_format : int
        2 or 3.
    options : mapping, optional
        For fsspec, where it is a URL.
    """

    def __init__(
        self, store: Any, group: str, zarr_format: int, options: Mapping[str, Any] | None
    ) -> None:
        self.path = local(store)
        self.group_path = group
        self.format = zarr_format
        self.options = (dict(options or {}) or None) if "://" in self.path else None
        self.group: Any = None
        self.arrays: dict[str, Any] = {}
        self.present: set[str] = set()
        self.mark = ""

    def resumes(self, plan: str, *, overwrite: bool) -> bool:
        """Tell whether the store holds the begun result of the same work; else it must be free.

        The same call that was stopped while it replaced a store goes on too, rather than replace
        its own work.

        Raises
        ------
        StoreError
            If something else is there and ``overwrite`` is false.
        """
        begun = self._begun()
        replacing = plan + _REPLACING
        self.mark = replacing if overwrite else plan
        for mark in (replacing,) if overwrite else (plan, replacing):
            if begun.removeprefix(_LAYOUT) == mark:
                self.mark = mark
                return begun == mark
        if begun and not overwrite:
            raise StoreError(
                f"expected the begun work at {self.path!r} to be this one, but it was begun with "
                "other options or of another source. Try: the same options again, or "
                "overwrite=True (--overwrite) to begin anew"
            )
        check_free(self.path, overwrite=overwrite, storage_options=self.options)
        return False

    def _begun(self) -> str:
        """Return the mark of what is there, empty if it has none."""
        try:
            group = self._open("r")
        except Exception:
            # Whatever is there is no group: each store has errors of its own.
            return ""
        return str(group.attrs.get(PLAN, ""))

    def lay_out(self, ds: xr.Dataset, entries: Sequence[Entry], shapes: Mapping[str, Any]) -> None:
        """Write metadata, coordinates and what is left to Zarr; chunks come later."""
        from zarr.storage import MemoryStore

        left = [entry.name for entry in entries if not entry.coding.chunks]
        made = xr.Dataset(
            {e.name: self._template(e, shapes[e.name]) for e in entries if e.name not in left},
            coords=self._coords(ds, entries),
            attrs={**ds.attrs, COMPLETE: 0, PLAN: _LAYOUT + self.mark},
        )
        if any(entry.dim for entry in entries):
            made.attrs[f"{STACKED}_order"] = json.dumps([str(name) for name in ds.data_vars])
        # xarray puts attributes anew at each writing.
        kept = _left(ds, left).assign_attrs(made.attrs)
        with writing(self.path), _no_warning():
            # In memory first: what cannot be written is no reason to touch what is there.
            self._to_zarr(made, MemoryStore(), mode="w", compute=False)
            self._to_zarr(_samples(kept), MemoryStore(), mode="w", compute=True)
            self._make_room(made.attrs)
            self._to_zarr(made, self.path, mode="a", compute=False)
            if left:
                self._to_zarr(kept, self.path, mode="a", compute=True)
            group = self._open("r+")
            group.attrs[PLAN] = self.mark
            if self.format == 3 or not self.group_path:
                _consolidate(self.path, self.options)

    def _make_room(self, attrs: Mapping[str, Any]) -> None:
        """Put an empty group in the place of what is there, marked as ours at every moment."""
        import zarr

        try:
            old = self._open("r+")
        except Exception:
            # No group is there, or nothing; each store says it in errors of its own.
            old = None
        if old is not None:
            old.attrs.put({PLAN: attrs[PLAN], COMPLETE: 0})
            for name in list(old.keys()):
                del old[name]
        how: Any = self.format
        zarr.create_group(
            self.path,
            path=self.group_path or None,
            zarr_format=how,
            overwrite=True,
            attributes={PLAN: attrs[PLAN], COMPLETE: 0},
            storage_options=self.options,
        )

    def _to_zarr(self, made: xr.Dataset, store: Any, **how: Any) -> None:
        made.to_zarr(
            store,
            group=self.group_path or None,
            consolidated=False,
            safe_chunks=False,
            zarr_format=self.format,
            storage_options=self.options if store is self.path else None,
            **how,
        )

    def _open(self, mode: Any, *, consolidated: bool | None = False) -> Any:
        import zarr

        return zarr.open_group(
            self.path,
            path=self.group_path,
            mode=mode,
            storage_options=self.options,
            use_consolidated=consolidated,
        )

    def _template(self, entry: Entry, shape: tuple[int, ...]) -> xr.Variable:
        coding = entry.coding
        attrs = entry.attrs()
        encoding: dict[str, Any] = {"chunks": coding.chunks}
        if coding.codec is None:
            pass
        elif self.format == 2:
            encoding |= {"compressors": (twin(coding.codec),), "filters": None}
        else:
            encoding |= {"serializer": coding.codec, "compressors": None, "filters": None}
            if "_FillValue" in attrs:
                encoding["fill_value"] = attrs["_FillValue"]
            elif coding.stored.dtype.kind == "f":
                encoding["fill_value"] = float("nan")
            elif coding.codec.nodata:
                encoding["fill_value"] = coding.codec.nodata[0]
        blank = regions.blank(shape, coding.stored.dtype)
        return xr.Variable(entry.dims, blank, attrs, encoding)

    def _coords(self, ds: xr.Dataset, entries: Sequence[Entry]) -> dict[Any, Any]:
        coords = spelled(ds[list(ds.coords)]).variables
        made: dict[Any, Any] = {
            name: _without_store(variable.copy(deep=False)) for name, variable in coords.items()
        }
        for entry in entries:
            if entry.dim:
                names = np.array([one.name for one in entry.members], object)
                made[entry.dim] = xr.Variable((entry.dim,), names)
        return made

    def open(self, entries: Sequence[Entry], mode: Any = "r+") -> None:
        """Open its arrays, for writing if not told otherwise, and find the chunks in them."""
        with writing(self.path):
            self.group = self._open(mode)
            for entry in entries:
                if entry.coding.chunks:
                    # A chunk of nothing but the fill value is written too: what is there is done.
                    array = self.group[entry.name].with_config({"write_empty_chunks": True})
                    self.arrays[entry.name] = array
                    self.present |= _keys(array)

    def has(self, name: str, index: Index) -> bool:
        """Whether a chunk was written before."""
        return self._key(name, index) in self.present

    def write(self, name: str, region: Region, block: NDArray[Any]) -> None:
        """Write one chunk, whole."""
        with writing(self.path):
            self.arrays[name][region] = block

    def read(self, name: str, region: Region) -> NDArray[Any]:
        """Read back what a region of an array holds."""
        return np.asarray(self.arrays[name][region])

    def size(self, name: str, index: Index) -> int:
        """Return the bytes of a chunk as it is stored."""
        from zarr.core.sync import sync

        array = self.arrays[name]
        return int(sync(array.store.getsize(self._key(name, index))))

    def _key(self, name: str, index: Index) -> str:
        array = self.arrays[name]
        key = array.metadata.encode_chunk_key(index)
        return f"{array.path}/{key}" if array.path else str(key)

    def finish(self, *, marked: bool = True) -> None:
        """Say that all of it is there, or, not ``marked``, leave no sign of our work."""
        with writing(self.path), _no_warning():
            _consolidate(self.path, self.options)
            # Opened with its consolidated metadata, a group writes both at once: a stop leaves
            # it begun or complete.
            group = self._open("r+", consolidated=None)
            attrs = {k: v for k, v in group.attrs.asdict().items() if k not in (PLAN, COMPLETE)}
            group.attrs.put(attrs | ({COMPLETE: 1} if marked else {}))


def twin(codec: Any) -> Any:
    """Return the numcodecs twin of a codec, for Zarr v2."""
    import numcodecs

    return numcodecs.get_codec({"id": codec.name, **codec.settings()})


def _keys(array: Any) -> set[str]:
    """Return the keys of all chunks of an array that are there."""
    from zarr.core.sync import sync

    async def collect() -> set[str]:
        return {key async for key in array.store.list_prefix(f"{array.path}/")}

    return sync(collect())


def _consolidate(path: str, options: dict[str, Any] | None) -> None:
    import zarr

    root = zarr.open_group(path, mode="r+", storage_options=options, use_consolidated=False)
    zarr.consolidate_metadata(root.store)


def _left(ds: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Return variables alone, without what their encodings say of another store."""
    kept = {name: ds[name].variable.copy(deep=False) for name in names}
    for name, variable in kept.items():
        if variable.dtype.kind == "U":
            # Zarr v3 has no specification of text of fixed length.
            kept[name] = variable = variable.astype(object)
        _without_store(variable)
        if variable.chunks is not None:
            ragged = {
                dim: sizes[0]
                for dim, sizes in variable.chunksizes.items()
                if set(sizes[:-1]) - {sizes[0]} or sizes[-1] > sizes[0]
            }
            kept[name] = variable.chunk(ragged) if ragged else variable
    return xr.Dataset(kept)


def _samples(ds: xr.Dataset) -> xr.Dataset:
    """Return a value of each variable, and all of objects, of which each may be of another kind."""
    made = {}
    for name, variable in ds.variables.items():
        own = variable.copy(deep=False)
        own.dims = tuple(f"{name}_{dim}" for dim in variable.dims)
        whole = variable.dtype.kind == "O"
        made[name] = own if whole else own.isel({dim: slice(0, 1) for dim in own.dims})
    return xr.Dataset(made)


def _without_store(variable: xr.Variable) -> xr.Variable:
    variable.encoding = {k: v for k, v in variable.encoding.items() if k in PACKING}
    return variable


@contextmanager
def _no_warning() -> Iterator[None]:
    """Silence Zarr's word on consolidated metadata, which xarray looks for and v3 lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not")
        yield
