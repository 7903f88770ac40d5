"""Coding of dates that share weights and densities."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.cells import (
    HEAD,
    SORTS,
    Planes,
    expected,
    guess,
    magnitude,
    pack_bits,
    phases_of,
    symbols_of,
    tables_of,
)
from xeo.kernels import densities, rans
from xeo.kernels.densities import PHASES, SYMBOLS
from xeo.kernels.prediction import (
    CLASSES,
    Known,
    activities,
    expect,
    features,
    fit_activity,
    fit_weights,
)
from xeo.kernels.pyramid import KINDS, Step

_LEVEL = 9
#: Kinds of steps whose weights are fitted at once, in the order of coding.
_FITTED = ((0,), (1, 2), (3,), (4,), (5,), (6,))


@dataclass
class _Coded:
    """What one step of one band left to code."""

    sort: int
    classes: NDArray[np.int64]
    #: Eighths of a code by which predictions are more than a whole one, and the codes.
    phases: NDArray[np.int64]
    off: NDArray[np.int64]


@dataclass
class _Made:
    """What came of one step of one band."""

    step: Step
    there: NDArray[np.bool_] | None
    phases: NDArray[np.int64]
    code: NDArray[np.int64]
    error: NDArray[np.float64]


class CellEncoder:
    """Codes some dates that share weights and densities."""

    def __init__(
        self, planes: Planes, cell: list[int], grid: tuple[Step, ...], masked: bool
    ) -> None:
        self.planes, self.cell, self.grid, self.masked = planes, cell, grid, masked
        self.side: list[int] = []
        self.levels: list[int] = []
        self.coded: list[_Coded] = []

    def encode(self) -> bytes:
        """Return the bytes of the dates, and put what will come back in their planes."""
        for number in range(len(self.planes.plan.bands)):
            self._band(number)
        tables, shifts = _fit_tables(self.coded)
        starts, sizes, low, far = [], [], [], []
        every = densities.frequencies()
        begin = np.cumsum(every, axis=1) - every
        for one in self.coded:
            table, shift = tables_of(tables, shifts, one.sort, one.classes, one.phases)
            symbol = symbols_of(one.off, shift)
            escaped = symbol == SYMBOLS - 1
            starts.append(begin[table, symbol])
            sizes.append(every[table, symbol])
            far.append(one.off[escaped])
            low.append((one.off[~escaped], shift[~escaped]))
        bits = sum(float((rans.PRECISION - np.log2(size)).sum()) for size in sizes)
        lanes = rans.lanes_for(bits)
        words = rans.encode(starts, sizes, lanes)
        side = _pack_side(self.levels, self.side, tables, shifts)
        raw = pack_bits(*(np.concatenate(part) for part in zip(*low, strict=True)))
        escapes = np.concatenate(far).astype("<i8").tobytes()
        far_off = zlib.compress(escapes, _LEVEL) if escapes else b""
        head = HEAD.pack(int(math.log2(lanes)), len(side), len(words), len(raw))
        return head + side + words + raw + far_off

    def _band(self, number: int) -> None:
        band = self.planes.plan.bands[number]
        values, errors = self.planes.known(self.cell, number)
        own = values.own
        truth = own.astype(np.int64)
        level = int(np.median(own))
        self.levels.append(level)
        made: list[_Made] = []
        for kinds in _FITTED:
            grid = [step for step in self.grid if step.kind in kinds]
            found = [(step, *features(values, step, level)) for step in grid]
            weights = self._fit(kinds, found, truth, band)
            for step, *known in found:
                # Coarse levels share weights, but each sees what came of those before.
                anchor, about = known if len(kinds) == 1 else features(values, step, level)
                predicted = expected(anchor, about, weights[step.kind], self.planes.span)
                made.append(self._step(step, predicted, truth, band, values, errors))
        self._classify(made, values, errors)
        self.planes.values[self.cell, band] = own
        self.planes.errors[self.cell, band] = errors.own

    def _step(
        self,
        step: Step,
        predicted: NDArray[np.int64],
        truth: NDArray[np.int64],
        band: int,
        values: Known,
        errors: Known,
    ) -> _Made:
        """Code pixels, and put what will come back of them in their place."""
        width, span = self.planes.widths[band], self.planes.span
        exact = truth[:, step.at].ravel()
        matter = self.planes.where(self.cell, band)
        there = None if matter is None else matter[:, step.at].ravel()
        if there is not None:
            exact = np.where(there, exact, guess(predicted, span))
        if not self.masked:
            there = None
        code = (exact - (predicted >> 3) + width // 2) // width
        target = np.clip((predicted >> 3) + code * width, 0, span)
        if there is not None:
            target = np.where(there, target, guess(predicted, span))
        values.own[:, step.at] = target.reshape(len(truth), -1)
        errors.own[:, step.at] = magnitude(target, predicted).reshape(len(truth), -1)
        kept = slice(None) if there is None else there
        off = np.abs(8 * exact - predicted)[kept] / 8
        return _Made(step, there, phases_of(predicted, width)[kept], code[kept], off)

    def _fit(
        self, kinds: tuple[int, ...], found: Any, truth: NDArray[np.int64], band: int
    ) -> dict[int, NDArray[np.int64]]:
        weights = {}
        matter = self.planes.where(self.cell, band)
        for kind in kinds:
            inside = [one for one in found if one[0].kind == kind]
            if not inside:
                continue
            target = np.concatenate([truth[:, step.at].ravel() for step, *_ in inside])
            anchor = np.concatenate([anchor for _, anchor, _ in inside])
            about = np.concatenate([about for *_, about in inside], axis=1)
            if matter is not None:
                there = np.concatenate([matter[:, step.at].ravel() for step, *_ in inside])
                target, anchor, about = target[there], anchor[there], about[:, there]
            weights[kind] = fit_weights(anchor, about, target)
            self.side += weights[kind].tolist()
        return weights

    def _classify(self, made: list[_Made], values: Known, errors: Known) -> None:
        tell = []
        for one in made:
            about = activities(errors, values, one.step)
            tell.append(about if one.there is None else about[:, one.there])
        weights = {}
        for kind in range(KINDS):
            inside = [n for n, one in enumerate(made) if one.step.kind == kind]
            if not inside:
                continue
            about = np.concatenate([tell[n] for n in inside], axis=1)
            weights[kind] = fit_activity(about, np.concatenate([made[n].error for n in inside]))
            self.side += weights[kind].tolist()
        for one, about in zip(made, tell, strict=True):
            classes = expect(about, weights[one.step.kind])
            self.coded.append(_Coded(SORTS[one.step.kind], classes, one.phases, one.code))


def _fit_tables(coded: Sequence[_Coded]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Find the density that suits each class of each sort of step."""
    tables = np.zeros((max(SORTS) + 1, CLASSES), np.uint8)
    shifts = np.zeros_like(tables)
    cost = rans.PRECISION - np.log2(densities.frequencies())
    # A value out of reach takes many bits more.
    cost[:, -1] += 40
    cost = cost.reshape(-1, PHASES * SYMBOLS).T
    for sort in range(len(tables)):
        inside = [one for one in coded if one.sort == sort]
        if not inside:
            continue
        classes = np.concatenate([one.classes for one in inside])
        phases = np.concatenate([one.phases for one in inside])
        off = np.concatenate([one.off for one in inside])
        count = np.bincount(classes, minlength=CLASSES)
        total = np.bincount(classes, np.abs(off), minlength=CLASSES)
        mean = total / np.maximum(count, 1)
        shifts[sort] = np.maximum(0, np.ceil(np.log2(np.maximum(mean, 1) / 6)))
        table, shift = tables_of(tables, shifts, sort, classes, phases)
        at = classes * (PHASES * SYMBOLS) + table % PHASES * SYMBOLS + symbols_of(off, shift)
        seen = np.bincount(at, minlength=CLASSES * PHASES * SYMBOLS).reshape(CLASSES, -1)
        best = (seen @ cost).argmin(axis=1)
        # Classes that are not there repeat the one before, which costs nothing.
        last = np.maximum.accumulate(np.where(count > 0, np.arange(CLASSES), 0))
        tables[sort], shifts[sort] = best[last], shifts[sort][last]
    return tables, shifts


def _pack_side(
    levels: list[int], weights: list[int], tables: NDArray[np.uint8], shifts: NDArray[np.uint8]
) -> bytes:
    numbers = np.array(weights, "<i2").view(np.uint8).reshape(-1, 2).T
    # Bytes of one significance together.
    text = np.array(levels, "<i8").tobytes() + tables.tobytes() + shifts.tobytes()
    return zlib.compress(text + numbers.tobytes(), _LEVEL)
