"""The vocabulary of bands: which label of a cube is which band of which sensor.

Everything here works on names alone. Units, dates and pixels are settled by `xeo.cube`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any

from xeo.errors import BandError, OptionError, UnknownNameError
from xeo.sensors import COMMON_NAMES, SENSORS, Band, Sensor

__all__ = [
    "COMMON_NAMES",
    "SENSORS",
    "SENTINEL2_BASELINE_0400",
    "SENTINEL2_OFFSET_0400",
    "Band",
    "Sensor",
    "canonical",
    "family",
    "identify",
    "pick",
    "pick_wavelengths",
    "sensor",
    "table",
]

#: First day of operations of Sentinel-2 processing baseline 04.00. The reprocessed Collection 1
#: has the offset at earlier dates too: go by the baseline of the product where it is known.
SENTINEL2_BASELINE_0400 = date(2022, 1, 25)
#: What Sentinel-2 products of that baseline and later ask to be added to their DN.
SENTINEL2_OFFSET_0400 = -1000.0


def _words(text: str) -> str:
    """Return lower-case words, each with one underscore before and after it."""
    return "_" + "_".join(re.findall(r"[a-z0-9]+", text.lower())) + "_"


def _strip(words: str, affixes: Iterable[str]) -> str:
    """Drop affixes from both ends, but never the last word."""
    found = True
    while found:
        found = False
        for affix in affixes:
            part = f"_{affix}_"
            if words.startswith(part) and len(words) > len(part):
                words, found = words[len(part) - 1 :], True
            if words.endswith(part) and len(words) > len(part):
                words, found = words[: -len(part) + 1], True
    return words


def _key(label: str, affixes: Iterable[str] = ()) -> str:
    """Return what stays of a label without case, separators, affixes and leading zeros."""
    joined = _strip(_words(label), affixes).replace("_", "")
    short = re.sub(r"(?<![0-9])0+(?=[0-9])", "", joined)
    return re.sub(r"^band(?=[0-9])", "b", short)


@cache
def _keys(found: Sensor) -> Mapping[str, Band]:
    return MappingProxyType(
        {
            _key(label, found.affixes): band
            for band in found.bands
            for label in (band.name, band.label, *band.aliases)
        }
    )


@cache
def _aliases() -> Mapping[str, Sensor]:
    return MappingProxyType(
        {
            _words(alias): found
            for found in SENSORS.values()
            for alias in (found.name, *found.aliases)
        }
    )


def sensor(name: str) -> Sensor:
    """Return the sensor of a name, an alias or the identifier of a collection.

    Parameters
    ----------
    name : str
        ``"sentinel2_l2a"``, ``"s2"``, ``"sentinel-2-l2a"``, ``"COPERNICUS/S2_SR_HARMONIZED"``.
        Case and separators do not matter.

    Returns
    -------
    Sensor

    Raises
    ------
    UnknownNameError
        If no sensor has the name; the message lists near ones.

    Examples
    --------
    >>> from xeo import bands
    >>> bands.sensor("sentinel-2-l2a").name
    'sentinel2_l2a'
    """
    found = _aliases().get(_words(name))
    if found is not None:
        return found
    members = [one.name for one in SENSORS.values() if one.family == name.lower()]
    near = members or difflib.get_close_matches(name.lower(), SENSORS, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise UnknownNameError(
        f"expected the name of a sensor, one of {sorted(SENSORS)}, got {name!r}.{hint}"
    )


def family(name: str) -> tuple[Sensor, ...]:
    """Return the sensors of a family, ``"sentinel2"``; empty if there is no such family."""
    return tuple(found for found in SENSORS.values() if found.family == name)


def canonical(label: str, sensor: Sensor) -> Band | None:
    """Return the band that a sensor's label stands for, or None.

    Parameters
    ----------
    label : str
        As a cube has it: ``"B02"``, ``"b2"``, ``"band_2"``, ``"S2-L2A-B02"``, ``"blue"``.
    sensor : Sensor
        Whose labels these are.

    Examples
    --------
    >>> from xeo import bands
    >>> bands.canonical("SR_B5", bands.sensor("landsat_c2l2")).name
    'nir08'
    """
    return _keys(sensor).get(_key(str(label), sensor.affixes))


def _explained(labels: Sequence[str], found: Sensor) -> int:
    quality = {_key(layer) for layer in found.quality}
    return sum(
        canonical(label, found) is not None or _key(label, found.affixes) in quality
        for label in labels
    )


def _hinted(text: str, found: Sensor) -> int:
    """Return how strongly words of a text name a sensor, 0 if they do not."""
    hits = [any(_words(phrase) in text for phrase in entry.split("|")) for entry in found.hints]
    return sum(hits) if hits and hits[0] else 0


def identify(labels: Sequence[str], hint: str = "") -> tuple[Sensor, ...]:
    """Return the sensors that explain the most of the labels.

    Parameters
    ----------
    labels : sequence of str
        Of the bands; labels of quality layers such as ``"SCL"`` help, others do no harm.
    hint : str
        Free text from attributes: platform, constellation, instrument, title, product, node
        name. It narrows the answer where it names a sensor that fits.

    Returns
    -------
    tuple of Sensor
        Empty if no label is known; several if the labels do not tell them apart.

    Examples
    --------
    >>> from xeo import bands
    >>> [found.name for found in bands.identify(["B02", "B8A", "SCL"])]
    ['sentinel2_l2a']
    """
    names = [str(label) for label in labels]
    scores = {found.name: _explained(names, found) for found in SENSORS.values()}
    most = max(scores.values())
    if not most:
        return ()
    text = _words(" ".join([hint, *names]))
    # A title can name a sensor that other variables of the file come from: it must still
    # explain half as much as the best to be believed.
    fits = [found for found in SENSORS.values() if 2 * scores[found.name] >= most]
    said = max(_hinted(text, found) for found in fits)
    pool = [found for found in fits if _hinted(text, found) == said] if said else fits
    best = max(scores[found.name] for found in pool)
    return tuple(found for found in pool if scores[found.name] == best)


def _position(labels: Sequence[str], name: str, found: Sensor) -> int | None:
    band = canonical(name, found)
    if band is None:
        return None
    at = [i for i, label in enumerate(labels) if canonical(label, found) == band]
    if len(at) > 1:
        both = " and ".join(repr(labels[i]) for i in at)
        raise BandError(
            f"expected one {band.name!r} band of {found.name}, got {len(at)}: {both}. "
            "Try: drop or rename all but one"
        )
    return at[0] if at else None


def _refuse(labels: Sequence[str], name: str, places: Mapping[str, int | None]) -> BandError:
    spots = sorted({at for at in places.values() if at is not None})
    said = []
    for at in spots:
        meanings = []
        for found in places:
            band = canonical(labels[at], SENSORS[found]) if found in SENSORS else None
            meanings.append(f"{band.name if band else 'nothing'} in {found}")
        said.append(f"{labels[at]!r} is {' and '.join(meanings)}")
    first = next(iter(places))
    return BandError(
        f"expected one meaning for the band {name!r}, but {'; '.join(said)}; say which with "
        f"sensor=... Try: sensor={first!r}"
    )


def pick(
    labels: Sequence[str], wanted: Sequence[str], sensors: Sequence[Sensor]
) -> tuple[int | None, ...]:
    """Return where each wanted band stands among the labels of a cube.

    Parameters
    ----------
    labels : sequence of str
        Of the cube's bands, in order.
    wanted : sequence of str
        Canonical names, or native labels such as ``"B04"``.
    sensors : sequence of Sensor
        Whose labels these can be, as `identify` returns them. If empty, names must be equal
        but for case.

    Returns
    -------
    tuple of int or None
        One for each wanted band; None where the cube has no such band.

    Raises
    ------
    BandError
        If the sensors disagree about which label a band is, or two labels claim one band.

    Examples
    --------
    >>> from xeo import bands
    >>> bands.pick(["B02", "B04", "B08"], ["red", "nir", "swir16"], bands.identify(["B08"]))
    (1, 2, None)
    """
    names = [str(label) for label in labels]
    if not sensors:
        return tuple(_literal(names, name) for name in wanted)
    chosen: list[int | None] = []
    for name in wanted:
        places = {found.name: _position(names, name, found) for found in sensors}
        if len(set(places.values())) > 1:
            raise _refuse(names, name, places)
        at = next(iter(places.values()))
        chosen.append(_literal(names, name) if at is None else at)
    return tuple(chosen)


def _literal(labels: Sequence[str], name: str) -> int | None:
    """Return the place of a label that no sensor knows but that is called just so."""
    at = [i for i, label in enumerate(labels) if label.lower() == name.lower()]
    if len(at) > 1:
        raise BandError(
            f"expected one band called {name!r}, got {len(at)}. Try: rename all but one"
        )
    return at[0] if at else None


def pick_wavelengths(
    center_wavelengths: Sequence[float], wanted: Sequence[str | float]
) -> tuple[int | None, ...]:
    """Return the bands nearest to wanted wavelengths, for imaging spectrometers.

    Parameters
    ----------
    center_wavelengths : sequence of float
        Of the cube's bands, in micrometres, in any order.
    wanted : sequence of str or float
        Common names of STAC ``eo``, or micrometres.

    Returns
    -------
    tuple of int or None
        The band nearest to the wavelength, or to the middle of the name's range. None where
        no band lies in the range, or within 0.02 micrometres of the wavelength.

    Raises
    ------
    OptionError
        If wavelengths can only be in another unit.
    UnknownNameError
        If a name has no range.

    Examples
    --------
    >>> from xeo import bands
    >>> bands.pick_wavelengths([0.48, 0.56, 0.66, 0.84], ["red", "green", 0.47])
    (2, 1, 0)
    """
    if any(not 0.1 <= w <= 100 for w in center_wavelengths):
        raise OptionError(
            "expected center_wavelengths in micrometres, between 0.1 and 100, got "
            f"{min(center_wavelengths):g} to {max(center_wavelengths):g}. Try: divide nanometres "
            "by 1000"
        )
    return tuple(_nearest(center_wavelengths, *_range(one)) for one in wanted)


def _range(one: str | float) -> tuple[float, float]:
    if not isinstance(one, str):
        return one - 0.02, one + 0.02
    if one not in COMMON_NAMES:
        raise UnknownNameError(
            f"expected micrometres or a common name, one of {list(COMMON_NAMES)}, got {one!r}"
        )
    return COMMON_NAMES[one]


def _nearest(wavelengths: Sequence[float], low: float, high: float) -> int | None:
    inside = [i for i, w in enumerate(wavelengths) if low <= w <= high]
    return min(inside, key=lambda i: abs(wavelengths[i] - (low + high) / 2), default=None)


def table() -> list[dict[str, Any]]:
    """Return one row for each band of each sensor, for the reference pages.

    Returns
    -------
    list of dict
        Keys ``sensor``, ``family``, ``title``, ``band``, ``label``, ``center_wavelength`` and
        ``full_width_half_max`` (micrometres), ``gsd`` (metres), ``units``, ``scale``,
        ``offset``, ``nodata``, ``aliases``, ``note``.
    """
    return [_row(found, band) for found in SENSORS.values() for band in found.bands]


def _row(found: Sensor, band: Band) -> dict[str, Any]:
    return {
        "sensor": found.name,
        "family": found.family,
        "title": found.title,
        "band": band.name,
        "label": band.label,
        "center_wavelength": band.center_wavelength,
        "full_width_half_max": band.full_width_half_max,
        "gsd": band.gsd,
        "units": band.units or found.units,
        "scale": found.scale if band.scale is None else band.scale,
        "offset": found.offset if band.offset is None else band.offset,
        "nodata": found.nodata,
        "aliases": band.aliases,
        "note": found.note,
    }
