"""The sections that are not races: memory, foreign load, planning, and cubes full of nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

from _cubes import cube, holed
from _machine import measure
from _turns import PICKED, Entry, race, table
from _verdict import Verdict
from _work import Work, cores


def memory(args: argparse.Namespace) -> Iterator[Verdict]:
    """Peak memory of a cube, of one of four times the area, and of one of four times the dates."""
    size, dates = (1024, 4) if args.quick else (2048, 6)
    cubes = {"base": (dates, size), "area x 4": (dates, 2 * size), "dates x 4": (4 * dates, size)}
    once = argparse.Namespace(**{**vars(args), "rounds": 1})
    peaks = {}
    for name, (many, side) in cubes.items():
        # Blocks of one size: a small cube would be cut finer to keep all cores busy.
        chunk = 512 if args.quick else 1024
        work = Work("mlp", str(cube(many, side, 1)), many, side, 1, chunk=chunk)
        peaks[name] = race([PICKED], work, once, base=None)[PICKED.label].peak
    print("\n### Memory\n\n| cube | peak MB |\n|---|---|")
    for name, (many, side) in cubes.items():
        print(f"| {name}: {many} x {side}² | {peaks[name]:.0f} |")
    for name in list(cubes)[1:]:
        growth = peaks[name] / peaks["base"]
        yield Verdict(f"peak memory, {name}", "at most 1.1", f"{growth:.2f}", growth <= 1.1)


def load(args: argparse.Namespace) -> Iterator[Verdict]:
    """What a process of somebody else's on one core costs, and what it costs a plain loop."""
    dates, size = (1, 1024) if args.quick else (4, 1536)
    work = Work("vit", str(cube(dates, size, 1)), dates, size, 1)
    # The loop gives every core to each call of the network: threads that wait for each other.
    rows = [PICKED, Entry("loop", "as shipped")]
    entries = [
        e for row in rows for e in (row, replace(row, kind=f"{row.kind} loaded".strip(), spin=True))
    ]
    found = race(entries, work, args, base=None)
    table("ViT-S/16 while one core is taken", "windows/s", found, None)
    kept = [
        found[e.label].rate / found[q.label].rate
        for q, e in zip(entries[::2], entries[1::2], strict=True)
    ]
    print(f"\nA plain loop keeps {kept[1]:.2f} of its rate.")
    least = 0.9 * (cores() - 1) / cores()
    yield Verdict(
        "rate kept while one core is taken", f"at least {least:.2f}", f"{kept[0]:.2f}",
        kept[0] >= least,
    )  # fmt: skip


def plan(args: argparse.Namespace) -> Iterator[Verdict]:
    """Plan a million chunks that nobody has written."""
    found = measure("_engine_child.py", "plan", "32" if args.quick else "100")
    print(f"\n### Planning over {found['chunks']} chunks\n")
    print("| blocks | seconds | peak MB |\n|---|---|---|")
    for name, (blocks, seconds, peak) in found["found"].items():
        print(f"| {blocks}, {name} | {seconds:.4f} | {peak:.2f} |")
        what = f"{found['chunks']} chunks planned, {name}"
        yield Verdict(what, "below 0.1 s", f"{seconds:.4f} s", seconds < 0.1)
        yield Verdict(what, "below 50 MB", f"{peak:.2f} MB", peak < 50)


def nodata(args: argparse.Namespace) -> Iterator[Verdict]:
    """A cube of which 70 % of the squares hold nothing, beside a full one."""
    dates, size = (10, 1024) if args.quick else (10, 2048)
    for net in ("mlp", "unet"):
        paths = {"full": cube(dates, size, 1), "70 % empty": holed(dates, size)}
        rows = [Entry("xeo_write", name, {"cube": str(path)}) for name, path in paths.items()]
        work = Work(net, str(paths["full"]), dates, size, 1)
        found = race(rows, work, args, base=None)
        full, empty = found.values()
        table(f"Nodata, {net}, {dates} dates of {size}²", "Mpx/s", found, None)
        print(f"\nRead: {full.read:.1f} MB, {empty.read:.1f} MB.")
        costs = {"seconds": empty.wall / full.wall, "bytes read": empty.read / full.read}
        for name, cost in costs.items():
            what = f"nodata, {net}: {name} of a cube 70 % empty"
            yield Verdict(what, "below 0.45", f"{cost:.2f}", cost < 0.45)
