"""How fast, and in how much memory, ``embed`` runs models over cubes, beside what others offer.

``python benchmarks/embed.py`` prints Markdown; see README.md in this folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from _cubes import OUT, cube
from _machine import BUSY, describe, measure, other_load
from _work import Done, Work, dates_of

#: A row and whether it is tuned; the limit and xeo have one form each.
Row = tuple[str, bool]
OURS: list[Row] = [("limit", False), ("xeo_to_zarr", False), ("xeo_write", False)]
PEERS = {
    "vit": ("loop", "xbatcher", "apply_ufunc", "map_blocks"),
    "unet": ("loop", "xbatcher", "apply_ufunc", "map_overlap"),
    "mlp": ("loop", "xbatcher", "apply_ufunc", "map_blocks"),
}
TITLES = {"vit": "ViT-S/16, windows of 224", "unet": "U-Net, halo", "mlp": "Per-pixel MLP"}


@dataclass(frozen=True)
class Case:
    """A network on a cube: dates processed, side and dates in a chunk, rounds of every row."""

    net: str
    cube_dates: int
    dates: int
    size: int
    chunk_dates: int
    rounds: int


@dataclass
class Result:
    """The best of a row's rounds."""

    rate: float
    cpu: float
    peak: float
    done: Done
    difference: float | None = None


def cases(args: argparse.Namespace) -> list[Case]:
    """Return the cases of a run: all of the cube, a part of it, or a small one."""
    if args.quick:
        return [Case(net, 12, 1, 1024, 1, 1) for net in args.nets[:1]]
    if args.full:
        made = [Case(net, 24, 24, 2048, c, 1) for net in TITLES for c in (1, 12)]
    else:
        made = [
            Case("vit", 24, args.subset or 2, 2048, 1, 2),
            # All dates of a chunk, and so a smaller area to end in time.
            Case("vit", 12, 12, 1536, 12, 1),
            Case("unet", 24, args.subset or 2, 2048, 1, 2),
            Case("unet", 12, 12, 1536, 12, 1),
            Case("mlp", 24, 2 * (args.subset or 2), 2048, 1, 2),
            Case("mlp", 12, 12, 1536, 12, 1),
        ]
    return [case for case in made if case.net in args.nets and case.chunk_dates in args.chunkings]


def run_case(case: Case, args: argparse.Namespace) -> dict[Row, Result]:
    """Run the rows of a case in turns, so that a noisy minute hits all of them."""
    path = cube(case.cube_dates, case.size, case.chunk_dates)
    rows = [row for row in _rows(case.net) if not args.rows or row[0] in (*args.rows, "limit")]
    found: dict[Row, Result] = {}
    for turn in range(args.rounds or case.rounds):
        for row in rows if turn % 2 == 0 else rows[::-1]:
            name, tuned = row
            out = OUT / f"result_{name}_{tuned}.zarr"
            work = Work(
                case.net, str(path), case.dates, case.size, case.chunk_dates, tuned,
                str(out), args.codec == "default",
            )  # fmt: skip
            told = json.dumps({"row": name, "work": asdict(work)})
            seen = measure("_row.py", told, malloc=args.malloc)
            found[row] = _better(found.get(row), seen)
            _compare(found, row, work)
    for row in rows:
        shutil.rmtree(OUT / f"result_{row[0]}_{row[1]}.zarr", ignore_errors=True)
    return found


def _rows(net: str) -> Iterator[Row]:
    yield from OURS
    for peer in PEERS[net]:
        yield peer, False
        yield peer, True


def _better(old: Result | None, seen: dict[str, Any]) -> Result:
    done = Done(**seen["done"])
    new = Result(done.amount / seen["wall"], seen["cpu"] / done.amount, seen["peak"], done)
    if old is None:
        return new
    rate, cpu, peak = max(old.rate, new.rate), min(old.cpu, new.cpu), max(old.peak, new.peak)
    return Result(rate, cpu, peak, done, old.difference)


def _compare(found: dict[Row, Result], row: Row, work: Work) -> None:
    """Compare a peer's output with xeo's first one, where xeo has any."""
    base = ("xeo_to_zarr", False)
    result = found[row]
    if result.done.layout == "none" or row == base or base not in found:
        return
    if result.difference is None:
        largest = 0.0
        ours = dates_of(str(OUT / "result_xeo_to_zarr_False.zarr"), found[base].done, work.dates)
        theirs = dates_of(work.out, result.done, work.dates)
        for mine, other in zip(ours, theirs, strict=True):
            at = result.done.offset
            part = mine[:, at : at + other.shape[1], at : at + other.shape[2]]
            largest = max(largest, float(np.nanmax(np.abs(part - other))))
        result.difference = largest
    shutil.rmtree(work.out, ignore_errors=True)


def table(case: Case, found: dict[Row, Result]) -> Iterator[str]:
    """Yield the lines of one case's table."""
    limit = found["limit", False]
    unit = "windows/s" if case.net == "vit" else "Mpx/s"
    yield (
        f"\n### {TITLES[case.net]}: {case.dates} dates of {case.size}², "
        f"chunks of {case.chunk_dates} date{'s' * (case.chunk_dates > 1)}\n"
    )
    yield (
        f"| row | {unit} | of the limit | of the limit, CPU | peak MB | tasks / blocks | "
        "max. difference | note |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for row, one in found.items():
        kind = "" if row in OURS else (" tuned" if row[1] else " as shipped")
        tasks = "" if one.done.tasks is None else f"{one.done.tasks} / {one.done.blocks}"
        differs = "" if one.difference is None else f"{one.difference:.1e}"
        cells = [
            row[0] + kind, f"{one.rate:.1f}", f"{one.rate / limit.rate:.2f}",
            f"{limit.cpu / one.cpu:.2f}", f"{one.peak:.0f}", tasks, differs, one.done.note,
        ]  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


def verdicts(case: Case, found: dict[Row, Result]) -> Iterator[tuple[str, bool]]:
    """Yield what a case must show, and whether it does."""
    limit = found["limit", False].rate
    where = f"{case.net}, chunks of {case.chunk_dates}"
    ours = {row: found[row] for row in OURS[1:] if row in found}
    for row, one in ours.items():
        if case.net == "vit":
            share = one.rate / limit
            yield f"{where}: {row[0]} at least 0.90 of the limit ({share:.2f})", share >= 0.90
        if one.done.tasks:
            yield f"{where}: one task a block", one.done.tasks == one.done.blocks
    shipped = [one.rate for row, one in found.items() if row not in OURS and not row[1]]
    if ours and shipped:
        least = min(one.rate for one in ours.values())
        yield (
            f"{where}: ahead of every peer as shipped ({least / max(shipped):.2f} times the best)",
            least > max(shipped),
        )


def check_exact(args: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    # A convolution on two threads rounds otherwise than on one: both sides take one.
    size = "1024" if args.quick else "2048"
    found = measure("_checks.py", "exact", size, env={"OMP_NUM_THREADS": "1"})
    print("\n### U-Net: blocks beside the whole image\n")
    print("| | largest difference, in standard deviations | values that differ | blocks |")
    print("|---|---|---|---|")
    for name, (largest, share, blocks) in found["found"].items():
        print(f"| {name} | {largest / found['sigma']:.2g} | {share:.2%} | {blocks} |")
    exact = {name: one[0] == 0 for name, one in found["found"].items()}
    yield "U-Net bit-exact with the whole image", all(v for k, v in exact.items() if " 30" in k)
    yield "the check can fail: without halo there are seams", not all(exact.values())


def check_memory(args: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    sizes, dates = (1024, 2048), 6
    peaks = []
    for size in sizes:
        work = Work(
            "mlp", str(cube(12, size, 1)), dates, size, 1,
            out=str(OUT / "memory.zarr"), chunk=256,
        )  # fmt: skip
        told = json.dumps({"row": "xeo_write", "work": asdict(work)})
        peaks.append(measure("_row.py", told, malloc=args.malloc)["peak"])
    shutil.rmtree(OUT / "memory.zarr", ignore_errors=True)
    growth = peaks[1] / peaks[0]
    print("\n### Memory when the cube grows four times\n")
    print("| cube, blocks of 256 | peak MB |\n|---|---|")
    for size, peak in zip(sizes, peaks, strict=True):
        print(f"| {dates} x {size}² | {peak:.0f} |")
    yield f"peak memory flat when the cube grows four times (x {growth:.2f})", growth <= 1.1


def check_build(args: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    found = measure("_checks.py", "build", "8" if args.quick else "32")
    total = found["open"] + found["embed"]
    print("\n### Building over many chunks\n")
    print(
        f"{found['chunks']} chunks: open {found['open']:.2f} s, embed {found['embed']:.2f} s, "
        f"{found['blocks']} blocks; Dask's optimisation {found['optimize']:.1f} s, "
        f"{found['tasks']} tasks; {found['read']} chunks read; "
        f"by its own choice xeo takes {found['own']} blocks; peak {found['peak']:.0f} MB"
    )
    yield f"building over {found['chunks']} chunks in under 10 s ({total:.1f} s)", total < 10
    yield "building reads no chunk", found["read"] == 0
    yield "one task a block", found["tasks"] == found["blocks"]


def check_ship(args: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    found = measure("_checks.py", "ship", "1024")
    print("\n### What travels to workers\n")
    print(
        f"ViT with {found['weights'] / 1e6:.0f} MB of weights: "
        f"model {found['model'] / 1e3:.1f} kB, "
        f"graph of {found['blocks']} blocks {found['graph'] / 1e3:.1f} kB; "
        f"{found['loads']} loads in {found['processes']} processes of two threads"
    )
    yield "a model pickles to a reference, below 100 kB", found["model"] < 100_000
    yield "the graph holds no weights, below 1 MB", found["graph"] < 1_000_000
    yield "weights load once per process", found["loads"] == found["processes"] == 2


def check_imports(args: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    found = measure("_checks.py", "imports")
    print("\n### Import\n")
    print(
        f"xarray {found['xarray'] * 1e3:.0f} ms, xeo after it {found['xeo'] * 1e3:.0f} ms; "
        f"heavy packages loaded: {found['heavy'] or 'none'}"
    )
    yield "import xeo loads none of torch, dask, av, cupy", not found["heavy"]


CHECKS = {
    "exact": check_exact,
    "memory": check_memory,
    "build": check_build,
    "ship": check_ship,
    "imports": check_imports,
}


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small cube, under two minutes")
    parser.add_argument("--full", action="store_true", help="all 24 dates: an hour and more")
    parser.add_argument("--subset", type=int, metavar="DATES", help="dates of a row (default 2)")
    parser.add_argument("--rounds", type=int, help="how often each row runs (default 2 or 1)")
    parser.add_argument("--rows", nargs="*", help="only these, such as xeo_write loop")
    parser.add_argument("--nets", nargs="*", default=list(TITLES), choices=list(TITLES))
    parser.add_argument("--chunkings", nargs="*", type=int, default=[1, 12], choices=[1, 12])
    parser.add_argument("--checks", nargs="*", default=list(CHECKS), choices=list(CHECKS))
    parser.add_argument("--codec", choices=["default", "none"], default="default",
                        help="of every output")  # fmt: skip
    parser.add_argument("--malloc", action="store_true",
                        help="a heap that keeps large buffers, for every row")  # fmt: skip
    return parser.parse_args()


def main() -> int:
    """Print the tables; return 1 if something that must be shown is not."""
    args = parse()
    OUT.mkdir(exist_ok=True)
    busy = other_load()
    print(f"## Benchmark of embed\n\n{describe()}, other load {busy:.0%}")
    if busy > BUSY:
        print(f"\n**Others use {busy:.0%} of this machine: trust the CPU column alone.**")
    shown: list[tuple[str, bool]] = []
    for case in cases(args):
        found = run_case(case, args)
        print("\n".join(table(case, found)), flush=True)
        shown += verdicts(case, found)
    for name in args.checks:
        shown += CHECKS[name](args)
    print("\n### Must show\n\n| | |\n|---|---|")
    for what, holds in shown:
        print(f"| {what} | {'yes' if holds else '**no**'} |")
    return 0 if all(holds for _, holds in shown) else 1


if __name__ == "__main__":
    raise SystemExit(main())
