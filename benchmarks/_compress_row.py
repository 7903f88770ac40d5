"""Compress one store as told by the command line; print seconds as JSON. Run by ``memory``."""

from __future__ import annotations

import json
import sys
import time

import xarray as xr

import xeo  # noqa: F401 - brings the accessor


def main() -> None:
    """Open the store lazily, and compress it with two workers."""
    job = json.loads(sys.argv[1])
    cube = xr.open_zarr(job["source"], chunks={}, consolidated=False)
    chunks = {"time": -1, "y": 256, "x": 256}
    start = time.perf_counter()
    cube.eo.compress(
        job["out"], **job["target"], chunks=chunks, workers=2, progress=False, overwrite=True
    )
    shape = next(iter(cube.data_vars.values())).shape
    print(json.dumps({"wall": time.perf_counter() - start, "shape": shape}))


if __name__ == "__main__":
    main()
