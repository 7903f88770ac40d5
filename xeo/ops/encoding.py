"""The encoding with which xarray itself writes a cube through a codec that suits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from xeo.errors import OptionError, XeoWarning
from xeo.ops.coding import Coding
from xeo.ops.compress import as_dataset, settle
from xeo.ops.target import PACKING, twin
from xeo.warn import warn


def encoding(
    obj: xr.DataArray | xr.Dataset,
    /,
    *,
    max_error: Any = None,
    relative_error: Any = None,
    psnr: Any = None,
    bpppb: Any = None,
    quality: Any = None,
    lossless: Any = False,
    codec: Any = "auto",
    peak: Any = None,
    chunks: Mapping[Any, int] | None = None,
    zarr_format: int = 3,
    **settings: Any,
) -> dict[str, dict[str, Any]]:
    """Choose codecs for ``to_zarr``.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims y and x, and time, band and others as there are.
    max_error, relative_error, psnr, bpppb, quality, lossless, codec, peak : optional
        As for `compress`.
    chunks : mapping, optional
        Sizes by dimension. Where a variable has Dask chunks those are kept, since xarray writes
        no others.
    zarr_format : int
        3, or 2.
    **settings :
        As for `compress`.

    Returns
    -------
    dict
        For each variable that a codec suits, and each that was read from Zarr, what
        ``to_zarr(encoding=...)`` takes.

    Warns
    -----
    XeoWarning
        If a variable has chunks of one date, which leaves nothing to predict.

    Raises
    ------
    OptionError
        If a target cannot be, or there is none for a variable that needs one.

    See Also
    --------
    compress : Writes, stacks bands, goes on after a stop and reports.

    Examples
    --------
    >>> ds = xr.Dataset({"scl": (("y", "x"), np.zeros((64, 64), "u1"))})
    >>> ds.eo.encoding(lossless=True)["scl"]["serializer"].name  # doctest: +SKIP
    'xeo.lossless'
    """
    targets = {
        "max_error": max_error, "relative_error": relative_error, "psnr": psnr, "bpppb": bpppb,
        "quality": quality, "lossless": lossless, "codec": codec, "peak": peak,
    }  # fmt: skip
    if zarr_format not in (2, 3):
        raise OptionError(f"expected zarr_format 2 or 3, got {zarr_format!r}")
    ds = as_dataset(obj)
    entries = settle(ds, targets, settings, chunks, stack=False)
    made: dict[str, dict[str, Any]] = {
        str(name): _packing(variable)
        for name, variable in ds.variables.items()
        # The compressors of one Zarr format are errors in the other.
        if {"compressors", "compressor", "filters"} & set(variable.encoding)
    }
    for entry in entries:
        one = entry.coding
        if one.codec is not None:
            da = ds[one.name]
            made[one.name] = _packing(da.variable) | _encoding(one, da, zarr_format)
    return made


def _packing(variable: xr.Variable) -> dict[str, Any]:
    """Return what xarray needs to store the numbers that it read: what it is given is all."""
    unsigned = "_Unsigned" in variable.encoding and variable.dtype.kind == "u"
    left = ("_Unsigned", "dtype") if unsigned else ()
    return {k: v for k, v in variable.encoding.items() if k in PACKING and k not in left}


def _encoding(one: Coding, da: xr.DataArray, zarr_format: int) -> dict[str, Any]:
    sizes = one.chunks
    if da.chunks is not None:
        sizes = tuple(found[0] for found in da.chunks)
        dates = [(n, k) for n, k, a in zip(da.shape, sizes, one.axes, strict=True) if a == "t"]
        video = one.codec is not None and one.codec.short == "video"
        if video and any(n > 1 for n, _ in dates) and all(k == 1 for _, k in dates):
            warn(
                f"{one.name!r} has chunks of one date, which leaves video nothing to predict. "
                "Try: obj.chunk(time=-1) before encoding and to_zarr",
                XeoWarning,
            )
    if zarr_format == 2:
        return {"compressors": (twin(one.codec),), "filters": None, "chunks": sizes}
    return {"serializer": one.codec, "compressors": None, "filters": None, "chunks": sizes}
