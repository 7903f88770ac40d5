from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import xeo
from xeo.cli import main


def call(*arguments):
    return CliRunner().invoke(main, ["models", *arguments])


def test_the_table_has_every_model():
    done = call()
    assert done.exit_code == 0
    for name in xeo.list_models()["name"]:
        assert name in done.stdout
    for title in ("name", "task", "bands", "licence", "size, MB", "weights"):
        assert title in done.stdout


def test_json_is_the_table():
    rows = json.loads(call("--json").stdout)
    table = xeo.list_models()
    assert [row["name"] for row in rows] == list(table["name"])
    assert set(rows[0]) == set(table.columns)


def test_one_model_in_plain_lines():
    lines = call("mosaiks").stdout.splitlines()
    assert "name:     mosaiks" in lines
    assert "weights:  none needed" in lines


def test_a_model_of_two_tasks_has_two_entries():
    assert [row["task"] for row in json.loads(call("dynamic_world", "--json").stdout)] == [
        "classify",
        "embed",
    ]


def test_an_unknown_model_is_an_error():
    done = call("no")
    assert done.exit_code == 1
    assert "got 'no'" in done.stderr


@pytest.mark.parametrize("code", ["import xeo.cli", "from xeo.cli import main; main(['--help'])"])
def test_the_command_line_starts_without_anything_heavy(code):
    show = "import sys, atexit\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    done = subprocess.run(
        [sys.executable, "-c", show + code], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "xeo" in loaded
    assert not loaded & {"torch", "dask", "zarr", "rioxarray", "matplotlib", "rich", "h5py"}
