"""What must hold beside speed; each check runs in a process of its own and prints JSON."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _cubes import OUT, create, cube

_IMPORTS = """
import json, sys, time
start = time.perf_counter(); import xarray; base = time.perf_counter() - start
start = time.perf_counter(); import xeo; own = time.perf_counter() - start
heavy = [name for name in ("torch", "dask", "av", "cupy", "distributed") if name in sys.modules]
print(json.dumps({"xarray": base, "xeo": own, "heavy": heavy}))
"""


def exact(size: int) -> dict[str, Any]:
    """Compare the U-Net block by block with the U-Net on the whole image, bit by bit."""
    from _networks import model
    from _work import Work, call, decode

    import xeo

    path = cube(12, size, 1)
    work = Work("unet", str(path), 1, size, 1)
    raw = np.asarray(work.array()[:1])
    whole = call(work.module(), decode(raw), 1)
    missing = (raw == 0).any(axis=1, keepdims=True)
    found = {}
    opened = xeo.open_cube(path)
    for halo, chunk in ((30, 256), (30, 512), (30, None), (0, 512)):
        network, first = model("unet", halo=halo), opened.time.values[:1]
        made: Any = xeo.embed(opened, network, dates=first, chunk=chunk, backend="eager")
        values = made.values
        assert (np.isnan(values).any(axis=1, keepdims=True) == missing).all()
        differ = ~missing & (values != whole)
        largest = float(np.abs(np.where(missing, 0, values - whole)).max())
        name = f"declared halo {halo}, blocks of {chunk or 'its own choice'}"
        found[name] = [largest, float(differ.mean()), made.data.npartitions]
    return {"sigma": float(whole.std()), "found": found}


def build(side: int) -> dict[str, Any]:
    """Build a lazy result over ``side`` x ``side`` x 100 chunks that nobody has written."""
    import dask
    import xarray as xr
    import zarr
    from _networks import model

    import xeo

    read: list[str] = []

    class Watched(zarr.storage.LocalStore):
        async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
            if "/c/" in key and key.startswith("reflectance"):
                read.append(key)
            return await super().get(key, *args, **kwargs)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.zarr"
        create(path, 100, 64 * side, 1, chunk=64)
        network = model("mlp")
        start = time.perf_counter()
        opened = xr.open_zarr(Watched(path), chunks={}, consolidated=False)
        middle = time.perf_counter()
        made: Any = xeo.embed(opened, network, chunk=64)
        built = time.perf_counter()
        (optimized,) = dask.optimize(made.data)
        count = len(dict(optimized.__dask_graph__()))
        ended = time.perf_counter()
        chunks = opened["reflectance"].data.npartitions
        own: Any = xeo.embed(opened, network, explain=True)
    return {
        "chunks": chunks,
        "open": middle - start,
        "embed": built - middle,
        "optimize": ended - built,
        "tasks": count,
        "blocks": made.data.npartitions,
        "own": own.blocks,
        "read": len(read),
    }


def ship(size: int) -> dict[str, Any]:
    """Run the ViT on a cluster of two processes; weigh what travels, count what is loaded."""
    import cloudpickle
    import distributed
    from _networks import model

    import xeo

    network = model("vit")
    opened = xeo.open_cube(cube(12, size, 1))
    made: Any = xeo.embed(opened, network, dates=opened.time.values[:1], chunk=224)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XEO_BENCH_LOADS"] = log = str(Path(folder) / "loads")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=2, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster),
        ):
            made.sum().compute()
        loads = Path(log).read_text(encoding="utf-8").split()
    return {
        "model": len(pickle.dumps(network)),
        "graph": len(cloudpickle.dumps(made.__dask_graph__())),
        "weights": (OUT / "modules" / f"{network.file.sha256}.safetensors").stat().st_size,
        "blocks": made.data.npartitions,
        "processes": len(set(loads)),
        "loads": len(loads),
    }


def imports() -> dict[str, Any]:
    """Import xeo in a fresh interpreter."""
    printed = subprocess.run(
        [sys.executable, "-c", _IMPORTS], check=True, capture_output=True, text=True
    ).stdout
    found: dict[str, Any] = json.loads(printed)
    return found


if __name__ == "__main__":
    _name, *_arguments = sys.argv[1:]
    print(json.dumps(globals()[_name](*map(int, _arguments))))
