"""Decoding of dates that share weights and densities."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.cells import (
    HEAD,
    SORTS,
    Bits,
    Planes,
    expected,
    guess,
    magnitude,
    phases_of,
    tables_of,
)
from xeo.codecs.inflating import inflate
from xeo.errors import CodecError
from xeo.kernels import densities, rans
from xeo.kernels.densities import REACH, SYMBOLS
from xeo.kernels.prediction import (
    CLASSES,
    MOST,
    MOST_WEIGHT,
    Known,
    activities,
    counts_of_weights,
    expect,
    features,
)
from xeo.kernels.pyramid import KINDS, Step

_FAR = 1 << 33


class CellDecoder:
    """Decodes some dates that share weights and densities."""

    def __init__(
        self, planes: Planes, cell: list[int], grid: tuple[Step, ...], part: memoryview
    ) -> None:
        self.planes, self.cell, self.grid = planes, cell, grid
        if len(part) < HEAD.size:
            raise CodecError("a part of a chunk is cut short: it is damaged")
        lanes, *sizes = HEAD.unpack(part[: HEAD.size])
        ends = np.cumsum([HEAD.size, *sizes])
        if lanes > 12 or ends[-1] > len(part):
            raise CodecError("a part of a chunk is cut short: it is damaged")
        side, words, raw = (part[int(a) : int(b)] for a, b in itertools.pairwise(ends))
        self._read_side(side, len(planes.plan.bands))
        self.symbols = rans.Decoder(words, 1 << lanes, densities.tables())
        self.bits = Bits(raw)
        self._read_far(part[int(ends[-1]) :])

    def _read_side(self, side: memoryview, bands: int) -> None:
        # No plane has more weights than this.
        text = inflate(side, 8 * bands + 6 * CLASSES + 2 * bands * KINDS * 64)
        lead = 8 * bands + 6 * CLASSES
        if len(text) < lead or (len(text) - lead) % 2:
            raise CodecError("the weights of a chunk are cut short: it is damaged")
        self.levels = np.frombuffer(text[: 8 * bands], "<i8")
        shape = (2, max(SORTS) + 1, CLASSES)
        self.tables, self.shifts = np.frombuffer(text[8 * bands : lead], np.uint8).reshape(shape)
        numbers = np.frombuffer(text[lead:], np.uint8).reshape(2, -1).T
        self.weights = np.ascontiguousarray(numbers).view("<i2")[:, 0].astype(np.int64)
        self.used = 0
        most = len(densities.FREEDOMS) * densities.SCALES
        if self.tables.max() >= most or self.shifts.max() > 40:
            raise CodecError("the densities of a chunk cannot be: it is damaged")
        if (np.abs(self.weights) > MOST_WEIGHT).any() or (abs(self.levels) > MOST).any():
            raise CodecError("the weights of a chunk cannot be: it is damaged")

    def _read_far(self, data: memoryview) -> None:
        pixels = self.planes.values.shape[2] * len(self.cell) * len(self.levels)
        text = inflate(data, 8 * pixels) if len(data) else b""
        if len(text) % 8:
            raise CodecError("the far values of a chunk are cut short: it is damaged")
        self.outliers = np.frombuffer(text, "<i8")
        self.outlier = 0

    def decode(self) -> None:
        """Put the values of the dates in their planes."""
        plan = self.planes.plan
        for number, band in enumerate(plan.bands):
            values, errors = self.planes.known(self.cell, number)
            self._band(values, errors, number)
            self.planes.values[self.cell, band] = values.own
            self.planes.errors[self.cell, band] = errors.own

    def _band(self, values: Known, errors: Known, number: int) -> None:
        level, band = int(self.levels[number]), self.planes.plan.bands[number]
        width, span = self.planes.widths[band], self.planes.span
        matter = self.planes.where(self.cell, band)
        first, second = self._weights(values)
        for step in self.grid:
            predicted = expected(*features(values, step, level), first[step.kind], span)
            about = activities(errors, values, step)
            there = slice(None) if matter is None else matter[:, step.at].ravel()
            classes = expect(about[:, there], second[step.kind])
            known = predicted[there]
            code = self._code(SORTS[step.kind], classes, phases_of(known, width), width)
            target = guess(predicted, span)
            target[there] = np.clip((known >> 3) + code * width, 0, span)
            values.own[:, step.at] = target.reshape(len(values.own), -1)
            errors.own[:, step.at] = magnitude(target, predicted).reshape(len(values.own), -1)

    def _weights(
        self, values: Known
    ) -> tuple[dict[int, NDArray[np.int64]], dict[int, NDArray[np.int64]]]:
        found: tuple[dict[int, NDArray[np.int64]], ...] = ({}, {})
        kinds = sorted({step.kind for step in self.grid})
        counts = counts_of_weights(values)
        for which, weights in enumerate(found):
            for kind in kinds:
                number = counts[which][int(kind > 0)]
                if self.used + number > len(self.weights):
                    raise CodecError("the weights of a chunk are cut short: it is damaged")
                weights[kind] = self.weights[self.used : self.used + number]
                self.used += number
        return found[0], found[1]

    def _code(
        self, sort: int, classes: NDArray[np.int64], phases: NDArray[np.int64], width: int
    ) -> NDArray[np.int64]:
        table, shift = tables_of(self.tables, self.shifts, sort, classes, phases)
        symbol = self.symbols.read(table).astype(np.int64)
        escaped = symbol == SYMBOLS - 1
        off = (symbol - REACH - (shift > 0)) << shift
        if shift.any():
            shift[escaped] = 0
            off |= self.bits.read(shift)
        count = int(escaped.sum())
        if count:
            if self.outlier + count > len(self.outliers):
                raise CodecError("the far values of a chunk are cut short: it is damaged")
            off[escaped] = self.outliers[self.outlier : self.outlier + count]
            self.outlier += count
        # What a damaged chunk may hold stays within what the sums can take.
        most = min(_FAR, (1 << 61) // width)
        return np.asarray(np.clip(off, -most, most))
