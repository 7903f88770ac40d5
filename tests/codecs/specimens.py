"""Write a small store with what this version's codecs make, for every later one to read.

``python -m tests.codecs.specimens 0.1`` writes ``data/0.1-v3.zarr.zip`` and ``0.1-v2.zarr.zip``.
Once committed they are never written again. Values are synthetic.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import zarr

from tests.codecs.fuzz import codecs, cubes

DATA = Path(__file__).with_name("data")


def bits(values):
    """Return the sum of the bit patterns: any change of any value changes it."""
    whole = np.ascontiguousarray(values)
    return int(whole.view(f"u{whole.dtype.itemsize}").astype("u8").sum(dtype="u8") % 2**53)


def write(path, version):
    with zarr.storage.ZipStore(path, mode="w") as store:
        root = zarr.create_group(store, zarr_format=version)
        sums = {}
        for number, codec in enumerate(codecs()):
            for kind, cube in cubes().items():
                # The twins write the same bytes: a few of them tell.
                if version == 2 and kind not in ("integers", "floats"):
                    continue
                name = f"{codec.short}_{number}_{kind}"
                if version == 2:
                    module = importlib.import_module(type(codec).__module__)
                    twin = getattr(module, type(codec).__name__.replace("Codec", "Twin"))
                    how = {"compressors": (twin(**codec.settings()),)}
                else:
                    how = {"serializer": codec, "compressors": None}
                root.create_array(name, data=cube, chunks=cube.shape, **how)
        for name, array in root.arrays():
            sums[name] = bits(array[...])
    path.with_suffix(".json").write_text(json.dumps(sums, indent=0) + "\n")


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    for number in (3, 2):
        target = DATA / f"{sys.argv[1]}-v{number}.zarr.zip"
        if target.exists():
            sys.exit(f"{target} is there, and is never written again")
        write(target, number)
