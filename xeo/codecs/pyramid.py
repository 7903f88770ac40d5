"""Lossless coding of cubes of integers by prediction from all around.

Every pixel is predicted from known neighbours in space, in other bands and at other dates, with
weights fitted to the data; what is left is coded under a density as wide as the surroundings let
expect. Smaller than any picture coder on cubes, and several times slower to read.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.inflating import inflate
from xeo.codecs.labels import decode_labels, encode_labels
from xeo.errors import CodecError
from xeo.kernels import densities, rans
from xeo.kernels.densities import PHASES, REACH, SYMBOLS
from xeo.kernels.prediction import (
    CLASSES,
    MOST,
    MOST_WEIGHT,
    Known,
    activities,
    counts_of_weights,
    expect,
    features,
    fit_activity,
    fit_weights,
    predict,
)
from xeo.kernels.pyramid import KINDS, Step, date_tree, likeness_order, steps

Shape = tuple[int, int, int, int]
#: Pixels, at least, of which one band shares its weights.
_PIXELS = 1 << 15
_PRIOR = 2
_ERROR = float(1 << 20)
_SINGLE = 1 << 19
_SAMPLE = 512
_HEAD = struct.Struct("<BIII")
#: Sorts of steps that share densities: coarse ones, those of the finest squares and crosses.
_SORTS = (0, 0, 0, 0, 0, 1, 2)
_LEVEL = 9


def can_code(span: int) -> bool:
    """Return whether integers of such a range are not too large."""
    return span < MOST


@dataclass(frozen=True)
class _Plan:
    """Which dates are coded together, and from what."""

    order: list[int]
    bands: list[int]
    cells: list[list[int]]
    sources: list[tuple[int, ...]]

    @classmethod
    def of(cls, order: list[int], bands: list[int], pixels: int) -> _Plan:
        sources, rounds = date_tree(len(order))
        each = math.ceil(_PIXELS / pixels)
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


class _Planes:
    """Values and magnitudes of errors of all dates, in the order of coding."""

    def __init__(
        self, plan: _Plan, span: int, pixels: int, matter: NDArray[np.bool_] | None
    ) -> None:
        kind = np.float32 if span < _SINGLE else np.float64
        shape = len(plan.order), len(plan.bands), pixels
        self.plan, self.span = plan, span
        self.values: NDArray[Any] = np.zeros(shape, kind)
        self.errors = np.zeros(shape, np.float32)
        self.matter = matter

    def where(self, cell: list[int], band: int) -> NDArray[np.bool_] | None:
        """Return where values of the dates of a cell matter."""
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


def encode_pyramid(
    values: NDArray[np.uint64], valid: NDArray[np.bool_] | None, span: int
) -> tuple[dict[str, Any], list[bytes]]:
    """Code a cube of integers without loss.

    Parameters
    ----------
    values : array of uint64, shape (T, B, Y, X)
        From 0 to ``span``.
    valid : array of bool, optional
        Where values matter.
    span : int
        The largest value; `can_code` it.

    Returns
    -------
    header : dict
        For `decode_pyramid`; JSON can say it.
    parts : list of bytes
    """
    times, count, rows, columns = values.shape
    flat = values.reshape(times, count, rows * columns)
    order = likeness_order(_sample(flat))
    bands = [int(b) for b in np.argsort(-_sample(flat.swapaxes(0, 1)).std(axis=1), kind="stable")]
    plan = _Plan.of(order, bands, rows * columns)
    header: dict[str, Any] = {} if order == sorted(order) else {"order": order}
    header |= {} if bands == sorted(bands) else {"first": bands}
    parts, matter = [], None
    if valid is not None and not valid.all():
        alike = bool((valid == valid[:, :1]).all())
        header["mask"] = 1 if alike else count
        kept = valid[:, : header["mask"]]
        parts.append(encode_labels((~kept).astype(np.uint8)))
        matter = kept.reshape(times, -1, rows * columns)[order]
    planes = _Planes(plan, span, rows * columns, matter)
    planes.values[...] = flat[order]
    grid = steps(rows, columns)
    return header, parts + [_CellEncoder(planes, cell, grid).encode() for cell in plan.cells]


def _sample(flat: NDArray[Any]) -> NDArray[np.float64]:
    whole = flat.reshape(len(flat), -1)
    return whole[:, :: max(1, whole.shape[1] // _SAMPLE)].astype(np.float64)


@dataclass
class _Coded:
    """What one step of one band left to code."""

    sort: int
    classes: NDArray[np.int64]
    #: Predictions in eighths, and what the values are more than them, rounded down.
    predicted: NDArray[np.int64]
    off: NDArray[np.int64]


class _CellEncoder:
    """Codes some dates that share weights and densities."""

    def __init__(self, planes: _Planes, cell: list[int], grid: tuple[Step, ...]) -> None:
        self.planes, self.cell, self.grid = planes, cell, grid
        self.side: list[int] = []
        self.levels: list[int] = []
        self.coded: list[_Coded] = []

    def encode(self) -> bytes:
        for number in range(len(self.planes.plan.bands)):
            self._band(number)
        tables, shifts = _fit_tables(self.coded)
        starts, sizes, low, far = [], [], [], []
        every = densities.frequencies()
        begin = np.cumsum(every, axis=1) - every
        for one in self.coded:
            table, shift = _tables(tables, shifts, one.sort, one.classes, one.predicted)
            symbol = _symbols(one.off, shift)
            escaped = symbol == SYMBOLS - 1
            starts.append(begin[table, symbol])
            sizes.append(every[table, symbol])
            far.append(one.off[escaped])
            low.append((one.off[~escaped], shift[~escaped]))
        bits = sum(float((rans.PRECISION - np.log2(size)).sum()) for size in sizes)
        lanes = rans.lanes_for(bits)
        words = rans.encode(starts, sizes, lanes)
        side = _pack_side(self.levels, self.side, tables, shifts)
        raw = _pack_bits(*(np.concatenate(part) for part in zip(*low, strict=True)))
        escapes = np.concatenate(far).astype("<i8").tobytes()
        far_off = zlib.compress(escapes, _LEVEL) if escapes else b""
        head = _HEAD.pack(int(math.log2(lanes)), len(side), len(words), len(raw))
        return head + side + words + raw + far_off

    def _band(self, number: int) -> None:
        plan = self.planes.plan
        values, errors = self.planes.known(self.cell, number)
        own, off = values.own, errors.own
        matter = self.planes.where(self.cell, plan.bands[number])
        level = int(np.median(own))
        self.levels.append(level)
        found = [(step, *features(values, step, level)) for step in self.grid]
        weights = self._fit(found, own, matter)
        made = []
        for step, *known in found:
            # What does not matter becomes what is expected, and costs next to nothing.
            anchor, about = features(values, step, level) if matter is not None else known
            predicted = predict(anchor, about, weights[step.kind])
            target = own[:, step.at].ravel().astype(np.int64)
            there = None if matter is None else matter[:, step.at].ravel()
            if there is not None:
                target = np.where(there, target, _guess(predicted, self.planes.span))
                own[:, step.at] = target.reshape(len(own), -1)
            off[:, step.at] = _magnitude(target, predicted).reshape(len(own), -1)
            made.append((step, there, predicted, target - (predicted >> 3)))
        self._classify(made, values, errors)
        self.planes.values[self.cell, plan.bands[number]] = own
        self.planes.errors[self.cell, plan.bands[number]] = off

    def _fit(self, found: Any, own: NDArray[Any], matter: Any) -> dict[int, NDArray[np.int64]]:
        weights = {}
        for kind in range(KINDS):
            inside = [one for one in found if one[0].kind == kind]
            if not inside:
                continue
            target = np.concatenate([own[:, step.at].ravel() for step, *_ in inside])
            anchor = np.concatenate([anchor for _, anchor, _ in inside])
            about = np.concatenate([about for *_, about in inside], axis=1)
            if matter is not None:
                there = np.concatenate([matter[:, step.at].ravel() for step, *_ in inside])
                target, anchor, about = target[there], anchor[there], about[:, there]
            weights[kind] = fit_weights(anchor, about, target)
            self.side += weights[kind].tolist()
        return weights

    def _classify(self, made: Any, values: Known, errors: Known) -> None:
        tell = []
        for number, (step, there, predicted, off) in enumerate(made):
            about = activities(errors, values, step)
            if there is not None:
                made[number] = step, there, predicted[there], off[there]
                about = about[:, there]
            tell.append(about)
        weights = {}
        for kind in range(KINDS):
            inside = [n for n, one in enumerate(made) if one[0].kind == kind]
            if not inside:
                continue
            about = np.concatenate([tell[n] for n in inside], axis=1)
            off = np.concatenate([8 * made[n][3] - (made[n][2] & 7) for n in inside])
            weights[kind] = fit_activity(about, np.abs(off) / 8)
            self.side += weights[kind].tolist()
        for (step, _, predicted, off), about in zip(made, tell, strict=True):
            classes = expect(about, weights[step.kind])
            self.coded.append(_Coded(_SORTS[step.kind], classes, predicted, off))


def _guess(predicted: NDArray[np.int64], span: int) -> NDArray[np.int64]:
    """Return what stands where values do not matter: what is expected there."""
    return np.asarray(np.clip((predicted + 4) >> 3, 0, span))


def _magnitude(target: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.minimum(np.abs(target - ((predicted + 4) >> 3)), _ERROR).astype(np.float32)


def _tables(
    tables: NDArray[np.uint8],
    shifts: NDArray[np.uint8],
    sort: int,
    classes: NDArray[np.int64],
    predicted: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the table of each pixel, and how many low bits are kept apart."""
    shift = shifts[sort].take(classes).astype(np.int64)
    # Where a symbol stands for several values, the middle is between it and the one before.
    phase = np.where(shift > 0, PHASES // 2, predicted & (PHASES - 1))
    return tables[sort].take(classes).astype(np.int64) * PHASES + phase, shift


def _symbols(off: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    number = (off >> shift) + (shift > 0)
    return np.where(np.abs(number) <= REACH, number + REACH, SYMBOLS - 1)


def _fit_tables(coded: Sequence[_Coded]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Find the density that suits each class of each sort of step."""
    tables = np.zeros((max(_SORTS) + 1, CLASSES), np.uint8)
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
        predicted = np.concatenate([one.predicted for one in inside])
        off = np.concatenate([one.off for one in inside])
        count = np.bincount(classes, minlength=CLASSES)
        total = np.bincount(classes, np.abs(off), minlength=CLASSES)
        mean = total / np.maximum(count, 1)
        shifts[sort] = np.maximum(0, np.ceil(np.log2(np.maximum(mean, 1) / 6)))
        table, shift = _tables(tables, shifts, sort, classes, predicted)
        at = classes * (PHASES * SYMBOLS) + table % PHASES * SYMBOLS + _symbols(off, shift)
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


def _pack_bits(numbers: NDArray[np.int64], widths: NDArray[np.int64]) -> bytes:
    """Write the low bits of numbers one after another."""
    ends = np.cumsum(widths)
    bits = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    first = ends - widths
    for place in range(int(widths.max(initial=0))):
        there = widths > place
        bits[first[there] + place] = (numbers[there] >> place) & 1
    return np.packbits(bits).tobytes()


class _Bits:
    """Reads what `_pack_bits` wrote."""

    def __init__(self, data: memoryview) -> None:
        self._data = np.frombuffer(data, np.uint8)
        self._at = 0

    def read(self, widths: NDArray[np.int64]) -> NDArray[np.int64]:
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


def decode_pyramid(
    header: Mapping[str, Any],
    parts: Sequence[memoryview],
    shape: Shape,
    span: int,
    dates: NDArray[np.intp],
) -> NDArray[np.uint64]:
    """Return some dates of the cube again.

    Parameters
    ----------
    header, parts :
        Of `encode_pyramid`.
    shape : tuple of int
        Of the whole cube.
    span : int
        The largest value.
    dates : array of int
        Sorted positions of the dates that are wanted.

    Returns
    -------
    array of uint64, shape (T, B, Y, X)

    Raises
    ------
    CodecError
        If header and parts are not of such a cube.
    """
    plan = _plan(header, shape)
    lead = int("mask" in header)
    if not 0 <= span < MOST or len(parts) != len(plan.cells) + lead:
        raise CodecError("a chunk lacks parts, or is of too large a range: it is damaged")
    matter = _mask(header, parts, shape, plan.order) if lead else None
    planes = _Planes(plan, span, shape[2] * shape[3], matter)
    grid = steps(shape[2], shape[3])
    for number in plan.needed(dates):
        _CellDecoder(planes, plan.cells[number], grid, parts[lead + number]).decode()
    place = {date: n for n, date in enumerate(plan.order)}
    made = planes.values[[place[int(date)] for date in dates]]
    return made.astype(np.uint64).reshape(len(dates), *shape[1:])


def parts_of_pyramid(header: Mapping[str, Any], shape: Shape) -> int:
    """Return how many parts `encode_pyramid` makes."""
    return len(_plan(header, shape).cells) + int("mask" in header)


def wanted_of_pyramid(
    header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape
) -> list[int]:
    """Return which parts `decode_pyramid` needs for some dates."""
    lead = int("mask" in header)
    return [*range(lead), *(lead + n for n in _plan(header, shape).needed(dates))]


def _mask(
    header: Mapping[str, Any], parts: Sequence[memoryview], shape: Shape, order: list[int]
) -> NDArray[np.bool_]:
    """Return where values matter, dates in the order of coding."""
    bands = header["mask"]
    if type(bands) is not int or bands not in (1, shape[1]):
        raise CodecError(f"a mask of {bands!r} bands of {shape[1]} cannot be: a chunk is damaged")
    labels = decode_labels(bytes(parts[0]), (shape[0], bands, *shape[2:]))
    return np.asarray((labels == 0).reshape(shape[0], bands, -1)[order])


def _plan(header: Mapping[str, Any], shape: Shape) -> _Plan:
    order = header.get("order", list(range(shape[0])))
    bands = header.get("first", list(range(shape[1])))
    for listed, size in ((order, shape[0]), (bands, shape[1])):
        if not all(type(n) is int for n in listed) or sorted(listed) != list(range(size)):
            raise CodecError(f"{size} dates or bands in an order of {len(listed)}: damaged")
    return _Plan.of(order, bands, shape[2] * shape[3])


class _CellDecoder:
    """Decodes some dates that share weights and densities."""

    def __init__(
        self, planes: _Planes, cell: list[int], grid: tuple[Step, ...], part: memoryview
    ) -> None:
        self.planes, self.cell, self.grid = planes, cell, grid
        if len(part) < _HEAD.size:
            raise CodecError("a part of a chunk is cut short: it is damaged")
        lanes, *sizes = _HEAD.unpack(part[: _HEAD.size])
        ends = np.cumsum([_HEAD.size, *sizes])
        if lanes > 12 or ends[-1] > len(part):
            raise CodecError("a part of a chunk is cut short: it is damaged")
        side, words, raw = (part[int(a) : int(b)] for a, b in itertools.pairwise(ends))
        self._read_side(side, len(planes.plan.bands))
        self.symbols = rans.Decoder(words, 1 << lanes, densities.tables())
        self.bits = _Bits(raw)
        self._read_far(part[int(ends[-1]) :])

    def _read_side(self, side: memoryview, bands: int) -> None:
        # No plane has more weights than this.
        text = inflate(side, 8 * bands + 6 * CLASSES + 2 * bands * KINDS * 64)
        lead = 8 * bands + 6 * CLASSES
        if len(text) < lead or (len(text) - lead) % 2:
            raise CodecError("the weights of a chunk are cut short: it is damaged")
        self.levels = np.frombuffer(text[: 8 * bands], "<i8")
        shape = (2, max(_SORTS) + 1, CLASSES)
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
        plan = self.planes.plan
        for number, band in enumerate(plan.bands):
            values, errors = self.planes.known(self.cell, number)
            self._band(values, errors, number)
            self.planes.values[self.cell, band] = values.own
            self.planes.errors[self.cell, band] = errors.own

    def _band(self, values: Known, errors: Known, number: int) -> None:
        level = int(self.levels[number])
        matter = self.planes.where(self.cell, self.planes.plan.bands[number])
        first, second = self._weights(values)
        for step in self.grid:
            predicted = predict(*features(values, step, level), first[step.kind])
            about = activities(errors, values, step)
            sort = _SORTS[step.kind]
            if matter is None:
                off = self._off(sort, expect(about, second[step.kind]), predicted)
                target = np.clip((predicted >> 3) + off, 0, self.planes.span)
            else:
                there = matter[:, step.at].ravel()
                known = predicted[there]
                off = self._off(sort, expect(about[:, there], second[step.kind]), known)
                target = _guess(predicted, self.planes.span)
                target[there] = np.clip((known >> 3) + off, 0, self.planes.span)
            values.own[:, step.at] = target.reshape(len(values.own), -1)
            errors.own[:, step.at] = _magnitude(target, predicted).reshape(len(values.own), -1)

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

    def _off(
        self, sort: int, classes: NDArray[np.int64], predicted: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        table, shift = _tables(self.tables, self.shifts, sort, classes, predicted)
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
        return off
