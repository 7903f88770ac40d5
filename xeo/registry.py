"""Names to classes, through entry points."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from xeo.errors import ModelError, UnknownNameError

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


def resolve(verb: str, model: Any) -> Any:
    """Return a model object: made from a registered name, or the object itself.

    Raises
    ------
    UnknownNameError
        If ``model`` is a name that nobody registered.
    ModelError
        If ``model`` is an object without ``spec`` or that cannot be called.
    """
    if isinstance(model, str):
        return get(verb, model)()
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
