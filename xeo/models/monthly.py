"""What models of monthly series share: a `Batch` turned into one value per calendar month.

Composites are made on the host, in numpy: they are a few percent of the work of the networks
that read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from xeo.errors import ModelError
from xeo.kernels.composite import (
    Reduce,
    masked_mean,
    masked_median,
    masked_total,
    month_window,
    monthly,
    normalized_difference,
)
from xeo.models.torch_runtime import as_tensor
from xeo.spec import Batch, Input

#: Canonical names of the ten Sentinel-2 bands of 10 and 20 m, B02 B03 B04 B05 B06 B07 B08 B8A
#: B11 B12.
SENTINEL2 = (
    "blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08",
    "swir16", "swir22",
)  # fmt: skip
#: Positions of red and near infrared, for the NDVI.
RED, NIR = 2, 6


class Series(NamedTuple):
    """One modality of a batch on the host.

    ``values`` and ``mask`` are ``(sample, time, band, y, x)``, ``mask`` None where the batch has
    none; ``dates`` is ``(time,)``, or None for a modality without time.
    """

    values: Any
    mask: Any
    dates: Any


def inputs(optical: str) -> tuple[Input, ...]:
    """Return what a monthly Sentinel-1, Sentinel-2, weather and terrain model reads.

    Parameters
    ----------
    optical : {"reflectance", "dn"}
        Units of Sentinel-2.
    """
    gaps = tuple(band for band in SENTINEL2 if band not in ("red", "nir"))
    weather = ("temperature_2m", "total_precipitation")
    terrain = ("elevation", "slope")
    return (
        Input("sentinel2", SENTINEL2, "dn" if optical == "dn" else "reflectance", False, gaps),
        Input("sentinel1", ("vv", "vh"), "db", optional=True, optional_bands=("vv", "vh")),
        Input("weather", weather, ("kelvin", "metre"), optional=True, optional_bands=weather),
        Input("terrain", terrain, ("metre", "degree"), optional=True, optional_bands=("slope",)),
    )


def read(batch: Batch, wanted: Input) -> Series | None:
    """Return a modality of a batch as numpy arrays, or None if the batch lacks it.

    Raises
    ------
    ModelError
        If a required modality is absent, or shapes and dates do not fit together.
    """
    if wanted.modality not in batch:
        if wanted.optional:
            return None
        raise ModelError(
            f"expected a batch with {wanted.modality!r}, got {sorted(batch)}. Try: give the "
            f"cube a node or variables of {wanted.modality}"
        )
    values = as_tensor(batch[wanted.modality]).cpu().numpy()
    mask = batch.mask.get(wanted.modality)
    dates = batch.time.get(wanted.modality)
    found = Series(
        values,
        None if mask is None else as_tensor(mask).cpu().numpy(),
        None if dates is None else np.asarray(dates, "datetime64[ns]"),
    )
    _check(found, wanted)
    return found


def sources(batch: Batch, wanted: tuple[Input, ...]) -> dict[str, Series]:
    """Return the modalities of a batch that are there, by name; see `read`."""
    found = {part.modality: read(batch, part) for part in wanted}
    return {name: series for name, series in found.items() if series is not None}


def latlon(batch: Batch, shape: tuple[int, ...]) -> Any:
    """Return the places of pixels, ``(sample, 2, y, x)`` in degrees, as numpy.

    Raises
    ------
    ModelError
        If the batch has none, or they do not fit values of this ``shape``.
    """
    expected = (shape[0], 2, *shape[3:])
    got = None if batch.latlon is None else tuple(batch.latlon.shape)
    if got != expected:
        raise ModelError(
            f"expected latlon in degrees, in the shape {expected}, got {got}. Try: give the cube "
            "a CRS, obj.rio.write_crs(...)"
        )
    return as_tensor(batch.latlon).cpu().numpy()


def check_months(months: int, start: str | None, longest: int) -> None:
    """Refuse settings that name no months.

    Raises
    ------
    ModelError
        If ``months`` is not 1 to ``longest``, or ``start`` is not ``"YYYY-MM"``.
    """
    if not 1 <= months <= longest:
        raise ModelError(f"expected months from 1 to {longest}, got {months}")
    if start is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", start):
        raise ModelError(f"expected start as 'YYYY-MM', got {start!r}. Try: '2018-11'")


def _check(found: Series, wanted: Input) -> None:
    shape, bands = found.values.shape, len(wanted.bands or ())
    if len(shape) != 5 or shape[2] != bands:
        raise ModelError(
            f"expected {wanted.modality} as (sample, time, {bands} bands {wanted.bands}, y, x), "
            f"got the shape {shape}"
        )
    if found.mask is not None and found.mask.shape != shape:
        raise ModelError(
            f"expected the mask of {wanted.modality} in the shape of its values {shape}, got "
            f"{found.mask.shape}"
        )
    if found.dates is None:
        if wanted.modality != "terrain":
            raise ModelError(
                f"expected the dates of {wanted.modality} in the batch, got none. Try: give the "
                "cube a time coordinate"
            )
    elif found.dates.shape != shape[1:2] or np.isnat(found.dates).any():
        raise ModelError(
            f"expected {shape[1]} valid dates for {wanted.modality}, got {found.dates.size} of "
            f"which {int(np.isnat(found.dates).sum())} are not dates"
        )


def window_of(series: Series, months: int, start: str | None) -> Any:
    """Return the calendar months that a model reads; see `xeo.kernels.composite.month_window`.

    Raises
    ------
    ModelError
        If no date of the series falls into them.
    """
    if not series.dates.size:
        raise ModelError("expected at least one Sentinel-2 date, got none")
    window = month_window(series.dates, months, start)
    if not np.isin(series.dates.astype("datetime64[M]"), window).any():
        first, last = series.dates.min(), series.dates.max()
        raise ModelError(
            f"expected Sentinel-2 dates in the {months} months from {start}, got dates from "
            f"{first.astype('M8[D]')} to {last.astype('M8[D]')}. Try: start=None, or another month"
        )
    return window


class Tile(NamedTuple):
    """Part of a batch: samples and rows."""

    samples: slice
    rows: slice

    def cut(self, x: Any) -> Any:
        """Return the tile of an array ``(sample, ..., y, x)``; one without place stays whole."""
        return x[self.samples] if x.shape[-2] == 1 else x[self.samples, ..., self.rows, :]


def tiles(shape: tuple[int, ...], pixels: int) -> Iterator[Tile]:
    """Yield the tiles of a batch that hold about so many pixels.

    Parameters
    ----------
    shape : tuple of int
        ``(sample, time, band, y, x)``.
    pixels : int
        The most pixels in a tile, but for tiles of a single row.
    """
    rows = max(1, pixels // max(1, shape[4]))
    samples = max(1, rows // max(1, shape[3]))
    for sample in range(0, shape[0], samples):
        for row in range(0, shape[3], rows):
            yield Tile(slice(sample, sample + samples), slice(row, row + rows))


def composites(found: dict[str, Series], months: Any, tile: Tile) -> dict[str, Any]:
    """Return monthly values of each modality that is there.

    Parameters
    ----------
    found : dict of str to Series
        From `sources`.
    months : array of datetime64[M], shape (M,)
    tile : Tile
        What part of the batch.

    Returns
    -------
    dict of str to array
        Each ``(sample, M, band, y, x)`` in the units it came in, NaN where missing:
        Sentinel-2 and terrain by the median, Sentinel-1 by the mean of its decibels,
        temperature by the mean, precipitation by the sum. Terrain has M = 1.
    """
    return {name: _COMPOSERS[name](_tile(part, tile), months) for name, part in found.items()}


def _tile(series: Series, tile: Tile) -> Series:
    values = tile.cut(series.values).astype(np.float32, copy=False)
    bad = ~np.isfinite(values)
    if series.mask is not None:
        bad |= tile.cut(series.mask)
    return Series(values, bad, series.dates)


def _monthly(series: Series, months: Any, reduce: Reduce, bands: slice = slice(None)) -> Any:
    values, bad = series.values[:, :, bands], series.mask[:, :, bands]
    return monthly(values, bad, series.dates, months, reduce)


def _optical(series: Series, months: Any) -> Any:
    return _monthly(series, months, masked_median)


def _radar(series: Series, months: Any) -> Any:
    return _monthly(series, months, masked_mean)


def _weather(series: Series, months: Any) -> Any:
    temperature = _monthly(series, months, masked_mean, slice(0, 1))
    precipitation = _monthly(series, months, masked_total, slice(1, 2))
    return np.concatenate([temperature, precipitation], axis=2)


def _terrain(series: Series, months: Any) -> Any:
    return masked_median(series.values, series.mask, 1)[:, None]


_COMPOSERS = {
    "sentinel2": _optical,
    "sentinel1": _radar,
    "weather": _weather,
    "terrain": _terrain,
}


def ndvi(optical: Any) -> Any:
    """Return the NDVI of Sentinel-2 composites ``(sample, M, 10, y, x)``, with one band."""
    near, red = optical[:, :, NIR : NIR + 1], optical[:, :, RED : RED + 1]
    return normalized_difference(near, red)
