"""What compressing a cube would give, from a few of its chunks; nothing is written."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo import options
from xeo.ops.compress import check_workers, decide
from xeo.ops.figures import spell_bytes
from xeo.ops.report import Report
from xeo.ops.stack import Entry
from xeo.ops.target import Index, Region, Target
from xeo.ops.tiles import Grid
from xeo.ops.work import Block, Group, Job, Work

#: Chunks of each array that are coded, at least and at most, and how many values of one at most.
_FEW, _MANY, _VALUES = 3, 24, 1 << 20
#: After so many seconds one chunk of each further array is enough.
_PATIENCE = 20.0


@dataclass(frozen=True, repr=False)
class Estimate:
    """What `compress` would give, as far as a sample tells.

    Parameters
    ----------
    report : Report
        Sizes of the whole, at the rate of the sample; errors of the sample.
    part : float
        Of all values, how many were coded.
    seconds : float
        That the whole would take.
    workers : int
        With so many at work at once.
    """

    report: Report
    part: float
    seconds: float
    workers: int

    @property
    def size(self) -> float:
        """Bytes of the store, without metadata and what is left to Zarr."""
        return self.report.size

    @property
    def ratio(self) -> float:
        """Raw bytes per stored byte."""
        return self.report.ratio

    @property
    def bpppb(self) -> float:
        """Stored bits per value."""
        return self.report.bpppb

    def __repr__(self) -> str:
        raw, size = spell_bytes(self.report.raw), spell_bytes(self.size)
        exact = "" if self.part == 1 else "about "
        head = (
            f"<xeo.Estimate> {raw} to {exact}{size} ({self.ratio:.3g} times smaller), "
            f"{self.bpppb:.3g} bits a value; about {_spell_time(self.seconds)} with "
            f"{self.workers} at work; from {100 * self.part:.3g} % of the values"
        )
        return "\n".join([head, *repr(self.report).splitlines()[1:]])


def estimate(
    obj: xr.DataArray | xr.Dataset,
    *,
    max_error: Any = None,
    relative_error: Any = None,
    psnr: Any = None,
    bpppb: Any = None,
    quality: Any = None,
    lossless: Any = False,
    codec: Any = "auto",
    peak: Any = None,
    chunks: Mapping[Any, int] | None = None,
    stack: Any = "auto",
    ignore: xr.DataArray | None = None,
    workers: int | None = None,
    **settings: Any,
) -> Estimate:
    """Tell what `compress` would give, and what it would take.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube, lazy or not.
    max_error, relative_error, psnr, bpppb, quality, lossless, codec, peak : optional
        As for `compress`.
    chunks, stack, ignore, workers : optional
        As for `compress`.
    **settings :
        As for `compress`.

    Returns
    -------
    Estimate
        Bytes, ratio, seconds, and the errors of the sample.

    Raises
    ------
    OptionError, DimensionError, MissingDependencyError
        As `compress`.

    Notes
    -----
    A few chunks of each array are read and coded in memory; of a large chunk the middle.

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=3, size=64)  # doctest: +SKIP
    >>> xeo.estimate(cube, max_error=0.002).ratio > 2  # doctest: +SKIP
    True
    """
    targets = {
        "max_error": max_error, "relative_error": relative_error, "psnr": psnr, "bpppb": bpppb,
        "quality": quality, "lossless": lossless, "codec": codec, "peak": peak,
    }  # fmt: skip
    check_workers(workers)
    ds, entries = decide(obj, targets, settings, chunks, stack, ignore)
    count = workers or options.cores()
    work = _Sample(ds, entries, _Memory(entries), check=True)
    work.run(count, progress=False)
    return _extrapolate(work, work.report(obj, "", None), count)


def _extrapolate(work: _Sample, report: Report, workers: int) -> Estimate:
    coded = whole = 0
    seconds = 0.0
    variables = []
    for one in report.variables:
        sampled = work.sampled.get(one.name, 0)
        if sampled:
            factor = one.values / sampled
            busy = one.coding_seconds + one.checking_seconds + work.reading.get(one.name, 0.0)
            # Chunks fewer than workers leave some of them idle.
            parts = Grid(one.shape, one.chunks, (1,) * len(one.shape)).count
            seconds += busy * factor / max(1, min(workers, parts))
            one = replace(one, size=math.ceil(one.size * factor))
            coded, whole = coded + sampled, whole + one.values
        variables.append(one)
    return Estimate(
        replace(report, variables=tuple(variables)),
        part=coded / whole if whole else 1.0,
        seconds=seconds,
        workers=workers,
    )


class _Sample(Work):
    """The work of compressing, for a few chunks of each array."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sampled: dict[str, int] = {}
        self.reading: dict[str, float] = {}
        self.end = time.perf_counter() + _PATIENCE

    def _jobs(self) -> Iterator[Job]:
        for entry in self.entries:
            if entry.coding.codec is None:
                continue
            for region in _places(self.shapes[entry.name], entry.coding.chunks, entry.coding.axes):
                if entry.name in self.sampled and time.perf_counter() > self.end:
                    break
                values = math.prod(s.stop - s.start for s in region)
                self.sampled[entry.name] = self.sampled.get(entry.name, 0) + values
                yield entry, Group(region, 1), _corner(region), region

    def _explain(self, err: BaseException) -> None:
        pass

    def read(self, entry: Entry, region: Region) -> Block:
        start = time.perf_counter()
        made = super().read(entry, region)
        spent = time.perf_counter() - start
        self.reading[entry.name] = self.reading.get(entry.name, 0.0) + spent
        return made


def _places(shape: tuple[int, ...], chunks: tuple[int, ...], axes: str) -> list[Region]:
    """Return chunks spread over an array, or their middles where they are large."""
    regions = [region for region, _ in _spread(Grid(shape, chunks, (1,) * len(shape)))]
    return [_middle(region, axes) for region in regions]


def _spread(grid: Grid) -> Iterator[Any]:
    count = grid.count
    steps = [math.ceil(s / c) for s, c in zip(grid.shape, grid.chunks, strict=True)]
    wanted = min(count, max(_FEW, min(_MANY, _VALUES // math.prod(grid.chunks))))
    for n in range(wanted):
        index = np.unravel_index((2 * n + 1) * count // (2 * wanted), steps)
        sizes = zip(map(int, index), grid.chunks, grid.shape, strict=True)
        yield tuple(slice(i * c, min(i * c + c, s)) for i, c, s in sizes), index


def _middle(region: Region, axes: str) -> Region:
    """Cut a region to so many values: rows and columns first, which most rates depend on least."""
    sizes = [s.stop - s.start for s in region]
    for group in ("yx", "t"):
        which = [n for n, a in enumerate(axes) if a in group]
        excess = math.prod(sizes) / _VALUES
        for n in which:
            least = min(sizes[n], 128 if axes[n] in "yx" else 1)
            sizes[n] = max(least, int(sizes[n] / max(1.0, excess ** (1 / len(which)))))
    starts = [s.start + (s.stop - s.start - n) // 2 for s, n in zip(region, sizes, strict=True)]
    return tuple(slice(start, start + n) for start, n in zip(starts, sizes, strict=True))


class _Memory(Target):
    """Takes chunks as they would be stored, and forgets them when they are compared."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__("memory://", "", 3, None)
        self.codecs = {entry.name: entry.coding.codec for entry in entries}
        self.chunks: dict[tuple[str, Index], bytes] = {}

    def has(self, name: str, index: Index) -> bool:
        return False

    def write(self, name: str, region: Region, block: NDArray[Any]) -> None:
        codec = self.codecs[name]
        assert codec is not None
        self.chunks[name, _corner(region)] = codec.encode_array(block)

    def read(self, name: str, region: Region) -> NDArray[Any]:
        codec = self.codecs[name]
        assert codec is not None
        return codec.decode_array(self.chunks[name, _corner(region)])

    def size(self, name: str, index: Index) -> int:
        return len(self.chunks.pop((name, index)))

    def finish(self, *, marked: bool = True) -> None:
        pass


def _corner(region: Region) -> Index:
    return tuple(s.start for s in region)


def _spell_time(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"
