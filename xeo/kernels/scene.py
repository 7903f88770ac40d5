"""Pure arrays of an imagined landscape: parcels, seasons, clouds, shadows, radar, weather.

Nothing here is a radiative-transfer model. It has the structure that algorithms meet (fields
with edges, seasons, correlated clouds with displaced shadows, missing swaths), not the detail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

#: Reflectance of pure surfaces in the bands above; hand-drawn after typical library spectra.
SPECTRA: dict[str, tuple[float, ...]] = {
    "crop": (0.025, 0.055, 0.025, 0.085, 0.28, 0.36, 0.39, 0.41, 0.18, 0.08),
    "leaves": (0.018, 0.035, 0.018, 0.060, 0.20, 0.26, 0.28, 0.30, 0.12, 0.05),
    "soil": (0.070, 0.100, 0.130, 0.150, 0.17, 0.19, 0.21, 0.23, 0.31, 0.27),
    "litter": (0.050, 0.070, 0.090, 0.110, 0.15, 0.17, 0.19, 0.21, 0.25, 0.18),
    "concrete": (0.130, 0.150, 0.170, 0.180, 0.19, 0.20, 0.21, 0.21, 0.24, 0.22),
    "water": (0.050, 0.045, 0.030, 0.022, 0.018, 0.016, 0.014, 0.012, 0.006, 0.004),
    "cloud": (0.750, 0.730, 0.720, 0.730, 0.73, 0.74, 0.74, 0.74, 0.55, 0.42),
}


@dataclass(frozen=True)
class Cover:
    """A land-cover class: two surfaces, and how much the green one hides over the year.

    ``least`` and ``gain`` are fractions; ``up`` and ``down`` days of the year of the steepest
    rise and fall; ``vv`` and ``vh`` backscatter in dB of the bare state.
    """

    name: str
    color: str
    green: str
    bare: str
    least: float
    gain: float
    up: float
    down: float
    vv: float
    vh: float


COVERS = (
    Cover("water", "#2b6cb0", "water", "water", 0.0, 0.0, 100, 300, -21.0, -28.0),
    Cover("forest", "#22543d", "leaves", "litter", 0.35, 0.55, 110, 300, -8.5, -13.5),
    Cover("grassland", "#9ae6b4", "crop", "litter", 0.45, 0.40, 85, 310, -11.5, -18.5),
    Cover("winter_wheat", "#ecc94b", "crop", "soil", 0.15, 0.80, 90, 195, -11.0, -19.0),
    Cover("maize", "#dd6b20", "crop", "soil", 0.03, 0.92, 165, 270, -10.5, -19.5),
    Cover("built_up", "#a0aec0", "crop", "concrete", 0.08, 0.10, 100, 300, -4.0, -11.0),
)
WATER = 1


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], power: float) -> Floats:
    """Return random hills: mean 0, variance 1, spectrum falling with ``wavenumber ** -power``.

    The larger ``power``, the smoother. Periodic at the edges.
    """
    ny, nx = shape
    k = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :])
    k[0, 0] = np.inf
    white = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    hills: npt.NDArray[Any] = np.fft.irfft2(white * k**-power, s=shape)
    spread = float(hills.std()) or 1.0
    result: Floats = ((hills - hills.mean()) / spread).astype(np.float32)
    return result


def parcels(
    rng: np.random.Generator, shape: tuple[int, int], side: float
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Cut a plane into fields with straight edges.

    Parameters
    ----------
    rng : Generator
    shape : (int, int)
        Pixels ``(y, x)``.
    side : float
        Typical side of a field in pixels.

    Returns
    -------
    array of int32, shape (y, x)
        Number of the field of each pixel.
    array of uint8, shape (fields,)
        Its class: 1 + place in `COVERS`.
    """
    ny, nx = shape
    angle = rng.uniform(0.1, 0.6)
    y, x = np.mgrid[:ny, :nx].astype(np.float32)
    u = (x * np.cos(angle) + y * np.sin(angle)) / side
    v = (y * np.cos(angle) - x * np.sin(angle)) / (1.6 * side)
    # Columns of fields, each cut at its own places: straight shared edges, as real fields have.
    column = np.floor(u + 0.08 * np.sin(1.3 * v)).astype(np.int32)
    column -= column.min()
    shifts = rng.uniform(0, 1, column.max() + 1).astype(np.float32)
    row = np.floor(v + shifts[column]).astype(np.int32)
    row -= row.min()
    number = column * (row.max() + 1) + row
    _, number = np.unique(number, return_inverse=True)
    number = number.reshape(shape).astype(np.int32)
    weights = np.array([0.0, 0.18, 0.27, 0.25, 0.22, 0.08])
    classes = rng.choice(len(COVERS), number.max() + 1, p=weights) + 1
    return _river(rng, number, classes.astype(np.uint8))


def _river(
    rng: np.random.Generator, number: npt.NDArray[np.int32], classes: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Let a river, one more field, wind through the plane."""
    ny, nx = number.shape
    t = np.linspace(0, 1, ny)
    bends = sum(
        rng.uniform(-0.1, 0.1) * np.sin(2 * np.pi * k * t + rng.uniform(0, 6)) for k in (1, 2)
    )
    middle = nx * (rng.uniform(0.3, 0.7) + bends)
    near = np.abs(np.arange(nx)[None, :] - middle[:, None]) < max(1.0, 0.015 * nx)
    return (
        np.where(near, classes.size, number).astype(np.int32),
        np.append(classes, np.uint8(WATER)),
    )


def green_cover(rng: np.random.Generator, classes: npt.NDArray[np.uint8], day: Floats) -> Floats:
    """Return the share of each field that is green on each day of the year, ``(day, field)``.

    A double logistic, shifted by up to two weeks and scaled by up to 15 % for each field.
    """
    rows = [COVERS[code - 1] for code in classes]
    least, gain, up, down = (
        np.array([getattr(row, name) for row in rows], np.float32)
        for name in ("least", "gain", "up", "down")
    )
    shift = rng.uniform(-14, 14, classes.size).astype(np.float32)
    vigour = rng.uniform(0.85, 1.15, classes.size).astype(np.float32)
    rise = 1 / (1 + np.exp(-(day[:, None] - up - shift) / 9))
    fall = 1 / (1 + np.exp(-(day[:, None] - down - shift) / 9))
    return np.clip(vigour * (least + gain * (rise - fall)), 0, 1).astype(np.float32)


def reflectance(rng: np.random.Generator, classes: npt.NDArray[np.uint8], green: Floats) -> Floats:
    """Return the reflectance of each field, ``(day, band, field)``, from its green cover."""
    leaf = np.array([SPECTRA[COVERS[code - 1].green] for code in classes], np.float32).T
    bare = np.array([SPECTRA[COVERS[code - 1].bare] for code in classes], np.float32).T
    bare = bare * rng.uniform(0.8, 1.2, classes.size).astype(np.float32)
    mixed = green[:, None] * leaf + (1 - green[:, None]) * bare
    return mixed.astype(np.float32)


def sun(day: Floats, latitude: float) -> tuple[Floats, Floats]:
    """Return the sun's zenith and azimuth in degrees at 10:30 local solar time.

    Parameters
    ----------
    day : array, shape (day,)
        Day of the year.
    latitude : float
        Degrees north.
    """
    tilt = np.deg2rad(-23.44) * np.cos(2 * np.pi * (day + 10) / 365.25)
    phi, hour = np.deg2rad(latitude), np.deg2rad(-22.5)
    height = np.sin(phi) * np.sin(tilt) + np.cos(phi) * np.cos(tilt) * np.cos(hour)
    east = -np.cos(tilt) * np.sin(hour)
    north = np.cos(phi) * np.sin(tilt) - np.sin(phi) * np.cos(tilt) * np.cos(hour)
    zenith = np.rad2deg(np.arccos(np.clip(height, -1, 1)))
    azimuth = np.rad2deg(np.arctan2(east, north)) % 360
    return zenith.astype(np.float32), azimuth.astype(np.float32)


def clouds(
    rng: np.random.Generator, shape: tuple[int, int], cover: float, shift: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Return the opacity of clouds, and that of the clouds between a pixel and the sun.

    Parameters
    ----------
    rng : Generator
    shape : (int, int)
        Pixels ``(y, x)``.
    cover : float
        Share of pixels with an opacity above 0.1.
    shift : (int, int)
        From a cloud to its shadow, in pixels ``(y, x)``.

    Returns
    -------
    opacity, shade : arrays of float32, shape (y, x)
        From 0 (none) to 1.
    """
    pad = max(map(abs, shift))
    ny, nx = shape
    field = smooth_noise(rng, (ny + 2 * pad, nx + 2 * pad), 1.6)
    inside = (slice(pad, pad + ny), slice(pad, pad + nx))
    shaded = tuple(slice(pad - s, pad - s + n) for s, n in zip(shift, shape, strict=True))
    if cover <= 0:
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    rate = np.exp(rng.uniform(np.log(0.5), np.log(5.0)))
    # The opacity passes 0.1 where the field passes the quantile with the wanted share above it.
    edge = np.quantile(field[inside], 1 - min(cover, 1.0)) + np.log(0.9) / rate
    overcast = 1.5 if cover >= 1 else 0.0
    opacity = 1 - np.exp(-rate * np.maximum(field - edge + overcast, 0))
    return opacity[inside].astype(np.float32), opacity[shaded].astype(np.float32)


def cloud_covers(rng: np.random.Generator, count: int, mean: float) -> Floats:
    """Return the cloud cover of each date: many clear, many overcast, the mean as asked."""
    if not 0 < mean < 1:
        return np.full(count, mean, np.float32)
    # Evenly spaced quantiles of the U-shaped law: a few plain draws would miss the mean by far.
    draws = rng.beta(0.6 * mean, 0.6 * (1 - mean), 8192)
    levels = (np.arange(count) + rng.random(count)) / count
    return rng.permutation(np.quantile(draws, levels)).astype(np.float32)


def swath_edge(rng: np.random.Generator, shape: tuple[int, int]) -> Bools:
    """Return where a slanted swath edge leaves pixels without data, True outside."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    slant = x / shape[1] + rng.uniform(0.1, 0.3) * y / shape[0]
    west: bool = rng.random() < 0.5
    outside: Bools = slant < rng.uniform(0.15, 0.5) if west else slant > rng.uniform(0.6, 0.95)
    return outside


def backscatter(
    rng: np.random.Generator, classes: npt.NDArray[np.uint8], green: Floats, band: str
) -> Floats:
    """Return the mean backscatter of each field in dB, ``(day, field)``; ``band`` vv or vh.

    Plants add up to 3 dB to VH and 1 dB to VV; rain wets all the bare fields of a date.
    """
    base = np.array([getattr(COVERS[code - 1], band) for code in classes], np.float32)
    gain = 3.0 if band == "vh" else 1.0
    wet = rng.normal(0, 0.7, (len(green), 1)).astype(np.float32) * (1 - green)
    land = np.where(classes == WATER, 0, 1).astype(np.float32)
    return (base + land * (gain * green + wet)).astype(np.float32)


def weather(rng: np.random.Generator, day: Floats, latitude: float) -> tuple[Floats, Floats]:
    """Return daily mean temperature in kelvin and precipitation in mm, each ``(day,)``."""
    warm = 28 - 0.35 * abs(latitude)
    season = np.sign(latitude or 1) * -0.2 * abs(latitude) * np.cos(2 * np.pi * (day - 20) / 365.25)
    memory = np.empty(day.size)
    memory[0] = rng.normal(0, 3)
    for i in range(1, day.size):
        memory[i] = 0.8 * memory[i - 1] + rng.normal(0, 1.8)
    rain = np.where(rng.random(day.size) < 0.35, rng.gamma(0.8, 6.0, day.size), 0.0)
    return (273.15 + warm + season + memory).astype(np.float32), rain.astype(np.float32)
