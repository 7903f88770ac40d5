"""Stored numbers to physical units: settled by what the cube or the user says, never guessed.

The order of belief: what the user says; CF decoding that xarray has done; scale and offset in
attributes; the unit in attributes; for integers of a known product, its documented scale. What
none of these settles is an error that says how to say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.bands import SENTINEL2_BASELINE_0400, SENTINEL2_OFFSET_0400, Band, Sensor
from xeo.errors import OptionError, UnitsError

#: Words that users and attributes use for the units of `xeo.spec.Units`.
_WORDS = {
    "reflectance": "reflectance",
    "surface reflectance": "reflectance",
    "toa reflectance": "reflectance",
    "dn": "dn",
    "digital number": "dn",
    "digital numbers": "dn",
    "db": "db",
    "decibel": "db",
    "power": "power",
    "linear": "power",
    "linear power": "power",
    "k": "kelvin",
    "kelvin": "kelvin",
    "degc": "celsius",
    "celsius": "celsius",
    "°c": "celsius",
    "m": "metre",
    "metre": "metre",
    "meter": "metre",
    "metres": "metre",
    "meters": "metre",
    "mm": "mm",
    "mm d-1": "mm",
    "degree": "degree",
    "degrees": "degree",
}
_SCALES = (
    ("reflectance_scale_factor", "reflectance_add_offset", "reflectance"),
    ("sr_scale_factor", "sr_add_offset", "reflectance"),
    ("db_scale_factor", "db_add_offset", "db"),
    ("scale_factor", "add_offset", ""),
    ("scale", "offset", ""),
)
_NODATA = ("_FillValue", "missing_value", "_nodata", "nodata", "nodatavals", "no_data")
_HARMONIZED = (
    "boa_offset_applied",
    "earthsearch:boa_offset_applied",
    "s2:boa_offset_applied",
)


@dataclass(frozen=True)
class Told:
    """What the user says of the stored numbers.

    Parameters
    ----------
    units : str, optional
        ``"dn"`` for a product's stored numbers, else the physical unit that values are in.
    offset : float, optional
        To be added to stored numbers before they are scaled, ``-1000`` for Sentinel-2 of
        processing baseline 04.00 or later.
    """

    units: str | None = None
    offset: float | None = None

    def __post_init__(self) -> None:
        if self.units is not None and self.units.lower() not in _WORDS:
            raise OptionError(
                f"expected units to be one of {sorted(set(_WORDS.values()))}, got {self.units!r}"
            )


@dataclass(frozen=True)
class Stored:
    """What a cube says of one band.

    Parameters
    ----------
    label : str
        For messages.
    dtype : dtype
        As it would be read.
    attrs, encoding : mapping
        Of the variable; attributes of the data set as fallback are already in ``attrs``.
    band, sensor : optional
        What the vocabulary takes it for.
    dates : array of datetime64, optional
        Of the cube.
    baselines : array of float, optional
        Sentinel-2 processing baseline of each date, NaN where not said.
    named : bool
        Whether the user or an attribute names the product, rather than labels alone.
    """

    label: str
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any]
    encoding: Mapping[str, Any]
    band: Band | None = None
    sensor: Sensor | None = None
    dates: NDArray[np.datetime64] | None = None
    baselines: NDArray[np.float64] | None = None
    named: bool = False


@dataclass(frozen=True)
class Calibration:
    """How stored numbers become physical ones: ``stored * scale + offset``.

    Parameters
    ----------
    units : str or None
        Of the result; None if nobody said.
    scale : float
        Physical units per stored unit.
    offset : float or array, shape (time,)
        In physical units.
    nodata : float
        Stored number that means missing; NaN if there is none.
    reason : str
        Where this was said, for provenance.
    """

    units: str | None
    scale: float
    offset: float | NDArray[np.float64]
    nodata: float
    reason: str


def settle(stored: Stored, told: Told) -> Calibration:
    """Decide how one band is to be decoded.

    Parameters
    ----------
    stored : Stored
        What the cube says.
    told : Told
        What the user says.

    Returns
    -------
    Calibration
        ``units`` None where nothing says what the numbers are in: a model that does not care
        takes them as they are, for others `explain` makes the error.
    """
    nodata = _nodata(stored)
    if told.units is not None:
        return _as_told(stored, told, nodata)
    word = _word(stored.attrs.get("units"), stored)
    if "scale_factor" in stored.encoding and stored.dtype.kind == "f":
        return Calibration(
            word if word not in (None, "dn") else _physical(stored), 1.0, 0.0, nodata, "CF decoding"
        )
    pair = _pair(stored)
    if pair is not None:
        scale, offset, units, reason = pair
        if told.offset is not None:
            offset = told.offset * scale
        return Calibration(units or _physical(stored), scale, offset, nodata, reason)
    if word == "dn" or (word is None and stored.dtype.kind in "iu"):
        return _by_product(stored, told, nodata)
    if word is None and _physical(stored) not in (None, "reflectance", "db", "power"):
        name = stored.sensor.name if stored.sensor else ""
        return Calibration(_physical(stored), 1.0, 0.0, nodata, f"documented units of {name}")
    return Calibration(word, 1.0, told.offset or 0.0, nodata, "attribute units" if word else "")


def decoded(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return attributes without those that say how stored numbers are to be decoded."""
    done = {name for pair in _SCALES for name in pair[:2]} | set(_NODATA)
    return {key: value for key, value in attrs.items() if key not in done}


def explain(stored: Stored, wanted: str) -> UnitsError:
    """Return the error for a band whose units nobody has said."""
    return UnitsError(
        f"expected {wanted}, but nothing says what the numbers of {stored.label!r} "
        f"({stored.dtype}) are in: no scale_factor, no attribute 'units', no known product. "
        f"Try: units='reflectance' (0 to 1) or units='dn' (stored numbers of the product); for "
        f"radar units='db' or units='power'"
    )


def _as_told(stored: Stored, told: Told, nodata: float) -> Calibration:
    units = _WORDS[str(told.units).lower()]
    if units == "dn":
        pair = _pair(stored)
        if pair is not None and told.offset is None:
            scale, offset, unit, reason = pair
            return Calibration(unit or _physical(stored), scale, offset, nodata, reason)
        return _by_product(stored, told, nodata)
    if stored.dtype.kind in "iu" and units in ("reflectance", "power"):
        raise UnitsError(
            f"expected floating-point values for units={units!r}, got {stored.dtype} in "
            f"{stored.label!r}. Try: units='dn'"
        )
    return Calibration(units, 1.0, told.offset or 0.0, nodata, "argument units")


def _by_product(stored: Stored, told: Told, nodata: float) -> Calibration:
    """Decode stored numbers by the documented scale of their product."""
    sensor, band = stored.sensor, stored.band
    if sensor is None or _physical(stored) is None:
        if told.units is None and told.offset is None:
            return Calibration(None, 1.0, 0.0, nodata, "")
        scale, offset, units = 1e-4, 0.0, "reflectance"
    else:
        scale = sensor.scale if band is None or band.scale is None else band.scale
        offset = sensor.offset if band is None or band.offset is None else band.offset
        units = str(_physical(stored))
    if told.offset is not None:
        return Calibration(units, scale, told.offset * scale, nodata, "argument offset")
    if sensor is not None and sensor.family == "sentinel2":
        shift, reason = _baseline(stored)
        return Calibration(units, scale, shift * scale, nodata, reason)
    if sensor is not None and sensor.family == "landsat" and not stored.named:
        raise _collection(stored)
    name = sensor.name if sensor is not None else "units='dn', scale 1e-4"
    return Calibration(units, scale, offset, nodata, f"documented scale of {name}")


def _collection(stored: Stored) -> UnitsError:
    return UnitsError(
        f"expected to know the Landsat collection of {stored.label!r}: Collection 2 is stored as "
        "(reflectance + 0.2) / 2.75e-5, Collection 1 as reflectance x 10000, under the same "
        "names. Try: sensor='landsat_c2l2', or the attribute scale_factor on each band"
    )


def _baseline(stored: Stored) -> tuple[Any, str]:
    """Return the offset in DN of Sentinel-2 numbers, a date each where dates differ."""
    for name in _HARMONIZED:
        if name in stored.attrs and str(stored.attrs[name]).lower() in ("true", "1"):
            return 0.0, f"attribute {name}"
    text = " ".join(str(value) for value in stored.attrs.values()).lower()
    if "harmonized" in text or "harmonised" in text:
        return 0.0, "attributes say harmonized"
    if stored.baselines is not None and np.isfinite(stored.baselines).all():
        shifts = np.where(stored.baselines >= 4, SENTINEL2_OFFSET_0400, 0.0)
        return (shifts if shifts.any() else 0.0), "processing baseline"
    start = np.datetime64(SENTINEL2_BASELINE_0400)
    if stored.dates is not None and len(stored.dates) and (stored.dates < start).all():
        return 0.0, f"all dates before {start}, processing baseline below 04.00"
    raise UnitsError(
        f"expected to know whether the Sentinel-2 numbers of {stored.label!r} hold the offset of "
        f"processing baseline 04.00 (in products from {start} on), but neither attributes nor "
        f"dates settle it. Try: offset=-1000 (as ESA ships them) or offset=0 (harmonized, or "
        f"boa_offset_applied)"
    )


def _physical(stored: Stored) -> str | None:
    """Return the unit of decoded values that the vocabulary knows."""
    units = stored.band.units if stored.band is not None else None
    return units or (stored.sensor.units if stored.sensor is not None else None)


def _pair(stored: Stored) -> tuple[float, float, str, str] | None:
    for scale_name, offset_name, units in _SCALES:
        scale = _number(stored.attrs.get(scale_name))
        if scale is None:
            continue
        offset = _number(stored.attrs.get(offset_name)) or 0.0
        # rioxarray writes 1 and 0 on every GeoTIFF: on integers that says nothing.
        if scale == 1 and offset == 0 and not units:
            continue
        return scale, offset, units, f"attribute {scale_name}"
    return None


def _word(units: Any, stored: Stored) -> str | None:
    text = str(units or "").strip().lower()
    if text in ("1", "unitless", "dimensionless", "none"):
        return "reflectance" if stored.dtype.kind == "f" and _optical(stored) else None
    return _WORDS.get(text)


def _optical(stored: Stored) -> bool:
    named = f"{stored.attrs.get('standard_name', '')} {stored.attrs.get('long_name', '')}"
    return "reflectance" in named or (_physical(stored) == "reflectance")


def _nodata(stored: Stored) -> float:
    for place in (stored.attrs, stored.encoding):
        for name in _NODATA:
            value = _number(place.get(name))
            if value is None:
                continue
            # Decoded by xarray: the fill value is NaN in memory, and the number could be data.
            if place is stored.encoding and stored.dtype.kind == "f":
                continue
            return value
    if stored.sensor is not None and stored.sensor.nodata is not None and stored.dtype.kind in "iu":
        return float(stored.sensor.nodata)
    return float("nan")


def _number(value: Any) -> float | None:
    if isinstance(value, (list, tuple, np.ndarray)) and np.size(value) == 1:
        value = np.ravel(value)[0]
    if isinstance(value, (list, tuple)) and len(set(value)) == 1:
        value = value[0]
    if value is None or isinstance(value, (list, tuple, np.ndarray, dict)):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
