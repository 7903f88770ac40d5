"""The C library is set for a run, once, and set back after the last one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from xeo.engine import heap


@pytest.fixture
def told(monkeypatch):
    calls = []
    monkeypatch.setattr(heap, "_mallopt", lambda: lambda word, value: calls.append((word, value)))
    monkeypatch.setenv("XEO_TUNE_MALLOC", "1")
    return calls


def test_runs_within_runs_set_it_once_and_the_last_one_sets_it_back(told):
    with heap.large_buffers():
        first = dict(told)
        assert first[heap._MMAP_THRESHOLD] == first[heap._TRIM_THRESHOLD] == 1 << 30
        assert first[heap._ARENA_MAX] >= 1
        with heap.large_buffers():
            pass
        assert dict(told) == first
    last = dict(told)
    assert last[heap._MMAP_THRESHOLD] == 32 << 20
    assert last[heap._TRIM_THRESHOLD] == 64 << 20
    assert last[heap._TOP_PAD] == 128 << 10


def test_an_error_sets_it_back_too(told):
    with pytest.raises(KeyError), heap.large_buffers():
        raise KeyError
    assert dict(told)[heap._MMAP_THRESHOLD] == 32 << 20


def test_it_can_be_turned_off(told, monkeypatch):
    monkeypatch.setenv("XEO_TUNE_MALLOC", "0")
    with heap.large_buffers():
        assert not told


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these settings")
def test_a_large_buffer_that_is_freed_is_there_for_the_next_one():
    code = """
import resource, numpy as np
from xeo.engine.heap import large_buffers
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(3_000_000, "u1")
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def run(tuned):
    if not tuned:
        return faults()
    with large_buffers():
        np.ones(3_000_000, "u1")
        return faults()
print(run({tuned}))
"""
    found = [
        int(
            subprocess.run(
                [sys.executable, "-c", code.replace("{tuned}", str(tuned))],
                check=True, capture_output=True, text=True,
                env={"MALLOC_MMAP_THRESHOLD_": "131072", "PATH": ""} if not tuned else None,
            ).stdout
        )
        for tuned in (False, True)
    ]  # fmt: skip
    # Twenty buffers of 730 pages each.
    assert found[0] > 10_000
    assert found[1] < 2_000
