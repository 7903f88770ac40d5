"""Galileo-nano: a space-time transformer over months of Sentinel-2, Sentinel-1 and more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from xeo import weights
from xeo.errors import ModelError
from xeo.kernels.tokens import fill_patches
from xeo.lazy import require
from xeo.models import monthly
from xeo.models.networks import galileo as network
from xeo.models.torch_runtime import as_tensor, inference, like, module_for
from xeo.spec import Batch, ModelSpec

#: Most months that the position table and the pre-training cover.
LONGEST = 24
#: Patches along a side of the default window: with 12 months, the most of the pre-training.
SIDE = 4
#: Tokens run at once.
TOKENS = {"cpu": 2**12, "other": 2**17}
#: Windows made ready at once, in pixels, which bounds working memory.
TILE = 2**14
#: Mean and standard deviation of the pre-training data, from config/normalization.json of the
#: published code: VV and VH in decibels, ten bands of Sentinel-2 as DN; then ERA5 (kelvin and
#: metres a month) and SRTM (metres and degrees). NDVI is taken as it is.
SERIES_MEAN = (
    -11.728724389184965, -18.85558188024017,
    1395.3408730676722, 1338.4026921784578, 1343.09883810357, 1543.8607982512297,
    2186.2022069512263, 2525.0932853316694, 2410.3377187373408, 2750.2854646886753,
    2234.911100061487, 1474.5311266077113,
)  # fmt: skip
SERIES_STD = (
    4.887145774840316, 5.730270320384293,
    917.7041440370853, 913.2988423581528, 1092.678723527555, 1047.2206083460424,
    1048.0101611156767, 1143.6903026819996, 1098.979177731649, 1204.472755085893,
    1145.9774063078878, 980.2429840007796,
)  # fmt: skip
WEATHER_MEAN, WEATHER_STD = (271.5674963541667, 0.08554303677156568), (
    79.80828940314429, 0.11669547098151486)  # fmt: skip
TERRAIN_MEAN, TERRAIN_STD = (673.0152819503361, 5.930092668915115), (
    983.0697298296237, 8.167406789813247)  # fmt: skip


@cache
def _spec(patch: int, window: int, location: bool) -> ModelSpec:
    return ModelSpec(
        name="galileo_nano",
        inputs=monthly.inputs("dn"),
        window=window,
        stride=patch,
        channels=network.DIM,
        time="series",
        missing="nan",
        needs=("time", "latlon", "gsd", "mask") if location else ("time", "gsd", "mask"),
        activation_bytes=1024,
        weights="galileo_nano_encoder",
        packages=("torch",),
        architecture="Vision Transformer",
        total_parameters=1_037_856,
        license="MIT",
        citation="Tseng et al. (2025). Galileo: learning global and local features in pretrained "
        "remote sensing models. https://arxiv.org/abs/2502.09356",
    )


@dataclass(frozen=True)
class GalileoNano:
    """Vectors of 128 numbers for patches of pixels, seen with their window and its months.

    The dates of each calendar month are composed first, bad values left out, as by `Presto`.
    A month and band group of a patch is a token if at least ``min_clear`` of the patch's pixels
    have it; the rest are filled with the mean of the others. All tokens of a window attend to
    each other; the vector of a patch is the mean of its tokens, with those of the weather and
    the place, which all patches of the window share.

    Parameters
    ----------
    patch_size : int
        Side of a patch in pixels, 1 to 8: the stride of the output. Smaller patches cost
        much more: tokens grow with the square, attention with its square.
    window : int, optional
        Side of the square seen at once, in pixels, a multiple of ``patch_size``. None: four
        patches, the most that the pre-training had with 12 months. The work per pixel grows
        with the area of the window.
    months : int
        The most calendar months to read, 1 to 24; the pre-training had up to 12.
    start : str, optional
        First month, ``"2018-11"``. None: the first month with a Sentinel-2 date; where the
        dates span more than ``months`` months, the last ``months`` of them.
    location : bool
        Whether the place of the window is a token too. False: a cube needs no CRS.
    min_clear : float
        Part of a patch that must be there for a token, above 0 and up to 1.

    Notes
    -----
    Takes a batch with ``sentinel2`` (DN, 10 bands) and optionally ``sentinel1`` (vv, vh in
    decibels), ``weather`` (temperature in kelvin, precipitation in metres) and ``terrain``
    (elevation in metres, slope in degrees). It was pre-trained on top-of-atmosphere (L1C)
    Sentinel-2 harmonised to the offsets before processing baseline 04.00. The vector is NaN
    where a patch has neither Sentinel-2 nor Sentinel-1 in any of the months.

    References
    ----------
    .. [1] Tseng, G., Fuller, A., Reil, M., Herzog, H., Beukema, P., Bastani, F., Green, J. R.,
       Shelhamer, E., Kerner, H., Rolnick, D. (2025). Galileo: learning global and local
       features in pretrained remote sensing models. arXiv:2502.09356
    """

    patch_size: int = 8
    window: int | None = None
    months: int = 12
    start: str | None = None
    location: bool = True
    min_clear: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.patch_size <= network.PATCH:
            raise ModelError(
                f"expected patch_size from 1 to {network.PATCH} pixels, got {self.patch_size}"
            )
        if self.window is not None and (self.window < 1 or self.window % self.patch_size):
            raise ModelError(
                f"expected window as a multiple of {self.patch_size} pixels, got {self.window}"
            )
        if not 0 < self.min_clear <= 1:
            raise ModelError(f"expected min_clear above 0 and up to 1, got {self.min_clear}")
        monthly.check_months(self.months, self.start, LONGEST)

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself; the window and stride are settings."""
        window = self.window or SIDE * self.patch_size
        return _spec(self.patch_size, window, self.location)

    def __call__(self, batch: Batch, /) -> Any:
        """Return the vectors of a batch of windows.

        Parameters
        ----------
        batch : Batch
            Modalities ``(sample, time, band, y, x)`` as in the notes, with dates; y and x are
            multiples of ``patch_size``.

        Returns
        -------
        array, shape (sample, 128, y / patch_size, x / patch_size)
            float32, of the kind and device of ``batch["sentinel2"]``.

        Raises
        ------
        ModelError
            If Sentinel-2 or its dates are missing, sizes do not fit, or no date is in the months.
        """
        torch = require("torch", purpose="run Galileo")
        sources = monthly.sources(batch, self.spec.inputs)
        shape = sources["sentinel2"].values.shape
        self._check(shape)
        months = monthly.window_of(sources["sentinel2"], self.months, self.start)
        latlon = monthly.latlon(batch, shape) if self.location else None
        device = as_tensor(batch["sentinel2"]).device
        gsd = float(batch.gsd.get("sentinel2", network.BASE_GSD))
        out = []
        size = max(1, TILE // (shape[3] * shape[4]))
        for at in range(0, shape[0], size):
            tile = monthly.Tile(slice(at, at + size), slice(None))
            found = monthly.composites(sources, months, tile)
            place = None if latlon is None else latlon[tile.samples]
            out.append(self._vectors(self._windows(found, place), months, gsd, device))
        return like(torch.cat(out).permute(0, 3, 1, 2).contiguous(), batch["sentinel2"])

    def _check(self, shape: tuple[int, ...]) -> None:
        if shape[3] % self.patch_size or shape[4] % self.patch_size:
            raise ModelError(
                f"expected windows that are multiples of {self.patch_size} pixels, got {shape[3:]}"
            )

    def _vectors(self, x: network.Window, months: Any, gsd: float, device: Any) -> Any:
        torch = require("torch", purpose="run Galileo")
        x = network.Window(*(torch.from_numpy(part).to(device) for part in x))
        budget = TOKENS["cpu" if device.type == "cpu" else "other"]
        with inference():
            w = dict(self._module(device).named_parameters())
            stamps = torch.as_tensor(months.astype(int) % 12, device=device)
            tokens = network.encode(w, x, stamps, gsd=gsd, budget=budget)
            return network.pool(tokens, x)

    def _module(self, device: Any) -> Any:
        # Settings that do not change the kernels share one module.
        return module_for(
            ("galileo_nano", self.patch_size),
            lambda: network.build(weights.load("galileo_nano_encoder"), self.patch_size),
            device,
        )

    def _windows(self, found: dict[str, Any], latlon: Any) -> network.Window:
        """Return what the network reads of composites ``(window, M, band, y, x)``."""
        optical = found["sentinel2"]
        count, steps, _, ny, nx = optical.shape
        series, share = fill_patches(_series(found), self.patch_size)
        terrain, rough = fill_patches(_terrain(found, (count, 2, ny, nx)), self.patch_size)
        weather = _weather(found, (count, steps, 2))
        place = np.full((count, 3), np.nan, np.float32) if latlon is None else _sphere(latlon)
        return network.Window(
            series=series,
            terrain=terrain,
            weather=np.nan_to_num(weather),
            place=np.nan_to_num(place),
            keep_series=_by_group(share >= self.min_clear),
            keep_terrain=(rough >= self.min_clear).all(axis=1),
            keep_weather=np.isfinite(weather).all(axis=-1),
            keep_place=np.isfinite(place).all(axis=-1),
        )


def _normalize(x: Any, mean: tuple[float, ...], std: tuple[float, ...], axis: int) -> Any:
    """Map two standard deviations below and above the mean to 0 and 1."""
    shape = [1] * x.ndim
    shape[axis] = -1
    low = np.subtract(mean, np.multiply(2, std)).reshape(shape)
    return ((x - low) / np.multiply(4, std).reshape(shape)).astype(np.float32)


def _series(found: dict[str, Any]) -> Any:
    """Return normalised channels ``(window, M, 13, y, x)``, NaN where missing."""
    optical = found["sentinel2"]
    shape = (*optical.shape[:2], 2, *optical.shape[3:])
    radar = np.broadcast_to(found.get("sentinel1", np.float32(np.nan)), shape)
    raw = np.concatenate([radar, optical], axis=2)
    scaled = _normalize(raw, SERIES_MEAN, SERIES_STD, 2)
    return np.concatenate([scaled, monthly.ndvi(optical)], axis=2).astype(np.float32, copy=False)


def _terrain(found: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """Return normalised elevation and slope ``(window, 2, y, x)``, NaN where missing."""
    if "terrain" not in found:
        return np.full(shape, np.nan, np.float32)
    raw = np.broadcast_to(found["terrain"][:, 0], shape)
    return _normalize(raw, TERRAIN_MEAN, TERRAIN_STD, 1)


def _weather(found: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """Return normalised weather ``(window, M, 2)``, its mean over the window, NaN if missing."""
    if "weather" not in found:
        return np.full(shape, np.nan, np.float32)
    raw = found["weather"]
    there = np.isfinite(raw)
    total = np.where(there, raw, 0).sum(axis=(-2, -1))
    count = there.sum(axis=(-2, -1))
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return _normalize(mean, WEATHER_MEAN, WEATHER_STD, 2)


def _sphere(latlon: Any) -> Any:
    """Return the middle of windows on the unit sphere, ``(window, 3)``, from degrees."""
    lat, lon = np.deg2rad(latlon.astype(np.float64)).reshape(len(latlon), 2, -1).swapaxes(0, 1)
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    middle = points.mean(axis=-1)
    return (middle / np.linalg.norm(middle, axis=1, keepdims=True)).astype(np.float32)


def _by_group(there: Any) -> Any:
    """Return which tokens there are ``(window, h, w, M, 7)``, of channels ``(.., M, 13, h, w)``."""
    edges = np.cumsum([0, *network.GROUPS.values()])[:-1]
    complete = np.logical_and.reduceat(there, edges, axis=2)
    return np.ascontiguousarray(complete.transpose(0, 3, 4, 1, 2))
