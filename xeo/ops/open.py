"""Open whatever holds a cube."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import xarray as xr

from xeo.errors import StoreError, XeoWarning
from xeo.ops.place import COMPLETE, local
from xeo.warn import warn

_NETCDF = (".nc", ".nc4", ".cdf", ".h5", ".hdf5")
_GEOTIFF = (".tif", ".tiff", ".gtiff", ".vrt", ".jp2")


def open_cube(
    path: str | os.PathLike[str], *, raw: bool = False, **options: Any
) -> xr.Dataset | xr.DataTree:
    """Open a cube lazily: Zarr (folder, zip, URL; v2 or v3), NetCDF or GeoTIFF.

    Parameters
    ----------
    path : str or path
        Local path, or any URL that fsspec knows, ``"s3://bucket/cube.zarr"``.
    raw : bool
        Whether numbers stay as they are stored, with scale, offset and fill value as attributes;
        else they are decoded where CF attributes say how.
    **options :
        Passed to fsspec for a URL, ``anon=True``.

    Returns
    -------
    Dataset or DataTree
        Chunked as stored; a tree where a Zarr store has groups inside.

    Warns
    -----
    XeoWarning
        If `xeo.write` was stopped before it had written all of it.

    Raises
    ------
    StoreError
        If there is nothing at the path, or it cannot be read as what its name says.

    Examples
    --------
    >>> xeo.open_cube("cube.zarr")  # doctest: +SKIP
    """
    text = local(path)
    remote = "://" in text
    if not remote and not Path(text).exists():
        raise StoreError(f"expected a cube at {text!r}, found nothing. Try: an absolute path")
    name = text.rstrip("/").lower()
    try:
        options = options if remote else {}
        if name.endswith(_GEOTIFF):
            return _geotiff(text)
        if name.endswith(_NETCDF):
            return _netcdf(text, remote, options, not raw)
        return _zarr(text, remote, options, not raw)
    except (StoreError, XeoWarning):
        raise
    except Exception as err:
        # Each reader has errors of its own: KeyError, OSError, struct.error, BadZipFile.
        raise StoreError(
            f"expected a Zarr store, NetCDF or GeoTIFF file at {text!r}, but reading it failed: "
            f"{type(err).__name__}: {err}"
        ) from err


def _geotiff(text: str) -> xr.Dataset:
    import rioxarray

    opened: Any = rioxarray.open_rasterio(text, chunks={})
    if isinstance(opened, list):
        raise StoreError(f"expected one grid in {text!r}, got {len(opened)} subdatasets")
    if isinstance(opened, xr.Dataset):
        return opened
    names = opened.attrs.get("long_name")
    if isinstance(names, tuple) and len(set(names)) == opened.sizes.get("band") and all(names):
        # Descriptions say which band is which; a plain number does not.
        opened = opened.assign_coords(band=list(names))
    made: xr.Dataset = opened.to_dataset(name="image")
    return made


def _netcdf(text: str, remote: bool, options: dict[str, Any], decoded: bool) -> xr.Dataset:
    source: Any = text
    if remote:
        import fsspec

        source = fsspec.open(text, **options).open()
    return xr.open_dataset(source, engine="h5netcdf", chunks={}, mask_and_scale=decoded)


def _zarr(
    text: str, remote: bool, options: dict[str, Any], decoded: bool
) -> xr.Dataset | xr.DataTree:
    import zarr

    store: Any = text
    if text.lower().endswith(".zip"):
        if remote:
            options = {"fo": text, **options}
            store = zarr.storage.FsspecStore.from_url("zip://", storage_options=options)
        else:
            store = zarr.storage.ZipStore(text, mode="r")
        options = {}
    keywords: dict[str, Any] = {"storage_options": options} if options else {}
    group = zarr.open_group(store, mode="r", **keywords)
    if not group.attrs.get(COMPLETE, True):
        warn(f"{text!r} is not complete: its writing was stopped, see its chunks", XeoWarning)
    # Told rather than tried: xarray warns where it tries in vain.
    keywords["mask_and_scale"] = decoded
    keywords["consolidated"] = group.metadata.consolidated_metadata is not None
    if any(True for _ in group.groups()):
        return xr.open_datatree(store, engine="zarr", chunks={}, **keywords)
    opened: xr.Dataset = xr.open_zarr(store, chunks={}, **keywords)
    # A folder lists its arrays in another order each time, and some verbs go by it.
    return opened if keywords["consolidated"] else opened[sorted(opened.data_vars, key=str)]
