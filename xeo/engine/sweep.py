"""The windows of one block: cut, decode, run the model, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xeo.engine.backends import out_of_memory
from xeo.engine.devices import to_device, to_host
from xeo.engine.plan import Axis, Plan, Window
from xeo.engine.seams import Key, Seams
from xeo.engine.tuning import Settled, settle
from xeo.errors import ModelError
from xeo.kernels import units
from xeo.kernels.decode import to_physical
from xeo.kernels.windows import blend_weight
from xeo.spec import Batch

if TYPE_CHECKING:
    from xeo.engine.job import Job

Array = NDArray[Any]
#: A date (None for all), a window along y and one along x.
Sample = tuple[int | None, Window, Window]


@dataclass(frozen=True)
class Block:
    """One modality over a region: numbers as stored, which are bad, and their offsets."""

    raw: Any
    bad: Any
    offset: Array

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return int(self.raw.nbytes + self.bad.nbytes)


class Sweep:
    """The state of one block while its windows run.

    Parameters
    ----------
    job : Job
        What is to be done.
    blocks : tuple of Block, optional
        What was read, a modality each; None where there is no valid pixel.
    index : tuple of int
        Canonical place ``(time, y, x)`` of the block.
    seams : Seams, optional
        Windows that blocks share.
    """

    def __init__(
        self,
        job: Job,
        blocks: tuple[Block, ...] | None,
        index: tuple[int, int, int],
        seams: Seams | None = None,
    ) -> None:
        self.job, self.blocks, self.index = job, blocks or (), index
        self.plan, self.spec = job.plan, job.plan.spec
        self.seams = seams if self.plan.overlap else None
        self.axes = (self.plan.y, self.plan.x)
        self.bounds = tuple(a.bounds(i) for a, i in zip(self.axes, index[1:], strict=True))
        self.cells = tuple(last - first for first, last in self.bounds)
        first, last = self.plan.time.bounds(index[0]) if self.plan.keeps_time else (0, 1)
        self.each = self.spec.time == "each"
        self.first_date = self.plan.dates(index[0])[0]
        self.shape = (last - first, self.plan.channels, *self.cells)
        # Every cell is kept once, or is blank; only blended windows are added up.
        self.out = np.empty(self.shape, np.float32)
        self.weight: Array | None = None
        #: Windows of the last call.
        self.tried = 0
        self._look(self.plan)
        self.bad = self._bad() if self.blocks else None

    def _look(self, plan: Plan) -> None:
        """Take the windows of a plan."""
        self.rows, self.row_windows = plan.region(plan.y, self.index[1])
        self.columns, self.column_windows = plan.region(plan.x, self.index[2])

    def run(self) -> Array:
        """Return the vectors ``([time,] channel, y, x)``, NaN for cells without valid pixels."""
        if self.bad is None or self.bad.all():
            self.out[:] = np.nan
        else:
            self._run_all(self.bad)
            if self.bad.any():
                np.copyto(self.out, np.nan, where=self._blank(self.bad)[:, None])
        return self.out if self.plan.keeps_time else self.out[0]

    def valid(self) -> Array:
        """Return the fraction of valid pixels under each cell, ``([time,] y, x)``."""
        if self.bad is None:
            seen = np.zeros((self.shape[0], *self.cells), np.float32)
        else:
            seen = self._seen(self._bad_dates())
        return seen if self.plan.keeps_time else seen.mean(axis=0)

    def _bad_dates(self) -> Array:
        """Which pixels of the first modality are bad on each date, ``(time, y, x)``."""
        block, absent = self.blocks[0], self.job.modalities[0].absent
        present = [band for band in range(block.raw.shape[1]) if band not in absent]
        bad = block.bad if len(present) == block.raw.shape[1] else block.bad[:, present]
        return to_host(bad.all(axis=1) if self.spec.partial else bad.any(axis=1))

    def _bad(self) -> Array:
        """Which pixels have nothing to say: on the date, or on all that the model sees."""
        bad = self._bad_dates()
        return bad if self.each else np.asarray(bad.all(axis=0, keepdims=True))

    def _run_all(self, bad: Array) -> None:
        settled = settle(self.job, self._sample)
        while True:
            plan = replace(self.plan, tile=settled.side or self.plan.tile)
            self._look(plan)
            if self.plan.overlap:
                self.out[:] = 0
                self.weight = np.zeros((self.shape[0], 1, *self.cells), np.float32)
            try:
                self._run_windows(bad, settled)
                break
            except Exception as err:
                if not (out_of_memory(err) and settled.shrink(plan, self.tried)):
                    raise
        self._blend()

    def _run_windows(self, bad: Array, settled: Settled) -> None:
        samples = [one for one in self._samples() if not self._empty(bad, *one)]
        for alike in _by_size([one for one in samples if not self._shared(one)]):
            start = 0
            while start < len(alike):
                self.tried = settled.batch
                part = alike[start : start + self.tried]
                self._run(part, settled.runner)
                start += len(part)

    def _samples(self) -> list[Sample]:
        dates = range(self.blocks[0].raw.shape[0]) if self.each else (None,)
        return [
            (date, row, column)
            for date in dates
            for row in self.row_windows
            for column in self.column_windows
        ]

    def _sample(self, side: int | None, count: int) -> Any:
        """Return what the model would be called with: the largest windows that have something."""
        assert self.bad is not None
        self._look(replace(self.plan, tile=side or self.plan.tile))
        full = [one for one in self._samples() if not self._empty(self.bad, *one)]
        alike = max(_by_size(full), key=lambda group: group[0][1].size * group[0][2].size)
        return self._given(alike[:count])

    @staticmethod
    def _empty(bad: Array, date: int | None, row: Window, column: Window) -> bool:
        part = bad[
            0 if date is None else date,
            row.start : row.start + row.size,
            column.start : column.start + column.size,
        ]
        return bool(part.all())

    def _run(self, samples: list[Sample], runner: Callable[[Any], Any]) -> None:
        made = to_host(runner(self._given(samples)))
        self._check(made, samples)
        for sample, vectors in zip(samples, made, strict=True):
            vectors = vectors if vectors.ndim == 4 else vectors[None]
            self._share(sample, vectors)
            self._keep(vectors, *sample)

    def _given(self, samples: list[Sample]) -> Any:
        """Return what the model is called with: one array, or a Batch."""
        if self.spec.takes_batch:
            return self._batch(samples)
        raw, (_, row, column) = self.blocks[0].raw, samples[0]
        if isinstance(raw, np.ndarray):
            stack = np.empty((len(samples), raw.shape[1], row.size, column.size), np.float32)
            for place, sample in enumerate(samples):
                self._cut(0, *sample, out=stack[place : place + 1])
        else:
            stack = np.stack([self._cut(0, *sample)[0][0] for sample in samples])
        return to_device(stack, self.job.device)

    def _batch(self, samples: list[Sample]) -> Batch:
        arrays, masks, times, waves, gsd = {}, {}, {}, {}, {}
        for number, modality in enumerate(self.job.modalities):
            cuts = [self._cut(number, *sample) for sample in samples]
            arrays[modality.name] = to_device(_stack([c[0] for c in cuts]), self.job.device)
            masks[modality.name] = to_device(_stack([c[1] for c in cuts]), self.job.device)
            if modality.dates is not None:
                times[modality.name] = self._dates(number, modality.dates, samples)
            if modality.wavelengths is not None:
                waves[modality.name] = modality.wavelengths
            if modality.gsd is not None:
                gsd[modality.name] = modality.gsd
        latlon = None
        if self.job.place is not None and "latlon" in self.spec.needs:
            latlon = np.stack([self._latlon(row, column) for _, row, column in samples])
        return Batch(arrays, times, masks, latlon, waves, gsd, self.job.at)

    def _dates(self, number: int, dates: Array, samples: list[Sample]) -> Array:
        if number or not self.each:
            return dates
        picked = [self.first_date + (date or 0) for date, _, _ in samples]
        return np.asarray(dates[picked][:, None])

    def _latlon(self, row: Window, column: Window) -> Array:
        assert self.job.place is not None
        rows = self.rows[row.start : row.start + row.size]
        columns = self.columns[column.start : column.start + column.size]
        return self.job.place.latlon(rows, columns)

    def _cut(
        self,
        number: int,
        date: int | None,
        row: Window,
        column: Window,
        out: Array | None = None,
    ) -> tuple[Array, Array]:
        """Decode one window of one modality: values and mask, ``(time, band, y, x)``."""
        block, modality = self.blocks[number], self.job.modalities[number]
        dates = slice(None) if date is None or number else slice(date, date + 1)
        at = (
            dates,
            slice(None),
            *(_span(w, s) for w, s in zip((row, column), block.raw.shape[2:], strict=True)),
        )
        source, bad = modality.source, block.bad[at]
        values = to_physical(block.raw[at], source.scale, block.offset[dates], out)
        if any(source.convert):
            bad = bad.copy()
        for band, function in enumerate(source.convert):
            if function:
                values[:, band] = getattr(units, function)(values[:, band])
                bad[:, band] |= ~np.isfinite(values[:, band])
        if bad.any():
            values[bad] = self.spec.fill_value if self.spec.missing == "fill" else np.nan
        return values, bad

    def _check(self, made: Array, samples: list[Sample]) -> None:
        _, row, column = samples[0]
        stride = self.spec.stride
        dates = (self.shape[0],) if self.spec.time == "sequence" else ()
        expected = (
            len(samples),
            *dates,
            self.plan.channels,
            row.size // stride,
            column.size // stride,
        )
        if made.shape != expected:
            raise ModelError(
                f"model {self.spec.name!r} broke its spec: expected an output of shape "
                f"{expected}, got {made.shape}. Try: correct channels, stride or time in its spec"
            )

    def _keep(self, vectors: Array, date: int | None, row: Window, column: Window) -> None:
        here, there = zip(
            *(_overlap(w, n) for w, n in zip((row, column), self.cells, strict=True)), strict=True
        )
        kept = vectors[(slice(None), slice(None), *there)]
        dates = slice(None) if date is None else slice(date, date + 1)
        if self.weight is None:
            self.out[(dates, slice(None), *here)] = kept
        else:
            weights = self._weights(row, column)[there]
            self.out[(dates, slice(None), *here)] += kept * weights
            self.weight[(dates, slice(None), *here)] += weights

    def _weights(self, row: Window, column: Window) -> Array:
        overlap = self.plan.overlap // self.spec.stride
        sides = [
            np.concatenate([np.zeros(w.skip, np.float32), blend_weight(w.cells, overlap)])
            for w in (row, column)
        ]
        return np.asarray(sides[0][:, None] * sides[1])

    def _blend(self) -> None:
        """Divide by what was added up: a window that was skipped has no say."""
        if self.weight is not None:
            np.divide(self.out, self.weight, out=self.out, where=self.weight > 0)

    def _shared(self, sample: Sample) -> bool:
        """Whether a neighbour has made a window already; if so it is kept."""
        key, uses = self._key(sample)
        made = self.seams.take(key) if self.seams is not None and uses > 1 else None
        if made is not None:
            self._keep(made, *sample)
        return made is not None

    def _share(self, sample: Sample, made: Array) -> None:
        key, uses = self._key(sample)
        if self.seams is not None and uses > 1:
            # A view would keep the whole call's output alive.
            self.seams.give(key, made.copy(), uses)

    def _key(self, sample: Sample) -> tuple[Key, int]:
        """Name a window among those of the cube, and say how many blocks need it."""
        date, row, column = sample
        number = -1 if date is None else self.first_date + date
        uses = [
            _uses(axis, first + window.first, window.cells)
            for axis, (first, _), window in zip(self.axes, self.bounds, (row, column), strict=True)
        ]
        return (number, row.number, column.number), uses[0] * uses[1]

    def _seen(self, bad: Array) -> Array:
        """Return the share of pixels of each cell that are not bad, ``(time, y, x)``.

        The last cell of an axis may hang over the cube's border: those pixels do not count.
        """
        stride, part, real = self.spec.stride, *self._under(bad)
        fill = [(0, 0)] + [(0, n * stride - s) for n, s in zip(self.cells, real, strict=True)]
        cells = self._cells(np.pad(~part, fill))
        counts = [np.full(n, stride, np.float32) for n in self.cells]
        for count, size in zip(counts, real, strict=True):
            count[-1] = size - (len(count) - 1) * stride
        seen = cells.sum(axis=(2, 4), dtype=np.float32)
        return np.asarray(seen / (counts[0][:, None] * counts[1]))

    def _blank(self, bad: Array) -> Array:
        """Tell the cells that saw nothing but bad pixels of their own, ``(time, y, x)``."""
        stride, part, real = self.spec.stride, *self._under(bad)
        if stride == 1:
            return part
        fill = [(0, 0)] + [(0, n * stride - s) for n, s in zip(self.cells, real, strict=True)]
        return np.asarray(self._cells(np.pad(part, fill, constant_values=True)).all(axis=(2, 4)))

    def _cells(self, pixels: Array) -> Array:
        stride = self.spec.stride
        return pixels.reshape(len(pixels), self.cells[0], stride, self.cells[1], stride)

    def _under(self, bad: Array) -> tuple[Array, list[int]]:
        """Return the pixels under the cells that are within the cube, and how many a side."""
        stride = self.spec.stride
        begin = [
            (window.skip - window.first) * stride + window.start
            for window in (self.row_windows[0], self.column_windows[0])
        ]
        real = [
            min(axis.size - first * stride, cells * stride)
            for axis, (first, _), cells in zip(self.axes, self.bounds, self.cells, strict=True)
        ]
        return bad[:, begin[0] : begin[0] + real[0], begin[1] : begin[1] + real[1]], real


def sampler(job: Job) -> Callable[[int | None, int], Any] | None:
    """Return what cuts samples for a trial from the first block with something in it.

    Parameters
    ----------
    job : Job
        What is to be done.

    Returns
    -------
    callable, optional
        As `settle` wants it; None where some blocks, spread over the cube, have no valid pixel.
    """
    count = job.plan.blocks
    for number in sorted({count // 2, *range(0, count, -(-count // 16))}):
        inputs = job.read(job.plan.index(number))
        sweep = Sweep(job, inputs.blocks, job.canonical(inputs.index))
        if sweep.bad is not None and not sweep.bad.all():
            return sweep._sample
    return None


def _uses(axis: Axis, first: int, cells: int) -> int:
    """Return how many blocks of an axis meet a window's kept cells."""
    low, high = (axis.block_of(cell) for cell in (first, min(first + cells, axis.cells) - 1))
    return high - low + 1


def _by_size(samples: list[Sample]) -> Iterable[list[Sample]]:
    """Group windows of one shape: only those stack into a batch."""
    groups: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample[1].size, sample[2].size), []).append(sample)
    return groups.values()


def _stack(arrays: list[Any]) -> Any:
    """Stack arrays, one alone without a copy: series of all dates are large."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _span(window: Window, size: int) -> slice:
    """Return the pixels of a window; a modality without place has one pixel for all."""
    return slice(None) if size == 1 else slice(window.start, window.start + window.size)


def _overlap(window: Window, cells: int) -> tuple[slice, slice]:
    """Where a window's kept cells go in the block, and where they are in its output."""
    first, last = max(0, window.first), min(cells, window.first + window.cells)
    shift = window.skip - window.first
    return slice(first, last), slice(first + shift, last + shift)
