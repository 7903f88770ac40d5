"""Small whole numbers, and orders, in few bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xeo.errors import CodecError

#: More bits than this have only damaged bytes.
_MOST_LOW = 62


def pack_rows(numbers: NDArray[np.int64]) -> bytes:
    """Spell rows of numbers, each row with as many low bits as suits it (Golomb-Rice).

    Parameters
    ----------
    numbers : array of int64, shape (row, column)
        Mostly near zero, below 2**60 either way.

    Returns
    -------
    bytes
        Of each row: a byte that tells how many low bits there are; high parts as so many ones
        and a zero; low bits.

    References
    ----------
    .. [1] Rice, R. F. and Plaunt, J. R. (1971). Adaptive variable-length coding for efficient
       compression of spacecraft television data. IEEE Transactions on Communication Technology
       19. doi:10.1109/TCOM.1971.1090789
    """
    out = []
    for row in numbers:
        folded = np.where(row < 0, -2 * row - 1, 2 * row).astype(np.int64)
        costs = [int((folded >> low).sum()) + low * len(row) for low in range(_MOST_LOW)]
        low = int(np.argmin(costs))
        high = folded >> low
        ones = np.ones(int(high.sum()) + len(row), np.uint8)
        ones[np.cumsum(high + 1) - 1] = 0
        bits = (folded[:, None] >> np.arange(low)) & 1
        out += [bytes([low]), np.packbits(np.r_[ones, bits.ravel().astype(np.uint8)]).tobytes()]
    return b"".join(out)


def unpack_rows(data: bytes | memoryview, rows: int, columns: int) -> tuple[NDArray[np.int64], int]:
    """Read what `pack_rows` wrote.

    Parameters
    ----------
    data : bytes
        That begin with it.
    rows, columns : int
        How many numbers there are.

    Returns
    -------
    array of int64, shape (row, column)
        The numbers.
    int
        How many bytes they took.

    Raises
    ------
    CodecError
        If the bytes end too early.
    """
    made = np.zeros((rows, columns), np.int64)
    at = 0
    for row in range(rows):
        low = data[at] if at < len(data) else _MOST_LOW
        bits = np.unpackbits(np.frombuffer(data, np.uint8)[at + 1 :])
        stops = np.flatnonzero(bits == 0)[:columns]
        count = int(stops[-1]) + 1 if len(stops) else 0
        if low >= _MOST_LOW or len(stops) < columns or len(bits) < count + low * columns:
            raise CodecError("a table of numbers in a chunk is cut short: it is damaged")
        high = np.diff(stops, prepend=-1).astype(np.int64) - 1
        lows = bits[count : count + low * columns].reshape(columns, low).astype(np.int64)
        folded = (high << low) + (lows << np.arange(low)).sum(1, dtype=np.int64)
        made[row] = np.where(folded & 1, -(folded >> 1) - 1, folded >> 1)
        at += 1 + -(-(count + low * columns) // 8)
    return made, at


def pack_order(order: Sequence[int] | NDArray[np.intp]) -> bytes:
    """Spell a permutation as one number, among as many as there are.

    Parameters
    ----------
    order : sequence of int
        All of ``range(len(order))``.

    Returns
    -------
    bytes
        Of a length that `order_size` tells.
    """
    left = list(range(len(order)))
    number, scale = 0, 1
    for value in order:
        place = left.index(int(value))
        number += place * scale
        scale *= len(left)
        del left[place]
    return number.to_bytes(order_size(len(order)), "little")


def order_size(count: int) -> int:
    """Return how many bytes the order of so many things takes."""
    most = 1
    for number in range(2, count + 1):
        most *= number
    return (most.bit_length() + 7) // 8


def unpack_order(data: bytes | memoryview, count: int) -> NDArray[np.intp]:
    """Read what `pack_order` wrote.

    Parameters
    ----------
    data : bytes
        Of `order_size` bytes.
    count : int
        Of things in the order.

    Returns
    -------
    array of int
        A permutation, whatever the bytes.
    """
    number = int.from_bytes(data, "little")
    left = list(range(count))
    found = []
    while left:
        number, place = divmod(number, len(left))
        found.append(left.pop(place))
    return np.array(found, np.intp)
