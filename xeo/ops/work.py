"""The work of `compress` and `verify`: chunks are read, coded, read back and compared."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo import options
from xeo.engine import regions
from xeo.errors import CodecError, StoreError, XeoError
from xeo.kernels.fidelity import Fidelity, measure
from xeo.ops.coding import encode, is_exact, peak_of
from xeo.ops.place import local
from xeo.ops.report import Report, VariableReport
from xeo.ops.stack import Entry
from xeo.ops.stop import Stop
from xeo.ops.target import Index, Region, Target
from xeo.ops.tiles import Grid
from xeo.progress import bar

#: Values that a worker holds at once, unless one chunk is more.
_GROUP_VALUES = 1 << 25
#: Stored numbers, and which of them are worth nothing.
Block = tuple[NDArray[Any], NDArray[np.bool_] | None]
#: A chunk: of which array, read with which others, its index, and where it is.
Job = tuple[Entry, "Group", Index, Region]
#: Name of the stored mask of pixels that were not worth bits.
IGNORED = "xeo_ignored"


@dataclass
class Tally:
    """What is known of one array so far."""

    fidelity: Fidelity
    size: int = 0
    coding: float = 0.0
    checking: float = 0.0
    done: int = 0
    broken: list[str] = field(default_factory=list)


class Group:
    """Chunks that are read at once, by the first worker that comes to one of them.

    Parameters
    ----------
    region : tuple of slice
        Of the array.
    chunks : int
        How many there are: with the last of them the values are let go.
    """

    def __init__(self, region: Region, chunks: int) -> None:
        self.region, self.left = region, chunks
        self._lock = threading.Lock()
        self._read: Block | None = None

    def part(self, place: Region, read: Callable[[Region], Block]) -> Block:
        """Return the values of one chunk, and which of them are worth nothing."""
        inner = tuple(
            slice(p.start - r.start, p.stop - r.start)
            for p, r in zip(place, self.region, strict=True)
        )
        with self._lock:
            if self._read is None:
                self._read = read(self.region)
            block, ignored = self._read
            self.left -= 1
            if not self.left:
                self._read = None
        return block[inner], None if ignored is None else ignored[inner]


@dataclass
class Work:
    """The whole work of one call: what is read, coded, written, read back and compared."""

    ds: xr.Dataset
    entries: Sequence[Entry]
    target: Target
    check: bool
    writes: bool = True
    verb: str = "compress"
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.entries:
            shape = self.ds[entry.members[0].name].shape
            if entry.dim:
                shape = (*shape[: entry.axis], len(entry.members), *shape[entry.axis :])
            self.shapes[entry.name] = shape
            if entry.coding.chunks:
                dates, bands = self.rows(entry)
                empty = Fidelity.empty(dates, bands, ignoring=self.ignores(entry))
                self.tallies[entry.name] = Tally(empty)

    def ignores(self, entry: Entry) -> bool:
        """Whether some values of an array are worth nothing."""
        kept = entry.name == IGNORED or entry.coding.classes
        return IGNORED in self.ds.data_vars and not kept

    def rows(self, entry: Entry) -> tuple[int, int]:
        """How many dates and bands are told apart in the report of an array."""
        axes = entry.coding.axes
        sizes = self.shapes[entry.name]
        found = [[n for n, a in zip(sizes, axes, strict=True) if a == role] for role in "tb"]
        return (found[0][0] if len(found[0]) == 1 else 1), math.prod(found[1])

    def fingerprint(self) -> str:
        """Return what tells this work from any other: a begun store is gone on with by the same."""
        digest = hashlib.sha256()
        for entry in sorted(self.entries, key=lambda one: one.name):
            coding = entry.coding
            codec = coding.codec.to_dict() if coding.codec is not None else None
            said = (
                (entry.name, [m.name for m in entry.members], self.shapes[entry.name], codec),
                (coding.chunks, str(coding.stored.dtype), self.target.format),
            )
            digest.update(json.dumps(said, default=str).encode())
        for name, coord in sorted(self.ds.indexes.items(), key=str):
            digest.update(repr((name, len(coord), list(coord[:3]), list(coord[-3:]))).encode())
        return digest.hexdigest()[:32]

    def start(self, *, overwrite: bool) -> None:
        """Lay the store out, or go on with one that this work began."""
        fingerprint = self.fingerprint()
        if not self.target.resumes(fingerprint, overwrite=overwrite):
            self.target.lay_out(self.ds, self.entries, self.shapes)
        self.target.open(self.entries)

    def run(self, workers: int | None, progress: bool | Callable[[int], None]) -> None:
        """Code every chunk that is not there, and compare all."""
        coded = [entry for entry in self.entries if entry.coding.chunks]
        total = sum(self._values(one) * one.coding.stored.dtype.itemsize for one in coded)
        with Stop() as stop, _Bar(progress, total, self.verb) as tell:
            code = partial(self._code, tell=tell)
            try:
                for _ in regions.each(code, self._jobs(), workers=self._workers(workers)):
                    stop.check()
            except BaseException as err:
                self._explain(err)
                raise
        if self.writes:
            self.target.finish(marked=self.verb == "compress")

    def _explain(self, err: BaseException) -> None:
        """Note on what stopped the work what is left of it."""
        done = sum(tally.done for tally in self.tallies.values())
        if self.writes:
            err.add_note(
                f"{done} chunks are written and whole; {self.target.path!r} is marked "
                "incomplete. Try: the same call again, which goes on from there"
            )

    def _workers(self, workers: int | None) -> int:
        """Return as many workers as have something to do: each has its share of the cores."""
        coded = [one for one in self.entries if one.coding.chunks]
        grids = (Grid(self.shapes[e.name], e.coding.chunks, e.coding.chunks) for e in coded)
        return max(1, min(workers or options.cores(), sum(grid.count for grid in grids)))

    def _values(self, entry: Entry) -> int:
        return math.prod(self.shapes[entry.name])

    def _jobs(self) -> Iterator[Job]:
        for entry in self.entries:
            if not entry.coding.chunks:
                continue
            shape, chunks = self.shapes[entry.name], entry.coding.chunks
            grid = Grid.of(shape, chunks, self._source_chunks(entry), _GROUP_VALUES)
            for region, inside in grid.regions():
                group = Group(region, len(inside))
                for index, place in inside:
                    yield entry, group, index, place

    def _source_chunks(self, entry: Entry) -> list[int]:
        da = self.ds[entry.members[0].name]
        stored = da.encoding.get("preferred_chunks") or {}
        sizes = [max(da.chunksizes.get(dim, (stored.get(dim, 0),))) for dim in da.dims]
        return [*sizes[: entry.axis], 0, *sizes[entry.axis :]] if entry.dim else sizes

    def _code(self, job: Job, *, tell: Callable[[int, int, int], None]) -> None:
        """Do all that there is to do for a chunk; runs in a thread."""
        entry, group, index, place = job
        state = "kept" if self.target.has(entry.name, index) else "absent"
        block = ignored = found = None
        if state == "absent" or self.check:
            block, ignored = group.part(place, partial(self.read, entry))
        start = time.perf_counter()
        if state == "absent" and self.writes:
            assert block is not None
            self.target.write(entry.name, place, _filled(entry, block, ignored))
            state = "new"
        coded = time.perf_counter()
        if self.check:
            assert block is not None
            found = self.compare(entry, place, block, ignored, state)
        size = self.target.size(entry.name, index) if state != "absent" else 0
        self._note(entry, found, size, coded - start, time.perf_counter() - coded)
        values = math.prod(s.stop - s.start for s in place)
        tell(values, values * entry.coding.stored.dtype.itemsize, size)

    def _note(
        self, entry: Entry, found: Fidelity | None, size: int, coding: float, checking: float
    ) -> None:
        with _LOCK:
            tally = self.tallies[entry.name]
            if found is not None:
                tally.fidelity = tally.fidelity + found
            tally.size += size
            tally.coding += coding
            tally.checking += checking
            tally.done += 1

    def read(self, entry: Entry, region: Region) -> Block:
        """Return the stored numbers of a region, and which of them are worth nothing."""
        bands = range(1)
        lone = region
        if entry.dim:
            bands = range(*region[entry.axis].indices(len(entry.members)))
            lone = (*region[: entry.axis], *region[entry.axis + 1 :])
        blocks = [self._stored(entry.members[n].name, lone) for n in bands]
        block = np.stack(blocks, axis=entry.axis) if entry.dim else blocks[0]
        if not self.ignores(entry):
            return block, None
        mask = self.ds[IGNORED].variable
        at = dict(zip(entry.dims, region, strict=True))
        values = regions.read(mask, tuple(at[dim] for dim in map(str, mask.dims)))
        shaped = xr.Variable(mask.dims, values).set_dims(
            dict(zip(entry.dims, block.shape, strict=True))
        )
        return block, np.asarray(shaped.transpose(*entry.dims).values)

    def _stored(self, name: str, region: Region) -> NDArray[Any]:
        variable = self.ds[name].variable
        try:
            values = regions.read(variable, region)
        except (XeoError, MemoryError):
            raise
        except Exception as err:
            # Stores, decompressors and file formats have errors of their own.
            where = ", ".join(f"{s.start}:{s.stop}" for s in region)
            raise StoreError(
                f"reading {name!r} of the source at [{where}] failed: {type(err).__name__}: {err}"
            ) from err
        read = xr.Variable(variable.dims, values, variable.attrs, variable.encoding)
        return np.asarray(encode(read, name).values)

    def compare(
        self,
        entry: Entry,
        place: Region,
        original: NDArray[Any],
        ignored: NDArray[np.bool_] | None,
        state: str,
    ) -> Fidelity | None:
        """Read a chunk back, and measure how far it is from what it was.

        Parameters
        ----------
        entry, place :
            Which chunk.
        original, ignored : array
            What it has to be, and where that does not matter.
        state : {"new", "kept", "absent"}
            Whether it was written now, or before, or is not there.

        Raises
        ------
        CodecError
            If it was written now, and cannot be read or breaks the promise of its codec.
        StoreError
            If it was written before, and does so.
        """
        where = ", ".join(f"{s.start}:{s.stop}" for s in place)
        found, broken = None, ""
        try:
            found = self._compare(entry, place, original, ignored)
        except CodecError as err:
            broken = f"chunk [{where}] cannot be read: {err}"
        if found is not None:
            broken = _broken(entry, found, where, absent=state == "absent")
        if not broken:
            return found
        if not self.writes:
            with _LOCK:
                self.tallies[entry.name].broken.append(broken)
            return found
        if state == "kept":
            raise StoreError(
                f"expected what an earlier call wrote of {entry.name!r} to be of this source and "
                f"these options, but {broken}. Try: overwrite=True (--overwrite) to begin anew"
            )
        raise CodecError(
            f"expected what was written of {entry.name!r} to keep its promise, but {broken}. "
            "Please report it, with these values"
        )

    def _compare(
        self,
        entry: Entry,
        place: Region,
        original: NDArray[Any],
        ignored: NDArray[np.bool_] | None,
    ) -> Fidelity:
        from xeo.codecs.chunk import fold

        coding, axes = entry.coding, entry.coding.axes
        peak = peak_of(coding)
        found = _measure(
            (fold(original, axes), fold(self._read_back(entry, place), axes)),
            None if ignored is None else fold(ignored, axes),
            axes.count("t") == 1,
            nodata=coding.codec.nodata if coding.codec is not None else (),
            relative=getattr(coding.codec, "relative_error", None) is not None,
            peak=None if peak is None else peak / abs(coding.scale),
            offset=coding.offset / coding.scale,
        )
        return _among(found, dict(zip(axes, place, strict=True)), axes, self.rows(entry))

    def _read_back(self, entry: Entry, place: Region) -> NDArray[Any]:
        try:
            return self.target.read(entry.name, place)
        except (XeoError, MemoryError):
            raise
        except Exception as err:
            # Codecs of Zarr's own have errors of their own.
            raise CodecError(f"{type(err).__name__}: {err}") from err

    def report(self, source: Any, store: Any, storage_options: Mapping[str, Any] | None) -> Report:
        """Return what is known of every array."""
        return Report(
            tuple(self._tell(entry) for entry in self.entries),
            source=source,
            store=local(store),
            storage_options=dict(storage_options or {}),
        )

    def _tell(self, entry: Entry) -> VariableReport:
        coding, shape = entry.coding, self.shapes[entry.name]
        tally = self.tallies.get(entry.name)
        return VariableReport(
            name=entry.name,
            members=tuple(m.name for m in entry.members),
            dims=entry.dims,
            shape=shape,
            dtype=str(coding.stored.dtype),
            codec=coding.codec.name if coding.codec is not None else "zarr",
            settings=coding.codec.settings() if coding.codec is not None else {},
            chunks=coding.chunks,
            target=coding.goal.target if coding.codec is not None else "",
            value=coding.goal.value,
            scale=coding.scale,
            units=coding.units,
            peak=peak_of(coding),
            size=tally.size if tally and coding.codec is not None else 0,
            fidelity=tally.fidelity if tally and self.check else None,
            coding_seconds=tally.coding if tally else 0.0,
            checking_seconds=tally.checking if tally else 0.0,
            note=coding.note,
            broken=tuple(tally.broken) if tally else (),
        )


_LOCK = threading.Lock()


def _broken(entry: Entry, found: Fidelity, where: str, *, absent: bool) -> str:
    """Say which promise a chunk breaks, and by how much; nothing if it breaks none."""
    kept = found.kept or found
    if absent:
        # What was never written reads as the fill value, which may be all there was.
        whole = kept.exact_missing() and kept.max_error() == 0
        return "" if whole else f"chunk [{where}] is not there"
    if not kept.exact_missing():
        return f"{int(kept.wrong.sum())} missing values of chunk [{where}] did not come back"
    codec = entry.coding.codec
    scale, units = abs(entry.coding.scale), entry.coding.units
    if codec is None or is_exact(codec):
        worst = float(kept.max_error()) * scale
        off = f"{worst:g} {units}".rstrip()
        return f"chunk [{where}] is {off} off, not exact" if worst else ""
    for name, unit, factor, largest in (
        ("max_error", units, scale, kept.max_error("band")),
        ("relative_error", "of the value", 1.0, kept.max_relative("band")),
    ):
        if getattr(codec, name, None) is None:
            continue
        bounds = np.broadcast_to(getattr(codec, name), largest.shape)
        if (largest <= bounds).all():
            continue
        band = int(np.argmax(largest - bounds))
        label = f", band {band}" if len(largest) > 1 else ""
        off, most = f"{largest[band] * factor:g} {unit}".rstrip(), bounds[band] * factor
        return f"chunk [{where}]{label} is {off} off, beyond {most:g}"
    return ""


def _filled(entry: Entry, chunk: NDArray[Any], ignored: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Return a chunk with something cheap in place of what is worth nothing."""
    if ignored is None or not ignored.any():
        return chunk
    from xeo.codecs.chunk import fold, unfold
    from xeo.kernels.gaps import fill

    codec, axes = entry.coding.codec, entry.coding.axes
    assert codec is not None
    cube, mask = fold(chunk, axes), fold(ignored, axes)
    # What is missing stays missing, and is no source of values.
    nothing = ~np.isfinite(cube) if cube.dtype.kind == "f" else np.zeros(cube.shape, bool)
    for value in codec.nodata:
        nothing |= cube == value
    made = np.where(nothing, cube, fill(cube, ~(mask | nothing)))
    return unfold(made, chunk.shape, axes)


def _measure(
    pair: Sequence[NDArray[Any]], mask: NDArray[np.bool_] | None, apart: bool, **options: Any
) -> Fidelity:
    """Compare cubes, date by date or as if all were one date."""
    if apart:
        return measure(pair[0], pair[1], ignored=mask, **options)
    found: Fidelity | None = None
    for date in range(len(pair[0])):
        at = slice(date, date + 1)
        inner = None if mask is None else mask[at]
        one = measure(pair[0][at], pair[1][at], ignored=inner, **options)
        found = one if found is None else found + one
    assert found is not None
    return found


def _among(found: Fidelity, at: Mapping[str, slice], axes: str, rows: tuple[int, int]) -> Fidelity:
    """Place the figures of a chunk among all dates and bands."""
    dates, bands = rows
    where = at["t"] if axes.count("t") == 1 else slice(0, 1)
    if axes.count("b") == 1:
        return found.place(where, dates, at["b"], bands)
    return found.place(where, dates)


class _Bar:
    """A bar with rate, ratio so far and time left, or a callable in its place."""

    def __init__(
        self, progress: bool | Callable[[int], None], total: int, verb: str = "compress"
    ) -> None:
        self.progress, self.total, self.verb = progress, total, verb
        self.bar: Any = None
        self.raw = self.stored = 0
        self.lock = threading.Lock()

    def __enter__(self) -> Callable[[int, int, int], None]:
        if not callable(self.progress):
            self.bar = bar(
                total=self.total,
                desc=self.verb,
                unit="B",
                unit_scale=True,
                disable=not self.progress,
                # A log file gets a line now and then, a terminal ten a second.
                mininterval=0.1 if sys.stderr.isatty() else 10.0,
            )
        return self._tell

    def _tell(self, values: int, raw: int, stored: int) -> None:
        with self.lock:
            self.raw += raw
            self.stored += stored
            if callable(self.progress):
                self.progress(values)
                return
            if self.stored:
                ratio = f"{self.raw / self.stored:.3g} times smaller"
                self.bar.set_postfix_str(ratio, refresh=False)
            self.bar.update(raw)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
