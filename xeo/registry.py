"""Names to classes, through entry points."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from xeo.errors import ModelError, OptionError, UnknownNameError

#: Verb to the entry-point group of the models it accepts.
GROUPS = {
    "embed": "xeo.embedders",
    "classify": "xeo.classifiers",
    "cloud_mask": "xeo.cloud_detectors",
    "remove_clouds": "xeo.gap_fillers",
}


@cache
def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def names(verb: str) -> list[str]:
    """Return the names of the registered models of a verb, sorted."""
    return sorted(_points(GROUPS[verb]))


def get(verb: str, name: str) -> type[Any]:
    """Return the class registered for a verb under a name.

    Raises
    ------
    UnknownNameError
        If nobody registered the name; the message lists those that there are.
    """
    points = _points(GROUPS[verb])
    if name not in points:
        near = difflib.get_close_matches(name, points, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownNameError(
            f"expected the name of a model that can {verb}, one of {sorted(points)}, "
            f"got {name!r}.{hint}"
        )
    found: type[Any] = points[name].load()
    return found


def resolve(verb: str, model: Any, settings: Mapping[str, Any] | None = None) -> Any:
    """Return a model object: made from a registered name, or the object itself.

    Parameters
    ----------
    verb : str
        What it is to do.
    model : str or object
        Registered name, or a model.
    settings : mapping, optional
        Of the model, for a registered name.

    Raises
    ------
    UnknownNameError
        If ``model`` is a name that nobody registered.
    ModelError
        If ``model`` is an object without ``spec`` or that cannot be called.
    OptionError
        If the model has no such setting, or is an object that has its settings already.
    """
    if isinstance(model, str):
        return _made(model, get(verb, model), settings or {})
    if settings:
        raise OptionError(
            f"expected settings beside the name of a model, got {sorted(settings)} beside an "
            f"object. Try: {type(model).__name__}({', '.join(f'{k}=...' for k in settings)})"
        )
    if isinstance(model, type):
        raise ModelError(
            f"expected a model object, got the class {model.__name__}. Try: {model.__name__}()"
        )
    if not callable(model) or not hasattr(model, "spec"):
        raise ModelError(
            f"expected a registered name or an object with 'spec' and '__call__' to {verb}, "
            f"got {type(model).__name__}. Try: xeo.models.from_torch(module, spec)"
        )
    return model


def _made(name: str, kind: type[Any], settings: Mapping[str, Any]) -> Any:
    known = [field.name for field in fields(kind) if field.init] if is_dataclass(kind) else None
    unknown = [word for word in settings if known is not None and word not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known or [], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"expected settings of {name!r}, {known}, got {unknown}.{hint}")
    try:
        return kind(**settings)
    except TypeError as err:
        raise OptionError(f"expected settings that fit {name!r}, got {settings}: {err}") from err
