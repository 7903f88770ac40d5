"""What every test run shares, doctests and notebooks included.

The environment is set at import, before torch, matplotlib or huggingface_hub read it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent
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


@pytest.fixture(autouse=True)
def _names_of_doctests(request: pytest.FixtureRequest) -> None:
    """Preset ``np``, ``xr`` and ``xeo`` in doctests, as in the documentation."""
    if isinstance(request.node, pytest.DoctestItem):
        import numpy as np
        import xarray as xr

        import xeo

        names: dict[str, Any] = request.getfixturevalue("doctest_namespace")
        names.update(np=np, xr=xr, xeo=xeo)
