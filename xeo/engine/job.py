"""One block of the work: read, decode, cut, run the model, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.engine.grid import Place
from xeo.engine.plan import Plan
from xeo.engine.seams import Seams
from xeo.engine.source import Index, Source
from xeo.engine.sweep import Block, Sweep
from xeo.kernels.decode import bad_pixels

Array = NDArray[Any]
Number = tuple[int, int, int]


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
class Inputs:
    """What a block of the output is made of.

    Parameters
    ----------
    index : tuple of int
        Place ``(time, y, x)`` of the block among the blocks of the output.
    blocks : tuple of Block, optional
        One for each modality; None where the first one has no valid pixel.
    """

    index: Number
    blocks: tuple[Block, ...] | None

    @property
    def nbytes(self) -> int:
        """Bytes that were read."""
        return sum(block.nbytes for block in self.blocks or ())


@dataclass(frozen=True)
class Made:
    """A block of the output.

    Parameters
    ----------
    values : array
        ``([time,] [channel,] y, x)``, in the output's own orientation.
    valid : array, optional
        The fraction of valid pixels under each cell, ``([time,] y, x)``, where the job was
        asked for it.
    """

    values: Array
    valid: Array | None = None


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
    precision : {"exact", "fast"}
        How near to the model's own numbers a faster backend has to come.
    backend : str, optional
        Which one is to be used; None measures.
    batch : int, optional
        Windows a call, where a user said so.
    counts : bool
        Whether the fraction of valid pixels is made too.
    at : array of datetime64, optional
        Dates of the output, where they are others than the cube's.
    """

    plan: Plan
    model: Any
    modalities: tuple[Modality, ...]
    finish: Callable[[Array], Array]
    place: Place | None = None
    device: str | None = None
    precision: str = "exact"
    backend: str | None = None
    batch: int | None = None
    counts: bool = False
    at: NDArray[np.datetime64] | None = None

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

    def __call__(self, index: Number, sources: Mapping[int, Source] | None = None) -> Made:
        """Return one block of the output.

        Parameters
        ----------
        index : tuple of int
            Place ``(time, y, x)`` among the blocks of the output.
        sources : mapping, optional
            Sources fed by hand, by number of the modality, in place of the job's own.
        """
        return self.make(self.read(index, sources))

    def read(self, index: Number, sources: Mapping[int, Source] | None = None) -> Inputs:
        """Return what a block is made of; as called, `make` of it is the block."""
        found: list[Block] = []
        for number, region in enumerate(self.regions(index)):
            modality = self.modalities[number]
            source = (sources or {}).get(number, modality.source)
            # One band alone does not tell that nothing is valid where the others may be.
            read = self._read if number or self.plan.spec.partial else self._read_valid
            block = read(modality, source, region)
            if block is None:
                return Inputs(index, None)
            found.append(block)
        return Inputs(index, tuple(found))

    def make(self, inputs: Inputs, seams: Seams | None = None) -> Made:
        """Run the model over the windows of a block.

        Parameters
        ----------
        inputs : Inputs
            From `read`.
        seams : Seams, optional
            Windows that blocks of the same run share.
        """
        sweep = Sweep(self, inputs.blocks, self.canonical(inputs.index), seams)
        values = self._oriented(self.finish(sweep.run()))
        valid = self._oriented(sweep.valid()) if self.counts else None
        return Made(values, valid)

    @staticmethod
    def _read_valid(
        modality: Modality, source: Source, region: tuple[Index, Index, Index]
    ) -> Block | None:
        """Read the first modality, and no further than it takes to see that nothing is valid."""
        found = source.read_valid(*region, absent=modality.absent)
        return None if found is None else Block(*found, source.offset[region[0]])

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


def _place(index: Index | None, positions: Index) -> Index:
    if index is None:
        return positions
    return index if len(index) == 1 else index[positions]
