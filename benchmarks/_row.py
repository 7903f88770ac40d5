"""Run one row in this process, and print what it took as JSON.

A process of its own gives each row an honest peak of memory, and threads that nobody has set.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from dataclasses import asdict

from _rows import ROWS
from _work import Work


def main() -> None:
    """Read a row from the command line, prepare it, run it, print it."""
    asked = json.loads(sys.argv[1])
    # xarray imports it at its first write: imports are not what is timed here.
    importlib.import_module("distributed")
    run = ROWS[asked["row"]](Work(**asked["work"]))
    wall, used = time.perf_counter(), os.times()
    done = run()
    wall, after = time.perf_counter() - wall, os.times()
    cpu = sum(after[:4]) - sum(used[:4])
    print(json.dumps({"wall": wall, "cpu": cpu, "done": asdict(done)}))


if __name__ == "__main__":
    main()
