"""Stored numbers to physical values, with a mask of what is bad."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def bad_pixels(raw: Any, nodata: NDArray[np.float64]) -> Any:
    """Tell which stored numbers carry no measurement.

    Parameters
    ----------
    raw : array, shape (time, band, y, x)
        Numbers as stored.
    nodata : array, shape (band,)
        The fill value of each band, NaN where it has none.

    Returns
    -------
    array of bool, shape of ``raw``
        True where the number is the fill value, NaN or infinite.
    """
    namespace = _namespace(raw)
    if raw.dtype.kind == "f":
        bad = ~namespace.isfinite(raw)
    else:
        bad = namespace.zeros(raw.shape, dtype=bool)
    if len(set(nodata.tolist())) == 1 and not np.isnan(nodata[0]):
        return bad | (raw == _as_stored(nodata[0], raw.dtype))
    for index, value in enumerate(nodata):
        if not np.isnan(value):
            bad[:, index] |= raw[:, index] == _as_stored(value, raw.dtype)
    return bad


def to_physical(
    raw: Any, scale: NDArray[np.float64], offset: NDArray[np.float64], out: Any = None
) -> Any:
    """Return ``raw * scale + offset`` as float32.

    Parameters
    ----------
    raw : array, shape (time, band, y, x)
        Numbers as stored, of any real dtype.
    scale : array, shape (band,)
        Physical units per stored unit.
    offset : array, shape (time, band)
        In physical units.
    out : array of float32, shape of ``raw``, optional
        Where the values shall go.

    Returns
    -------
    array of float32, shape of ``raw``
        ``out``, or a new array.
    """
    if out is None:
        values = raw.astype(np.float32)
    else:
        values = out
        values[...] = raw
    if not (scale == 1).all():
        values *= _namespace(raw).asarray(scale[None, :, None, None], dtype=np.float32)
    if offset.any():
        values += _namespace(raw).asarray(offset[:, :, None, None], dtype=np.float32)
    return values


def _as_stored(value: float, dtype: np.dtype[Any]) -> Any:
    """Compare in the stored dtype: float32 never equals the float64 of -9999.9."""
    if dtype.kind == "f":
        return dtype.type(value)
    if dtype.kind == "b":
        return bool(value)
    info = np.iinfo(dtype)
    # A fill value outside the dtype can equal no stored number; -1 on unsigned stays -1.
    return int(value) if info.min <= value <= info.max and value == int(value) else value


def _namespace(array: Any) -> Any:
    found = getattr(array, "__array_namespace__", None)
    return found() if found is not None else np
