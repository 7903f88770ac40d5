"""Run by the Python of an environment that has xarrayvideo: code one cube with several settings.

``python _xarrayvideo_child.py FOLDER`` reads ``cube.npy`` (time, band, y, x) and ``jobs.json``
there, and writes ``found.json`` and what came back for each job. Times are taken in here, around
its own functions; processor seconds include those of the ffmpeg processes that it starts. A rule
has six bands at most: its reader confuses the files of larger ones, which would be the same files.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
import xarray as xr
from xarrayvideo import video2xarray, xarray2video

# It stores the repr of values, and cannot read those of NumPy 2.
np.set_printoptions(legacy="1.25")


def main(folder):
    cube = np.load(folder / "cube.npy")
    if cube.max() < 4096:
        # Integers that fit the bits of the video are not stretched over its range.
        cube = cube.astype(np.float32)
    bands = [f"b{n}" for n in range(cube.shape[1])]
    sizes = zip(("time", "y", "x"), (cube.shape[0], *cube.shape[2:]), strict=True)
    coords = {name: np.arange(size, dtype="f8") for name, size in sizes}
    variables = {band: (("time", "y", "x"), cube[:, n]) for n, band in enumerate(bands)}
    made = xr.Dataset(variables, coords=coords)
    found = []
    for number, job in enumerate(json.loads((folder / "jobs.json").read_text())):
        rules = {
            f"v{n}": (bands[n : n + 6], ("time", "x", "y"), 0, job["params"], job["bits"])
            for n in range(0, len(bands), 6)
        }
        name = f"job{number}"

        def write(rules=rules, name=name):
            return xarray2video(made, name, rules, output_path=folder, verbose=False)

        def read(name=name):
            return video2xarray(folder, name)

        _, *encode = best_of(job["rounds"], write)
        back, *decode = best_of(job["rounds"], read)
        video = sum(path.stat().st_size for path in (folder / name).glob("*.mkv"))
        values = np.stack([back[b].transpose("time", "y", "x").values for b in bands], axis=1)
        np.save(folder / f"{name}.npy", values)
        found.append({"bytes": video, "encode": encode, "decode": decode})
    (folder / "found.json").write_text(json.dumps(found))


def best_of(rounds, call):
    """Return what a call returned, and its best wall and processor seconds."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), processor()
        value = call()
        walls.append(time.perf_counter() - wall)
        cpus.append(processor() - cpu)
    return value, min(walls), min(cpus)


def processor():
    """Return the seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
