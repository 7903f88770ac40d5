"""``import xeo`` stays as light as ``import xarray``."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "dask", "distributed", "av", "cupy", "zarr", "rioxarray", "rasterio")
HEAVY += ("matplotlib", "onnxruntime", "safetensors", "pooch", "click", "rich", "h5py")


def _loaded_after(code: str) -> set[str]:
    """Return the top-level modules of a fresh interpreter that ran some code."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        timeout=120,
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def xarray_brings() -> set[str]:
    return _loaded_after("import xarray")


def test_import_xeo_loads_nothing_heavy(xarray_brings):
    loaded = _loaded_after("import xeo") - xarray_brings
    assert "xeo" in loaded
    assert not loaded & set(HEAVY)


def test_import_xeo_brings_no_other_package_than_xarray_does(xarray_brings):
    new = _loaded_after("import xeo") - xarray_brings
    foreign = {name for name in new if name not in sys.stdlib_module_names and name[0] != "_"}
    assert foreign <= {"xeo"}


def test_import_xeo_registers_the_accessor():
    code = (
        "import xeo, xarray as xr\nassert hasattr(xr.Dataset, 'eo') and hasattr(xr.DataArray, 'eo')"
    )
    assert "xeo" in _loaded_after(code)


def test_asking_for_the_names_of_models_loads_none(xarray_brings):
    loaded = _loaded_after("from xeo import registry\nassert registry.names('embed')")
    assert not (loaded - xarray_brings) & set(HEAVY)
