"""Functions on xarray objects as methods of an accessor, with one text for both."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any


def bind(kind: type | None, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that calls a function with the accessor's object first.

    Parameters
    ----------
    kind : type or None
        What the accessor holds, for the annotation of the method; None leaves it out.
    function : callable
        Takes an xarray object as its first parameter.

    Returns
    -------
    callable
        To be assigned in the body of an accessor class whose instances hold ``_obj``. Name,
        signature and docstring are the function's, less its first parameter.
    """
    signature = inspect.signature(function)
    first, *others = signature.parameters.values()

    @wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self._obj, *args, **kwargs)

    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = signature.replace(parameters=[this, *others])  # type: ignore[attr-defined]
    method.__doc__ = _without(first.name, inspect.getdoc(function) or "")
    # `inspect.signature` would follow it to the function and show the first parameter again.
    del method.__wrapped__  # type: ignore[attr-defined]
    method.__annotations__ = {k: v for k, v in method.__annotations__.items() if k != first.name}
    if kind is not None:
        method.__qualname__ = f"{kind.__name__}.eo.{function.__name__}"
    return method


def _without(name: str, text: str) -> str:
    """Drop one parameter from a numpydoc text, and its section if nothing is left of it."""
    entry = rf"^{re.escape(name)} :.*\n(?:(?:[ \t]+.*)?\n)*"
    shorter = re.sub(entry, "", text, count=1, flags=re.MULTILINE)
    return re.sub(r"^Parameters\n-+\n\s*(?=^\w[\w ]*\n-+\n|\Z)", "", shorter, flags=re.MULTILINE)
