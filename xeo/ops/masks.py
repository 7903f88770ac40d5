"""The mask that a verb works with: given, detected, or none."""

from __future__ import annotations

from typing import Any

import xarray as xr

from xeo.errors import OptionError
from xeo.layers import find_layers, find_roles
from xeo.ops.apply import Said
from xeo.ops.cloud_mask import can_detect, cloud_mask

#: A mask, the name of a detector or a detector; None detects where the cube allows it, and
#: False takes missing values alone.
Mask = Any


def resolve_mask(
    obj: xr.DataArray | xr.Dataset,
    mask: Mask,
    *,
    sensor: Said = None,
    units: Said = None,
    offset: float | None = None,
) -> tuple[xr.DataArray | None, str]:
    """Return the pixels that are not to be used, beside those that are missing.

    Parameters
    ----------
    obj : DataArray or Dataset
        The cube.
    mask : DataArray, str, CloudDetector, None or False
        Booleans on the grid of the cube, True where bad; a detector of `xeo.cloud_mask`; None
        for ``"auto"`` where the cube has what a detector reads, and else nothing; False for
        nothing.
    sensor, units, offset :
        As for `xeo.embed`.

    Returns
    -------
    mask : DataArray or None
        None where missing values alone are gaps.
    told : str
        What it is, for provenance.

    Raises
    ------
    OptionError
        If ``mask`` is none of these.
    """
    if isinstance(mask, xr.DataArray):
        return mask, str(mask.attrs.get("xeo_model") or mask.name or "given")
    if mask is None:
        # A layer alone is what is looked at, not the codes that say where.
        alone = isinstance(obj, xr.DataArray) and len(find_layers(obj, find_roles(obj))) == 1
        mask = (not alone and can_detect(obj, sensor=sensor)) or False
    if mask is False:
        return None, "missing values alone"
    if not isinstance(mask, str) and not callable(mask):
        raise OptionError(
            f"expected mask to be a DataArray of booleans, the name of a detector, None or False, "
            f"got {type(mask).__name__}. Try: mask=cube.eo.cloud_mask()"
        )
    found = cloud_mask(obj, mask, sensor=sensor, units=units, offset=offset)
    assert isinstance(found, xr.DataArray)
    return found, str(found.attrs["xeo_model"])
