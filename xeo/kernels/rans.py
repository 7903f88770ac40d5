"""Range variant of asymmetric numeral systems, many streams at once, with a table a symbol.

Symbols are coded in rows, one a lane; each lane has a state of 32 bits. All lanes share one string
of 16 bit words, so that neither side needs to know where a lane's own words are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xeo.errors import CodecError

#: Frequencies of a table add up to two to this power.
PRECISION = 14
_LOW = np.uint32(1 << 16)
_MASK = np.uint32((1 << PRECISION) - 1)
_SHIFT = np.uint32(PRECISION)
_WORD = np.uint32(16)


def lanes_for(bits: float) -> int:
    """Return how many lanes cost about half a percent of so many bits."""
    return int(2 ** np.clip(np.floor(np.log2(max(bits, 1.0) / 3500)), 2, 12))


def encode(
    starts: Sequence[NDArray[np.int64]], sizes: Sequence[NDArray[np.int64]], lanes: int
) -> bytes:
    """Code symbols by the part of their table that is theirs.

    Parameters
    ----------
    starts, sizes : sequence of array of int, one axis
        First position and length of each symbol's part; each array is decoded by one call.
    lanes : int
        Number of lanes.

    Returns
    -------
    bytes
        The states, then the words.
    """
    state = np.full(lanes, _LOW, np.uint64)
    words: list[NDArray[np.uint16]] = []
    for start, size in zip(reversed(starts), reversed(sizes), strict=True):
        for first in reversed(range(0, len(start), lanes)):
            part, low = size[first : first + lanes].astype(np.uint64), start[first : first + lanes]
            own = state[: len(part)]
            full = own >= part << np.uint64(32 - PRECISION)
            # The decoder reads words from the first lane on.
            words.append(own[full].astype(np.uint16)[::-1])
            own[full] >>= np.uint64(16)
            rest = own % part
            own[...] = ((own // part) << np.uint64(PRECISION)) + rest + low.astype(np.uint64)
    text = np.concatenate(words)[::-1] if words else np.zeros(0, np.uint16)
    return state.astype("<u4").tobytes() + text.astype("<u2").tobytes()


class Tables:
    """Tables of symbols, ready for decoding.

    Parameters
    ----------
    frequencies : array of int, shape (table, symbol)
        Each row adds up to ``2**PRECISION``, no entry is 0; at most 256 symbols.
    """

    def __init__(self, frequencies: NDArray[np.int64]) -> None:
        tables, symbols = frequencies.shape
        self.symbols = np.uint32(symbols)
        each = np.tile(np.arange(symbols, dtype=np.uint8), tables)
        #: Symbol at every slot of every table.
        self.symbol = np.repeat(each, frequencies.ravel())
        self.size = frequencies.ravel().astype(np.uint32)
        self.start = (np.cumsum(frequencies, axis=1) - frequencies).ravel().astype(np.uint32)


class Decoder:
    """Reads symbols again, in the order in which they were coded.

    Parameters
    ----------
    data : bytes
        Of `encode`.
    lanes : int
        As given to it.
    tables : Tables
        Of all symbols.

    Raises
    ------
    CodecError
        If the bytes are too short.
    """

    def __init__(self, data: memoryview, lanes: int, tables: Tables) -> None:
        if len(data) < 4 * lanes or len(data) % 2:
            raise CodecError("a stream of symbols is cut short: a chunk is damaged")
        self._state = np.frombuffer(data[: 4 * lanes], "<u4").astype(np.uint32)
        self._words = np.frombuffer(data[4 * lanes :], "<u2").astype(np.uint32)
        self._lanes, self._at, self._tables = lanes, 0, tables

    def read(self, tables: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return one symbol for each table that is named.

        Raises
        ------
        CodecError
            If the words end too early.
        """
        out = np.empty(len(tables), np.uint8)
        named = tables.astype(np.uint32)
        slots, rows = named << np.uint32(PRECISION), named * self._tables.symbols
        for first in range(0, len(tables), self._lanes):
            row = slice(first, first + self._lanes)
            out[row] = self._row(slots[row], rows[row])
        return out

    def _row(self, slots: NDArray[np.uint32], rows: NDArray[np.uint32]) -> NDArray[np.uint8]:
        own = self._state[: len(slots)]
        at = own & _MASK
        symbol = self._tables.symbol.take(slots + at)
        rows = rows + symbol
        own >>= _SHIFT
        own *= self._tables.size.take(rows)
        own += at - self._tables.start.take(rows)
        (short,) = (own < _LOW).nonzero()
        stop = self._at + len(short)
        if stop > len(self._words):
            raise CodecError("a stream of symbols is cut short: a chunk is damaged")
        own[short] = (own[short] << _WORD) | self._words[self._at : stop]
        self._at = stop
        return symbol
