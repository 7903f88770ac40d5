"""Which library's functions fit an array."""

from __future__ import annotations

import sys
from typing import Any


def namespace_of(x: Any) -> Any:
    """Return the module whose functions take an array: numpy, cupy or torch.

    The module is looked up among those already loaded: an array of a library cannot exist
    before its library, so nothing heavy is ever imported here.

    Parameters
    ----------
    x : array
        Of numpy, CuPy or torch.

    Returns
    -------
    module

    Raises
    ------
    TypeError
        If ``x`` is no array of a loaded library.
    """
    for kind in type(x).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in ("numpy", "cupy", "torch"):
            return sys.modules[name]
    raise TypeError(f"expected an array of numpy, cupy or torch, got {type(x).__name__}")


def as_float(x: Any) -> Any:
    """Return an array in at least float32: integers and half floats are converted.

    Parameters
    ----------
    x : array
        Of any real type.

    Returns
    -------
    array
        ``x`` itself where it is float32 or float64 already.
    """
    xp = namespace_of(x)
    return xp.asarray(x, dtype=xp.promote_types(x.dtype, xp.float32))


def empty(shape: tuple[int, ...], like: Any) -> Any:
    """Return an array whose values are not set, of the dtype and device of another.

    Parameters
    ----------
    shape : tuple of int
        Of the new array.
    like : array
        Of numpy, CuPy or torch.

    Returns
    -------
    array
        In C order.
    """
    if hasattr(like, "new_empty"):
        return like.new_empty(shape)
    return namespace_of(like).empty(shape, dtype=like.dtype)


def as_like(data: Any, like: Any) -> Any:
    """Return a numpy array as one of the library, dtype and device of another.

    Parameters
    ----------
    data : numpy array
        Of numbers.
    like : array
        Of numpy, CuPy or torch.

    Returns
    -------
    array
        Of the shape of ``data``.
    """
    if hasattr(like, "new_tensor"):
        return like.new_tensor(data)
    return namespace_of(like).asarray(data, dtype=like.dtype)
