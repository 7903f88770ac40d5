"""Which codec, at which settings and chunks, for each variable of a data set."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xeo.calibration import Calibration, Told, settle
from xeo.cube import Cube
from xeo.errors import OptionError, UnitsError, XeoError, XeoWarning
from xeo.layers import find_roles
from xeo.lazy import check
from xeo.ops.tiles import tile
from xeo.warn import warn

if TYPE_CHECKING:
    from xeo.codecs.base import ChunkCodec

#: What a user may aim at, one of them for each variable.
TARGETS = ("max_error", "relative_error", "psnr", "bpppb", "quality", "lossless")
_CODECS = ("auto", "video", "bounded", "lossless")
_CLASSES = re.compile(
    r"(^|[\W_])(scl|qa|qc|qa\d+|flags?|masks?|datamask|clm|class|classes|classification|lulc|"
    r"land_?cover|labels?|fmask|quality|bitmask)([\W_]|$)",
    re.IGNORECASE,
)
_LEVELS = ("level", "levels", "plev", "lev", "pressure_level", "isobaricinhpa", "depth", "height")


@dataclass(frozen=True)
class Goal:
    """What one variable is to be: the options of `compress` that hold for it.

    Parameters
    ----------
    target : str
        One of `TARGETS`, or "" where none was said.
    value : float
        Of the target.
    codec : str or codec
        Name, ``"auto"`` or an object.
    peak : float, optional
        For PSNR, in the units of the values.
    settings : mapping
        Further settings of the codec.
    """

    target: str
    value: float
    codec: Any = "auto"
    peak: float | None = None
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Coding:
    """How one variable is stored.

    Parameters
    ----------
    name : str
        Of the variable.
    codec : ChunkCodec or None
        None for Zarr's own.
    chunks : tuple of int
        One size a dimension; empty where it is left to xarray and Zarr.
    stored : Variable
        One value of it as it is stored: dtype and attributes.
    goal : Goal
        What was asked.
    scale : float
        Units of the goal per stored unit.
    units : str
        Of the goal, for people.
    offset : float
        Added to stored numbers, in units of the goal.
    note : str
        Why it is stored so, where that is not what was asked.
    axes : str
        Which dimension is which, a letter each: t, b, y, x.
    classes : bool
        Whether it holds classes, every one of which is kept, worthless pixels or not.
    """

    name: str
    codec: ChunkCodec | None
    chunks: tuple[int, ...]
    stored: xr.Variable
    goal: Goal
    scale: float = 1.0
    units: str = ""
    offset: float = 0.0
    note: str = ""
    axes: str = ""
    classes: bool = False


class Goals:
    """The options of `compress`, one value for all or a mapping of variables to values.

    Parameters
    ----------
    options : mapping
        Of the names in `TARGETS`, ``codec`` and ``peak``. In a mapping ``...`` stands for all
        that it does not name.
    names : sequence of str
        Of the variables that there are.
    settings : mapping
        For the codec of every variable.

    Raises
    ------
    OptionError
        If a mapping names a variable that is not there, or a value cannot be.
    """

    def __init__(
        self, options: Mapping[str, Any], names: Sequence[str], settings: Mapping[str, Any]
    ) -> None:
        self.extra = dict(settings)
        self.shared: dict[str, Any] = {}
        self.own: dict[str, dict[str, Any]] = {}
        for option, value in options.items():
            mapping: dict[Any, Any] = dict(value) if isinstance(value, Mapping) else {...: value}
            self.shared[option] = mapping.pop(..., None)
            self.own[option] = mapping
            unknown = set(mapping) - set(names)
            if unknown:
                raise OptionError(
                    f"expected {option} of variables among {list(names)}, got "
                    f"{sorted(map(str, unknown))}"
                )

    def named(self, name: str) -> bool:
        """Whether a variable is asked for by its own name."""
        return any(_said(self.own[one].get(name)) for one in (*TARGETS, "codec"))

    def of(self, name: str) -> Goal:
        """Return what one variable is to be; a target of its own goes before one of all."""
        own = {t: self.own[t][name] for t in TARGETS if _said(self.own[t].get(name))}
        found = own or {t: self.shared[t] for t in TARGETS if _said(self.shared[t])}
        if len(found) > 1:
            raise OptionError(
                f"expected one target for {name!r}, got {sorted(found)}. Try: one of them; a "
                "maximum error over video is codec='video' with max_error"
            )
        target, value = next(iter(found.items()), ("", 0.0))
        number = _number(target, value, name)
        codec, peak = self._choice("codec", name), self._choice("peak", name)
        codec = "auto" if codec is None else codec
        if isinstance(codec, str) and codec not in _CODECS:
            raise OptionError(f"expected codec to be one of {list(_CODECS)}, got {codec!r}")
        return Goal(target, number, codec, peak, self.extra)

    def _choice(self, option: str, name: str) -> Any:
        return self.own[option].get(name, self.shared[option])


def _said(value: Any) -> bool:
    return value is not None and value is not False


def _number(target: str, value: Any, name: str) -> float:
    if target in ("", "lossless"):
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise OptionError(
            f"expected {target} to be a number above 0, got {value!r} for {name!r}. "
            "Try: lossless=True for no error at all"
        )
    return number


def plan(ds: xr.Dataset, goals: Goals, chunks: Mapping[Any, int] | None) -> list[Coding]:
    """Return how each data variable is stored.

    Parameters
    ----------
    ds : Dataset
        Decoded by xarray, or not.
    goals : Goals
        What is asked.
    chunks : mapping, optional
        Sizes of chunks by dimension; what it lacks is chosen.

    Returns
    -------
    list of Coding

    Raises
    ------
    OptionError
        If there is no goal for a variable that needs one, or it cannot be reached.
    """
    roles = find_roles(ds)
    scales = calibrations(ds)
    made = []
    for name, da in ds.data_vars.items():
        one = _one(str(name), da, goals, roles, scales.get(str(name)))
        if one.codec is not None:
            letters = axes_of(da.dims, roles)
            sizes = tile(da, letters, one.codec.short, dict(chunks or {}))
            codec = replace(one.codec, axes=letters)
            classes = is_exact(codec) and is_classes(str(name), da)
            one = replace(one, codec=codec, chunks=sizes, axes=letters, classes=classes)
        made.append(one)
    _check_libraries(made)
    return made


def axes_of(dims: Sequence[Hashable], roles: Mapping[str, Hashable]) -> str:
    """Return the letters by which a codec knows dimensions: t, b, y, x."""
    letters = {dim: role[0] for role, dim in roles.items()}
    levels = {dim: "b" for dim in dims if str(dim).lower() in _LEVELS}
    return "".join((letters | levels).get(dim, "t") for dim in dims)


def _one(
    name: str,
    da: xr.DataArray,
    goals: Goals,
    roles: Mapping[str, Hashable],
    calibration: Calibration | None,
) -> Coding:
    stored = as_stored(da.variable, name)
    goal = goals.of(name)
    reason = _left_alone(da, stored, roles)
    if reason:
        if goals.named(name) and da.size and "y and x" not in reason:
            raise OptionError(
                f"expected {name!r} to be of integers or floats of at most 64 bits, got "
                f"{da.dtype}. Try: leave it out of the options; it is stored exactly"
            )
        return Coding(name, None, (), stored, goal, note=reason)
    scale, offset, units = units_of(da, calibration)
    if not isinstance(goal.codec, str):
        note = "the codec that was given"
        return Coding(name, goal.codec, (), stored, goal, scale, units, offset, note)
    if is_classes(name, da) and not goals.named(name):
        # More effort takes ten times longer, for a hundredth of a bit in such maps.
        settings = {"effort": 6, **(goal.settings or {})}
        exact = replace(goal, target="lossless", codec="lossless", settings=settings)
        return Coding(name, _lossless(stored, exact), (), stored, exact, note="classes: lossless")
    if not goal.target and goal.codec not in ("lossless", "video"):
        raise OptionError(
            f"expected to know how close {name!r} has to stay, got none of {list(TARGETS)}. "
            "Try: max_error=0.002, psnr=50 or lossless=True"
        )
    try:
        return _coding(Coding(name, None, (), stored, goal, scale, units, offset))
    except OptionError as err:
        raise OptionError(f"{name!r}: {err}") from err


def _left_alone(da: xr.DataArray, stored: xr.Variable, roles: Mapping[str, Hashable]) -> str:
    """Say why a variable is not for our codecs, or nothing."""
    # Dates become integers when they are stored, of which an error would make others.
    if not {stored.dtype.kind, da.dtype.kind} <= set("biuf") or stored.dtype.itemsize > 8:
        return f"left to Zarr's own codecs: {da.dtype}"
    if da.size == 0:
        return "left to Zarr's own codecs: empty"
    if not {roles.get("y"), roles.get("x")} <= set(da.dims):
        return "left to Zarr's own codecs: no y and x"
    return ""


def is_classes(name: str, da: xr.DataArray) -> bool:
    """Whether a variable holds classes, flags or a mask, of which an error would make another."""
    if da.dtype.kind == "b" or {"flag_values", "flag_meanings", "flag_masks"} & set(da.attrs):
        return True
    stored = np.dtype(da.encoding.get("dtype", da.dtype))
    packed = "scale_factor" in da.encoding or "scale_factor" in da.attrs
    return stored.kind in "iu" and not packed and bool(_CLASSES.search(name))


def as_stored(variable: xr.Variable, name: str) -> xr.Variable:
    """Return one value of a variable as xarray would store it: its dtype and attributes."""
    value = np.zeros((1,) * variable.ndim, variable.dtype)
    one = xr.Variable(variable.dims, value, variable.attrs, variable.encoding)
    try:
        return encode(one, name)
    except (TypeError, ValueError):
        # Objects that xarray cannot guess a dtype for are left to xarray itself.
        return one


def encode(variable: xr.Variable, name: str) -> xr.Variable:
    """Return values as they are stored, by the packing that a variable's encoding says.

    Raises
    ------
    OptionError
        If NaN would become a number.
    """
    if "_Unsigned" in variable.encoding and variable.dtype.kind == "u":
        # xarray would store signed numbers, and without a fill value not say so.
        kept = {k: v for k, v in variable.encoding.items() if k not in ("_Unsigned", "dtype")}
        variable = xr.Variable(variable.dims, variable.data, variable.attrs, kept)
    with warnings.catch_warnings():
        # It comes for any packing without a fill value, NaN or none.
        warnings.filterwarnings("ignore", "saving variable .* without any _FillValue")
        with np.errstate(invalid="ignore"):
            made = xr.conventions.encode_cf_variable(variable, name=name)
    lost = made.dtype.kind in "iu" and variable.dtype.kind == "f" and "_FillValue" not in made.attrs
    if lost and np.isnan(variable.values).any():
        raise OptionError(
            f"expected a _FillValue in the encoding of {name!r}, which has NaN and is stored as "
            f"{made.dtype}. Try: ds[{name!r}].encoding['_FillValue'] = ..., or drop_encoding()"
        )
    return made


def calibrations(ds: xr.Dataset) -> dict[str, Calibration]:
    """Return what the vocabulary and attributes say of the numbers of each band."""
    try:
        cube = Cube.of(ds)
    except XeoError:
        return {}
    found = {}
    for layer in cube.layers:
        stored = cube.stored(layer)
        try:
            found[layer.name] = settle(stored, Told())
        except UnitsError:
            if stored.sensor is not None and stored.sensor.family == "sentinel2":
                # Only the offset is in doubt, which no bound depends on.
                found[layer.name] = settle(stored, Told(offset=0.0))
    return found


def units_of(da: xr.DataArray, calibration: Calibration | None) -> tuple[float, float, str]:
    """Return the scale and offset from stored numbers to those of the goal, and its units."""
    packing = da.encoding
    if da.dtype.kind in "iu" and {"scale_factor", "add_offset"} & set(da.attrs):
        # Opened without decoding.
        packing = da.attrs
    scale, offset = packing.get("scale_factor"), packing.get("add_offset", 0.0)
    if scale is not None or "add_offset" in packing:
        said = calibration.units if calibration else None
        return float(scale or 1.0), float(offset), said or str(da.attrs.get("units", ""))
    if calibration is not None and calibration.units is not None:
        # An offset a date has no say in bounds, and none in reflectance as it is shown.
        start = calibration.offset if np.ndim(calibration.offset) == 0 else 0.0
        return float(calibration.scale), float(np.asarray(start)), calibration.units
    return 1.0, 0.0, str(da.attrs.get("units", ""))


def _nodata(stored: xr.Variable) -> tuple[float, ...]:
    names = ("_FillValue", "missing_value", "_nodata", "nodata", "no_data")
    found = [np.ravel(stored.attrs[name]) for name in names if name in stored.attrs]
    numbers = {float(v) for one in found for v in one if _is_number(v)}
    whole = stored.dtype.kind in "iu"
    return tuple(sorted(int(v) if whole else v for v in numbers if math.isfinite(v)))


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _coding(one: Coding) -> Coding:
    """Choose the codec for a goal in the units of the user."""
    goal, whole = one.goal, one.stored.dtype.kind in "iu"
    if goal.target == "lossless" or goal.codec == "lossless":
        return replace(one, codec=_lossless(one.stored, goal))
    if one.stored.dtype.kind == "b":
        raise OptionError("expected lossless=True for true and false")
    if goal.target in ("psnr", "bpppb", "quality", ""):
        if goal.codec == "bounded":
            raise OptionError(
                f"expected max_error or relative_error for codec='bounded', got {goal.target!r}"
            )
        return replace(one, codec=_video(one, None))
    if goal.target == "relative_error":
        if one.offset:
            raise OptionError(
                f"expected values without an offset for relative_error, got one of {one.offset}: "
                "what is relative to stored numbers is not to values. Try: max_error"
            )
        if goal.codec == "video":
            raise OptionError("expected max_error for codec='video', got relative_error")
        return replace(one, codec=_bounded(one.stored, goal, relative_error=goal.value))
    bound = goal.value / abs(one.scale)
    if whole and bound * (1 + 1e-9) < 1:
        if one.scale == 1:
            warn(
                f"max_error={goal.value:g} is below a step of the integers of {one.name!r}, "
                "whose scale nothing says: it is stored exactly. Try: max_error in stored "
                "numbers, or set the attribute scale_factor",
                XeoWarning,
            )
        note = "lossless: the bound is below a stored step"
        return replace(one, codec=_lossless(one.stored, goal), note=note)
    bound = math.floor(bound * (1 + 1e-9)) if whole else bound
    if goal.codec == "video":
        return replace(one, codec=_video(one, bound))
    return replace(one, codec=_bounded(one.stored, goal, max_error=bound))


def _lossless(stored: xr.Variable, goal: Goal) -> ChunkCodec:
    from xeo.codecs.lossless import LosslessCodec

    return LosslessCodec(nodata=_nodata(stored), **_settings(goal, LosslessCodec))


def _bounded(stored: xr.Variable, goal: Goal, **bound: Any) -> ChunkCodec:
    from xeo.codecs.bounded import BoundedCodec

    return BoundedCodec(nodata=_nodata(stored), **bound, **_settings(goal, BoundedCodec))


def _video(one: Coding, bound: float | None) -> ChunkCodec:
    from xeo.codecs.video import VideoCodec

    goal = one.goal
    aims: dict[str, Any] = {}
    if goal.target in ("psnr", "bpppb", "quality"):
        aims[goal.target] = goal.value
    if bound is not None:
        aims["max_error"] = bound
    if goal.target == "psnr":
        peak = peak_of(one)
        aims["peak"] = None if peak is None else peak / abs(one.scale)
    return VideoCodec(nodata=_nodata(one.stored), **aims, **_settings(goal, VideoCodec))


def peak_of(one: Coding) -> float | None:
    """Return the peak for PSNR, in units of the goal; None for the range of the values."""
    if one.goal.peak is not None:
        return float(one.goal.peak)
    if one.units == "reflectance":
        return 1.0
    if one.stored.dtype.kind == "u" and one.stored.dtype.itemsize == 1:
        return 255 * abs(one.scale)
    return None


def is_exact(codec: ChunkCodec) -> bool:
    """Whether a codec gives every bit back."""
    return codec.short == "lossless"


def _settings(goal: Goal, kind: type[ChunkCodec]) -> dict[str, Any]:
    """Return the settings that a codec knows: one call may serve several codecs."""
    from dataclasses import fields

    known = {field.name for field in fields(kind)} - {"axes", "nodata", *TARGETS, "peak"}
    return {k: v for k, v in (goal.settings or {}).items() if k in known}


def _check_libraries(made: Sequence[Coding]) -> None:
    kinds = {one.codec.short for one in made if one.codec is not None}
    if kinds:
        check("imagecodecs", purpose="code cubes")
    if "video" in kinds:
        check("av", purpose="code video")
