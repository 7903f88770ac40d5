"""Rows that run in turns, each in a process of its own, and what others do meanwhile."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _cubes import OUT
from _machine import BUSY, measure
from _work import Done, Work, dates_of

#: Dates of two outputs that are compared: with all of them that takes longer than the rows.
COMPARED = 2


@dataclass(frozen=True)
class Entry:
    """A row of a table.

    Parameters
    ----------
    row : str
        Its function, in `_rows.ROWS`.
    kind : str
        What sets it apart from others of that function.
    changes : dict
        To the work.
    malloc : bool
        Whether the heap keeps large buffers, which xeo does on its own.
    spin : bool
        Whether a process of somebody else's keeps one core busy meanwhile.
    """

    row: str
    kind: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    malloc: bool = False
    spin: bool = False

    @property
    def label(self) -> str:
        """What the table calls it."""
        return f"{self.row.removesuffix('_write')} {self.kind}".strip()


def shipped(row: str) -> Entry:
    """Return a peer as a first program has it."""
    return Entry(row, "as shipped")


def tuned(row: str, **changes: Any) -> Entry:
    """Return a peer with all that its authors could know of the machine, the heap included."""
    kind = "tuned, packed" if changes.get("packed") else "tuned"
    return Entry(row, kind, {"tuned": True, **changes}, malloc=True)


#: The module alone, in the faster of two heaps.
LIMITS = (Entry("limit"), Entry("limit", "tuned heap", malloc=True))
EAGER = Entry("xeo_write", "eager", {"backend": "eager"})
PICKED = Entry("xeo_write")


@dataclass
class Found:
    """The best of an entry's rounds.

    Parameters
    ----------
    rate, wall, cpu : float
        Windows or megapixels a second, seconds, and seconds of the processor for each.
    peak, read : float
        Megabytes held, and read from files.
    others : float
        Share of the machine that others used in the best round.
    done : Done
        What it did.
    difference : float, optional
        The largest to the base row, relative to its largest value.
    """

    rate: float
    wall: float
    cpu: float
    peak: float
    read: float
    others: float
    done: Done
    difference: float | None = None


def race(
    entries: Sequence[Entry], work: Work, args: argparse.Namespace, base: Entry | None = EAGER
) -> dict[str, Found]:
    """Run entries in turns, the second round in reverse order; the best round counts.

    Parameters
    ----------
    entries : sequence of Entry
        What runs.
    work : Work
        Of all of them.
    args : Namespace
        ``rounds`` and ``codec``.
    base : Entry, optional
        The first of them, which the outputs of the others are compared with.
    """
    found: dict[str, Found] = {}
    for turn in range(args.rounds):
        for entry in entries if turn % 2 == 0 else entries[::-1]:
            told = replace(
                work, out=str(_out(entry)), compress=args.codec == "default", **entry.changes
            )
            new = once(entry, told)
            old = found.get(entry.label)
            if old is None and base is not None and entry != base:
                new.difference = _difference(told, new.done, found[base.label].done, base)
            if entry != base:
                shutil.rmtree(told.out, ignore_errors=True)
            found[entry.label] = new if old is None else _best(old, new)
    if base is not None:
        shutil.rmtree(_out(base), ignore_errors=True)
    return {entry.label: found[entry.label] for entry in entries}


def once(entry: Entry, work: Work) -> Found:
    """Run an entry in a process of its own."""
    # What an earlier row wrote goes to the disk now, not while this one runs.
    os.sync()
    told = json.dumps({"row": entry.row, "work": asdict(work)})
    with _spinning(entry.spin), _Others() as others:
        seen = measure("_row.py", told, malloc=entry.malloc)
    done = Done(**seen["done"])
    return Found(
        done.amount / seen["wall"],
        seen["wall"],
        seen["cpu"] / done.amount,
        seen["peak"],
        seen["read"] / 1e6,
        0.0 if entry.spin else others.share,
        done,
    )


def _best(old: Found, new: Found) -> Found:
    best = new if new.rate > old.rate else old
    return replace(
        best,
        cpu=min(old.cpu, new.cpu),
        peak=max(old.peak, new.peak),
        difference=old.difference if new.difference is None else new.difference,
    )


def _out(entry: Entry) -> Path:
    return OUT / f"result_{entry.label.replace(' ', '_').replace(',', '')}.zarr"


def _difference(work: Work, done: Done, other: Done, base: Entry) -> float | None:
    """Compare the first dates of two outputs, where this row has one."""
    if done.layout == "none":
        return None
    largest, scale = 0.0, 0.0
    ours = dates_of(str(_out(base)), other, work.dates)
    theirs = dates_of(work.out, done, work.dates)
    for mine, made in islice(zip(ours, theirs, strict=True), COMPARED):
        at = done.offset
        part = mine[:, at : at + made.shape[1], at : at + made.shape[2]]
        largest = max(largest, float(np.nanmax(np.abs(part - made))))
        scale = max(scale, float(np.nanmax(np.abs(part))))
    return largest / scale


class _Others:
    """The share of the machine that is used, but not by this process and its children."""

    def __enter__(self) -> _Others:
        self.start = self._now()
        self.share = 0.0
        return self

    def __exit__(self, *error: object) -> None:
        wall, busy, own = (b - a for a, b in zip(self.start, self._now(), strict=True))
        self.share = max(0.0, (busy - own) / (wall * (psutil.cpu_count() or 1)))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        all_of_it = psutil.cpu_times()
        idle = all_of_it.idle + getattr(all_of_it, "iowait", 0.0)
        # Time of guests is part of the user's.
        guests = getattr(all_of_it, "guest", 0.0) + getattr(all_of_it, "guest_nice", 0.0)
        child = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = time.process_time() + child.ru_utime + child.ru_stime
        return time.perf_counter(), sum(all_of_it) - idle - guests, own


@contextmanager
def _spinning(wanted: bool) -> Iterator[None]:
    """Keep one core busy with a process that does not sleep."""
    if not wanted:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
            yield
        finally:
            process.kill()


def table(title: str, unit: str, found: dict[str, Found], limit: float | None) -> None:
    """Print one race; rows during which others used the machine are marked."""
    print(f"\n### {title}\n")
    print(
        f"| row | {unit} | of the limit | CPU s for each | wall s | peak MB | others | "
        "largest difference | note |\n|---|---|---|---|---|---|---|---|---|"
    )
    for label, one in found.items():
        share = "" if limit is None else f"{one.rate / limit:.2f}"
        differs = "" if one.difference is None else f"{one.difference:.0e}"
        mark = " **busy**" if one.others > BUSY else ""
        cells = [
            label, f"{one.rate:.2f}", share, f"{one.cpu:.3f}", f"{one.wall:.1f}",
            f"{one.peak:.0f}", f"{one.others:.0%}{mark}", differs, one.done.note,
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |")
    for label, one in found.items():
        if one.done.told:
            print(f"\n{label}:\n\n    " + one.done.told.replace("\n", "\n    "))
    sys.stdout.flush()
