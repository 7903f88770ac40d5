from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

import xeo
from xeo.cli import main

pytest.importorskip("imagecodecs")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cube = xeo.simulate_cube(dates=2, size=32, truth=False)[["B02", "B04", "SCL"]]
    cube.eo.compress("small.zarr", max_error=0.002, progress=False)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["inspect", *arguments])


def test_it_tells_what_each_array_is_coded_with(here):
    done = call("small.zarr")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("small.zarr: ")
    assert re.search(r"sentinel2 .* xeo\.bounded .* no error above 20", done.stdout)
    assert re.search(r"SCL .* xeo\.lossless", done.stdout)


def test_it_tells_programs(here):
    done = call("small.zarr", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    arrays = {one["path"]: one for one in found["arrays"]}
    assert arrays["sentinel2"]["coding"][0]["name"] == "xeo.bounded"
    assert arrays["sentinel2"]["ratio"] > 1


def test_other_stores_too(here):
    xeo.simulate_cube(dates=1, size=16, truth=False).to_zarr("plain.zarr", consolidated=False)
    assert "B04" in call("plain.zarr").stdout


def test_no_store_is_an_error(here):
    done = call("nothing.zarr")
    assert done.exit_code == 1
    assert re.fullmatch(r"xeo: [^\n]+\n", done.stderr)
    assert call().exit_code == 2
