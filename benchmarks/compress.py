"""How small, how exact and how fast ``xeo`` codes real cubes, beside what others offer.

``python benchmarks/compress.py`` prints Markdown; see README.md in this folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import _alone  # noqa: F401
from _exact import bounded, lossless
from _machine import BUSY, describe, other_load
from _rates import rate_distortion
from _real import CUBES, DATA
from _speed import memory, speed
from _verdict import Verdict, show

SECTIONS: dict[str, Callable[[argparse.Namespace], Iterator[Verdict]]] = {
    "rd": rate_distortion,
    "bounded": bounded,
    "lossless": lossless,
    "speed": speed,
    "memory": memory,
}
TITLES = {"rd": "Rate and distortion of video"}
QUICK = ["worldcereal4", "era5"]


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", type=_names(SECTIONS), default=list(SECTIONS),
                        metavar="NAME,...", help=f"among {', '.join(SECTIONS)}")  # fmt: skip
    parser.add_argument("--cubes", type=_names(CUBES), metavar="NAME,...",
                        help=f"among {', '.join(CUBES)}")  # fmt: skip
    parser.add_argument("--chunk", type=int, default=256, help="side of a chunk, 0 for all of it")
    parser.add_argument("--rounds", type=int, help="of everything timed, the best counts")
    parser.add_argument("--quick", action="store_true", help="two small cubes, one round")
    parser.add_argument("--large", type=int, default=2048, help="side of the cube read in parts")
    parser.add_argument("--xarrayvideo-python", type=Path, metavar="PATH",
                        help="of an environment that has xarrayvideo")  # fmt: skip
    args = parser.parse_args()
    args.cubes = args.cubes or (QUICK if args.quick else list(CUBES))
    args.rounds = args.rounds or (1 if args.quick else 3)
    return args


def _names(known: dict[str, object]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := sorted(set(names) - set(known)):
            raise argparse.ArgumentTypeError(
                f"expected names among {', '.join(known)}, got {', '.join(unknown)}"
            )
        return names

    return read


def main() -> int:
    """Print the tables; return 1 if something that must be shown is not."""
    args = parse()
    busy = other_load()
    print(f"## Benchmark of compress\n\n{describe()}, other load {busy:.0%}, cubes of {DATA.name}")
    if busy > BUSY:
        print(f"\n**Others use {busy:.0%} of this machine: trust sizes, not seconds.**")
    every: list[Verdict] = []
    for name in args.sections:
        print(f"\n## {TITLES.get(name, name.capitalize())}")
        found = list(SECTIONS[name](args))
        show(found)
        every += found
    missed = [one for one in every if not one.holds]
    print(f"\n{len(every) - len(missed)} of {len(every)} promises met.")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
