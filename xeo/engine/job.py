"""One block of the work: read, decode, cut, run the model, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.engine.devices import to_device, to_host
from xeo.engine.grid import Place
from xeo.engine.plan import Plan, Window
from xeo.engine.source import Index, Source
from xeo.errors import ModelError
from xeo.kernels import units
from xeo.kernels.decode import bad_pixels, to_physical
from xeo.kernels.windows import blend_weight
from xeo.spec import Batch

Array = NDArray[Any]
#: A date (None for all), a window along y and one along x.
Sample = tuple[int | None, Window, Window]


@dataclass(frozen=True)
class Modality:
    """One input of the model, as the job reads it.

    Parameters
    ----------
    name : str
        Key in the batch.
    source : Source
        Where its values are.
    dates : array of datetime64, optional
        Its own dates.
    wavelengths : array, optional
        Micrometres, a band each.
    gsd : float, optional
        Metres.
    absent : tuple of int
        Positions, in the model's bands, of those that the cube lacks.
    y, x : array of int, optional
        For a modality on another grid: its position at each pixel of the first one's, or one
        position if it has no place. None for the first one itself.
    """

    name: str
    source: Source
    dates: NDArray[np.datetime64] | None = None
    wavelengths: NDArray[np.float64] | None = None
    gsd: float | None = None
    absent: tuple[int, ...] = ()
    y: Index | None = None
    x: Index | None = None


@dataclass(frozen=True)
class Block:
    """One modality over a region: numbers as stored, which are bad, and their offsets."""

    raw: Any
    bad: Any
    offset: Array


@dataclass(frozen=True)
class Job:
    """All that a worker needs to make any block of the output.

    Parameters
    ----------
    plan : Plan
        The geometry.
    model : object
        Callable with a ``spec``; pickles to a reference.
    modalities : tuple of Modality
        The first one gives grid and dates.
    finish : callable
        From vectors ``([time,] channel, y, x)`` with NaN for missing to the stored dtype.
    place : Place, optional
        Coordinates to degrees, where the model wants ``latlon``.
    device : str, optional
        Where the model runs.
    """

    plan: Plan
    model: Any
    modalities: tuple[Modality, ...]
    finish: Callable[[Array], Array]
    place: Place | None = None
    device: str | None = None

    @property
    def flip(self) -> tuple[bool, bool]:
        """Whether rows and columns of the output run against the canonical order."""
        return self.plan.y.flipped, self.plan.x.flipped

    def canonical(self, index: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the canonical place of the block that stands at a place of the output."""
        time, y, x = index
        flip_y, flip_x = self.flip
        return (
            time,
            self.plan.y.blocks - 1 - y if flip_y else y,
            self.plan.x.blocks - 1 - x if flip_x else x,
        )

    def dates_of(self, number: int, block: int) -> Index:
        """Return the canonical dates that a block reads of one modality."""
        if number:
            return np.arange(len(self.modalities[number].source.time))
        return np.arange(*self.plan.dates(block))

    def rows_of(self, number: int, block: int) -> Index:
        """Return the canonical rows that a block reads of one modality."""
        rows, _ = self.plan.region(self.plan.y, block)
        return _place(self.modalities[number].y, rows)

    def columns_of(self, number: int, block: int) -> Index:
        """Return the canonical columns that a block reads of one modality."""
        columns, _ = self.plan.region(self.plan.x, block)
        return _place(self.modalities[number].x, columns)

    def regions(self, index: tuple[int, int, int]) -> list[tuple[Index, Index, Index]]:
        """Return, for each modality, the canonical positions that a block reads."""
        time, y, x = self.canonical(index)
        return [
            (self.dates_of(n, time), self.rows_of(n, y), self.columns_of(n, x))
            for n in range(len(self.modalities))
        ]

    def __call__(
        self, index: tuple[int, int, int], sources: Mapping[int, Source] | None = None
    ) -> Array:
        """Return one block of the output.

        Parameters
        ----------
        index : tuple of int
            Place ``(time, y, x)`` among the blocks of the output.
        sources : mapping, optional
            Sources fed by hand, by number of the modality, in place of the job's own.
        """
        time, y, x = self.canonical(index)
        rows, row_windows = self.plan.region(self.plan.y, y)
        columns, column_windows = self.plan.region(self.plan.x, x)
        blocks = [
            self._read(modality, (sources or {}).get(number, modality.source), region)
            for number, (modality, region) in enumerate(
                zip(self.modalities, self.regions(index), strict=True)
            )
        ]
        work = _Work(self, blocks, rows, columns, (time, y, x))
        made = work.run(row_windows, column_windows)
        return self._oriented(self.finish(made))

    @staticmethod
    def _read(modality: Modality, source: Source, region: tuple[Index, Index, Index]) -> Block:
        raw, mask = source.read(*region)
        bad = bad_pixels(raw, source.nodata)
        if mask is not None:
            bad |= mask
        bad[:, list(modality.absent)] = True
        return Block(raw, bad, source.offset[region[0]])

    def _oriented(self, made: Array) -> Array:
        flip_y, flip_x = self.flip
        made = made[..., ::-1, :] if flip_y else made
        made = made[..., ::-1] if flip_x else made
        return np.ascontiguousarray(made)


class _Work:
    """The state of one block while its windows run."""

    def __init__(
        self,
        job: Job,
        blocks: list[Block],
        rows: Index,
        columns: Index,
        index: tuple[int, int, int],
    ) -> None:
        self.job, self.blocks, self.rows, self.columns = job, blocks, rows, columns
        self.plan, self.spec = job.plan, job.plan.spec
        first, last = self.plan.time.bounds(index[0]) if self.plan.keeps_time else (0, 1)
        self.cells = tuple(
            axis.bounds(block)[1] - axis.bounds(block)[0]
            for axis, block in ((self.plan.y, index[1]), (self.plan.x, index[2]))
        )
        # The last cell of an axis may hang over the cube's border: those pixels do not count.
        self.real = tuple(
            axis.size - axis.bounds(block)[0] * axis.stride
            for axis, block in ((self.plan.y, index[1]), (self.plan.x, index[2]))
        )
        self.each = self.spec.time == "each"
        self.first_date = self.plan.dates(index[0])[0]
        self.out = np.zeros((last - first, self.plan.channels, *self.cells), np.float32)
        shape = (last - first, 1, *self.cells)
        self.weight = np.zeros(shape, np.float32) if self.plan.overlap else None

    def run(self, rows: list[Window], columns: list[Window]) -> Array:
        bad = self._bad()
        if not bad.all():
            dates = range(self.blocks[0].raw.shape[0]) if self.each else (None,)
            samples = [
                (date, row, column)
                for date in dates
                for row in rows
                for column in columns
                if not self._empty(bad, date, row, column)
            ]
            for alike in _by_size(samples):
                for start in range(0, len(alike), self.plan.batch):
                    self._run(alike[start : start + self.plan.batch])
        self._blend()
        self._blank(bad, rows[0], columns[0])
        return self.out if self.plan.keeps_time else self.out[0]

    def _bad(self) -> Array:
        """Which pixels of the first modality have nothing to say, ``(time, y, x)``."""
        block, absent = self.blocks[0], self.job.modalities[0].absent
        present = [band for band in range(block.raw.shape[1]) if band not in absent]
        bad = to_host(block.bad[:, present].any(axis=1))
        return bad if self.each else np.asarray(bad.all(axis=0, keepdims=True))

    @staticmethod
    def _empty(bad: Array, date: int | None, row: Window, column: Window) -> bool:
        part = bad[
            0 if date is None else date,
            row.start : row.start + row.size,
            column.start : column.start + column.size,
        ]
        return bool(part.all())

    def _run(self, samples: list[Sample]) -> None:
        device = self.job.device
        if self.spec.takes_batch:
            made = self._call_batch(samples)
        else:
            cuts = [self._cut(0, *sample) for sample in samples]
            stack = np.stack([values[0] for values, _ in cuts])
            made = to_host(self.job.model(to_device(stack, device)))
        self._check(made, samples)
        for sample, vectors in zip(samples, made, strict=True):
            self._keep(vectors, *sample)

    def _call_batch(self, samples: list[Sample]) -> Array:
        arrays, masks, times, waves, gsd = {}, {}, {}, {}, {}
        for number, modality in enumerate(self.job.modalities):
            cuts = [self._cut(number, *sample) for sample in samples]
            arrays[modality.name] = to_device(np.stack([c[0] for c in cuts]), self.job.device)
            masks[modality.name] = to_device(np.stack([c[1] for c in cuts]), self.job.device)
            if modality.dates is not None:
                times[modality.name] = self._dates(number, modality, samples)
            if modality.wavelengths is not None:
                waves[modality.name] = modality.wavelengths
            if modality.gsd is not None:
                gsd[modality.name] = modality.gsd
        latlon = None
        if self.job.place is not None and "latlon" in self.spec.needs:
            latlon = np.stack([self._latlon(row, column) for _, row, column in samples])
        return to_host(self.job.model(Batch(arrays, times, masks, latlon, waves, gsd)))

    def _dates(self, number: int, modality: Modality, samples: list[Sample]) -> Array:
        assert modality.dates is not None
        if number or not self.each:
            return modality.dates
        picked = [self.first_date + (date or 0) for date, _, _ in samples]
        return modality.dates[picked][:, None]

    def _latlon(self, row: Window, column: Window) -> Array:
        assert self.job.place is not None
        rows = self.rows[row.start : row.start + row.size]
        columns = self.columns[column.start : column.start + column.size]
        return self.job.place.latlon(rows, columns)

    def _cut(
        self, number: int, date: int | None, row: Window, column: Window
    ) -> tuple[Array, Array]:
        """Decode one window of one modality: values and mask, ``(time, band, y, x)``."""
        block, modality = self.blocks[number], self.job.modalities[number]
        dates = slice(None) if date is None or number else slice(date, date + 1)
        at = (
            dates,
            slice(None),
            *(_span(w, s) for w, s in zip((row, column), block.raw.shape[2:], strict=True)),
        )
        source, bad = modality.source, block.bad[at].copy()
        values = to_physical(block.raw[at], source.scale, block.offset[dates])
        for band, function in enumerate(source.convert):
            if function:
                values[:, band] = getattr(units, function)(values[:, band])
                bad[:, band] |= ~np.isfinite(values[:, band])
        values[bad] = self.spec.fill_value if self.spec.missing == "fill" else np.nan
        return values, bad

    def _check(self, made: Array, samples: list[Sample]) -> None:
        _, row, column = samples[0]
        stride = self.spec.stride
        dates = (self.out.shape[0],) if self.spec.time == "sequence" else ()
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
        vectors = vectors if vectors.ndim == 4 else vectors[None]
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

    def _blank(self, bad: Array, row: Window, column: Window) -> None:
        """Set to NaN the cells that saw nothing but bad pixels of their own."""
        stride = self.spec.stride
        begin = row.start + self._lead(row), column.start + self._lead(column)
        part = bad[:, begin[0] :, begin[1] :][:, : self.real[0], : self.real[1]]
        part = part[:, : self.cells[0] * stride, : self.cells[1] * stride]
        if not part.any():
            return
        fill = [(0, 0)] + [
            (0, n * stride - s) for n, s in zip(self.cells, part.shape[1:], strict=True)
        ]
        full = np.pad(part, fill, constant_values=True)
        cells = full.reshape(len(full), self.cells[0], stride, self.cells[1], stride)
        blank = np.asarray(cells.all(axis=(2, 4)))
        if len(blank) != len(self.out):
            blank = np.broadcast_to(blank.all(axis=0), (len(self.out), *blank.shape[1:]))
        np.copyto(self.out, np.nan, where=blank[:, None])

    def _lead(self, window: Window) -> int:
        return (window.skip - window.first) * self.spec.stride


def _by_size(samples: list[Sample]) -> Iterable[list[Sample]]:
    """Group windows of one shape: only those stack into a batch."""
    groups: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample[1].size, sample[2].size), []).append(sample)
    return groups.values()


def _place(index: Index | None, positions: Index) -> Index:
    if index is None:
        return positions
    return index if len(index) == 1 else index[positions]


def _span(window: Window, size: int) -> slice:
    """Return the pixels of a window; a modality without place has one pixel for all."""
    return slice(None) if size == 1 else slice(window.start, window.start + window.size)


def _overlap(window: Window, cells: int) -> tuple[slice, slice]:
    """Where a window's kept cells go in the block, and where they are in its output."""
    first, last = max(0, window.first), min(cells, window.first + window.cells)
    shift = window.skip - window.first
    return slice(first, last), slice(first + shift, last + shift)
