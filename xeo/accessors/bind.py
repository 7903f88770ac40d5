"""A function of the public interface becomes a method of an accessor."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def bind(
    cls: type | None, function: Callable[Concatenate[Any, P], R]
) -> Callable[Concatenate[Any, P], R]:
    """Return a method that calls a function with the accessor's object first.

    Parameters
    ----------
    cls : type or None
        What the accessor sits on; it gives the method its qualified name.
    function : callable
        Its first parameter is dropped from the method's signature and docstring.

    Returns
    -------
    callable
    """
    if function.__doc__ is None:
        raise TypeError(f"expected a function with a docstring, got {function.__qualname__}")

    @functools.wraps(function)
    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return function(self._obj, *args, **kwargs)

    signature = inspect.signature(function)
    first, *rest = signature.parameters.values()
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    vars(method)["__signature__"] = signature.replace(parameters=[own, *rest])
    method.__doc__ = without_parameter(function.__doc__, first.name)
    # Signatures would follow __wrapped__ back to the function, and pickle its qualified name.
    del method.__wrapped__
    if cls is not None:
        method.__qualname__ = f"{cls.__name__}.eo.{function.__name__}"
    method.__annotations__ = {
        name: kind for name, kind in method.__annotations__.items() if name != first.name
    }
    return cast("Callable[Concatenate[Any, P], R]", method)


def without_parameter(docstring: str, name: str) -> str:
    """Drop one parameter from the section "Parameters" of a numpydoc text.

    Parameters
    ----------
    docstring : str
        In numpydoc style.
    name : str
        Of the parameter; in an entry shared by several, only the name goes.

    Returns
    -------
    str
        Without common indentation; a section that becomes empty is dropped.
    """
    text = inspect.cleandoc(docstring)
    head, rule, rest = text.partition("\nParameters\n----------\n")
    if not rule:
        return text
    # A section ends where the next title is underlined.
    section, end, tail = _split(rest)
    kept = "".join(_kept(entry, name) for entry in re.split(r"(?m)^(?=\S)", section) if entry)
    if not kept.strip():
        return head.rstrip() + ("\n\n" + end + tail if end else "")
    return head + rule + kept.rstrip("\n") + ("\n\n" + end + tail if end else "")


def _split(rest: str) -> tuple[str, str, str]:
    found = re.search(r"(?m)^\S.*\n-{3,}$", rest)
    if found is None:
        return rest, "", ""
    return rest[: found.start()], found.group(), rest[found.end() :]


def _kept(entry: str, name: str) -> str:
    """Return what stays of one entry, its heading being the first line."""
    heading, newline, body = entry.partition("\n")
    names, colon, kind = heading.partition(" :")
    others = [word.strip() for word in names.split(",") if word.strip().lstrip("*") != name]
    return ", ".join(others) + colon + kind + newline + body if others else ""
