"""Fixtures: the real data, the real weights, and a counter of computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[2] / "shared"


def _folder(variable: str, default: Path, what: str) -> Path:
    # XEO_WEIGHTS may list several folders.
    listed = os.environ.get(variable, str(default)).split(os.pathsep)
    for folder in map(Path, listed):
        if folder.expanduser().is_dir():
            return folder.expanduser()
    pytest.skip(f"no {what} in {listed}: set {variable} to their folder")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real cubes; skips without them."""
    return _folder("XEO_DATA", SHARED / "data", "real cubes")


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """Folder of the real weights and golden outputs; skips without them."""
    return _folder("XEO_WEIGHTS", SHARED / "weights", "real weights")


@contextmanager
def _max_computes(limit: int) -> Iterator[None]:
    import dask

    count = 0

    def scheduler(graph: Any, keys: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count > limit:
            raise AssertionError(f"expected at most {limit} computes, this is number {count}")
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=scheduler):
        yield


@pytest.fixture(scope="session")
def max_computes() -> Callable[[int], AbstractContextManager[None]]:
    """``with max_computes(0):`` fails if Dask computes more often inside the block."""
    return _max_computes


@pytest.fixture(scope="session", autouse=True)
def _own_backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Models run as they are, unless a test asks for more, and nothing reaches the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XEO_BACKEND", "eager")
        patch.setenv("XEO_TUNE_FOLDER", str(tmp_path_factory.mktemp("backends")))
        yield
