from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import xeo
from xeo.cli import main

pytest.importorskip("torch")


@pytest.fixture
def here(tmp_path, monkeypatch, weights_dir):
    monkeypatch.chdir(tmp_path)
    cube = xeo.simulate_cube(dates=2, size=24, chunks={"time": 1}, truth=False)
    cube.to_zarr("cube.zarr", consolidated=False, zarr_format=3)
    return tmp_path


def test_classes_and_their_names_survive(here):
    done = CliRunner().invoke(main, ["classify", "cube.zarr", "out.zarr", "--time", "2023-01"])
    assert done.exit_code == 0, done.stderr
    truth = xeo.open_cube("cube.zarr").eo.classify(dates="2023-01")
    made = xr.open_zarr("out.zarr")["class"]
    np.testing.assert_array_equal(made, truth)
    assert made.dtype == np.uint8
    assert made.attrs["flag_meanings"] == truth.attrs["flag_meanings"]
    np.testing.assert_array_equal(made.attrs["flag_values"], truth.attrs["flag_values"])


def test_probabilities(here):
    done = CliRunner().invoke(main, ["classify", "cube.zarr", "out.zarr", "--probability"])
    assert done.exit_code == 0, done.stderr
    truth = xeo.open_cube("cube.zarr").eo.classify(probability=True)
    made = xr.open_zarr("out.zarr")["probability"]
    np.testing.assert_allclose(made, truth, rtol=1e-6)
    assert list(made["class"].values) == list(truth["class"].values)


def test_the_valid_fraction_and_the_backend_reach_the_verb(here):
    options = ["--time", "2023-01", "--valid-fraction", "--backend", "eager", "--quiet"]
    done = CliRunner().invoke(main, ["classify", "cube.zarr", "out.zarr", *options])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("wrote out.zarr: time 1, y 24, x 24, and valid_fraction; ")
    assert done.stdout.endswith(" binds; eager\n")
    truth = xeo.open_cube("cube.zarr").eo.classify(
        dates="2023-01", valid_fraction=True, backend="eager"
    )
    with xr.open_zarr("out.zarr") as made:
        xr.testing.assert_equal(made.compute(), truth.compute())
