"""Changes of units: linear ones as a factor and a shift, the others as functions."""

from __future__ import annotations

from typing import Any

import numpy as np

#: (from, to) -> (factor, shift).
_LINEAR = {
    ("reflectance", "dn"): (1e4, 0.0),
    ("dn", "reflectance"): (1e-4, 0.0),
    ("kelvin", "celsius"): (1.0, -273.15),
    ("celsius", "kelvin"): (1.0, 273.15),
    ("metre", "mm"): (1e3, 0.0),
    ("mm", "metre"): (1e-3, 0.0),
}
_CURVED = {("power", "db"): "power_to_db", ("db", "power"): "db_to_power"}


def conversion(source: str, target: str) -> tuple[float, float, str] | None:
    """Return ``(factor, shift, function)`` that leads from one unit to another.

    Parameters
    ----------
    source, target : str
        Words of `xeo.spec.Units`.

    Returns
    -------
    tuple or None
        ``function`` is the name of a function of this module to apply afterwards, or ``""``.
        None if no way leads from one to the other.
    """
    if source == target:
        return 1.0, 0.0, ""
    if (source, target) in _LINEAR:
        return (*_LINEAR[source, target], "")
    if (source, target) in _CURVED:
        return 1.0, 0.0, _CURVED[source, target]
    return None


def power_to_db(x: Any) -> Any:
    """Return ``10 * log10(x)``; NaN where power is not positive."""
    return 10 * np.log10(np.where(x > 0, x, np.float32(np.nan)))


def db_to_power(x: Any) -> Any:
    """Return ``10 ** (x / 10)``."""
    return 10 ** (x / np.float32(10))
