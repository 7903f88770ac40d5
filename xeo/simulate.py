"""Simulated cubes with known truth, for tests, demos and teaching."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xeo.errors import DateError, GridError, OptionError
from xeo.kernels import scene
from xeo.lazy import require

SOURCE = "simulated by xeo.simulate_cube, not an observation"
#: Pixels of the scene's 10 m grid under one pixel of each modality.
_STRIDES = {"sentinel2": 1, "sentinel1": 2, "terrain": 3, "weather": 0}
_SCL_MEANINGS = (
    "no_data saturated_or_defective dark_area_pixels cloud_shadows vegetation not_vegetated "
    "water unclassified cloud_medium_probability cloud_high_probability thin_cirrus snow"
)
_ORIGIN = (500_000.0, 5_600_000.0)
_PIXEL = 10.0


@dataclass(frozen=True)
class _Scene:
    """What all modalities share: the ground, the dates, and a generator for each purpose."""

    seed: int
    shape: tuple[int, int]
    dates: npt.NDArray[np.datetime64]
    crs: Any
    latitude: float
    cloud_cover: float
    parcels: npt.NDArray[np.int32]
    classes: npt.NDArray[np.uint8]

    def rng(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose])

    def green(self, dates: npt.NDArray[np.datetime64]) -> scene.Floats:
        """Share of each field that is green; the south has its summer in January."""
        day = _day(dates) + (0 if self.latitude >= 0 else 182.6)
        return scene.green_cover(self.rng(2), self.classes, np.mod(day, 365.25))


def simulate_cube(
    *,
    dates: int | Sequence[Any] = 24,
    size: int | tuple[int, int] = 256,
    sensors: Sequence[str] = ("sentinel2",),
    seed: int = 0,
    chunks: Mapping[str, int] | None = None,
    cloud_cover: float = 0.4,
    crs: str = "EPSG:32631",
    units: Literal["dn", "reflectance"] = "dn",
    truth: bool = False,
) -> xr.Dataset | xr.DataTree:
    """Imagine a cube of farmland over a year, with clouds, shadows and the truth.

    Fields of six land covers go through their seasons; clouds, thin and thick, cast shadows
    away from the sun; some dates miss a part of the swath. The numbers look like Sentinel-2 but
    come from a handful of formulas: use them to try code, never to judge a model.

    Parameters
    ----------
    dates : int or sequence of datetime
        How many Sentinel-2 dates, spread evenly over 2023; or the dates, increasing.
    size : int or (int, int)
        Pixels ``(y, x)`` of 10 m.
    sensors : sequence of {"sentinel2", "sentinel1", "weather", "terrain"}
        What to simulate. Sentinel-1 has a grid of 20 m and a date every 12 days, terrain a grid
        of 30 m, weather one place and every day.
    seed : int
        The same seed gives the same cube, whatever ``chunks``.
    chunks : mapping of str to int, optional
        Give Dask arrays with these chunks; dimensions that a modality lacks are passed over.
    cloud_cover : float
        Mean share of cloudy pixels, 0 to 1; dates vary between clear and overcast.
    crs : str
        A projected CRS in metres.
    units : {"dn", "reflectance"}
        Sentinel-2 as uint16, reflectance times 10000 with 0 for missing, or as float32 with NaN.
    truth : bool
        Add what no satellite sees: the bands without clouds, ``clear_B02`` and so on. Not by
        default, as a model that takes all bands would take these too.

    Returns
    -------
    Dataset or DataTree
        A Dataset for one sensor, else a tree with one node for each. The Sentinel-2 node has the
        dims ``(time, y, x)`` and

        * ``B02`` .. ``B12``: ten bands; with ``truth`` ``clear_B02`` .. without clouds or gaps;
        * ``SCL``: classes as Sen2Cor's, but without its errors;
        * ``cloud_mask``, ``shadow_mask``: True where the opacity is above 0.1, and where a cloud
          dims the sun by more than 0.2;
        * ``land_cover`` ``(y, x)``: class codes with ``flag_meanings``;
        * ``sunZenithAngles``, ``sunAzimuthAngles`` ``(time,)``: degrees.

    Raises
    ------
    OptionError
        If a sensor is unknown, a size or date count is not positive, or the cover no share.
    DateError
        If dates are not increasing.
    GridError
        If the CRS is not projected in metres.

    Examples
    --------
    >>> ds = xeo.simulate_cube(dates=3, size=16)
    >>> dict(ds.sizes)
    {'time': 3, 'y': 16, 'x': 16}
    >>> ds.attrs["source"]
    'simulated by xeo.simulate_cube, not an observation'
    """
    wanted = _check_sensors(sensors)
    if units not in ("dn", "reflectance"):
        raise OptionError(f"expected units 'dn' or 'reflectance', got {units!r}")
    ground = _ground(seed, _shape(size), _dates(dates), crs, cloud_cover)
    makers: dict[str, Callable[[], xr.Dataset]] = {
        "sentinel2": lambda: _sentinel2(ground, units, truth),
        "sentinel1": lambda: _sentinel1(ground),
        "weather": lambda: _weather(ground),
        "terrain": lambda: _terrain(ground),
    }
    nodes = {name: _finish(makers[name](), ground, name, chunks) for name in wanted}
    if len(nodes) == 1:
        return nodes[wanted[0]]
    attrs = {"title": f"SIMULATED cube of {', '.join(wanted)}", "source": SOURCE, "seed": seed}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **nodes})


def _check_sensors(sensors: Sequence[str]) -> tuple[str, ...]:
    wanted = (sensors,) if isinstance(sensors, str) else tuple(sensors)
    unknown = [name for name in wanted if name not in _STRIDES]
    if unknown or not wanted or len(set(wanted)) < len(wanted):
        raise OptionError(f"expected different sensors out of {list(_STRIDES)}, got {list(wanted)}")
    return wanted


def _shape(size: int | tuple[int, int]) -> tuple[int, int]:
    ny, nx = (size, size) if isinstance(size, int) else size
    if ny < 1 or nx < 1:
        raise OptionError(f"expected a size of 1 pixel or more, got {size}")
    return ny, nx


def _dates(dates: int | Sequence[Any]) -> npt.NDArray[np.datetime64]:
    if isinstance(dates, int):
        if dates < 1:
            raise OptionError(f"expected 1 date or more, got {dates}")
        days = (np.arange(dates) * 365 / dates + 5).astype("timedelta64[D]")
        return (np.datetime64("2023-01-01T10:30:00") + days).astype("datetime64[ns]")
    given = np.asarray(dates, dtype="datetime64[ns]")
    if given.ndim != 1 or not given.size or np.any(np.diff(given) <= np.timedelta64(0, "ns")):
        raise DateError(f"expected increasing dates, got {list(dates)}. Try: sorted(set(dates))")
    return given


def _day(dates: npt.NDArray[np.datetime64]) -> scene.Floats:
    start = dates.astype("datetime64[Y]")
    days: scene.Floats = ((dates - start) / np.timedelta64(1, "D")).astype(np.float32) + 1
    return days


def _ground(
    seed: int,
    shape: tuple[int, int],
    dates: npt.NDArray[np.datetime64],
    crs: str,
    cloud_cover: float,
) -> _Scene:
    if not 0 <= cloud_cover <= 1:
        raise OptionError(f"expected a cloud_cover from 0 to 1, got {cloud_cover}")
    pyproj = require("pyproj", purpose="describe the CRS of the simulated cube")
    found = pyproj.CRS(crs)
    if not found.is_projected or found.axis_info[0].unit_name != "metre":
        raise GridError(f"expected a projected CRS in metres, got {crs!r}. Try: 'EPSG:32631'")
    to_degrees = pyproj.Transformer.from_crs(found, 4326, always_xy=True)
    latitude = float(to_degrees.transform(*_ORIGIN)[1])
    number, classes = scene.parcels(np.random.default_rng([seed, 1]), shape, side=22.0)
    return _Scene(seed, shape, dates, found, latitude, cloud_cover, number, classes)


def _sentinel2(ground: _Scene, units: Literal["dn", "reflectance"], truth: bool) -> xr.Dataset:
    fields = scene.reflectance(ground.rng(3), ground.classes, ground.green(ground.dates))
    zenith, azimuth = scene.sun(_day(ground.dates), ground.latitude)
    covers = scene.cloud_covers(ground.rng(9), len(ground.dates), ground.cloud_cover)
    count, kind = len(ground.dates), np.uint16 if units == "dn" else np.float32
    shape = (count, *ground.shape)
    seen = {band: np.empty(shape, kind) for band in scene.BANDS}
    clear = {band: np.empty(shape, kind) for band in scene.BANDS} if truth else {}
    scl, cloudy, shaded = np.empty(shape, "u1"), np.empty(shape, bool), np.empty(shape, bool)
    texture = 1 + 0.05 * scene.smooth_noise(ground.rng(4), ground.shape, 0.8)
    for i in range(count):
        rng = ground.rng(5, i)
        opacity, shade, missing = _sky(
            rng, ground, float(covers[i]), float(zenith[i]), float(azimuth[i])
        )
        cloudy[i] = opacity > 0.1
        shaded[i] = (shade > 0.2) & ~cloudy[i]
        for j, band in enumerate(scene.BANDS):
            noise = rng.standard_normal(ground.shape, dtype=np.float32)
            below = fields[i, j][ground.parcels] * texture + 0.002 * noise
            if truth:
                clear[band][i] = _store(below, units)
            white = scene.SPECTRA["cloud"][j]
            above = below * (1 - 0.65 * shade) * (1 - opacity) + white * opacity
            seen[band][i] = _store(above, units, missing)
        scl[i] = _classify(ground, fields[i], opacity, shaded[i], missing)
    return _sentinel2_dataset(
        ground, units, seen, clear,
        {"SCL": scl, "cloud_mask": cloudy, "shadow_mask": shaded},
        {"sunZenithAngles": zenith, "sunAzimuthAngles": azimuth},
    )  # fmt: skip


def _sky(
    rng: np.random.Generator, ground: _Scene, cover: float, zenith: float, azimuth: float
) -> tuple[scene.Floats, scene.Floats, scene.Bools]:
    """Return opacity, shade and missing pixels of a date."""
    # A shadow falls height * tan(zenith) away from the sun; low enough here to stay in view.
    reach = rng.uniform(300, 2000) * np.tan(np.deg2rad(zenith)) / _PIXEL
    reach = min(reach, 0.25 * max(ground.shape))
    away = np.deg2rad(azimuth + 180)
    shift = (round(-reach * np.cos(away)), round(reach * np.sin(away)))
    opacity, shade = scene.clouds(rng, ground.shape, cover, shift)
    cut = rng.random() < 1 / 6
    missing = scene.swath_edge(rng, ground.shape) if cut else np.zeros(ground.shape, bool)
    return opacity, shade, missing


def _store(
    values: scene.Floats,
    units: Literal["dn", "reflectance"],
    missing: scene.Bools | None = None,
) -> npt.NDArray[Any]:
    """Return reflectance as it is stored; real products keep 0 for missing, so 1 is the least."""
    if units == "reflectance":
        return values if missing is None else np.where(missing, np.float32(np.nan), values)
    stored = np.clip(np.rint(values * 10000), 1, 65535).astype(np.uint16)
    return stored if missing is None else np.where(missing, np.uint16(0), stored)


def _classify(
    ground: _Scene,
    fields: scene.Floats,
    opacity: scene.Floats,
    shaded: scene.Bools,
    missing: scene.Bools,
) -> npt.NDArray[np.uint8]:
    red, nir = fields[scene.BANDS.index("B04")], fields[scene.BANDS.index("B08")]
    plain = np.where((nir - red) / (nir + red) > 0.4, 4, 5)
    code = np.where(ground.classes == scene.WATER, 6, plain)[ground.parcels].astype(np.uint8)
    code[shaded] = 3
    for above, value in ((0.1, 10), (0.35, 8), (0.6, 9)):
        code[opacity > above] = value
    code[missing] = 0
    return code


def _sentinel2_dataset(
    ground: _Scene,
    units: Literal["dn", "reflectance"],
    seen: Mapping[str, npt.NDArray[Any]],
    clear: Mapping[str, npt.NDArray[Any]],
    masks: Mapping[str, npt.NDArray[Any]],
    angles: Mapping[str, npt.NDArray[Any]],
) -> xr.Dataset:
    dims = ("time", "y", "x")
    stored = {"units": "DN", "_nodata": 0, "reflectance_scale_factor": 1e-4,
              "reflectance_add_offset": 0.0}  # fmt: skip
    attrs = stored if units == "dn" else {"units": "1"}
    ds = xr.Dataset(coords={"time": ground.dates})
    for band, values in seen.items():
        ds[band] = (dims, values, {"long_name": f"Simulated Sentinel-2 MSI {band}", **attrs})
    for name, values in masks.items():
        ds[name] = (dims, values, {"long_name": name.replace("_", " ")})
    ds["SCL"].attrs |= {"flag_values": list(range(12)), "flag_meanings": _SCL_MEANINGS}
    for name, values in angles.items():
        ds[name] = ("time", values, {"units": "degrees"})
    ds["land_cover"] = (("y", "x"), ground.classes[ground.parcels], _legend())
    for band, values in clear.items():
        ds[f"clear_{band}"] = (
            dims,
            values,
            {"long_name": f"Truth without clouds, {band}", **attrs},
        )
    return ds


def _legend() -> dict[str, Any]:
    return {
        "long_name": "true land cover",
        "flag_values": list(range(1, len(scene.COVERS) + 1)),
        "flag_meanings": " ".join(cover.name for cover in scene.COVERS),
        "flag_colors": " ".join(cover.color for cover in scene.COVERS),
    }


def _sentinel1(ground: _Scene) -> xr.Dataset:
    step = np.timedelta64(12, "D")
    stop = ground.dates[-1] + np.timedelta64(1, "D")
    dates = np.arange(ground.dates[0] - np.timedelta64(4, "h"), stop, step)
    rng, green = ground.rng(6), ground.green(dates)
    parcels = ground.parcels[::2, ::2]
    ds = xr.Dataset(coords={"time": dates})
    for band in ("vv", "vh"):
        fields = scene.backscatter(rng, ground.classes, green, band)
        # Speckle of five looks, as in Sentinel-1 GRD.
        speckle = rng.gamma(5.0, 0.2, (len(dates), *parcels.shape)).astype(np.float32)
        values = fields[:, parcels] + 10 * np.log10(np.maximum(speckle, 1e-6))
        name = band.upper()
        attrs = {"units": "dB", "long_name": f"Simulated Sentinel-1 sigma0 {name}"}
        ds[name] = (("time", "y", "x"), values.astype(np.float32), attrs)
    return ds


def _weather(ground: _Scene) -> xr.Dataset:
    first = ground.dates[0].astype("datetime64[D]")
    last = ground.dates[-1].astype("datetime64[D]")
    dates = np.arange(first, last + np.timedelta64(1, "D")).astype("datetime64[ns]")
    warmth, rain = scene.weather(ground.rng(7), _day(dates), ground.latitude)
    ds = xr.Dataset(coords={"time": dates})
    ds["temperature_mean"] = ("time", warmth, {"units": "K", "long_name": "2 m temperature"})
    ds["precipitation_flux"] = ("time", rain, {"units": "mm d-1", "long_name": "precipitation"})
    return ds


def _terrain(ground: _Scene) -> xr.Dataset:
    ny, nx = (-(-n // 3) for n in ground.shape)
    hills = scene.smooth_noise(ground.rng(8), (ny + 2, nx + 2), 2.4)
    height = 120 + 0.02 * _PIXEL * max(ground.shape) * hills
    slope = np.rad2deg(np.arctan(np.hypot(*np.gradient(height, 3 * _PIXEL))))
    inner = (slice(1, -1), slice(1, -1))
    ds = xr.Dataset()
    for name, values, unit in (("elevation", height, "m"), ("slope", slope, "degrees")):
        ds[name] = (("y", "x"), values[inner].astype(np.float32), {"units": unit})
    return ds


def _finish(
    ds: xr.Dataset, ground: _Scene, name: str, chunks: Mapping[str, int] | None
) -> xr.Dataset:
    """Add coordinates, the CRS, provenance and chunks."""
    ds = ds.assign_attrs(
        title=f"SIMULATED {name} cube", source=SOURCE, seed=ground.seed, Conventions="CF-1.9",
        comment="Made of formulas for tests and demos. No satellite took these values.",
    )  # fmt: skip
    if _STRIDES[name]:
        ds = _place(ds, ground, _STRIDES[name] * _PIXEL)
    if chunks is None:
        return ds
    return ds.chunk({dim: size for dim, size in chunks.items() if dim in ds.dims})


def _place(ds: xr.Dataset, ground: _Scene, gsd: float) -> xr.Dataset:
    left, top = _ORIGIN
    for axis, start, sign in (("x", left, 1), ("y", top, -1)):
        at = start + sign * gsd * (np.arange(ds.sizes[axis]) + 0.5)
        word = {
            "standard_name": f"projection_{axis}_coordinate",
            "units": "m",
            "axis": axis.upper(),
        }
        ds = ds.assign_coords({axis: (axis, at, word)})
    wkt = ground.crs.to_wkt()
    about = {**ground.crs.to_cf(), "crs_wkt": wkt, "spatial_ref": wkt}
    about["GeoTransform"] = f"{left} {gsd} 0.0 {top} 0.0 {-gsd}"
    ds = ds.assign_coords(spatial_ref=((), np.int32(0), about))
    for values in ds.data_vars.values():
        if "x" in values.dims:
            values.attrs["grid_mapping"] = "spatial_ref"
    return ds
