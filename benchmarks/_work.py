"""What every row shares: the work, decoding, windows, and where the output goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr
from _cubes import SCALE
from _networks import SPECS, build, packed
from numpy.typing import NDArray

from xeo import ModelSpec, options

Array = NDArray[Any]
NAME = "embedding"


@dataclass(frozen=True)
class Work:
    """One row's work.

    Parameters
    ----------
    net : str
        ``"vit"``, ``"unet"`` or ``"mlp"``.
    cube : str
        Path of the Zarr cube.
    dates, size, chunk_dates : int
        Dates to process (the first ones), side of the cube, dates in a chunk.
    tuned : bool
        Whether the row may use what its authors know about the machine, or what a first
        program would do.
    out : str
        Path of the output.
    compress : bool
        Whether outputs are compressed as Zarr does by default, or not at all.
    chunk : int, optional
        Side of a block of xeo; None leaves it to xeo.
    backend : str, optional
        Of xeo; None leaves it to xeo.
    packed : bool
        Whether a peer's linear layers are packed for oneDNN.
    """

    net: str
    cube: str
    dates: int
    size: int
    chunk_dates: int
    tuned: bool = False
    out: str = ""
    compress: bool = True
    chunk: int | None = None
    backend: str | None = None
    packed: bool = False

    @property
    def spec(self) -> ModelSpec:
        """Of the model."""
        return SPECS[self.net]

    @property
    def amount(self) -> float:
        """Windows of the ViT, megapixels of the others: the work of one whole pass."""
        if self.spec.window:
            return float(self.dates * (-(-self.size // self.spec.window)) ** 2)
        return self.dates * self.size**2 / 1e6

    @property
    def threads(self) -> int | None:
        """Threads inside one call of the model: what torch takes, or one."""
        return 1 if self.tuned else None

    def opened(self, chunks: Any) -> xr.DataArray:
        """Return the dates of the cube, as xarray opens it."""
        opened: xr.Dataset = xr.open_zarr(self.cube, chunks=chunks, consolidated=False)
        return opened["reflectance"].isel(time=slice(self.dates))

    def array(self) -> zarr.Array[Any]:
        """Return the stored array."""
        found = zarr.open_group(self.cube, mode="r")["reflectance"]
        assert isinstance(found, zarr.Array)
        return found

    def encoding(self) -> dict[str, Any]:
        """Return the encoding of the output, for `to_zarr`."""
        return {} if self.compress else {NAME: {"compressors": None}}

    def create(self, shape: tuple[int, ...], chunks: tuple[int, ...]) -> zarr.Array[Any]:
        """Make the array of an output that is written by hand."""
        group = zarr.open_group(self.out, mode="w")
        return group.create_array(
            NAME,
            shape=shape,
            chunks=chunks,
            dtype="float32",
            compressors="auto" if self.compress else None,
        )

    def module(self) -> torch.nn.Module:
        """Return the module, warmed up."""
        made = packed(build(self.net)) if self.packed else build(self.net)
        side = self.spec.window or 64
        call(made, np.zeros((1, 4, side, side), np.float32))
        return made


@dataclass(frozen=True)
class Done:
    """What a row did.

    Parameters
    ----------
    amount : float
        Windows or megapixels that it made.
    tasks, blocks : int, optional
        Tasks of its Dask graph after fusion, and blocks of its output.
    layout : str
        How the output lies in its store: ``map`` ``(time, channel, y, x)``, ``tiles``
        ``(time, row, column, channel, y, x)``, ``patches`` ``(time x row x column, channel, y,
        x)``, or ``none``.
    offset : int
        Cells from the cube's corner to the output's.
    note : str
        What a reader should know.
    told : str
        What xeo says of its run.
    """

    amount: float
    tasks: int | None = None
    blocks: int | None = None
    layout: str = "map"
    offset: int = 0
    note: str = ""
    told: str = ""


def decode(raw: Array) -> Array:
    """Return reflectance; nodata is 0 and stays 0, what the models here expect."""
    made: Array = raw.astype(np.float32)
    made *= np.float32(SCALE)
    return made


def call(module: torch.nn.Module, x: Array, threads: int | None = None) -> Array:
    """Run a module on an array, on so many threads."""
    if threads is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    with torch.inference_mode():
        made: Array = module(torch.from_numpy(np.ascontiguousarray(x))).numpy()
    return made


def run_block(work: Work, module: torch.nn.Module, raw: Array, batch: int = 4) -> Array:
    """Run a module on a block ``(time, band, y, x)`` of stored numbers, ragged or not."""
    x = decode(raw)
    window = work.spec.window
    if window is None:
        step = 1 if work.tuned else len(x)
        parts = [call(module, x[i : i + step], work.threads) for i in range(0, len(x), step)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    *_, ny, nx = x.shape
    x = np.pad(x, ((0, 0), (0, 0), (0, -ny % window), (0, -nx % window)), mode="reflect")
    tiles = to_tiles(x, window)
    made = run_windows(module, tiles.reshape(-1, *tiles.shape[3:]), batch, work.threads)
    stride = work.spec.stride
    whole = from_tiles(made.reshape(*tiles.shape[:3], *made.shape[1:]))
    return np.ascontiguousarray(whole[..., : -(-ny // stride), : -(-nx // stride)])


def run_windows(module: torch.nn.Module, windows: Array, batch: int, threads: int | None) -> Array:
    """Run a module on windows ``(sample, band, y, x)``, a few at a time."""
    return np.concatenate(
        [call(module, windows[i : i + batch], threads) for i in range(0, len(windows), batch)]
    )


def to_tiles(x: Array, side: int) -> Array:
    """Cut ``(time, band, y, x)`` into ``(time, row, column, band, side, side)``."""
    time, band, ny, nx = x.shape
    cut = x.reshape(time, band, ny // side, side, nx // side, side)
    return np.ascontiguousarray(cut.transpose(0, 2, 4, 1, 3, 5))


def from_tiles(tiles: Array) -> Array:
    """Put ``(time, row, column, channel, y, x)`` together, ``(time, channel, y, x)``."""
    time, rows, columns, channel, ny, nx = tiles.shape
    return tiles.transpose(0, 3, 1, 4, 2, 5).reshape(time, channel, rows * ny, columns * nx)


def dates_of(out: str, done: Done, dates: int) -> Iterator[Array]:
    """Yield the output ``(channel, y, x)`` of each date, however it was stored."""
    arrays: list[Any] = [array for _, array in zarr.open_group(out, mode="r").arrays()]
    array = max(arrays, key=lambda one: one.ndim)
    for date in range(dates):
        if done.layout == "map":
            yield array[date]
        elif done.layout == "tiles":
            yield from_tiles(array[date : date + 1])[0]
        else:
            each = array.shape[0] // dates
            side = int(each**0.5)
            tiles = array[date * each : (date + 1) * each]
            yield from_tiles(tiles.reshape(1, side, side, *tiles.shape[1:]))[0]


def cores() -> int:
    """Return how many cores the process may use."""
    return options.cores()
