"""Awkward cubes through every tiler, beside the model run once on the whole image.

The numbers are small whole numbers and so are the weights: every order of summation gives the
same bits, and what is not exact is wrong. Nothing here is timed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import dask
import dask.array as da
import numpy as np
import torch
import xarray as xr
import zarr
from _verdict import Verdict
from numpy.typing import NDArray

import xeo
from xeo.spec import ModelSpec

Array = NDArray[Any]
#: What a tiler returns, and how many cells from the image's corner it begins.
Made = tuple[Array, int]
#: Relative to the largest value: what a blend of equal numbers may round.
ROUNDING = 1e-6


class NotInstalledError(Exception):
    """A tiler's package is missing."""


def _shrink(x: Array, stride: int) -> Array:
    """Take the largest value of each whole square, as a pooling layer does."""
    ny, nx = (n // stride for n in x.shape[-2:])
    cut = x[..., : ny * stride, : nx * stride]
    return cut.reshape(*x.shape[:-2], ny, stride, nx, stride).max(axis=(-3, -1))


@dataclass(frozen=True)
class Convolution:
    """Weighted sums over a square that knows up from down, zeros outside; then pooled."""

    radius: int = 3
    stride: int = 1

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec("convolution", halo=self.radius, stride=self.stride, channels=2)

    def __call__(self, x: Array, /) -> Array:
        weights = 1 + np.arange(2 * self.radius + 1) % 3
        for axis in (-2, -1):
            pad = [(0, 0)] * x.ndim
            pad[axis] = (self.radius, self.radius)
            wide, size = np.pad(x, pad), x.shape[axis]
            taps = (np.take(wide, np.arange(k, k + size), axis) for k in range(len(weights)))
            x = sum((w * tap for w, tap in zip(weights, taps, strict=True)), np.zeros_like(x))
        return _shrink(x, self.stride)


@dataclass(frozen=True)
class Transformer:
    """Output depends on all of a window of fixed size, as attention's does."""

    window: int = 16
    stride: int = 4

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec("transformer", window=self.window, stride=self.stride, channels=2)

    def __call__(self, x: Array, /) -> Array:
        if x.shape[-2:] != (self.window, self.window):
            raise ValueError(f"expected windows of {self.window} pixels, got {x.shape[-2:]}")
        return _shrink(x + x.mean(axis=(-2, -1), keepdims=True), self.stride)


@dataclass(frozen=True)
class Case:
    """A picture ``(band, y, x)`` and how it is cut.

    Parameters
    ----------
    name : str
        In the table.
    size : tuple of int
        Rows and columns.
    model : Convolution or Transformer
        What runs over it.
    tile : int
        Side of the tiles, and of the chunks that are stored.
    south_up : bool
        Whether the first row stored is the southern one.
    missing : {"", "pixel", "all"}
        What is NaN.
    """

    name: str
    size: tuple[int, int]
    model: Convolution | Transformer = Convolution()
    tile: int = 16
    south_up: bool = False
    missing: str = ""

    def cube(self) -> xr.DataArray:
        """Return the picture as it is stored."""
        values = np.random.default_rng(0).integers(1, 50, (2, *self.size)).astype(np.float32)
        if self.missing == "all":
            values[:] = np.nan
        elif self.missing:
            values[:, self.size[0] // 2, self.size[1] // 2] = np.nan
        coords = {
            "band": ["red", "nir"],
            "y": 5_000_000 - 10.0 * np.arange(self.size[0]),
            "x": 600_000 + 10.0 * np.arange(self.size[1]),
        }
        cube = xr.DataArray(values, dims=("band", "y", "x"), coords=coords, name="cube")
        return cube.isel(y=slice(None, None, -1)) if self.south_up else cube

    def truth(self) -> Array | None:
        """Return what the whole image gives, None if there is no image.

        The model runs once, north up, on the image filled up by reflection to what it accepts;
        missing pixels are 0 for it, and a cell is missing if all of its pixels are.
        """
        if 0 in self.size:
            return None
        values = self.cube().values[:, :: -1 if self.south_up else 1]
        missing = np.isnan(values).any(axis=0)
        made = self._whole(np.nan_to_num(values))
        stride = self.model.stride
        cells = [-(-n // stride) for n in self.size]
        made = made[:, : cells[0], : cells[1]]
        wide = np.pad(missing, [(0, -n % stride) for n in self.size], constant_values=True)
        made[:, ~_shrink(~wide, stride)] = np.nan
        return made[:, :: -1 if self.south_up else 1]

    def _whole(self, values: Array) -> Array:
        model = self.model
        side = model.window if isinstance(model, Transformer) else model.stride
        pad = [(0, -n % side) for n in self.size]
        full = np.pad(
            values, [(0, 0), *pad], mode="reflect" if any(max(p) for p in pad) else "edge"
        )
        if isinstance(model, Convolution):
            return model(full[None])[0]
        rows = [
            [model(full[None, :, y : y + side, x : x + side])[0] for x in _starts(full, 2, side)]
            for y in _starts(full, 1, side)
        ]
        return np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1)


def _starts(values: Array, axis: int, side: int) -> range:
    return range(0, values.shape[axis], side)


CASES = (
    Case("square, all divides", (48, 48)),
    Case("non-square", (32, 80)),
    Case("ragged", (50, 37)),
    Case("south up", (50, 37), south_up=True),
    Case("halo of 20 over chunks of 16", (70, 50), Convolution(20)),
    Case("stride 4 does not divide the size", (50, 37), Convolution(0, 4)),
    Case("the same, south up", (50, 37), Convolution(0, 4), south_up=True),
    Case("stride 4 does not divide the chunk", (72, 56), Convolution(4, 4), tile=18),
    Case("one pixel", (1, 1)),
    Case("one row", (1, 40)),
    Case("one pixel missing", (48, 48), missing="pixel"),
    Case("all missing", (48, 48), missing="all"),
    Case("windows that divide", (48, 32), Transformer()),
    Case("windows, ragged", (50, 37), Transformer()),
    Case("a window over the whole image", (10, 13), Transformer()),
    Case("no pixel", (0, 48)),
)


def xeo_memory(case: Case) -> Made:
    """Run ``embed`` on an array in memory."""
    return np.asarray(case.cube().eo.embed(case.model, chunk=case.tile)), 0


def xeo_lazy(case: Case) -> Made:
    """Run ``embed`` on a Dask array and compute it."""
    cube = case.cube().chunk(band=1, y=case.tile, x=case.tile)
    return np.asarray(cube.eo.embed(case.model, chunk=case.tile).compute()), 0


def xeo_write(case: Case) -> Made:
    """Run ``xeo.write(embed(...))`` from a store to a store."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.zarr", Path(folder) / "out.zarr"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cube = case.cube().chunk(band=1, y=case.tile, x=case.tile)
            cube.to_zarr(source, consolidated=False, zarr_format=2)
        opened = xr.open_zarr(source, consolidated=False)["cube"]
        made = opened.eo.embed(case.model, chunk=case.tile)
        xeo.write(made, target, progress=False)
        stored: Any = zarr.open_group(target, mode="r")[str(made.name)]
        return np.asarray(stored[...]), 0


def loop(case: Case) -> Made:
    """Run a plain loop of tiles, each read with its halo where there is one.

    Windows of fixed size are filled by reflection where the image ends.
    """
    model, values = case.model, case.cube().values
    halo, stride = model.spec.margin, model.stride
    side = model.spec.window or case.tile
    out = np.full((2, *(n // stride for n in case.size)), np.nan, np.float32)
    for y in range(0, case.size[0], side):
        for x in range(0, case.size[1], side):
            first = [max(0, start - halo) for start in (y, x)]
            part = values[:, first[0] : y + side + halo, first[1] : x + side + halo]
            if model.spec.window:
                fill = [(0, side - n) for n in part.shape[1:]]
                part = np.pad(part, [(0, 0), *fill], mode="reflect")
            made = model(part[None])[0]
            place = out[:, y // stride : (y + side) // stride, x // stride : (x + side) // stride]
            skip = [(start - begin) // stride for start, begin in zip((y, x), first, strict=True)]
            place[:] = made[:, skip[0] :, skip[1] :][:, : place.shape[1], : place.shape[2]]
    return out, 0


def xbatcher(case: Case) -> Made:
    """Run xbatcher's generator with overlapping patches, and put their middles together."""
    from xbatcher import BatchGenerator

    model = case.model
    halo, stride = model.spec.margin, model.stride
    side = (model.spec.window or case.tile) + 2 * halo
    numbered = case.cube().assign_coords(
        {d: np.arange(n) for d, n in zip("yx", case.size, strict=True)}
    )
    sides = {"y": side, "x": side}
    overlap = {"input_overlap": {"y": 2 * halo, "x": 2 * halo}} if halo else {}
    out = np.full((2, *(n // stride for n in case.size)), np.nan, np.float32)
    covered = np.zeros(out.shape[1:], bool)
    for one in BatchGenerator(numbered, sides, **overlap):
        edge, kept = halo // stride, side // stride - 2 * (halo // stride)
        made = model(one.transpose("band", "y", "x").values[None])[0]
        y, x = (int(one[d][0]) // stride + edge for d in "yx")
        out[:, y : y + kept, x : x + kept] = made[:, edge : edge + kept, edge : edge + kept]
        covered[y : y + kept, x : x + kept] = True
    rows, columns = (np.flatnonzero(covered.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return out[:, :0, :0], 0
    return out[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], int(rows[0])


def apply_ufunc(case: Case) -> Made:
    """Run ``xr.apply_ufunc(dask="parallelized")`` over chunks, which knows no halo."""

    def vectors(raw: Array) -> Array:
        return np.moveaxis(case.model(np.moveaxis(raw, -1, 0)[None])[0], 0, -1)

    side = case.model.spec.window or case.tile
    made = xr.apply_ufunc(
        vectors,
        case.cube().chunk(y=side, x=side),
        input_core_dims=[["band"]],
        output_core_dims=[["channel"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"channel": 2}},
    )
    return np.asarray(made.transpose("channel", "y", "x").data.compute()), 0


def map_overlap(case: Case) -> Made:
    """Run ``dask.array``'s overlap, map_blocks, trim: `map_overlap` where the shape changes."""
    model = case.model
    halo, stride = model.spec.margin, model.stride
    side = model.spec.window or case.tile
    raw = da.from_array(case.cube().values, chunks=(2, side, side))
    wide = da.overlap.overlap(raw, depth={0: 0, 1: halo, 2: halo}, boundary="none")
    cells = [tuple(n // stride for n in sizes) for sizes in wide.chunks[1:]]
    made = wide.map_blocks(
        lambda block: model(block[None])[0],
        chunks=((2,), *cells),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )
    depth = {0: 0, 1: halo // stride, 2: halo // stride}
    return np.asarray(da.overlap.trim_internal(made, depth, boundary="none").compute()), 0


def terratorch(case: Case) -> Made:
    """Run terratorch's tiler, asked to crop the halo off each tile; it pads by reflection."""
    return _terratorch(case, case.model.spec.margin)


def terratorch_bare(case: Case) -> Made:
    """Run terratorch's tiler as shipped, asked to crop nothing off."""
    return _terratorch(case, 0)


def _terratorch(case: Case, delta: int) -> Made:
    run = _terratorch_tiler()
    side = case.model.spec.window or case.tile
    picture = torch.from_numpy(case.cube().values.copy())[None]
    with torch.inference_mode():
        # A crop is read at each stride, and delta is cut off on every side.
        made = run(_forward(case), picture, crop=side + 2 * delta, stride=side, delta=delta)
    return np.asarray(made[0]), 0


@cache
def _terratorch_tiler() -> Any:
    """Load the one file with its tiler: the package imports a trainer and every model."""
    found = importlib.util.find_spec("terratorch")
    if found is None or found.origin is None:
        raise NotInstalledError("terratorch")
    file = Path(found.origin).parent / "tasks" / "tiled_inference.py"
    # The file imports one function from there, and does not call it.
    models = ModuleType("terratorch.models.utils")
    models.__dict__["pad_images"] = None
    spec = importlib.util.spec_from_file_location("terratorch_tiler", file)
    assert spec is not None
    assert spec.loader is not None
    tiler = importlib.util.module_from_spec(spec)
    parents = {name: ModuleType(name) for name in ("terratorch", "terratorch.models")}
    known = {**parents, models.__name__: models, spec.name: tiler}
    with patch.dict(sys.modules, known):
        spec.loader.exec_module(tiler)
    return tiler.tiled_inference


def monai(case: Case) -> Made:
    """Run MONAI's sliding windows: overlapping by a quarter, averaged, if they have no size."""
    run = _need("monai.inferers").sliding_window_inference
    spec = case.model.spec
    side = spec.window or case.tile + 2 * spec.margin
    picture = torch.from_numpy(case.cube().values.copy())[None]
    made = run(picture, (side, side), 4, _forward(case), overlap=0 if spec.window else 0.25)
    return np.asarray(made[0]), 0


def _forward(case: Case) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: torch.from_numpy(case.model(x.numpy()))


def _need(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as err:
        raise NotInstalledError(str(err)) from err


OURS: dict[str, Callable[[Case], Made]] = {
    "xeo, in memory": xeo_memory,
    "xeo, lazy": xeo_lazy,
    "xeo.write": xeo_write,
}
PEERS: dict[str, Callable[[Case], Made]] = {
    "plain loop with halo": loop,
    "xbatcher": xbatcher,
    "apply_ufunc": apply_ufunc,
    "map_overlap": map_overlap,
    "terratorch, delta = halo": terratorch,
    "terratorch, delta = 0": terratorch_bare,
    "MONAI sliding window": monai,
}


def cell(run: Callable[[Case], Made], case: Case) -> str:
    """Return what a tiler made of a case, in a word or two."""
    try:
        with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
            warnings.simplefilter("ignore")
            made, offset = run(case)
    except NotInstalledError:
        return "not installed"
    except Exception as err:
        return f"refused: {type(err).__name__}"
    truth = case.truth()
    if truth is None or made.size == 0:
        return "empty"
    return judge(made, truth, offset)


def judge(made: Array, truth: Array, offset: int = 0) -> str:
    """Compare an output with the truth; ``offset`` cells of it are missing in front."""
    lost = 1 - made[0].size / truth[0].size
    part = truth[:, offset : offset + made.shape[1], offset : offset + made.shape[2]]
    if made.shape != part.shape:
        return f"wrong: shape {made.shape} for {truth.shape}"
    if np.array_equal(made, part, equal_nan=True):
        return f"borders lost: {lost:.0%}" if lost else "exact"
    off = np.abs(made - part) / np.nanmax(np.abs(truth), initial=1.0)
    spread = np.isnan(made) & ~np.isnan(part)
    wrong = ~(off <= ROUNDING) & ~(np.isnan(made) & np.isnan(part))
    if not wrong.any():
        return f"max. error {np.nanmax(off):.0e}"
    holes = f", {int(spread.any(axis=0).sum())} of them NaN" if spread.any() else ""
    return f"wrong: {int(wrong.any(axis=0).sum())} of {made[0].size} cells{holes}"


def edges(args: argparse.Namespace) -> Iterator[Verdict]:
    """Print the matrix; ours has to be exact everywhere."""
    logging.getLogger("distributed").setLevel(logging.ERROR)
    rows = {**OURS, **PEERS}
    found = {name: [cell(run, case) for case in CASES] for name, run in rows.items()}
    print("\n### Awkward cubes beside the whole image\n")
    print("| cube | " + " | ".join(rows) + " |\n|" + "---|" * (len(rows) + 1))
    for number, case in enumerate(CASES):
        told = " | ".join(found[name][number] for name in rows)
        print(f"| {case.name}, {case.size[0]} x {case.size[1]} | {told} |")
    for name in OURS:
        good = [_good(text, case) for text, case in zip(found[name], CASES, strict=True)]
        figure = f"{sum(good)} of {len(good)}"
        yield Verdict(f"{name}: exact on every awkward cube", str(len(good)), figure, all(good))
    silent = {
        name: sum(text.startswith(("wrong", "borders", "empty")) for text in found[name][:-1])
        for name in PEERS
    }
    print("\nCubes on which a peer is wrong, or drops cells, and does not say so: ", end="")
    print(", ".join(f"{name} {count}" for name, count in silent.items() if count))


def _good(text: str, case: Case) -> bool:
    """Whether a cell is as it must be; an image without pixels has to be refused."""
    return text == "exact" or (0 in case.size and text == "refused: DimensionError")
