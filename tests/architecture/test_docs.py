"""Nothing public is missing in the documentation."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import xarray as xr

import xeo
from xeo import registry
from xeo.accessors.plot import PlotAccessor

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "api.rst").read_text("utf-8")
HOW_TO = "\n".join(path.read_text("utf-8") for path in sorted((DOCS / "how_to").glob("*.rst")))
LISTED = set(re.findall(r"^   ([\w.]+)$", REFERENCE, re.MULTILINE))
KINDS = {"Dataset": xr.Dataset, "DataArray": xr.DataArray, "DataTree": xr.DataTree}
#: Properties of an accessor that return another one.
NESTED = {"plot": PlotAccessor}


def _methods(accessor: type) -> list[str]:
    """Public methods of an accessor, and of the accessors that hang on it."""
    found = []
    for name, item in vars(accessor).items():
        if isinstance(item, property):
            found += [f"{name}.{more}" for more in _methods(NESTED[name])]
        elif not name.startswith("_"):
            found.append(name)
    return found


def _documented_methods() -> list[tuple[str, str]]:
    return [(kind, name) for kind, cls in KINDS.items() for name in _methods(cls.eo)]


@pytest.mark.parametrize(("kind", "name"), _documented_methods())
def test_every_method_of_the_accessor_is_in_the_reference(kind, name):
    # Data sets and arrays share one class of pictures, and each picture asks for one of them.
    kinds = KINDS if "." in name else (kind,)
    assert any(f"{one}.eo.{name}" in LISTED for one in kinds)


# The accessors are in the reference by their methods.
@pytest.mark.parametrize("name", sorted(set(xeo.__all__) - {"accessors"}))
def test_everything_public_is_in_the_reference(name):
    assert any(name in entry.split(".") for entry in LISTED)


@pytest.mark.parametrize("verb", sorted(registry.GROUPS))
def test_every_verb_has_a_page_and_words(verb):
    assert (DOCS / "how_to" / f"{verb}.rst").exists()
    assert f"``{verb}``" in (DOCS / "words.rst").read_text("utf-8")


@pytest.mark.parametrize(
    "name", sorted({n for verb in registry.GROUPS for n in registry.names(verb)})
)
def test_every_model_is_named_in_a_how_to(name):
    assert f"``{name}``" in HOW_TO or f'"{name}"' in HOW_TO


def test_every_page_is_in_a_list_of_contents():
    index = (DOCS / "how_to" / "index.rst").read_text("utf-8")
    for path in (DOCS / "how_to").glob("*.rst"):
        assert path.stem == "index" or f"   {path.stem}\n" in index


def _commands() -> list[str]:
    from xeo.cli import main

    pages = [*(DOCS / "how_to").glob("*.rst"), DOCS.parent / "README.md"]
    text = "\n".join(path.read_text("utf-8") for path in pages)
    names = "|".join(main.commands)
    return re.findall(rf"(?:^ {{3}}|`)(xeo (?:{names})\b[^`\n]*)", text, re.MULTILINE)


@pytest.mark.parametrize("line", _commands())
def test_every_command_shown_parses(line):
    from xeo.cli import main

    _, name, *arguments = shlex.split(line)
    if arguments or name == "models":
        main.commands[name].make_context(name, arguments)


def test_commands_are_shown():
    assert len(_commands()) > 6
