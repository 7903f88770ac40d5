"""What coding and decoding of dates that share weights have in common."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.errors import CodecError
from xeo.kernels.densities import PHASES, REACH, SYMBOLS
from xeo.kernels.prediction import Known, predict
from xeo.kernels.pyramid import date_tree

_PRIOR = 2
_SINGLE = 1 << 19
#: Numbers of lanes (as a power of two), and bytes of weights, of symbols and of low bits.
HEAD = struct.Struct("<BIII")
#: Sorts of steps that share densities: coarse ones, those of the finest squares and crosses.
SORTS = (0, 0, 0, 0, 0, 1, 2)


@dataclass(frozen=True)
class Plan:
    """Which dates are coded together, and from what."""

    order: list[int]
    bands: list[int]
    cells: list[list[int]]
    sources: list[tuple[int, ...]]

    @classmethod
    def of(cls, order: list[int], bands: list[int], each: int) -> Plan:
        """Return the plan for dates and bands in some order, at most so many dates together."""
        sources, rounds = date_tree(len(order))
        cells = []
        for number in range(max(rounds) + 1):
            inside = [n for n, r in enumerate(rounds) if r == number]
            count = math.ceil(len(inside) / each)
            size = math.ceil(len(inside) / count)
            cells += [inside[n : n + size] for n in range(0, len(inside), size)]
        return cls(order, bands, cells, sources)

    def needed(self, dates: NDArray[np.intp]) -> list[int]:
        """Return the cells that some dates need, in order."""
        place = {date: n for n, date in enumerate(self.order)}
        cell_of = {n: number for number, cell in enumerate(self.cells) for n in cell}
        left = [cell_of[place[int(date)]] for date in dates]
        found: set[int] = set()
        while left:
            number = left.pop()
            if number not in found:
                found.add(number)
                left += [cell_of[s] for n in self.cells[number] for s in self.sources[n]]
        return sorted(found)


class Planes:
    """Values and magnitudes of errors of all dates, in the order of coding."""

    def __init__(
        self,
        plan: Plan,
        span: int,
        pixels: int,
        matter: NDArray[np.bool_] | None,
        widths: list[int],
    ) -> None:
        kind = np.float32 if span < _SINGLE else np.float64
        shape = len(plan.order), len(plan.bands), pixels
        self.plan, self.span = plan, span
        self.values: NDArray[Any] = np.zeros(shape, kind)
        self.errors: NDArray[Any] = np.zeros(shape, kind)
        self.matter, self.widths = matter, widths

    def where(self, cell: list[int], band: int) -> NDArray[np.bool_] | None:
        """Return where values of the dates of a cell matter, if not everywhere."""
        return None if self.matter is None else self.matter[cell, band % self.matter.shape[1]]

    def known(self, cell: list[int], number: int) -> tuple[Known, Known]:
        """Return values and errors around the ``number``-th band, for the dates of a cell."""
        bands = self.plan.bands
        former = bands[max(0, number - _PRIOR) : number][::-1]
        sources = list(zip(*(self.plan.sources[n] for n in cell), strict=True))
        found = []
        for planes in (self.values, self.errors):
            found.append(
                Known(
                    own=planes[cell, bands[number]],
                    bands=[planes[cell, band] for band in former],
                    dates=[planes[list(s), bands[number]] for s in sources],
                    both=[planes[list(s), former[0]] for s in sources] if former else [],
                )
            )
        return found[0], found[1]


def phases_of(predicted: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Return by how many eighths of a code predictions are beyond a whole one."""
    return (predicted & (PHASES - 1)) // width


def expected(
    anchor: NDArray[Any], about: NDArray[Any], weights: NDArray[np.int64], span: int
) -> NDArray[np.int64]:
    """Return predictions in eighths, within the range of values."""
    return np.asarray(np.clip(predict(anchor, about, weights), 0, 8 * span))


def guess(predicted: NDArray[np.int64], span: int) -> NDArray[np.int64]:
    """Return what stands where values do not matter: what is expected there."""
    return np.asarray(np.clip((predicted + 4) >> 3, 0, span))


def magnitude(target: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how far off predictions in eighths were."""
    return np.abs(target - ((predicted + 4) >> 3))


def tables_of(
    tables: NDArray[np.uint8],
    shifts: NDArray[np.uint8],
    sort: int,
    classes: NDArray[np.int64],
    phases: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the table of each pixel, and how many low bits are kept apart."""
    shift = shifts[sort].take(classes).astype(np.int64)
    # Where a symbol stands for several values, the middle is between it and the one before.
    phase = np.where(shift > 0, PHASES // 2, phases)
    return tables[sort].take(classes).astype(np.int64) * PHASES + phase, shift


def symbols_of(off: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the symbols of codes whose low bits are kept apart."""
    number = (off >> shift) + (shift > 0)
    return np.where(np.abs(number) <= REACH, number + REACH, SYMBOLS - 1)


def pack_bits(numbers: NDArray[np.int64], widths: NDArray[np.int64]) -> bytes:
    """Write the low bits of numbers one after another."""
    ends = np.cumsum(widths)
    bits = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    first = ends - widths
    for place in range(int(widths.max(initial=0))):
        there = widths > place
        bits[first[there] + place] = (numbers[there] >> place) & 1
    return np.packbits(bits).tobytes()


class Bits:
    """Reads what `pack_bits` wrote."""

    def __init__(self, data: memoryview) -> None:
        self._data = np.frombuffer(data, np.uint8)
        self._at = 0

    def read(self, widths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return numbers of so many bits each.

        Raises
        ------
        CodecError
            If there are too few bits.
        """
        ends = self._at + np.cumsum(widths)
        stop = int(ends[-1]) if len(ends) else self._at
        if stop > 8 * len(self._data):
            raise CodecError("the low bits of a chunk are cut short: it is damaged")
        bits = np.unpackbits(self._data[self._at // 8 : -(-stop // 8)])
        first = ends - widths - self._at // 8 * 8
        out = np.zeros(len(widths), np.int64)
        for place in range(int(widths.max(initial=0))):
            there = widths > place
            out[there] |= bits[first[there] + place].astype(np.int64) << place
        self._at = stop
        return out
