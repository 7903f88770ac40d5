"""The verb ``cloud_mask``: which pixels are bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo import registry
from xeo.cube import Cube
from xeo.engine.plan import Plan
from xeo.errors import BandError, DateError, MissingDependencyError, OptionError
from xeo.layers import Layer
from xeo.lazy import check
from xeo.ops.apply import Options, Prepared, Said, prepare
from xeo.ops.pixel_size import pixel_metres
from xeo.ops.quality import QualityCube, quality_cube
from xeo.ops.refine import NO_DATA, Refine
from xeo.ops.sun import sun_angles
from xeo.spec import CloudDetector

#: What ``auto`` tries, the best first: a product's own layer knows shadows and thin cirrus.
_AUTO = (
    "scl",
    "fmask",
    "qa_pixel",
    "pixel_qa",
    "s2cloudless",
    "unet_rgbiswir",
    "unet_rgbi",
    "threshold",
)
#: Metres above the ground, of the clouds whose shadows are looked for.
_HEIGHTS = (200.0, 2000.0)
#: Near-infrared reflectance below which a pixel can be shaded.
_DARK = 0.15


def cloud_mask(
    obj: xr.DataArray | xr.Dataset,
    /,
    method: str | CloudDetector = "auto",
    *,
    threshold: float | None = None,
    dilate: float = 0.0,
    min_size: int = 0,
    shadows: bool | None = None,
    heights: Sequence[float] = _HEIGHTS,
    dark: float = _DARK,
    probability: bool = False,
    sensor: Said = None,
    units: Said = None,
    offset: float | None = None,
    dates: Any = None,
    batch: int | None = None,
    chunk: int | None = None,
    device: str | None = None,
    precision: str = "exact",
    backend: str | None = None,
    explain: bool = False,
    **settings: Any,
) -> xr.DataArray | Plan:
    """Tell which pixels are bad: cloud, cloud shadow, or missing.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``([time,] [band,] y, x)``, as for `xeo.embed`, with the bands or the
        quality layer that the method reads.
    method : str or CloudDetector
        Registered name (`xeo.list_models`) or object: ``"scl"`` (Sentinel-2 L2A),
        ``"qa_pixel"`` (Landsat Collection 2; ``"pixel_qa"``: Collection 1), ``"fmask"`` (HLS),
        ``"unet_rgbi"``, ``"unet_rgbiswir"``, ``"s2cloudless"``, ``"omnicloudmask"``,
        ``"threshold"``. ``"auto"`` takes the product's own quality layer where the cube has
        one, else the detector that needs most of the bands there are; the attribute
        ``xeo_model`` says which.
    threshold : float, optional
        Probability from which on a pixel is bad; None takes the detector's.
    dilate : float
        Metres by which what is bad grows: rims of clouds are seldom found.
    min_size : int
        Objects of fewer pixels are dropped, before anything grows.
    shadows : bool, optional
        Whether to look for cloud shadows: dark pixels (``dark``) in near infrared where the
        sun, by its angles in the cube, throws shadows of clouds of the given ``heights``. None
        does so where the detector finds no shadows itself, and the cube has the angles and
        the band.
    heights : pair of float
        Of the lowest and highest clouds that throw shadows, in metres.
    dark : float
        Reflectance below which a pixel can be shadow; water is dark as well.
    probability : bool
        Return the probability of the detector, float32, 0 to 1, NaN where missing.
    sensor, units, offset, dates, batch, chunk, device, precision, backend, explain :
        As for `xeo.embed`.
    **settings :
        Of the detector, beside its name: ``classes=("cloud_shadows", 9, 10)`` for ``scl``.

    Returns
    -------
    DataArray or Plan
        ``cloud_mask``, dims ``([time,] y, x)``, boolean, True where bad; missing pixels are
        bad. With ``probability`` float32 ``cloud_probability``. Lazy if ``obj`` is lazy.

    Raises
    ------
    UnknownNameError
        If no such detector is registered.
    BandError
        If the cube lacks the layer or bands that the method reads, or nothing that any reads.
    UnitsError, DateError, DimensionError, GridError
        As for `xeo.embed`; `GridError` also where metres are asked for without a CRS.
    OptionError
        If an option has a value that cannot be used, or the detector has no such setting.

    References
    ----------
    .. [1] Zhu, Z. and Woodcock, C. E. (2012). Object-based cloud and cloud shadow detection in
       Landsat imagery. *Remote Sensing of Environment* 118. doi:10.1016/j.rse.2011.10.028
       (shadows from clouds and the sun's angles)

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=2, size=32)
    >>> mask = cube.eo.cloud_mask("threshold", shadows=False)
    >>> mask.dims, mask.dtype
    (('time', 'y', 'x'), dtype('bool'))
    """
    found, cube = _detector(obj, method, settings, sensor)
    options = Options(
        sensor, units, offset, None, dates, None, batch, None, chunk, device, precision, backend
    )
    level = _level(found, threshold)
    asked = _Asked(dilate, min_size, shadows, (heights[0], heights[-1]), dark)
    if probability:
        if dilate or min_size or shadows or threshold is not None:
            raise OptionError(
                "expected no threshold, dilate, min_size or shadows with probability=True: they "
                "shape the mask. Try: probability=False"
            )
        prepared = prepare(cube, found, options, finish=_first, dtype="float32", outputs=0)
        attrs = {"units": "1", "long_name": f"probability of a bad pixel, {found.spec.name}"}
        name = "cloud_probability"
    else:
        name, attrs = "cloud_mask", _attrs(found, level)
        refine = asked.refine(cube.select_dates(dates), found)
        finish = partial(_codes if refine else _is_bad, level=level)
        dtype = "uint8" if refine else "bool"
        prepared = prepare(cube, found, options, finish=finish, dtype=dtype, outputs=0)
        if refine and not explain:
            return _refined(prepared, cube, refine, options, attrs)
    if explain:
        return prepared.job.plan
    made = prepared.result(name, "", attrs)
    assert isinstance(made, xr.DataArray)
    return made


def can_detect(obj: xr.DataArray | xr.Dataset, *, sensor: Said = None) -> str | None:
    """Return the name of the detector that ``auto`` takes for a cube, or None."""
    for name in _AUTO:
        try:
            model = registry.resolve("cloud_mask", name)
            cube = _cube(obj, model, sensor)
            (one,) = model.spec.inputs
            if one.bands is not None:
                cube.find(one.bands, one.optional_bands)
                if not cube.sensors:
                    continue
            for package in model.spec.packages:
                check(package, purpose="detect clouds")
        except (BandError, MissingDependencyError):
            continue
        return name
    return None


@dataclass(frozen=True)
class _Asked:
    """What is to be done to a mask once it is there."""

    dilate: float
    min_size: int
    shadows: bool | None
    heights: tuple[float, float]
    dark: float

    def __post_init__(self) -> None:
        if not np.isfinite(self.dilate) or self.dilate < 0:
            raise OptionError(f"expected dilate in metres, 0 or more, got {self.dilate}")
        if int(self.min_size) != self.min_size or self.min_size < 0:
            raise OptionError(f"expected min_size in pixels, 0 or more, got {self.min_size}")
        low, high = self.heights
        if not 0 <= low <= high <= 20_000:
            raise OptionError(
                f"expected heights of clouds in metres, the lower first, got {self.heights}. "
                "Try: heights=(200, 2000)"
            )

    def refine(self, cube: Cube, found: Any) -> Refine | None:
        """Return what refines the mask; None where nothing is to be done."""
        sun = self._sun(cube, found)
        if not (self.dilate or self.min_size or sun):
            return None
        gsd = pixel_metres(cube) if self.dilate or sun else (1.0, 1.0)
        radius = (self.dilate / gsd[0], self.dilate / gsd[1])
        return Refine(radius, int(self.min_size), sun or (), self.heights, gsd, self.dark)

    def _sun(self, cube: Cube, found: Any) -> tuple[tuple[int, float, float], ...] | None:
        if self.shadows is False or (self.shadows is None and getattr(found, "shadows", False)):
            return None
        angles = sun_angles(cube)
        whole = angles is not None and all(np.isfinite(one).all() for one in angles)
        band = cube.find(("nir",), ("nir",))[0] is not None
        if self.shadows is None and not (whole and band and "time" in cube.roles):
            return None
        if not band:
            raise BandError(
                f"expected the band nir for shadows=True, the cube has {cube.labels}. "
                "Try: shadows=False"
            )
        if angles is None or not whole:
            raise DateError(
                "expected the sun's zenith and azimuth on each date for shadows=True, as variables "
                "such as sunZenithAngles and sunAzimuthAngles (degrees), got none or NaN. "
                "Try: obj.assign_coords(sun_zenith=('time', ...), sun_azimuth=('time', ...))"
            )
        days = cube.check_dates().astype("datetime64[ns]").astype(np.int64)
        return tuple(
            (int(day), float(zenith), float(azimuth))
            for day, zenith, azimuth in zip(days, *angles, strict=True)
        )


def _refined(
    prepared: Prepared, cube: Cube, refine: Refine, options: Options, attrs: Mapping[str, Any]
) -> xr.DataArray:
    """Return the refined mask: a second job, so that no network sees a larger halo."""
    first = prepared.result("found", "", {"_nodata": NO_DATA})
    assert isinstance(first, xr.DataArray)
    roles = {name: role for role, name in cube.roles.items()}
    layers = [Layer("found", first.variable, "found", tuple(roles[d] for d in first.dims), 0)]
    obj = first.to_dataset()
    if refine.sun:
        held = cube.select_dates(options.dates)
        place = held.find(("nir",))[0]
        assert place is not None
        layers.append(held.layers[place])
        if held.picked is not None:
            at = {cube.roles["time"]: held.picked}
            layers[1] = replace(layers[1], variable=layers[1].variable.isel(at))
    second = QualityCube(
        _described(obj, cube), tuple(layers), cube.roles, cube.sensors, named=cube.named
    )
    same = Options(options.sensor, options.units, options.offset, chunk=options.chunk)
    made = prepare(second, refine, same, finish=_truth, dtype="bool", outputs=0).result(
        "cloud_mask", "", attrs
    )
    assert isinstance(made, xr.DataArray)
    told = {"dilate": refine.metres, "min_size": refine.min_size, "shadows": int(bool(refine.sun))}
    return made.assign_attrs(prepared.provenance() | told)


def _described(obj: xr.Dataset, cube: Cube) -> xr.Dataset:
    """Give a data set what the cube says of its numbers."""
    known = {k: v for k, v in cube.obj.coords.items() if k not in obj.coords and not v.ndim}
    return obj.assign_coords(known).assign_attrs(cube.obj.attrs)


def _detector(
    obj: Any, method: str | CloudDetector, settings: Mapping[str, Any], sensor: Said
) -> tuple[Any, Cube]:
    """Return the detector, and the cube that holds what it reads."""
    if method == "auto":
        chosen = can_detect(obj, sensor=sensor)
        if chosen is None:
            labels = Cube.of(obj).labels
            raise BandError(
                f"expected a quality layer (SCL, QA_PIXEL, Fmask) or the bands of a detector, "
                f"got {labels}. Try: a mask of your own, or sensor='...'"
            )
        method = chosen
    found = registry.resolve("cloud_mask", method, settings)
    return found, _cube(obj, found, sensor)


def _cube(obj: Any, model: Any, sensor: Said) -> Cube:
    """Return the cube that holds the bands, or the quality layer, that a detector reads."""
    named = sensor if isinstance(sensor, str) else None
    quality: tuple[str, ...] = getattr(model, "quality", ())
    if not quality:
        return Cube.of(obj, sensor=named)
    return quality_cube(obj, quality, model.spec.name, named)


def _level(found: Any, threshold: float | None) -> float:
    level = getattr(found, "threshold", 0.5) if threshold is None else threshold
    if not 0 <= level <= 1:
        raise OptionError(f"expected threshold from 0 to 1, a probability, got {threshold}")
    return float(level)


def _attrs(found: Any, level: float) -> dict[str, Any]:
    return {
        "long_name": f"bad pixels, {found.spec.name}",
        "description": "1 (true): cloud, shadow or missing; 0 (false): clear",
        "threshold": level,
    }


def _first(scores: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(scores[..., 0, :, :], np.float32)


def _is_bad(scores: NDArray[Any], *, level: float) -> NDArray[np.bool_]:
    one = scores[..., 0, :, :]
    return np.asarray((one >= level) | np.isnan(one))


def _codes(scores: NDArray[Any], *, level: float) -> NDArray[np.uint8]:
    one = scores[..., 0, :, :]
    return np.where(np.isnan(one), NO_DATA, one >= level).astype(np.uint8)


def _truth(scores: NDArray[Any]) -> NDArray[np.bool_]:
    one = scores[..., 0, :, :]
    return np.asarray((one > 0) | np.isnan(one))
