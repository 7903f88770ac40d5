"""Presto: a transformer over one pixel's months of Sentinel-2, Sentinel-1, weather and terrain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from xeo import weights
from xeo.errors import ModelError
from xeo.kernels.tokens import equal_batches
from xeo.lazy import require
from xeo.models import monthly
from xeo.models.networks import presto as network
from xeo.models.torch_runtime import as_tensor, inference, like, module_for
from xeo.spec import Batch, ModelSpec

#: Files of weights, and the most months that their tables of positions hold.
LONGEST = {"presto_default": 24, "presto_worldcereal_finetuned": 72}
#: Pixels composed at once, which bounds working memory.
TILE = 2**14
#: Tokens run at once: about what the cache of a core holds, or what fills an accelerator.
TOKENS = {"cpu": 2**12, "other": 2**20}
#: ``(x + shift) / scale`` for each channel, of the published pipeline [1]_. Its shift of kelvin
#: is 272.15, not 273.15; the weights were trained with it.
SHIFT = (25, 25, *(0,) * 10, -272.15, 0, 0, 0, 0)
SCALE = (25, 25, *(1,) * 10, 35, 0.03, 2000, 50, 1)


@cache
def _spec(name: str) -> ModelSpec:
    return ModelSpec(
        name="presto",
        inputs=monthly.inputs("reflectance"),
        channels=network.DIM,
        time="series",
        missing="nan",
        needs=("time", "latlon", "mask"),
        activation_bytes=256,
        weights=name,
        packages=("torch",),
        architecture="Transformer",
        total_parameters=402_624 + 64 * LONGEST[name],
        license="MIT",
        citation="Tseng et al. (2023). Lightweight, pre-trained transformers for remote sensing "
        "timeseries. https://arxiv.org/abs/2304.14065",
    )


@dataclass(frozen=True)
class Presto:
    """Vectors of 128 numbers from each pixel's monthly series.

    Every pixel is a sample of its own, so a bad pixel touches no other and any chunking gives
    the same answer. The dates of each calendar month are composed first, bad values left out:
    Sentinel-2 by the median, Sentinel-1 by the mean of its decibels, temperature by the mean
    and precipitation by the sum over the month's dates (so months may come as one date, or as
    days). What a month lacks is masked, as in the pre-training.

    Parameters
    ----------
    months : int
        The most calendar months to read, 1 to 24 (72 with the weights of WorldCereal); the
        pre-training had 12.
    start : str, optional
        First month, ``"2018-11"``. None: the first month with a Sentinel-2 date; where the
        dates span more than ``months`` months, the last ``months`` of them.
    weights : str
        ``"presto_default"``, or ``"presto_worldcereal_finetuned"``: fine-tuned by ESA WorldCereal
        to tell crops.

    Notes
    -----
    Takes a batch with ``sentinel2`` (reflectance, 10 bands) and optionally ``sentinel1`` (vv, vh
    in decibels), ``weather`` (temperature in kelvin, precipitation in metres) and ``terrain``
    (elevation in metres, slope in degrees). The vector is NaN where a pixel has neither a
    Sentinel-2 nor a Sentinel-1 value in any of the months, or no place.

    References
    ----------
    .. [1] Tseng, G., Cartuyvels, R., Zvonkov, I., Purohit, M., Rolnick, D., Kerner, H. (2023).
       Lightweight, pre-trained transformers for remote sensing timeseries. arXiv:2304.14065
    """

    months: int = 12
    start: str | None = None
    weights: str = "presto_default"

    def __post_init__(self) -> None:
        if self.weights not in LONGEST:
            raise ModelError(f"expected weights as one of {sorted(LONGEST)}, got {self.weights!r}")
        monthly.check_months(self.months, self.start, LONGEST[self.weights])

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return _spec(self.weights)

    def __call__(self, batch: Batch, /) -> Any:
        """Return the vectors of a batch.

        Parameters
        ----------
        batch : Batch
            Modalities ``(sample, time, band, y, x)`` as in the notes, with dates and places.

        Returns
        -------
        array, shape (sample, 128, y, x)
            float32, of the kind and device of ``batch["sentinel2"]``.

        Raises
        ------
        ModelError
            If Sentinel-2, its dates or the place is missing, or no date is in the months.
        """
        torch = require("torch", purpose="run Presto")
        sources = monthly.sources(batch, self.spec.inputs)
        shape = sources["sentinel2"].values.shape
        latlon = monthly.latlon(batch, shape)
        months = monthly.window_of(sources["sentinel2"], self.months, self.start)
        out = np.empty((shape[0], network.DIM, *shape[3:]), np.float32)
        device = as_tensor(batch["sentinel2"]).device
        for tile in monthly.tiles(shape, TILE):
            block = tile.cut(out).transpose(0, 2, 3, 1)
            values = _channels(monthly.composites(sources, months, tile))
            places = tile.cut(latlon).transpose(0, 2, 3, 1).reshape(-1, 2).astype(np.float32)
            block[:] = self._vectors(values, places, months, device).reshape(block.shape)
        return like(torch.from_numpy(out).to(device), batch["sentinel2"])

    def _vectors(self, x: Any, latlon: Any, months: Any, device: Any) -> Any:
        """Return ``(pixel, 128)`` of normalised values ``(pixel, M, 17)`` with NaN."""
        torch = require("torch", purpose="run Presto")
        out = np.full((len(x), network.DIM), np.nan, np.float32)
        keep = kept_tokens(x)
        seen = keep[:, :, _SENSORS].any(axis=(1, 2)) & np.isfinite(latlon).all(axis=1)
        x = np.nan_to_num(x, nan=0.0)
        budget = TOKENS["cpu" if device.type == "cpu" else "other"]
        with inference():
            w = dict(self._module(device).named_parameters())
            stamps = torch.as_tensor(months.astype(int) % 12, device=device)
            code = network.codes(w, stamps)
            for at in equal_batches(keep.sum(axis=(1, 2)) * seen, budget):
                parts = (torch.from_numpy(a[at]).to(device) for a in (x, keep, latlon))
                values, tokens, places = parts
                out[at] = network.encode(w, values, tokens, code, places).cpu().numpy()
        return out

    def _module(self, device: Any) -> Any:
        # Settings that do not change the weights share one module.
        key = ("presto", self.weights)
        return module_for(key, lambda: network.build(weights.load(self.weights)), device)


_NAMES = list(network.GROUPS)
_SENSORS = [at for at, name in enumerate(_NAMES) if name.startswith("S") and name != "SRTM"]


def _channels(found: dict[str, Any]) -> Any:
    """Return normalised channels ``(pixel, M, 17)``, NaN where missing."""
    optical = found["sentinel2"]
    samples, steps, _, ny, nx = optical.shape
    out = np.full((samples, ny, nx, steps, network.CHANNELS), np.nan, np.float32)
    for channels, values in _placed(found, optical):
        shape = (samples, steps, values.shape[2], ny, nx)
        out[..., channels] = np.broadcast_to(values, shape).transpose(0, 3, 4, 1, 2)
    out += np.array(SHIFT, np.float32)
    out /= np.array(SCALE, np.float32)
    return out.reshape(-1, steps, network.CHANNELS)


def _placed(found: dict[str, Any], optical: Any) -> Iterator[tuple[slice, Any]]:
    yield slice(2, 12), optical
    yield slice(16, 17), monthly.ndvi(optical)
    for name, channels in _CHANNELS.items():
        if name in found:
            yield channels, found[name]


_CHANNELS = {"sentinel1": slice(0, 2), "weather": slice(12, 14), "terrain": slice(14, 16)}


def kept_tokens(x: Any) -> Any:
    """Return which tokens of a series are complete, ``(pixel, M, group)``.

    Parameters
    ----------
    x : array, shape (pixel, M, 17)
        NaN where missing. A group lacks its token where any of its channels is missing.
        Terrain has one token, in the first month.
    """
    there = ~np.isnan(x)
    keep = np.stack([there[..., part].all(axis=-1) for part in network.group_slices()], axis=-1)
    keep[:, 1:, _NAMES.index("SRTM")] = False
    return keep
