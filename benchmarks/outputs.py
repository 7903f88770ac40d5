"""Which codec suits vectors and classes: bytes, and processor seconds, of one block.

``python benchmarks/outputs.py`` prints Markdown.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from typing import Any

import _alone  # noqa: F401  (first)
import numpy as np
import zarr
from _cubes import cube
from _machine import describe, other_load
from _networks import model
from zarr.codecs import BloscCodec, ZstdCodec

import xeo

CODECS = {
    "Zarr's default": ZstdCodec(level=0),
    "Blosc, Zstandard 1, bits shuffled": BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
    "Blosc, Zstandard 3, bits shuffled": BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
    "Blosc, LZ4, bits shuffled": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
}
ROUNDS = 3


def outputs() -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield what models make of a synthetic cube, and of a simulated one."""
    opened: Any = xeo.open_cube(cube(12, 1024, 1))
    one = opened.isel(time=[0])
    for name in ("vit", "unet", "mlp"):
        yield f"{name}, float32", xeo.embed(one, model(name)).values  # type: ignore[union-attr]
    yield "vit, int8", xeo.embed(one, model("vit"), dtype="int8").values  # type: ignore[union-attr]
    simulated = xeo.simulate_cube(dates=1, size=512)
    yield "mosaiks, float32", xeo.embed(simulated, "mosaiks").values  # type: ignore[union-attr]


def measure(values: np.ndarray[Any, Any], codec: Any) -> tuple[float, float, float]:
    """Return the part of the bytes that is left, and MB/s of a core in and out."""
    with tempfile.TemporaryDirectory() as folder:
        array = zarr.create_array(
            folder, shape=values.shape, chunks=values.shape, dtype=values.dtype, compressors=codec
        )
        times = []
        for _ in range(ROUNDS):
            start = time.process_time()
            array[:] = values
            middle = time.process_time()
            array[:]
            times.append((middle - start, time.process_time() - middle))
        left = array.nbytes_stored() / values.nbytes
    write, read = (values.nbytes / 1e6 / max(min(one), 1e-9) for one in zip(*times, strict=True))
    return left, write, read


def main() -> None:
    """Print a table for each output."""
    print(f"## Codecs of outputs\n\n{describe()}, other load {other_load():.0%}")
    for name, values in outputs():
        print(f"\n### {name}, {values.nbytes / 1e6:.1f} MB\n")
        print("| codec | of the bytes | written, MB/s of a core | read |\n|---|---|---|---|")
        for label, codec in CODECS.items():
            left, write, read = measure(values, codec)
            print(f"| {label} | {left:.3f} | {write:.0f} | {read:.0f} |")


if __name__ == "__main__":
    main()
