"""Where stores are: paths and URLs, and whether something may be written there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import xarray as xr

from xeo.errors import StoreError

#: Attribute of a group that is being written: 0 until the last block is there, then 1.
COMPLETE = "xeo_complete"
#: Names that promise a file of another format, or a zip, which cannot be written in parts.
_FILES = (".nc", ".nc4", ".h5", ".tif", ".tiff", ".zip", ".png")
_MARKS = ("zarr.json", ".zgroup", ".zmetadata", ".zattrs", ".zarray")


def local(store: str | os.PathLike[str]) -> str:
    """Return the path of a store, without the scheme if it is a local one.

    A folder is written by renaming whole chunks into place; through fsspec it is not.
    """
    text = os.fspath(store)
    for scheme in ("file://", "local://"):
        if text.startswith(scheme):
            return text.removeprefix(scheme)
    return text if "://" in text else os.path.expanduser(text)


def check_free(
    store: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    source: str | os.PathLike[str] | None = None,
    storage_options: dict[str, Any] | None = None,
) -> None:
    """Say before any work that a store cannot be written.

    Parameters
    ----------
    store, overwrite, storage_options :
        As for `write`.
    source : str or path, optional
        Where the cube is read from, which must not be overwritten.

    Raises
    ------
    StoreError
        If something is there and ``overwrite`` is false or it is no Zarr store, if its name
        is that of a file of another format, or it holds or is the source.
    """
    target = local(store)
    if target.rstrip("/").lower().endswith(_FILES):
        raise StoreError(f"expected a Zarr store to write, got {target!r}. Try: 'out.zarr'")
    if source is not None:
        check_apart(store, source)
    try:
        found, is_zarr = _found(target, storage_options)
    except Exception as err:
        # Each file system has errors of its own; a missing one is an ImportError.
        raise StoreError(
            f"expected a place to write at {target!r}, but looking there failed: "
            f"{type(err).__name__}: {err}"
        ) from err
    if found and not overwrite:
        raise StoreError(
            f"expected nothing at {target!r}, found something. "
            "Try: overwrite=True, or --overwrite on the command line"
        )
    if found and not is_zarr:
        raise StoreError(
            f"expected a Zarr store to overwrite at {target!r}, found something else, which is "
            "left alone. Try: another name, or delete it yourself"
        )


def check_apart(store: str | os.PathLike[str], source: Any) -> None:
    """Say that a store is, holds or lies in what is read for it.

    Parameters
    ----------
    store : str or path
        What is to be written.
    source : str, path, DataArray or Dataset
        Where it comes from; of an object what xarray noted when it was opened.

    Raises
    ------
    StoreError
        If writing one would change the other.
    """
    if isinstance(source, xr.DataArray | xr.Dataset):
        encodings = [source.encoding]
        if isinstance(source, xr.Dataset):
            encodings += [variable.encoding for variable in source.variables.values()]
        sources = {str(one["source"]) for one in encodings if one.get("source")}
    else:
        sources = {os.fspath(source)}
    for one in sorted(sources):
        if _nested(local(store), local(one)):
            raise StoreError(
                f"expected another place than the source {one!r}, got {local(store)!r}"
            )


def _nested(target: str, source: str) -> bool:
    if "://" in target or "://" in source:
        return target.rstrip("/") == source.rstrip("/")
    here, there = Path(target).resolve(), Path(source).resolve()
    return here == there or here in there.parents or there in here.parents


def _found(target: str, options: dict[str, Any] | None) -> tuple[bool, bool]:
    """Whether anything is at a place, and whether it is Zarr; an empty folder is nothing."""
    import fsspec

    remote = (options or {}) if "://" in target else {}
    filesystem, path = fsspec.core.url_to_fs(target, **remote)
    if not filesystem.exists(path):
        return False, False
    if not filesystem.isdir(path):
        return True, False
    names = {str(one).rstrip("/").rpartition("/")[2] for one in filesystem.ls(path, detail=False)}
    return bool(names), not names.isdisjoint(_MARKS)
