"""Real cubes of ``XEO_DATA`` as plain arrays ``(time, band, y, x)``, and what to ask of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

DATA = Path(os.environ.get("XEO_DATA", Path(__file__).parents[2] / "shared" / "data"))
_TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
_NINE = tuple(band for band in _TEN if band != "B8A")
_FOUR = ("B02", "B03", "B04", "B08")


@dataclass(frozen=True)
class Bound:
    """A guarantee: of absolute error in stored units, or of relative error."""

    label: str
    absolute: float | None = None
    relative: float | None = None


@dataclass(frozen=True, eq=False)
class Cube:
    """Values in stored units; ``peak`` is what PSNR refers to, in the same units."""

    name: str
    values: NDArray[Any]
    bands: tuple[str, ...]
    nodata: tuple[float, ...]
    peak: float
    peak_label: str
    bounds: tuple[Bound, ...]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where there is no usual value."""
        found = np.zeros(self.values.shape, bool)
        if self.values.dtype.kind == "f":
            found |= ~np.isfinite(self.values)
        for value in self.nodata:
            found |= self.values == value
        return found

    def chunks(self, side: int) -> Iterator[tuple[slice, slice]]:
        """Yield squares of ``side`` pixels; 0 stands for all."""
        rows, columns = self.values.shape[2:]
        for y in range(0, rows, side or rows):
            for x in range(0, columns, side or columns):
                yield (slice(y, y + (side or rows)), slice(x, x + (side or columns)))


_REFLECTANCE = (Bound("0.002", absolute=20.0), Bound("0.005", absolute=50.0))


def bolzano(side: int = 384) -> Cube:
    """Four native bands of 10 m, 12 dates, of which five are cloudy."""
    name = "s2_l2a_bolzano_202206" if side == 384 else "extra/s2_l2a_bolzano_512_202206"
    return _sentinel2("bolzano", _store(name), _FOUR)


def flanders9() -> Cube:
    """Nine bands, those of 20 m repeated, 118 dates, half of them cloudy."""
    return _sentinel2("flanders9", _store("flanders_a_s2"), _NINE)


def flanders10() -> Cube:
    return _sentinel2("flanders10", _store("flanders_a_s2"), _TEN)


def worldcereal4() -> Cube:
    return _worldcereal("worldcereal4", _FOUR)


def worldcereal9() -> Cube:
    return _worldcereal("worldcereal9", _NINE)


def naip() -> Cube:
    """Aerial images of four bands in 8 bits."""
    found = _store("naip_nd_5m_2009_2020")["image"]
    bounds = (Bound("1 of 255", absolute=1.0), Bound("3 of 255", absolute=3.0))
    bands = tuple(str(one) for one in found["band"].values)
    return Cube("naip", found.values, bands, (), 255.0, "255", bounds)


def era5() -> Cube:
    """Hourly temperature of a month."""
    with xr.open_dataset(DATA / "era5_t2m_uk_201903_hourly.nc", engine="h5netcdf") as found:
        values = found["t2m"].values[:, None]
    bounds = (Bound("0.2 K", absolute=0.2), Bound("0.05 K", absolute=0.05))
    return Cube("era5", values, ("t2m",), (), float(np.ptp(values)), "range", bounds)


def chl() -> Cube:
    """Chlorophyll: three quarters NaN, log-normal."""
    values = _store("extra/s3_olci_chl_northsea_201701")["conc_chl"].values[:, None]
    bounds = (Bound("5 % relative", relative=0.05),)
    return Cube("chl", values, ("chl",), (), float(np.nanmax(values)), "maximum", bounds)


CUBES: dict[str, Callable[[], Cube]] = {
    "bolzano": bolzano,
    "flanders9": flanders9,
    "flanders10": flanders10,
    "worldcereal4": worldcereal4,
    "worldcereal9": worldcereal9,
    "naip": naip,
    "era5": era5,
    "chl": chl,
}


def _store(name: str) -> xr.Dataset:
    store = zarr.storage.ZipStore(DATA / f"{name}.zarr.zip", mode="r")
    return xr.open_zarr(store, mask_and_scale=False, chunks=None)


def _sentinel2(name: str, found: xr.Dataset, bands: tuple[str, ...]) -> Cube:
    values = np.stack([found[band].values for band in bands], axis=1)
    return Cube(name, values, bands, (0,), 10_000.0, "1.0 reflectance", _REFLECTANCE)


def _worldcereal(name: str, bands: tuple[str, ...]) -> Cube:
    path = DATA / "extra" / "worldcereal_31UFS_monthly_s1s2_agera5.nc"
    with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as found:
        values = np.stack([found[f"S2-L2A-{band}"].values for band in bands], axis=1)
    values = values.view(np.uint16)
    # Two months were never seen: 65535 throughout.
    seen = ~(values == 65535).any(axis=(1, 2, 3))
    return Cube(name, values[seen], bands, (), 10_000.0, "1.0 reflectance", _REFLECTANCE)
