"""Fill one store into another on some cores; prints seconds, and MB held before the work."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time

path, method, cores = sys.argv[1:]
os.sched_setaffinity(0, range(int(cores)))

import _alone  # noqa: E402, F401
import psutil  # noqa: E402
import xarray as xr  # noqa: E402

import xeo  # noqa: E402

cube = xr.open_zarr(path)["reflectance"]
# Imports and what is made once are not timed.
cube.isel(y=slice(0, 32), x=slice(0, 32)).load().eo.remove_clouds(method)
before = psutil.Process().memory_full_info().pss / 1e6
with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    made = cube.eo.remove_clouds(method)
    xeo.write(made, f"{folder}/out.zarr", progress=False)
    seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "before": before}))
