"""What every test run shares, doctests and notebooks included.

The environment is set at import, before torch, matplotlib or huggingface_hub read it.
"""

from __future__ import annotations

import doctest
import os
import re
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent
# Programs, not modules with doctests.
collect_ignore_glob = ["docs/*.py", "scripts/*", "benchmarks/*"]
ASKED = {
    "gpu": "needs a CUDA device; ask with --gpu",
    "network": "needs the internet; ask with --network",
    "slow": "takes long; ask with --slow",
}

# Two test processes on two cores: one thread each. Idle OpenMP threads spin and slow both.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Each file that a hub does not have costs half a minute of retries otherwise.
os.environ["HF_HUB_OFFLINE"] = "1"

#: Packages that only some tests need. Where one is not installed, as torch in the environment
#: of the newest zarr, those tests are skipped; where it is, nothing changes.
PARTS = (
    *("torch", "safetensors", "onnxruntime", "onnx"),
    *("distributed", "matplotlib", "sklearn"),
    *("av", "ffmpeg", "imagecodecs"),
)
MISSING = {name for name in PARTS if find_spec(name) is None}

_weights = ROOT.parent / "shared" / "weights"
if "XEO_WEIGHTS" not in os.environ and _weights.is_dir():
    os.environ["XEO_WEIGHTS"] = str(_weights)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add one flag for each marker that is skipped by default."""
    group = parser.getgroup("xeo")
    for mark, why in ASKED.items():
        group.addoption(f"--{mark}", action="store_true", help=f"run tests marked {mark}: {why}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what was not asked for."""
    for mark, why in ASKED.items():
        if not config.getoption(f"--{mark}"):
            for item in items:
                if item.get_closest_marker(mark):
                    item.add_marker(pytest.mark.skip(reason=why))


def _cannot_import(path: Path) -> bool:
    """Whether a test file imports at its top what is not installed."""
    tops = re.findall(r"^(?:import|from) (\w+)", path.read_text("utf-8"), re.MULTILINE)
    return not MISSING.isdisjoint(tops)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out test files, and folders by their conftest, that cannot be imported."""
    path = collection_path
    module = path / "conftest.py" if path.is_dir() else path
    if MISSING and module.suffix == ".py" and module.exists() and _cannot_import(module):
        return True
    return None


def pytest_report_header() -> list[str]:
    """Say what is left out, and which real files there are."""
    lines = [f"{name}: {os.environ.get(name, 'default')}" for name in ("XEO_DATA", "XEO_WEIGHTS")]
    if MISSING:
        files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "tests").rglob("*/conftest.py")]
        out = sorted(str(p.relative_to(ROOT)) for p in files if _cannot_import(p))
        lines.append(f"not installed: {sorted(MISSING)}; left out: {out}")
    return lines


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """Skip a test that stopped because an optional package is not installed."""
    try:
        return (yield)
    except Exception as err:
        gone = MISSING.intersection(_not_found(err))
        if gone:
            pytest.skip(f"{sorted(gone)} not installed")
        raise


def _not_found(err: BaseException) -> Iterator[str]:
    """Yield the packages that an error, or the errors of a doctest, did not find."""
    if isinstance(err, ImportError) and err.name:
        yield err.name.partition(".")[0]
    if isinstance(err, doctest.UnexpectedException):
        yield from _not_found(err.exc_info[1])
    for failure in getattr(err, "failures", ()):
        yield from _not_found(failure)


@pytest.fixture(autouse=True)
def _names_of_doctests(request: pytest.FixtureRequest) -> None:
    """Preset ``np``, ``xr`` and ``xeo`` in doctests, as in the documentation."""
    if isinstance(request.node, pytest.DoctestItem):
        import numpy as np
        import xarray as xr

        import xeo

        names: dict[str, Any] = request.getfixturevalue("doctest_namespace")
        names.update(np=np, xr=xr, xeo=xeo)


@pytest.fixture(autouse=True)
def _close_pictures() -> Iterator[None]:
    """Close what a test drew: more than twenty open figures are a warning."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
