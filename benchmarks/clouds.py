"""Speed, memory and accuracy of masks and gap filling, beside peers.

``python benchmarks/clouds.py`` prints Markdown; see README.md in this folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import _alone  # noqa: F401  (first)
from _clouds_accuracy import accuracy
from _clouds_masks import masks
from _clouds_speed import chunks, composites, kernels
from _machine import describe, other_load
from _verdict import Verdict, show

SECTIONS: dict[str, Callable[[argparse.Namespace], Iterator[Verdict]]] = {
    "kernels": kernels,
    "composites": composites,
    "chunks": chunks,
    "accuracy": accuracy,
    "masks": masks,
}


def main() -> None:
    """Print a table for each section, and what was to be shown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"among {', '.join(SECTIONS)}; all without")
    parser.add_argument("--quick", action="store_true", help="little data: no figures")
    args = parser.parse_args()
    names = args.sections or list(SECTIONS)
    if unknown := sorted(set(names) - set(SECTIONS)):
        parser.error(f"expected sections among {', '.join(SECTIONS)}, got {unknown}")
    print(f"## Clouds\n\n{describe()}, other load {other_load():.0%}", flush=True)
    verdicts = [one for name in names for one in SECTIONS[name](args)]
    show(verdicts)
    raise SystemExit(not all(one.holds for one in verdicts))


if __name__ == "__main__":
    main()
