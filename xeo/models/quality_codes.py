"""What every detector here shares that reads a quality layer: its spec, and how codes arrive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xeo.errors import DimensionError, OptionError
from xeo.kernels.bits import whole_codes
from xeo.kernels.namespace import namespace_of
from xeo.spec import ModelSpec


def quality_spec(name: str, **more: Any) -> ModelSpec:
    """Return the spec of a detector of one layer of codes, missing ones as NaN."""
    given: dict[str, Any] = {
        "channels": 1,
        "missing": "nan",
        "activation_bytes": 32,
        "tasks": ("cloud-detection",),
        "architecture": "lookup",
        "license": "Apache-2.0",
    }
    return ModelSpec(name=name, **(given | more))


def layer_codes(x: Any, largest: int, layer: str) -> tuple[Any, Any]:
    """Return the codes of ``(sample, 1, y, x)``, and where there are none.

    Raises
    ------
    DimensionError
        If there is not one band.
    UnitsError
        If a value is no code.
    """
    if x.ndim != 4 or x.shape[1] != 1:
        raise DimensionError(
            f"expected codes (sample, 1, y, x) of the one layer {layer!r}, got shape "
            f"{tuple(x.shape)}. Try: select the quality layer alone"
        )
    return whole_codes(x, largest)


def as_probability(bad: Any) -> Any:
    """Return 1 where bad and 0 elsewhere, as float32."""
    xp = namespace_of(bad)
    return xp.asarray(bad, dtype=xp.float32)


def checked_names(given: str | Iterable[str], known: Iterable[str], what: str) -> tuple[str, ...]:
    """Return names as a tuple, each of which is known.

    Raises
    ------
    OptionError
        If one is not, or there is none.
    """
    names = (given,) if isinstance(given, str) else tuple(given)
    known = tuple(known)
    if not names or any(name not in known for name in names):
        raise OptionError(f"expected {what}: some of {known}, got {names}")
    return names


def checked_level(given: str | None, levels: Mapping[str, int], what: str) -> str | None:
    """Return a level's name that is known, or None.

    Raises
    ------
    OptionError
        If it is not.
    """
    if given is not None and given not in levels:
        raise OptionError(f"expected {what}: one of {tuple(levels)} or None, got {given!r}")
    return given
