"""The backends there are."""

from __future__ import annotations

from xeo import lazy
from xeo.engine.backends.call import Backend
from xeo.engine.backends.compiled import COMPILE
from xeo.engine.backends.eager import EAGER
from xeo.engine.backends.half import BFLOAT16
from xeo.engine.backends.onnx import ONNXRUNTIME
from xeo.engine.backends.openvino import OPENVINO, OPENVINO_BFLOAT16
from xeo.engine.backends.packed import PACKED, PACKED_BFLOAT16
from xeo.errors import OptionError

#: In the order in which they are tried: those that need no preparation first.
TABLE = {
    one.name: one
    for one in (
        EAGER,
        PACKED,
        PACKED_BFLOAT16,
        BFLOAT16,
        OPENVINO,
        OPENVINO_BFLOAT16,
        ONNXRUNTIME,
        COMPILE,
    )
}


def check(name: str) -> None:
    """Say before any work that a backend cannot be used.

    Raises
    ------
    OptionError
        If there is none of this name.
    MissingDependencyError
        If a package that it needs is not installed.
    """
    if name not in TABLE:
        raise OptionError(f"expected backend to be one of {list(TABLE)}, got {name!r}")
    for package in TABLE[name].packages:
        lazy.check(package, purpose=f"run models by the backend {name!r}")


def suitable(precision: str, device: str | None) -> tuple[Backend, ...]:
    """Return the backends that may be used under a precision, on a device."""
    kind = str(device or "cpu").partition(":")[0]
    precisions = ("exact",) if precision == "exact" else ("exact", "fast")
    return tuple(
        one for one in TABLE.values() if one.precision in precisions and kind in one.devices
    )
