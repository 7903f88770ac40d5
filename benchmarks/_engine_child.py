"""What ``engine.py`` measures in a process of its own; each function's result comes as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from _cubes import create, cube
from _networks import model

import xeo


def exact(size: int) -> dict[str, Any]:
    """Compare the U-Net in blocks with the U-Net on the whole image, by eager torch and at all."""
    from _work import Work, call, decode

    path = cube(1, size, 1)
    work = Work("unet", str(path), 1, size, 1)
    raw = np.asarray(work.array()[:1])
    whole = call(work.module(), decode(raw), 1)
    missing = (raw == 0).any(axis=1, keepdims=True)
    opened = xeo.open_cube(path)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        # Small blocks have many seams; what xeo picks, it picks for blocks of its own choice.
        for backend, chunk in (("eager", 256), (None, None)):
            made: Any = xeo.embed(opened, model("unet"), chunk=chunk, backend=backend)
            target = Path(folder) / f"{backend}.zarr"
            seen = xeo.write(made, target, progress=False, profile=True)
            assert seen is not None
            values = xr.open_zarr(target)[made.name].values
            assert (np.isnan(values).any(axis=1, keepdims=True) == missing).all()
            largest = float(np.abs(np.where(missing, 0, values - whole)).max())
            name = "eager" if backend else f"picked, {seen.backend}"
            found[name] = largest / float(np.abs(whole).max())
    return {"found": found}


def plan(side: int) -> dict[str, Any]:
    """Plan over ``side`` x ``side`` x 100 chunks of metadata alone."""
    network = model("mlp")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        # A first plan pays for imports.
        create(Path(folder) / "small.zarr", 1, 64, 1, chunk=64)
        str(xeo.embed(_opened(Path(folder) / "small.zarr"), network, explain=True))
        create(Path(folder) / "large.zarr", 100, 64 * side, 1, chunk=64)
        opened = _opened(Path(folder) / "large.zarr")
        for name, chunk in (("by its own choice", None), ("one a chunk", 64)):
            start = time.perf_counter()
            made: Any = xeo.embed(opened, network, chunk=chunk, explain=True)
            str(made)
            seconds = time.perf_counter() - start
            tracemalloc.start()
            str(xeo.embed(opened, network, chunk=chunk, explain=True))
            found[name] = [made.blocks, seconds, tracemalloc.get_traced_memory()[1] / 1e6]
            tracemalloc.stop()
    return {"chunks": 100 * side**2, "found": found}


def _opened(path: Path) -> xr.Dataset:
    opened: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=False)
    return opened


if __name__ == "__main__":
    _name, *_arguments = sys.argv[1:]
    print(json.dumps(globals()[_name](*map(int, _arguments))))
