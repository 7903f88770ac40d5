"""The table of entry points in ``pyproject.toml`` is the installed one, and all of it loads."""

from __future__ import annotations

import pickle
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from xeo import registry
from xeo.spec import ModelSpec

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DECLARED = {
    (group, name): value
    for group, table in PROJECT["entry-points"].items()
    for name, value in table.items()
}
MODELS = sorted(key for key in DECLARED if key[0] in registry.GROUPS.values())


@pytest.mark.parametrize("group", sorted(PROJECT["entry-points"]))
def test_installed_table_is_the_declared_one(group):
    installed = {
        point.name: point.value
        for point in entry_points(group=group)
        if point.value.startswith("xeo.")
    }
    declared = {name: value for (g, name), value in DECLARED.items() if g == group}
    assert installed == declared, "run: pip install -e . (an editable install keeps the old table)"


@pytest.mark.parametrize(("group", "name"), sorted(DECLARED))
def test_every_entry_loads(group, name):
    (point,) = (p for p in entry_points(group=group, name=name) if p.value == DECLARED[group, name])
    assert point.load().__name__ == DECLARED[group, name].rpartition(":")[2]


@pytest.mark.parametrize(("group", "name"), MODELS)
def test_every_model_says_its_name_and_pickles_small(group, name):
    (point,) = (p for p in entry_points(group=group, name=name) if p.value == DECLARED[group, name])
    model = point.load()()
    assert isinstance(model.spec, ModelSpec)
    assert model.spec.name == name
    assert len(pickle.dumps(model)) < 10_000


def test_the_command_is_declared():
    (point,) = entry_points(group="console_scripts", name="xeo")
    assert point.value == PROJECT["scripts"]["xeo"]
    assert callable(point.load())
