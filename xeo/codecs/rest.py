"""What a lossy base leaves, coded so that no value is further off than its bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import Shape, Unfit
from xeo.codecs.integers import decode_integers, encode_integers
from xeo.errors import CodecError

#: Of a step of floats, for what rounding takes.
_ROOM = 1e-4
_MOST = 2**31


def encode_rest(
    values: NDArray[Any],
    base: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    bounds: NDArray[np.float64],
    effort: int,
) -> tuple[dict[str, Any], list[bytes]]:
    """Code the difference of a cube to its base.

    Parameters
    ----------
    values, base : array, shape (T, B, Y, X)
        Integers or floats of one dtype.
    valid : array of bool, optional
        Where it matters.
    bounds : array, shape (B,)
        Largest error of each band.
    effort : int
        From 1, fast, to 9, small.

    Returns
    -------
    header : dict
        For `add_rest`; JSON can say it.
    parts : list of bytes

    Raises
    ------
    Unfit
        If the differences are too large to be counted in steps.
    """
    steps = _steps(values.dtype, bounds)
    numbers = np.zeros(values.shape, np.int32)
    for band, step in enumerate(steps):
        error = np.subtract(values[:, band], base[:, band], dtype=np.float64)
        if valid is not None:
            error[~valid[:, band]] = 0
        error /= step
        if not np.abs(error).max() < _MOST:
            raise Unfit
        numbers[:, band] = np.rint(error)
    own, parts = encode_integers(numbers, effort, valid)
    same = len(set(steps)) == 1
    return {"steps": steps[:1] if same else steps, "own": own}, parts


def _steps(dtype: np.dtype[Any], bounds: NDArray[np.float64]) -> list[float]:
    if dtype.kind in "iu":
        # Errors up to the bound on either side, and none: that many integers share a step.
        return [float(2 * np.floor(bound) + 1) for bound in bounds]
    return [float(2 * bound * (1 - _ROOM)) for bound in bounds]


def add_rest(
    made: NDArray[Any],
    header: Mapping[str, Any],
    parts: Sequence[memoryview],
    shape: Shape,
    dates: NDArray[np.intp] | None,
    limits: tuple[int | float, int | float],
) -> None:
    """Add to a base what it left.

    Parameters
    ----------
    made : array, shape (date, B, Y, X)
        The base, which becomes the cube.
    header, parts :
        Of `encode_rest`.
    shape : tuple of int
        Of the whole cube.
    dates : array of int, optional
        Which of its dates these are.
    limits : tuple of float
        Lowest and highest value.

    Raises
    ------
    CodecError
        If it is not the rest of such a cube.
    """
    steps = header["steps"]
    if len(steps) not in (1, shape[1]) or not all(
        type(s) in (int, float) and 0 < s < 1e300 for s in steps
    ):
        raise CodecError(f"steps of {steps!r} in a chunk cannot be: it is damaged")
    numbers = decode_integers(header["own"], parts, shape, np.dtype(np.int32), dates)
    for band in range(shape[1]):
        whole = made[:, band].astype(np.float64)
        rest = numbers[:, band].astype(np.float64)
        rest *= float(steps[band % len(steps)])
        whole += rest
        if made.dtype.kind in "iu" and made.dtype.itemsize == 8:
            # Beyond 2**53 floats skip integers, and the largest one is none that fits.
            np.clip(whole, float(np.iinfo(made.dtype).min), _largest(made.dtype), out=whole)
            made[:, band] = np.clip(whole.astype(made.dtype), *limits)
        else:
            made[:, band] = np.clip(whole, *limits, out=whole)


def _largest(dtype: np.dtype[Any]) -> float:
    most = np.iinfo(dtype).max
    return float(most) if most < 2**53 else float(np.nextafter(float(most), 0))


def within(
    values: NDArray[Any],
    made: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    bounds: NDArray[np.float64],
) -> bool:
    """Tell whether each value that matters is within the bound of its band.

    Parameters
    ----------
    values, made : array, shape (T, B, Y, X)
        The cube, and what it became.
    valid : array of bool, optional
        Where it matters.
    bounds : array, shape (B,)
        Largest errors.

    Returns
    -------
    bool
    """
    for band, bound in enumerate(bounds):
        x, y = values[:, band], made[:, band]
        if x.dtype.kind in "iu":
            wide = np.maximum(x, y).astype(np.uint64) - np.minimum(x, y).astype(np.uint64)
            far = wide > bound
        else:
            far = ~(np.abs(x.astype(np.float64) - y.astype(np.float64)) <= bound)
        if (far if valid is None else far & valid[:, band]).any():
            return False
    return True
