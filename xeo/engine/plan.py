"""What an op decided before it runs: the blocks, described in constant size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xeo.kernels.windows import count_windows, covering, inside
from xeo.spec import ModelSpec

#: Bytes that one block may hold: stored numbers in, and vectors out.
BLOCK_BYTES = 128 * 2**20
#: Bytes that the working memory of one model call may take.
CALL_BYTES = 256 * 2**20
#: The same for a batch of windows on a CPU, whose caches gain nothing by more.
BATCH_BYTES = 64 * 2**20
#: Longest side of a block, in input pixels; longer ones only cost memory.
LONGEST = 1024
#: Blocks that keep several workers busy to the end; a cube of fewer is cut finer.
MANY, FEW = 16, 8
#: A block that keeps dates apart is not cut shorter than this for the sake of more dates.
SHORTEST = 256


@dataclass(frozen=True)
class Axis:
    """One axis of the output, cut into equal blocks of cells.

    Parameters
    ----------
    size : int
        Input positions (pixels or dates).
    stride : int
        Input positions per cell.
    step : int
        Cells per block; the last block may have fewer.
    chunk : int
        Input positions per chunk of the store.
    flipped : bool
        Whether the output runs against the canonical order. The short block is then the first
        in canonical order: it has to be the last of the output, as Zarr wants it.
    """

    size: int
    stride: int
    step: int
    chunk: int
    flipped: bool = False

    @property
    def cells(self) -> int:
        """Cells of the output."""
        return -(-self.size // self.stride)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.cells // self.step)

    def bounds(self, block: int) -> tuple[int, int]:
        """Return the first cell of a block and the one after its last, in canonical order."""
        if self.flipped:
            last = self.cells - (self.blocks - 1 - block) * self.step
            return max(0, last - self.step), last
        return block * self.step, min((block + 1) * self.step, self.cells)

    def block_of(self, cell: int) -> int:
        """Return the block that holds a cell; the inverse of `bounds`."""
        if self.flipped:
            return self.blocks - 1 - (self.cells - 1 - cell) // self.step
        return cell // self.step

    @property
    def chunks(self) -> tuple[int, ...]:
        """Cells of each block, in the order of the output."""
        full, rest = divmod(self.cells, self.step)
        return (self.step,) * full + ((rest,) if rest else ())


@dataclass(frozen=True)
class Window:
    """One window within a block's region, along one axis.

    Parameters
    ----------
    start, size : int
        In pixels from the region's first.
    skip : int
        Cells of its output to drop in front: the halo.
    first, cells : int
        The first cell it keeps, counted from the block's first (it may be negative, where
        blended windows reach over), and how many.
    number : int
        Of the window among those of the axis; 0 for windows of any size.
    """

    start: int
    size: int
    skip: int
    first: int
    cells: int
    number: int = 0


@dataclass(frozen=True)
class Plan:
    """The work of a verb: which blocks, which windows, how much memory.

    ``print(plan)`` explains it. Blocks are computed from their index, so a plan of a million
    chunks is as small as a plan of one.

    Parameters
    ----------
    spec : ModelSpec
        Of the model.
    time, y, x : Axis
        Of the output.
    bands, stored : int
        Bands of the first modality, and bytes of one of its stored numbers.
    channels : int
        Length of the model's vectors.
    dtype : str
        Of the output.
    batch : int
        Windows per model call.
    overlap : int
        Pixels that neighbouring windows share and blend.
    keeps_time : bool
        Whether the output has dates.
    outputs : int
        Channels of the output; 0 for one without an axis of channels.
    tile : int
        Longest side that a model of any size sees at once, halo not counted.
    inputs : tuple of str
        What is read, in words.
    source_dates : int, optional
        Dates that are read, where the output has others; None: those of ``time``.
    """

    spec: ModelSpec
    time: Axis
    y: Axis
    x: Axis
    bands: int
    stored: int
    channels: int
    dtype: str
    batch: int
    overlap: int
    keeps_time: bool
    outputs: int
    tile: int
    inputs: tuple[str, ...] = ()
    source_dates: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output, ``([time,] [channel,] y, x)``."""
        return tuple(sum(sizes) for sizes in self.chunks)

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Chunks of the output, ``([time,] [channel,] y, x)``."""
        time = (self.time.chunks,) if self.keeps_time else ()
        channel = ((self.outputs,),) if self.outputs else ()
        return (*time, *channel, self.y.chunks, self.x.chunks)

    @property
    def valid_chunks(self) -> tuple[tuple[int, ...], ...]:
        """Chunks of the valid fractions, ``([time,] y, x)``."""
        return (*((self.time.chunks,) if self.keeps_time else ()), self.y.chunks, self.x.chunks)

    @property
    def valid_shape(self) -> tuple[int, ...]:
        """Shape of the valid fractions, ``([time,] y, x)``."""
        return tuple(sum(sizes) for sizes in self.valid_chunks)

    @property
    def blocks(self) -> int:
        """How many blocks there are: the tasks of the graph."""
        return (self.time.blocks if self.keeps_time else 1) * self.y.blocks * self.x.blocks

    def index(self, number: int) -> tuple[int, int, int]:
        """Return the place ``(time, y, x)`` of a block from its running number."""
        rest, x = divmod(number, self.x.blocks)
        time, y = divmod(rest, self.y.blocks)
        return time, y, x

    def numbers(self, width: int) -> Iterator[int]:
        """Yield the numbers of all blocks, strip after strip of so many blocks side by side."""
        rows, columns = self.y.blocks, self.x.blocks
        for time in range(self.blocks // (rows * columns)):
            for first in range(0, columns, width):
                for y in range(rows):
                    start = (time * rows + y) * columns
                    yield from range(start + first, start + min(first + width, columns))

    def dates(self, block: int) -> tuple[int, int]:
        """Return the range of dates that a block reads."""
        if self.spec.time == "each":
            return self.time.bounds(block)
        return 0, self.time.size if self.source_dates is None else self.source_dates

    def region(self, axis: Axis, block: int) -> tuple[np.ndarray[Any, Any], list[Window]]:
        """Return the pixels that a block reads along one axis, and its windows there.

        Returns
        -------
        positions : array of int
            Canonical pixel positions, those beyond the cube already folded inside.
        windows : list of Window
        """
        spec = self.spec
        first, last = axis.bounds(block)
        if spec.window is None:
            begin, end, windows = self._whole(axis, first, last)
        else:
            begin, end, windows = self._fixed(axis, first, last)
        return inside(np.arange(begin, end), axis.size, spec.padding), windows

    def _whole(self, axis: Axis, first: int, last: int) -> tuple[int, int, list[Window]]:
        """Cut a block into tiles of any size; the cube's own border gets no halo."""
        tiles = range(first, last, max(1, self.tile // axis.stride))
        edges = [*tiles, last]
        spans = [self._reads(axis, *edges[i : i + 2]) for i in range(len(tiles))]
        begin, end = spans[0][0], spans[-1][1]
        windows = [
            Window(low - begin, high - low, cell - low // axis.stride, cell - first, after - cell)
            for (low, high), cell, after in zip(spans, edges, edges[1:], strict=False)
        ]
        return begin, end, windows

    def _reads(self, axis: Axis, first: int, last: int) -> tuple[int, int]:
        """Return the pixels that a model of any size needs to see for a range of cells."""
        unit, margin, stride = self.spec.unit, self.spec.margin, axis.stride
        padded = -(-axis.size // unit) * unit
        end = min(padded, -(-last * stride // unit) * unit + margin)
        return max(0, first * stride // unit * unit - margin), end

    def _fixed(self, axis: Axis, first: int, last: int) -> tuple[int, int, list[Window]]:
        spec, stride = self.spec, axis.stride
        assert spec.window is not None
        step = spec.kept - self.overlap
        count = count_windows(axis.size, step, spec.kept)
        low, high = covering(first * stride, last * stride, step, spec.kept, count)
        begin = low * step - spec.margin
        windows = [
            Window(
                (k - low) * step,
                spec.window,
                spec.margin // stride,
                k * step // stride - first,
                spec.kept // stride,
                k,
            )
            for k in range(low, high)
        ]
        return begin, begin + windows[-1].start + spec.window, windows

    @property
    def passes(self) -> float:
        """How often blocks ask for each stored value: 1 when every chunk is in one block.

        A run keeps chunks for the blocks that follow, and decodes fewer; see `engine.chunks`.
        """
        space = [_passes(axis, self._reach(axis)) for axis in (self.y, self.x)]
        times = _passes(self.time, self._dates_read()) if self.spec.time == "each" else 1.0
        return times * space[0] * space[1]

    def _reach(self, axis: Axis) -> Iterator[tuple[int, int]]:
        for block in range(axis.blocks):
            positions, _ = self.region(axis, block)
            yield int(positions.min()), int(positions.max()) + 1

    def _dates_read(self) -> Iterator[tuple[int, int]]:
        return (self.time.bounds(block) for block in range(self.time.blocks))

    @property
    def windows(self) -> int:
        """How many windows the model sees, dates counted."""
        count = math.prod(
            sum(len(self.region(axis, block)[1]) for block in range(axis.blocks))
            for axis in (self.y, self.x)
        )
        return count * (self.time.size if self.spec.time == "each" else 1)

    @property
    def read_bytes(self) -> int:
        """Bytes that a whole block holds of what it read."""
        rows, columns = (len(self.region(a, 0)[0]) for a in (self.y, self.x))
        first, last = self.dates(0)
        return (last - first) * self.bands * rows * columns * (self.stored + 1)

    @property
    def chunk_bytes(self) -> float:
        """Bytes of the chunks that a block meets, as they are decoded."""
        return self.read_bytes * self.passes * self.stored / (self.stored + 1)

    @property
    def made_bytes(self) -> int:
        """Bytes of the vectors of a whole block."""
        dates = self.time.step if self.keeps_time else 1
        return dates * self.channels * self.y.step * self.x.step * 4

    @property
    def block_bytes(self) -> int:
        """Rough peak memory of one running block: read, model and result."""
        return self.read_bytes + self.made_bytes + self._call_bytes()

    def explain(self) -> str:
        """Return blocks, windows, passes over the store and memory in words; as ``print`` shows."""
        return str(self)

    def _call_bytes(self) -> int:
        first = [self.region(axis, 0)[1][0].size for axis in (self.y, self.x)]
        begin, end = self.dates(0)
        dates = 1 if self.spec.time == "each" else max(end - begin, self.time.size)
        return self.batch * math.prod(first) * _pixel_bytes(self.spec, self.bands, dates)

    def __str__(self) -> str:
        spec = self.spec
        window = (
            f"up to {self.tile} px" if spec.window is None else f"{spec.window} x {spec.window} px"
        )
        first, last = self.dates(0)
        lines = [
            f"{spec.name}: {' x '.join(map(str, self.shape))} {self.dtype}, "
            f"{_size(math.prod(self.shape) * np.dtype(self.dtype).itemsize)}",
            *(f"  input    {line}" for line in self.inputs),
            f"  model    window {window}, halo {spec.margin} px, stride {spec.stride} px, "
            f"overlap {self.overlap} px, dates {spec.time}",
            f"  blocks   {self.blocks} of {self.y.step * self.y.stride} x "
            f"{self.x.step * self.x.stride} px and {last - first} date(s): one task each",
            f"  windows  {self.windows}, {self.batch} a call",
            f"  reads    every stored value {self.passes:.2f} times "
            f"(chunks of {self.time.chunk} x {self.y.chunk} x {self.x.chunk})",
            f"  memory   about {_size(self.block_bytes)} for each block at work",
        ]
        return "\n".join(lines)


def make_plan(
    spec: ModelSpec,
    *,
    sizes: tuple[int, int, int],
    chunks: tuple[int, int, int],
    bands: int,
    stored: int,
    dtype: str,
    channels: int,
    outputs: int,
    keeps_time: bool,
    batch: int | None = None,
    overlap: int = 0,
    side: int | None = None,
    flip: tuple[bool, bool] = (False, False),
    roomy: bool = False,
    inputs: tuple[str, ...] = (),
    inner: tuple[int, int, int] | None = None,
    steps: int | None = None,
) -> Plan:
    """Decide on blocks and batches.

    Parameters
    ----------
    spec : ModelSpec
        Of the model.
    sizes, chunks : tuple of int
        Dates, rows and columns of the cube, and of its chunks in the store.
    bands, stored : int
        Bands read, and bytes of one stored number.
    dtype, outputs, keeps_time :
        Of the output; ``outputs`` 0 for one without an axis of channels.
    channels : int
        Length of the model's vectors.
    batch : int, optional
        Windows per model call; None fits them into `BATCH_BYTES`.
    overlap : int
        Pixels shared by neighbouring windows.
    side : int, optional
        Wanted side of a block in input pixels; None decides by bytes and store chunks.
    flip : tuple of bool
        Whether rows and columns of the output run against the canonical order.
    roomy : bool
        Whether the model runs where large batches gain: on a GPU.
    inputs : tuple of str
        What is read, in words, for people.
    inner : tuple of int, optional
        What the store decodes at once, where ``chunks`` are shards of several.
    steps : int, optional
        Dates of the output, where they are others than the cube's.
    """
    inner = inner or chunks
    made = channels * 4 / spec.stride**2
    if math.prod(chunks) * (bands * (stored + 1) + made) > BLOCK_BYTES:
        chunks = inner
    dates = _dates_per_block(spec, sizes, chunks, bands * stored, made)
    kept = spec.kept - overlap if spec.window is not None else spec.unit
    given = dates if steps is None else steps
    at_once = 1 if spec.time == "each" else max(dates, given)
    call = int(math.sqrt(CALL_BYTES / _pixel_bytes(spec, bands, at_once)))
    if side is None:
        per_pixel = dates * bands * (stored + 1) + made * (given if keeps_time else 1)
        most = int(math.sqrt(BLOCK_BYTES / per_pixel))
        # A halo is read and computed twice: then a few blocks must do.
        wanted = -(-(FEW if spec.margin else MANY) * dates // sizes[0]) if keeps_time else MANY
        # Decoding a chunk once for each part of it costs a cheap network more than idle workers.
        least = SHORTEST if spec.window else max(SHORTEST, *chunks[1:])
        y, x = _sides(most, kept, sizes[1:], chunks[1:], wanted, least)
    else:
        y = x = max(kept, -(-side // kept) * kept)
    longest = max(y, x)
    # A tenth over the target is better than a call of half the size.
    tiles = max(1, math.ceil(longest / (1.1 * call)))
    tile = -(-longest // (tiles * kept)) * kept
    time_stride = 1 if keeps_time else sizes[0]
    time = Axis(sizes[0], time_stride, dates if keeps_time else 1, inner[0])
    plan = Plan(
        spec=spec,
        time=time if steps is None else Axis(steps, 1, steps, steps),
        y=Axis(sizes[1], spec.stride, max(1, y // spec.stride), inner[1], flip[0]),
        x=Axis(sizes[2], spec.stride, max(1, x // spec.stride), inner[2], flip[1]),
        bands=bands,
        stored=stored,
        channels=channels,
        dtype=dtype,
        batch=batch or 1,
        overlap=overlap,
        keeps_time=keeps_time,
        outputs=outputs,
        tile=tile,
        inputs=inputs,
        source_dates=None if steps is None else sizes[0],
    )
    return plan if batch else _with_batch(plan, CALL_BYTES if roomy else BATCH_BYTES)


def _pixel_bytes(spec: ModelSpec, bands: int, dates: int) -> int:
    """Return the working memory of a call for each pixel: of the model, and of its input."""
    return spec.activation_bytes + 8 * bands * dates


def _with_batch(plan: Plan, room: int) -> Plan:
    return replace(plan, batch=int(np.clip(room // plan._call_bytes(), 1, 64)))


def _dates_per_block(
    spec: ModelSpec,
    sizes: tuple[int, int, int],
    chunks: tuple[int, int, int],
    read: float,
    made: float,
) -> int:
    """Return how many dates share a block: whole store chunks, several if they are small."""
    if spec.time != "each":
        return sizes[0]
    side = min(SHORTEST, max(sizes[1:]))
    fitting = max(1, int(BLOCK_BYTES / (side**2 * (read + made))))
    chunk = min(chunks[0], sizes[0])
    if fitting < chunk:
        return fitting
    # A cube of small pictures fills a block with several chunks of dates.
    area = min(sizes[1], LONGEST) * min(sizes[2], LONGEST)
    several = int(BLOCK_BYTES / 4 / (area * (read + made))) // chunk
    return min(sizes[0], chunk * max(1, several))


def _sides(
    most: int,
    unit: int,
    sizes: tuple[int, int],
    chunks: tuple[int, int],
    wanted: int,
    least: int,
) -> tuple[int, int]:
    """Return the largest sides, from `LONGEST` down to the least, that give enough blocks."""
    longest = LONGEST
    while True:
        target = min(most, longest)
        y, x = (_side(target, unit, n, c) for n, c in zip(sizes, chunks, strict=True))
        enough = -(-sizes[0] // y) * -(-sizes[1] // x) >= wanted
        if enough or longest // 2 < least:
            return y, x
        longest //= 2


def _side(target: int, unit: int, size: int, chunk: int) -> int:
    """Return the largest side up to the target that suits windows and, if it can, chunks."""
    if size <= target:
        return -(-size // unit) * unit
    both = math.lcm(unit, chunk)
    # The target is a rule of thumb: a little over it beats reading chunks twice.
    if both <= 1.25 * target:
        return max(1, target // both) * both
    # Blocks that divide a chunk leave no other one to be read for their borders.
    parts = -(-both // target)
    fitting = (n for n in range(parts, 2 * parts + 1) if both % n == 0 and both // n % unit == 0)
    found = next(fitting, None)
    return max(unit, target // unit * unit) if found is None else both // found


def _passes(axis: Axis, reads: Iterator[tuple[int, int]]) -> float:
    chunk, total = axis.chunk, 0
    for first, last in reads:
        low, high = first // chunk * chunk, -(-last // chunk) * chunk
        total += min(high, axis.size) - low
    return total / axis.size


def _size(count: float) -> str:
    for word in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {word}"
        count /= 1000
    return f"{count:.3g} TB"
