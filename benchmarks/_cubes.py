"""Synthetic Zarr cubes, made once and kept in ``benchmarks/out``."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

OUT = Path(__file__).parent / "out"
BANDS = ("blue", "green", "red", "nir")
CHUNK = 512
SCALE = 1e-4

#: Red edge of the growing season and contrast of the bands, in reflectance.
_LEVEL = np.array([0.05, 0.08, 0.07, 0.28], np.float32)
_SEASON = np.array([-0.01, 0.01, -0.03, 0.12], np.float32)


def cube(dates: int, size: int, chunk_dates: int) -> Path:
    """Return the path of a cube ``(time, band, y, x)`` of uint16, made if it is not there.

    Parameters
    ----------
    dates, size : int
        Of the cube.
    chunk_dates : int
        Dates in a chunk of ``(chunk_dates, 4, 512, 512)``.
    """
    path = OUT / f"cube_{dates}x{size}_c{chunk_dates}.zarr"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    array = create(part, dates, size, chunk_dates)
    ground = _ground(size)
    for first in range(0, dates, chunk_dates):
        last = min(first + chunk_dates, dates)
        array[first:last] = np.stack([_scene(ground, date, dates) for date in range(first, last)])
    part.rename(path)
    return path


def holed(dates: int, size: int) -> Path:
    """Return the path of that cube with 70 % of its quarters, date by date, never written."""
    path = OUT / f"cube_{dates}x{size}_holed.zarr"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    full: Any = zarr.open_group(cube(dates, size, 1), mode="r")["reflectance"]
    array = create(part, dates, size, 1)
    side = size // 2
    squares = [(t, y, x) for t in range(dates) for y in (0, side) for x in (0, side)]
    kept = np.random.default_rng(0).permutation(len(squares))[: round(0.3 * len(squares))]
    for t, y, x in (squares[k] for k in kept):
        place = (slice(t, t + 1), slice(None), slice(y, y + side), slice(x, x + side))
        array[place] = full[place]
    part.rename(path)
    return path


def create(
    store: Path, dates: int, size: int, chunk_dates: int, chunk: int = CHUNK
) -> zarr.Array[Any]:
    """Write the metadata and coordinates of a cube, no values."""
    coords = {
        "time": np.datetime64("2020-01-05", "ns") + np.arange(dates) * np.timedelta64(15, "D"),
        "band": list(BANDS),
        "y": 5_700_000.0 - 10 * (np.arange(size) + 0.5),
        "x": 500_000.0 + 10 * (np.arange(size) + 0.5),
    }
    with warnings.catch_warnings():
        # Strings have no final place in the Zarr v3 specification yet.
        warnings.simplefilter("ignore")
        xr.Dataset(coords=coords).to_zarr(store, mode="w", consolidated=False, zarr_format=3)
    return zarr.open_group(store, mode="r+").create_array(
        "reflectance",
        shape=(dates, len(BANDS), size, size),
        chunks=(chunk_dates, len(BANDS), min(chunk, size), min(chunk, size)),
        dtype="uint16",
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        dimension_names=("time", "band", "y", "x"),
        # Not as _FillValue: xarray would decode every value to float on its own.
        attributes={"reflectance_scale_factor": SCALE, "reflectance_add_offset": 0, "_nodata": 0},
    )


def _ground(size: int) -> NDArray[np.float32]:
    """Land cover in patches with texture, from 0 (bare) to 1 (green)."""
    rng = np.random.default_rng(0)
    made = np.zeros((size, size), np.float32)
    for cell, weight in ((128, 0.5), (32, 0.3), (8, 0.2)):
        coarse = rng.random((-(-size // cell),) * 2, dtype=np.float32)
        made += weight * coarse.repeat(cell, 0).repeat(cell, 1)[:size, :size]
    return made


def _scene(ground: NDArray[np.float32], date: int, dates: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(1 + date)
    season = np.float32(np.sin(np.pi * (date + 0.5) / dates))
    made = np.empty((len(BANDS), *ground.shape), np.uint16)
    for band, values in enumerate(made):
        level = _LEVEL[band] * (0.6 + 0.8 * ground) + _SEASON[band] * season * ground
        noise = rng.normal(0, 0.004, ground.shape).astype(np.float32)
        values[:] = np.clip((level + noise) / SCALE, 1, 10_000)
    _clouds(made, rng)
    # A few lost pixels, never a whole window: skipped windows would flatter us.
    made[:, rng.integers(0, len(ground), 200), rng.integers(0, len(ground), 200)] = 0
    return made


def _clouds(scene: NDArray[np.uint16], rng: np.random.Generator) -> None:
    for _ in range(6):
        y, x = rng.integers(0, scene.shape[1], 2)
        side = int(rng.integers(20, 160))
        scene[:, y : y + side, x : x + side] = rng.integers(4000, 9000)
