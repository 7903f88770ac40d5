"""Codes and bit flags of quality layers, kept in floats where a pixel may be missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xeo.errors import UnitsError
from xeo.kernels.namespace import namespace_of


def whole_codes(x: Any, largest: int) -> tuple[Any, Any]:
    """Turn codes kept in floats back to integers.

    Parameters
    ----------
    x : array
        Codes of any real type; NaN where there is none.
    largest : int
        The largest code of the layer's own type, 255 or 65535.

    Returns
    -------
    codes : array of int32
        Of the shape, kind and device of ``x``; 0 where missing.
    missing : array of bool
        True where ``x`` is NaN.

    Raises
    ------
    UnitsError
        If a value is not a whole number from 0 to ``largest``.
    """
    xp = namespace_of(x)
    missing = x != x
    filled = xp.where(missing, xp.zeros_like(x), x)
    # Compared before the cast: infinities and large numbers have no integer.
    strange = (filled < 0) | (filled > largest)
    strange = strange | (xp.where(strange, xp.zeros_like(x), filled) % 1 != 0)
    if bool(strange.any()):
        raise UnitsError(
            f"expected codes: whole numbers from 0 to {largest}, got {float(filled[strange][0])}. "
            "Codes that were resampled with interpolation, or scaled, mean nothing. "
            "Try: resample the quality layer with nearest neighbours, and open it unscaled"
        )
    return xp.asarray(filled, dtype=xp.int32), missing


def is_any_of(codes: Any, wanted: Iterable[int]) -> Any:
    """Tell which codes are among some.

    Parameters
    ----------
    codes : array of int
    wanted : iterable of int

    Returns
    -------
    array of bool
        Of the shape of ``codes``.
    """
    found = codes != codes
    for code in wanted:
        found = found | (codes == code)
    return found


def has_any_bit(codes: Any, bits: Iterable[int]) -> Any:
    """Tell which codes have at least one of some bits set.

    Parameters
    ----------
    codes : array of int
    bits : iterable of int
        Positions, 0 being the lowest.

    Returns
    -------
    array of bool
        Of the shape of ``codes``.
    """
    return (codes & sum(1 << bit for bit in set(bits))) != 0


def two_bits(codes: Any, low: int) -> Any:
    """Return the number from 0 to 3 that two neighbouring bits of each code hold.

    Parameters
    ----------
    codes : array of int
    low : int
        Position of the lower bit.

    Returns
    -------
    array of int
        Of the shape of ``codes``.
    """
    return (codes >> low) & 3
