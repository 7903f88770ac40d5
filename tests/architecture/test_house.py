"""Rules of the house that are cheap to check."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "xeo").rglob("*.py"))
LONGEST_MODULE = 600
LONGEST_FUNCTION = 60
#: Test files that mirror no single module.
UNMIRRORED = {"architecture", "integration", "data"}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return node.end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_is_short_enough(path):
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_functions_are_short_enough(path):
    long = {
        node.name: _code_lines(node)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _code_lines(node) > LONGEST_FUNCTION
    }
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_never_prints(path):
    if "cli" in path.parts:
        pytest.skip("a command prints")
    calls = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not calls


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_work_to_do_has_an_issue(path):
    loose = re.findall(r"#.*\b(?:TODO|FIXME|XXX)\b(?!.*#\d)", path.read_text("utf-8"))
    assert not loose


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_has_no_utils_in_its_name(path):
    assert not re.search(r"util|helper|common|misc", path.stem)


def test_there_are_modules_to_check():
    assert len(MODULES) > 15


def test_every_test_file_mirrors_a_module():
    strays = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if not UNMIRRORED & set(path.parts) and not _mirrored(path)
    ]
    assert not strays


def _mirrored(path: Path) -> bool:
    """Whether ``tests/a/test_b[_more].py`` has an ``xeo/a/b``, or is about all of ``xeo/a``."""
    folder = ROOT / "xeo" / path.parent.relative_to(ROOT / "tests")
    words = path.stem.removeprefix("test_").split("_")
    stems = ["_".join(words[:n]) for n in range(len(words), 0, -1)]
    if words == [path.parent.name]:
        return folder.is_dir()
    near = any((folder / f"{stem}.py").exists() or (folder / stem).is_dir() for stem in stems)
    return near or path.name == "test_conftest.py"


def test_every_error_descends_from_ours_and_from_a_builtin():
    from xeo import errors

    found = [item for item in vars(errors).values() if isinstance(item, type)]
    assert len(found) > 5
    for item in found:
        assert issubclass(item, errors.XeoError | errors.XeoWarning)
        builtin = [base for base in item.__mro__ if base.__module__ == "builtins"]
        assert builtin[0] is not object
