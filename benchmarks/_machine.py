"""The machine, who else uses it, and one program measured on it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
#: Other load above this share of the cores makes wall times a lottery.
BUSY = 0.10
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def describe() -> str:
    """Return a line on cores, processor, memory and load."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    memory = psutil.virtual_memory().total / 2**30
    load = " ".join(f"{one:.2f}" for one in os.getloadavg())
    return (
        f"{psutil.cpu_count()} cores, {model}, {memory:.0f} GiB, load average {load}, "
        f"Python {platform.python_version()}"
    )


def other_load(seconds: float = 2.0) -> float:
    """Return the share of the cores that others use while this process sleeps."""
    return float(psutil.cpu_percent(seconds)) / 100


def measure(
    script: str, *arguments: str, malloc: bool = False, env: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run a script of this folder in a fresh process.

    Parameters
    ----------
    script : str
        Its name; it prints JSON on its last line.
    *arguments : str
        Of its command line.
    malloc : bool
        Keep large buffers in the heap rather than give them back to the kernel at each call.
    env : dict, optional
        Further variables.

    Returns
    -------
    dict
        What it printed, and ``peak``: megabytes of proportional set size of the process and
        its children, sampled ten times a second.
    """
    variables = {key: value for key, value in os.environ.items() if key not in _THREADS}
    variables |= {"PYTHONPATH": str(HERE), **(env or {})}
    if malloc:
        variables |= {
            "MALLOC_MMAP_THRESHOLD_": str(2**30),
            "MALLOC_TRIM_THRESHOLD_": str(2**33),
        }
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        sampler = _Sampler(process.pid)
        sampler.start()
        printed, _ = process.communicate()
        sampler.join()
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{script} {arguments} failed:\n{errors.read()[-2000:]}")
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return {**found, "peak": sampler.peak / 1e6}


class _Sampler(threading.Thread):
    """Watches the memory of a process tree until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak = psutil.Process(pid), 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            try:
                family = [self.process, *self.process.children(recursive=True)]
                running = self.process.is_running()
            except psutil.Error:
                return
            if not running or self.process.status() == psutil.STATUS_ZOMBIE:
                return
            self.peak = max(self.peak, sum(_held(one) for one in family))


def _held(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        info = process.memory_full_info()
        return int(getattr(info, "pss", info.uss))
    return 0
