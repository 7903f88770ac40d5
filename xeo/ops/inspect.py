"""What each array of a Zarr store is coded with, and how small that made it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from xeo.errors import StoreError
from xeo.ops.figures import number, spell_bytes, to_json
from xeo.ops.place import COMPLETE, local
from xeo.ops.report_html import part, shape_of, table, tiles

_METADATA = (".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json")
#: Says only how numbers become bytes, as every array has it.
_PLAIN = ("bytes", "vlen-utf8", "vlen-bytes")
#: Nobody chooses by these.
_SILENT = ("axes", "checksum", "typesize", "blocksize", "index_codecs", "codecs")
_WORDS: dict[str, Callable[[Any], str]] = {
    "max_error": lambda v: f"no error above {_listed(v)} (stored numbers)",
    "relative_error": lambda v: f"no error above {_listed(np.multiply(v, 100).tolist())} %",
    "psnr": lambda v: f"at least {v:g} dB",
    "bpppb": lambda v: f"at most {v:g} bits a value",
    "quality": lambda v: f"quality {v:g}",
}


@dataclass(frozen=True)
class StoredArray:
    """What is known of one array without reading its values.

    Parameters
    ----------
    path : str
        Inside the store.
    dims : tuple of str
        Names, where they are said.
    shape, chunks : tuple of int
        Sizes; chunks are what is decoded at once.
    shards : tuple of int, optional
        What is stored in one object, where chunks are sharded.
    dtype : str
        As the metadata spells it.
    coding : tuple of (str, mapping)
        Names and settings of the codecs, in the order of encoding.
    size : int
        Bytes stored, without metadata.
    itemsize : int, optional
        Bytes of a value in memory; None where that differs, as for text.
    present : int
        Objects that are there: chunks, or shards.
    expected : int, optional
        Objects of a store without gaps. Zarr leaves out those of nothing but the fill value.
    """

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    dtype: str
    coding: tuple[tuple[str, Mapping[str, Any]], ...]
    size: int
    itemsize: int | None
    present: int
    expected: int | None

    @property
    def codec(self) -> str:
        """Names of the codecs that do more than spell bytes."""
        names = [name for name, _ in self.coding if name not in _PLAIN]
        return " + ".join(names) or "uncompressed"

    @property
    def settings(self) -> str:
        """The settings of its codecs in words."""
        said = [_settings(name, one) for name, one in self.coding if name not in _PLAIN]
        return "; ".join(words for words in said if words)

    @property
    def values(self) -> int:
        """How many values there are."""
        return math.prod(self.shape)

    @property
    def raw(self) -> int:
        """Bytes of the values in memory; 0 where not known."""
        return self.values * (self.itemsize or 0)

    @property
    def ratio(self) -> float:
        """Raw bytes per stored byte; NaN where not known."""
        return self.raw / self.size if self.size and self.raw else math.nan

    @property
    def bpppb(self) -> float:
        """Stored bits per pixel per band; NaN of nothing."""
        return 8 * self.size / self.values if self.values else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return all that is known as JSON can say it."""
        said = {
            "path": self.path, "dims": list(self.dims), "shape": list(self.shape),
            "chunks": list(self.chunks), "shards": self.shards and list(self.shards),
            "dtype": self.dtype, "coding": [{"name": n, **dict(s)} for n, s in self.coding],
            "bytes_stored": self.size, "bytes_raw": self.raw, "ratio": self.ratio,
            "bpppb": self.bpppb, "present": self.present, "expected": self.expected,
        }  # fmt: skip
        return {key: to_json(value) for key, value in said.items()}


@dataclass(frozen=True, repr=False)
class Inspection:
    """What `inspect` returns: text and HTML of what a store holds.

    Parameters
    ----------
    store : str
        Where it is.
    arrays : tuple of StoredArray
        In the order of their paths.
    metadata : int
        Bytes of metadata.
    complete : bool, optional
        Whether xeo wrote all of it; None where xeo did not write it.
    """

    store: str
    arrays: tuple[StoredArray, ...]
    metadata: int
    complete: bool | None

    @property
    def size(self) -> int:
        """Bytes stored, with metadata."""
        return self.metadata + sum(one.size for one in self.arrays)

    @property
    def raw(self) -> int:
        """Bytes of all values in memory, as far as known."""
        return sum(one.raw for one in self.arrays)

    @property
    def ratio(self) -> float:
        """Raw bytes per stored byte."""
        return self.raw / self.size if self.size else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return all that is known as JSON can say it.

        Returns
        -------
        dict
        """
        return {
            "store": self.store,
            "complete": self.complete,
            "bytes_stored": self.size,
            "bytes_raw": self.raw,
            "bytes_metadata": self.metadata,
            "arrays": [one.to_dict() for one in self.arrays],
        }

    def __repr__(self) -> str:
        lines = [f"<xeo.Inspection> {self.store}: {self._summary()}"]
        rows = [_HEADS, *map(_cells, self.arrays)]
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                cell.rjust(width) if n in _RIGHT else cell.ljust(width)
                for n, (cell, width) in enumerate(zip(row, wide, strict=True))
            ]
            lines.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join(lines)

    def _summary(self) -> str:
        said = f"{len(self.arrays)} arrays, {spell_bytes(self.size)} of {spell_bytes(self.raw)}"
        said += f" ({number(self.ratio)} times smaller)" if self.raw else ""
        return said + ("; NOT COMPLETE: its writing was stopped" if self.complete is False else "")

    def _repr_html_(self) -> str:
        figures = [
            (f"{number(self.ratio)} ×", "smaller"),
            (spell_bytes(self.size), f"of {spell_bytes(self.raw)}"),
            (str(len(self.arrays)), "arrays"),
        ]
        broken = self.complete is False
        state = "<span class='tag bad'>not complete: its writing was stopped</span>"
        return part(
            f"<div><b>xeo.Inspection</b>{state if broken else ''}</div>",
            tiles(figures),
            f"<div class='wide'>{table(_HEADS, map(_cells, self.arrays), 'store')}</div>",
        )


_HEADS = ("", "shape", "dtype", "codec", "chunks", "present", "bytes", "ratio", "bits/value",
          "settings")  # fmt: skip
_RIGHT = (5, 6, 7, 8)


def _cells(one: StoredArray) -> tuple[str, ...]:
    chunks = " × ".join(map(str, one.chunks))
    if one.shards is not None:
        chunks += f" in shards of {' × '.join(map(str, one.shards))}"
    present = str(one.present) if one.expected is None else f"{one.present}/{one.expected}"
    return (
        one.path or "/", shape_of(one.dims, one.shape), one.dtype, one.codec, chunks, present,
        spell_bytes(one.size), number(one.ratio), number(one.bpppb), one.settings,
    )  # fmt: skip


def inspect(store: Any, *, storage_options: Mapping[str, Any] | None = None) -> Inspection:
    """Tell what each array of a Zarr store is coded with, and how small that made it.

    Parameters
    ----------
    store : str, path or zarr.abc.store.Store
        Local folder or zip, any URL that fsspec knows and can list, or a store of Zarr. Of Zarr
        v2 or v3, whoever wrote it; its codecs need not be installed.
    storage_options : mapping, optional
        Passed to fsspec for a URL.

    Returns
    -------
    Inspection
        Codecs, settings, chunks, bytes and ratio of each array, as text and HTML. Only
        metadata is read.

    Raises
    ------
    StoreError
        If there is no Zarr store, or it cannot be listed.

    See Also
    --------
    compress : Makes such stores.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> xr.Dataset({"t": ("x", np.zeros(100, "f4"))}).to_zarr(folder, zarr_format=2)
    <xarray.backends.zarr.ZarrStore object at ...>
    >>> found = xeo.inspect(folder)
    >>> found.arrays[0].codec, found.arrays[0].raw
    ('blosc', 400)
    """
    if isinstance(store, (str, os.PathLike)):
        name = local(store)
        listing = partial(_listed_files, name, storage_options)
    else:
        name = str(store)
        listing = partial(_listed_keys, store)
    try:
        sizes, read = listing()
        documents = {key: read(key) for key in sizes if key.rpartition("/")[2] in _METADATA[:3]
                     or key.endswith("zarr.json")}  # fmt: skip
        known = {key: json.loads(text) for key, text in documents.items()}
    except Exception as err:
        # Each file system has errors of its own, and metadata may be anything.
        raise StoreError(
            f"expected a Zarr store that can be listed at {name!r}, but reading it failed: "
            f"{type(err).__name__}: {err}"
        ) from err
    if not known:
        raise StoreError(f"expected a Zarr store at {name!r}, found none. Try: its root folder")
    return _inspection(name, sizes, known)


def _listed_files(
    name: str, options: Mapping[str, Any] | None
) -> tuple[dict[str, int], Callable[[str], bytes]]:
    """Return the size of every file of a store, and how to read one."""
    import fsspec

    remote = dict(options or {}) if "://" in name else {}
    if name.lower().endswith(".zip"):
        filesystem, root = fsspec.filesystem("zip", fo=name, remote_options=remote), ""
    else:
        filesystem, root = fsspec.core.url_to_fs(name, **remote)
    root = root.rstrip("/")
    found = filesystem.find(root, detail=True)
    start = len(root) + 1 if root else 0
    sizes = {key[start:]: int(one["size"] or 0) for key, one in found.items()}
    return sizes, lambda key: bytes(filesystem.cat_file(f"{root}/{key}" if root else key))


def _listed_keys(store: Any) -> tuple[dict[str, int], Callable[[str], bytes]]:
    """Return the size of every key of a store of Zarr, and how to read one."""
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    async def collect() -> dict[str, int]:
        await store._ensure_open()
        return {key: await store.getsize(key) async for key in store.list()}

    def read(key: str) -> bytes:
        found: Any = sync(store.get(key, default_buffer_prototype()))
        return bytes(found.to_bytes())

    return sync(collect()), read


def _inspection(
    name: str, sizes: Mapping[str, int], known: Mapping[str, Mapping[str, Any]]
) -> Inspection:
    arrays = {}
    for key, said in known.items():
        path, _, last = key.rpartition("/")
        if last == ".zarray" or (last == "zarr.json" and said.get("node_type") == "array"):
            arrays[path] = said
    counted = {path: [0, 0] for path in arrays}
    metadata = 0
    for key, size in sizes.items():
        folder, _, last = key.rpartition("/")
        if last in _METADATA:
            metadata += size
            continue
        while folder and folder not in counted:
            folder = folder.rpartition("/")[0]
        if folder in counted:
            counted[folder][0] += size
            counted[folder][1] += 1
    made = []
    for path, said in sorted(arrays.items()):
        attributes = known.get(f"{path}/.zattrs" if path else ".zattrs", {})
        try:
            read = _v3(said) if said.get("zarr_format") == 3 else _v2(said, attributes)
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise StoreError(
                f"expected metadata of a Zarr array at {path!r} in {name!r}, but it cannot be "
                f"understood: {err!r}. Try: zarr.open_array, which may say more"
            ) from err
        made.append(StoredArray(path=path, size=counted[path][0], present=counted[path][1], **read))
    return Inspection(name, tuple(made), metadata, _complete(known))


def _complete(known: Mapping[str, Mapping[str, Any]]) -> bool | None:
    """Return whether every group that xeo wrote is complete."""
    marks = []
    for key, said in known.items():
        attributes = said if key.endswith(".zattrs") else said.get("attributes") or {}
        if COMPLETE in attributes:
            marks.append(bool(attributes[COMPLETE]))
    return all(marks) if marks else None


def _v3(said: Mapping[str, Any]) -> dict[str, Any]:
    shape = tuple(map(int, said["shape"]))
    coding = tuple(_named(one) for one in said["codecs"])
    grid = _named(said["chunk_grid"])
    stored = tuple(grid[1]["chunk_shape"]) if grid[0] == "regular" else ()
    chunks, shards = stored, None
    if coding and coding[0][0] == "sharding_indexed":
        inner = coding[0][1]
        chunks, shards = tuple(inner["chunk_shape"]), stored
        coding = tuple(_named(one) for one in inner["codecs"])
    name, configuration = _named(said["data_type"])
    return {
        "dims": _dims(said.get("dimension_names")),
        "shape": shape,
        "chunks": chunks,
        "shards": shards,
        "dtype": name,
        "coding": coding,
        "itemsize": _itemsize(name, configuration),
        "expected": _expected(shape, stored) if grid[0] == "regular" else None,
    }


def _v2(said: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    shape, chunks = tuple(map(int, said["shape"])), tuple(map(int, said["chunks"]))
    codecs = [*(said.get("filters") or []), *filter(None, [said.get("compressor")])]
    dtype = said["dtype"]
    named = dtype if isinstance(dtype, str) else "structured"
    return {
        "dims": _dims(attributes.get("_ARRAY_DIMENSIONS")),
        "shape": shape,
        "chunks": chunks,
        "shards": None,
        "dtype": named if named == "structured" or named[1:2] == "O" else str(np.dtype(dtype)),
        "coding": tuple((c["id"], {k: v for k, v in c.items() if k != "id"}) for c in codecs),
        "itemsize": _itemsize(named, {}),
        "expected": _expected(shape, chunks),
    }


def _named(one: Any) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the configuration of what v3 spells in two ways."""
    if isinstance(one, str):
        return one, {}
    return str(one["name"]), one.get("configuration") or {}


def _dims(names: Iterable[Any] | None) -> tuple[str, ...]:
    found = tuple(names or ())
    return tuple(map(str, found)) if all(name is not None for name in found) else ()


def _expected(shape: tuple[int, ...], chunks: tuple[int, ...]) -> int:
    return math.prod(-(-s // c) if c else 1 for s, c in zip(shape, chunks, strict=True))


def _itemsize(name: str, configuration: Mapping[str, Any]) -> int | None:
    if "length_bytes" in configuration:
        return int(configuration["length_bytes"])
    if name in ("string", "variable_length_bytes", "bytes"):
        return None
    if name.startswith("numpy."):
        return 8
    try:
        dtype = np.dtype(name)
    except TypeError:
        return None
    return None if dtype.hasobject else dtype.itemsize


def _settings(name: str, said: Mapping[str, Any]) -> str:
    """Return settings in words where there are some, else as they are."""
    found = ["every bit"] if name == "xeo.lossless" else []
    if name == "blosc":
        shuffle = said.get("shuffle", "")
        kinds = ("noshuffle", "shuffle", "bitshuffle")
        named = kinds[shuffle] if shuffle in (0, 1, 2) else shuffle
        return f"{said.get('cname', '')} {said.get('clevel', '')}, {named}"
    for key in sorted(said, key=lambda key: key not in _WORDS):
        value = said[key]
        if name.startswith("xeo.") and key in _WORDS:
            found.append(_WORDS[key](value))
        elif key not in _SILENT and not isinstance(value, dict):
            found.append(f"{key}={_listed(value)}")
    return ", ".join(found)


def _listed(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(map(_listed, value)) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)
