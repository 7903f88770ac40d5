"""Whether the engine is faster than what an expert would write by hand, and never wrong.

``python benchmarks/engine.py`` prints Markdown; see README.md in this folder.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

from _cubes import OUT
from _edges import edges
from _machine import BUSY, describe, other_load
from _races import dates, pixel, unet, vit
from _scale import load, memory, nodata, plan
from _verdict import Verdict, show

SECTIONS: dict[str, Callable[[argparse.Namespace], Iterator[Verdict]]] = {
    "vit": vit,
    "pixel": pixel,
    "unet": unet,
    "dates": dates,
    "memory": memory,
    "load": load,
    "plan": plan,
    "nodata": nodata,
    "edges": edges,
}
PACKAGES = (
    "xarray-eo", "torch", "onnxruntime", "openvino", "zarr", "zarrs", "xarray", "dask", "xbatcher",
    "terratorch", "monai",
)  # fmt: skip


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", type=_names, default=list(SECTIONS), metavar="NAME,...",
                        help=f"among {', '.join(SECTIONS)}")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="small cubes, one round: no figures")
    parser.add_argument("--rounds", type=int, help="of every row, the best counts (default 2)")
    parser.add_argument("--codec", choices=["default", "none"], default="none",
                        help="of every output")  # fmt: skip
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 2)
    return args


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := sorted(set(names) - set(SECTIONS)):
        raise argparse.ArgumentTypeError(
            f"expected names among {', '.join(SECTIONS)}, got {unknown}"
        )
    return names


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def main() -> int:
    """Print tables and promises; return 1 if a promise is not met."""
    args = parse()
    OUT.mkdir(exist_ok=True)
    # What an earlier run on a busier machine chose must not count here, nor this for the user.
    shutil.rmtree(OUT / "tuned", ignore_errors=True)
    os.environ["XEO_TUNE_FOLDER"] = str(OUT / "tuned")
    busy = other_load()
    print(f"## Benchmark of the engine\n\n{describe()}, other load {busy:.0%}")
    print("\n" + ", ".join(map(_version, PACKAGES)))
    if args.quick:
        print("\n**Small cubes: this shows that everything runs, not how fast.**")
    if busy > BUSY:
        print(f"\n**Others use {busy:.0%} of this machine: trust the CPU column alone.**")
    every: list[Verdict] = []
    for name in args.sections:
        print(f"\n## {name.capitalize()}")
        found = list(SECTIONS[name](args))
        show(found)
        every += found
    missed = [one for one in every if not one.holds]
    print(f"\n{len(every) - len(missed)} of {len(every)} promises met; other load at the end "
          f"{other_load():.0%}.")  # fmt: skip
    for one in missed:
        print(f"- not met: {one.what}: {one.figure}, {one.target} expected")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
