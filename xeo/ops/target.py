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
from xeo.ops.stack import Entry
from xeo.ops.write import spelled, writing

#: Attribute of a group: which work it is the result of.
PLAN = "xeo_plan"
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

    def resumes(self, plan: str, *, overwrite: bool) -> bool:
        """Tell whether the store holds the begun result of the same work; else it must be free.

        Raises
        ------
        StoreError
            If something else is there and ``overwrite`` is false.
        """
        group = None if overwrite else self._begun()
        if group is None:
            check_free(self.path, overwrite=overwrite, storage_options=self.options)
            return False
        if group.attrs.get(PLAN) != plan:
            raise StoreError(
                f"expected the begun work at {self.path!r} to be this one, but it was begun with "
                "other options or of another source. Try: the same options again, or "
                "overwrite=True (--overwrite) to begin anew"
            )
        return True

    def _begun(self) -> Any:
        import zarr

        try:
            group = zarr.open_group(
                self.path, path=self.group_path, mode="r", storage_options=self.options
            )
        except Exception:
            # Whatever is there is no group: each store has errors of its own.
            return None
        return group if PLAN in group.attrs else None

    def lay_out(
        self, ds: xr.Dataset, entries: Sequence[Entry], plan: str, shapes: Mapping[str, Any]
    ) -> None:
        """Write metadata, coordinates and what is left to Zarr; chunks come later."""
        left = [entry.name for entry in entries if not entry.coding.chunks]
        made = xr.Dataset(
            {e.name: self._template(e, shapes[e.name]) for e in entries if e.name not in left},
            coords=self._coords(ds, entries),
            attrs={**ds.attrs, COMPLETE: 0, PLAN: plan},
        )
        if any(entry.dim for entry in entries):
            made.attrs["xeo_stacked_order"] = json.dumps([str(name) for name in ds.data_vars])
        with writing(self.path), _no_warning():
            self._to_zarr(made, mode="w" if not self.group_path else "a", compute=False)
            if left:
                kept = _bare(spelled(ds[left].drop_vars(list(ds.coords))))
                self._to_zarr(kept, mode="a", compute=True)
            if self.format == 3 or not self.group_path:
                _consolidate(self.path, self.options)

    def _to_zarr(self, made: xr.Dataset, **how: Any) -> None:
        made.to_zarr(
            self.path,
            group=self.group_path or None,
            consolidated=False,
            safe_chunks=False,
            zarr_format=self.format,
            storage_options=self.options,
            **how,
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
        import zarr

        with writing(self.path):
            self.group = zarr.open_group(
                self.path,
                path=self.group_path,
                mode=mode,
                storage_options=self.options,
                use_consolidated=False,
            )
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

    def finish(self) -> None:
        """Say that all of it is there."""
        with writing(self.path), _no_warning():
            self.group.attrs[COMPLETE] = 1
            del self.group.attrs[PLAN]
            _consolidate(self.path, self.options)


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


def _bare(ds: xr.Dataset) -> xr.Dataset:
    """Drop what the encodings say of another store."""
    made = ds.copy()
    for variable in made.variables.values():
        _without_store(variable)
    return made


def _without_store(variable: xr.Variable) -> xr.Variable:
    variable.encoding = {k: v for k, v in variable.encoding.items() if k in PACKING}
    return variable


@contextmanager
def _no_warning() -> Iterator[None]:
    """Silence Zarr's word on consolidated metadata, which xarray looks for and v3 lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not")
        yield
