"""Run one row in this process, and print what it took as JSON.

A process of its own gives each row an honest peak of memory, and threads that nobody has set.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from _rows import ROWS
from _work import Work


def main() -> None:
    """Read a row from the command line, prepare it, run it, print it."""
    asked = json.loads(sys.argv[1])
    # xarray imports it at its first write: imports are not what is timed here.
    importlib.import_module("distributed")
    run = ROWS[asked["row"]](Work(**asked["work"]))
    read, wall, used = _read(), time.perf_counter(), os.times()
    done = run()
    wall, after = time.perf_counter() - wall, os.times()
    cpu = sum(after[:4]) - sum(used[:4])
    print(json.dumps({"wall": wall, "cpu": cpu, "read": _read() - read, "done": asdict(done)}))


def _read() -> int:
    """Return the bytes that this process has read from files, cached or not, where that is told."""
    with suppress(OSError):
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("rchar")))
    return 0


if __name__ == "__main__":
    main()
