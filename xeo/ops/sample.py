"""A part of a cube, coded at several rates: what more or fewer bits would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xeo.kernels.fidelity import measure
from xeo.ops.figures import VariableReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pixels along a side, and dates, of the part that is coded.
_SIDE, _DATES = 96, 12
_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
_BOUNDS = ("max_error", "relative_error", "bpppb")


@dataclass(frozen=True)
class Point:
    """One rate.

    Parameters
    ----------
    rate : float
        Bits a value.
    psnr : float
        In decibels; infinite where every bit is kept.
    label : str
        Setting that gave it.
    chosen : bool
        Whether it is the one of the store.
    """

    rate: float
    psnr: float
    label: str
    chosen: bool


def curve(
    members: Sequence[xr.DataArray],
    one: VariableReport,
    at: Mapping[str, int],
    near: tuple[int, int, int],
) -> list[Point]:
    """Code a part of an array at about five rates.

    Parameters
    ----------
    members : sequence of DataArray
        The variables of the array, whole.
    one : VariableReport
        What is known of it.
    at : mapping
        A place along the dimensions of dates, which the part holds.
    near : (int, int, int)
        Band, row and column, which the part holds.

    Returns
    -------
    list of Point
        By rate.
    """
    from zarr.registry import get_codec_class

    kind: Any = get_codec_class(one.codec)
    block = read(members, one, part(one, at, near))
    made = []
    for settings in rates(one):
        codec = kind.from_settings(settings)
        data = codec.encode_array(block)
        decoded = codec.decode_array(data, block.shape, block.dtype)
        chosen = settings == dict(one.settings)
        made.append(Point(8 * len(data) / block.size, _psnr(one, block, decoded),
                          _label(one, settings), chosen))  # fmt: skip
    return sorted(made, key=lambda point: point.rate)


def part(
    one: VariableReport, at: Mapping[str, int], near: tuple[int, int, int]
) -> dict[str, slice]:
    """Return the chunk that holds a place, or as much of it as is quickly coded."""
    made = {}
    for dim, axis, size, chunk in zip(one.dims, one.axes, one.shape, one.chunks, strict=True):
        if axis == "b":
            made[dim] = slice(0, size)
            continue
        place = {"y": near[1], "x": near[2]}.get(axis, at.get(dim, 0))
        most = _DATES if axis == "t" else _SIDE
        first = place // chunk * chunk
        last = min(first + chunk, size)
        start = max(first, min(place - most // 2, last - most))
        made[dim] = slice(start, min(start + most, last))
    return made


def read(
    members: Sequence[xr.DataArray], one: VariableReport, where: Mapping[str, slice]
) -> NDArray[Any]:
    """Return a part of an array as it is stored."""
    blocks = []
    for da in members:
        chosen = da.variable.isel({d: s for d, s in where.items() if d in da.dims}).load()
        stored = xr.conventions.encode_cf_variable(chosen, name=str(da.name))
        blocks.append(np.asarray(stored.values))
    if not one.stacked:
        return blocks[0]
    return np.stack(blocks, axis=one.axes.index("b"))


def rates(one: VariableReport) -> list[dict[str, Any]]:
    """Return settings around those of an array, its own among them."""
    own = dict(one.settings)
    key = next((key for key in (*_BOUNDS, "psnr") if key in own), None)
    if key in _BOUNDS:
        whole = key == "max_error" and np.dtype(one.dtype).kind in "iu"
        values = [_scaled(own[key], factor, whole=whole) for factor in _FACTORS]
    elif key == "psnr":
        values = [own[key] + step for step in (-10, -5, 0, 5, 10)]
    elif one.codec == "xeo.video":
        key, values = "quality", [40.0, 52.0, 65.0, 78.0, 90.0]
    else:
        return [own]
    made = [own]
    for value in values:
        changed = {**own, key: value}
        if changed not in made:
            made.append(changed)
    return made


def _scaled(value: Any, factor: float, *, whole: bool) -> Any:
    if isinstance(value, (list, tuple)):
        return [_scaled(one, factor, whole=whole) for one in value]
    if factor == 1:
        return value
    return max(1, round(value * factor)) if whole else value * factor


def _label(one: VariableReport, settings: Mapping[str, Any]) -> str:
    for key in ("max_error", "relative_error"):
        if key in settings:
            largest = float(np.max(settings[key]))
            if key == "relative_error":
                return f"±{100 * largest:.3g} %"
            return f"±{largest * abs(one.scale):.3g}"
    spelled = {"psnr": "{:g} dB", "bpppb": "{:.3g} bits", "quality": "quality {:g}"}
    for key, form in spelled.items():
        if key in settings:
            return form.format(settings[key])
    return one.codec.removeprefix("xeo.")


def _psnr(one: VariableReport, block: NDArray[Any], decoded: NDArray[Any]) -> float:
    from xeo.codecs.chunk import fold

    nodata = one.settings.get("nodata", ())
    found = measure(fold(block, one.axes), fold(decoded, one.axes), nodata=nodata)
    return float(found.psnr(one.full_peak / abs(one.scale)))
