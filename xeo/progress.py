"""Progress bars, of text or of widgets, that never warn."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

from xeo.lazy import require


def bar(**options: Any) -> Any:
    """Return a tqdm bar: a widget in a notebook that can show one, text elsewhere.

    ``tqdm.auto`` alone warns in a notebook without ipywidgets.
    """
    kind = "tqdm.auto" if importlib.util.find_spec("ipywidgets") else "tqdm.std"
    return require(kind, purpose="show progress").tqdm(**options)


def quiet_pooch() -> ModuleType:
    """Return pooch, whose import asks for ``tqdm.auto`` and so would warn likewise."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        return require("pooch", purpose="find and download weights")
