"""The rows: the model alone, xeo, and what people do instead.

Each function does one row's whole work, from opening the cube to the last byte written, and is
timed as a whole. A peer comes twice: ``tuned=False`` is a first program with the library's
defaults, ``tuned=True`` what its authors would do who know the machine (threads pinned, blocks
that suit the chunks and the windows, models called on a few windows at once).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import torch
import xarray as xr
from _networks import model
from _work import NAME, Array, Done, Work, call, cores, decode, run_block, run_windows

import xeo


def limit(work: Work) -> Callable[[], Done]:
    """Prepare the model alone on arrays in memory, in the fastest of several ways."""
    module = work.module()
    trials = _trials(work)
    best = max(trials, key=lambda way: _rate(module, way))

    def run() -> Done:
        side, batch, shared = best
        each = _size(work, side) * batch
        calls = max(1, round(work.amount / each))
        _drive(module, best, calls)
        how = f"{cores()} threads share it" if shared else f"{cores()} threads inside"
        return Done(calls * each, layout="none", note=f"{batch} x {side} px, {how}")

    return run


def _trials(work: Work) -> list[tuple[int, int, bool]]:
    sizes = [(work.spec.window, 1), (work.spec.window, 4)] if work.spec.window else []
    sizes = sizes or [(256, 1), (512, 1), (1024, 1)]
    return [(side or 0, batch, shared) for side, batch in sizes for shared in (True, False)]


def _size(work: Work, side: int) -> float:
    return 1.0 if work.spec.window else side**2 / 1e6


def _rate(module: torch.nn.Module, way: tuple[int, int, bool]) -> float:
    side, batch, _ = way
    calls = max(2, 2**21 // (side**2 * batch))
    _drive(module, way, 2)
    start = time.perf_counter()
    _drive(module, way, calls)
    return calls * side**2 * batch / (time.perf_counter() - start)


def _drive(module: torch.nn.Module, way: tuple[int, int, bool], calls: int) -> None:
    side, batch, shared = way
    rng = np.random.default_rng(0)
    arrays = [rng.random((batch, 4, side, side), dtype=np.float32) for _ in range(4)]
    if not shared:
        for number in range(calls):
            call(module, arrays[number % 4], cores())
        return
    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(lambda n: call(module, arrays[n % 4], 1).shape, range(calls)):
            pass


def xeo_to_zarr(work: Work) -> Callable[[], Done]:
    """Prepare ``embed(...).to_zarr()`` on Dask's threads."""
    network = _xeo_model(work)

    def run() -> Done:
        made = _embed(work, network)
        made.to_zarr(work.out, mode="w", consolidated=False, encoding=work.encoding())
        return Done(work.amount, tasks(made.data), made.data.npartitions)

    return run


def xeo_write(work: Work) -> Callable[[], Done]:
    """Prepare ``xeo.write(embed(...))``, which is what the command ``xeo embed`` does."""
    network = _xeo_model(work)

    def run() -> Done:
        made = _embed(work, network)
        if not work.compress:
            made.encoding["compressors"] = None
        seen = xeo.write(made, work.out, overwrite=True, progress=False, profile=True)
        assert seen is not None
        return Done(
            work.amount, 0, made.data.npartitions,
            note=f"{seen.backend}; {seen.bound} binds", told=_told(seen),
        )  # fmt: skip

    return run


def _told(seen: Any) -> str:
    """Return the profile of a run, and what was tried before it."""
    lines = [str(seen)]
    for trial in getattr(seen.choice, "trials", ()):
        size = "" if trial.side is None else f" of {trial.side} px"
        rate = "not timed" if trial.rate is None else f"{trial.rate:.4g}/s"
        differs = "" if trial.difference is None else f", difference {trial.difference:.0e}"
        told = trial.why or f"{rate}{differs}, {trial.prepare:.1f} s to prepare"
        lines.append(f"tried {trial.backend}, {trial.batch}{size} a call: {told}")
    if getattr(seen.choice, "remembered", False):
        lines.append("tried by an earlier run")
    return "\n".join(lines)


def _xeo_model(work: Work) -> Any:
    network = model(work.net)
    side = work.spec.window or 64
    network(np.zeros((1, 4, side, side), np.float32))
    return network


def _embed(work: Work, network: Any) -> xr.DataArray:
    cube = xeo.open_cube(work.cube)
    assert isinstance(cube, xr.Dataset)
    dates = cube.time.values[: work.dates]
    made = xeo.embed(cube, network, dates=dates, chunk=work.chunk, backend=work.backend)
    assert isinstance(made, xr.DataArray)
    return made


def loop(work: Work) -> Callable[[], Done]:
    """Prepare a plain loop of slices.

    As shipped: a tile at a time, read and written as it comes. Tuned: blocks of several tiles
    near the store's chunks, all dates of a chunk decoded at once, every core inside the model.
    """
    module = work.module()
    spec = work.spec
    side = _side(work) if work.tuned else (spec.window or 512)
    dates = work.chunk_dates if work.tuned else 1

    def run() -> Done:
        source = work.array()
        cells = -(-work.size // spec.stride)
        shape = (work.dates, spec.channels, cells, cells)
        step = side // spec.stride
        out = work.create(shape, (dates, spec.channels, min(step, cells), min(step, cells)))
        for first in range(0, work.dates, dates):
            for y in range(0, work.size, side):
                for x in range(0, work.size, side):
                    made, place = _loop_block(work, module, source, (first, dates), (y, x), side)
                    out[place] = made
        ragged = bool(spec.window) and not work.tuned and work.size % side
        return Done(work.amount, note="windows at the border padded from a sliver" * bool(ragged))

    return run


def _loop_block(
    work: Work,
    module: torch.nn.Module,
    source: Any,
    when: tuple[int, int],
    corner: tuple[int, int],
    side: int,
) -> tuple[Array, tuple[slice, ...]]:
    margin, stride = work.spec.margin, work.spec.stride
    first, last = when[0], min(when[0] + when[1], work.dates)
    read, keep, place = [], [], []
    for start in corner:
        begin, end = max(0, start - margin), min(work.size, start + side + margin)
        stop = min(start + side, work.size)
        read.append(slice(begin, end))
        keep.append(slice((start - begin) // stride, -(-(stop - begin) // stride)))
        place.append(slice(start // stride, -(-stop // stride)))
    raw = source[first:last, :, read[0], read[1]]
    # One loop has the machine to itself: every core inside the model, tuned or not.
    parts = [_alone(work, module, raw[i : i + 1]) for i in range(len(raw))]
    made = np.concatenate(parts)[..., keep[0], keep[1]]
    return made, (slice(first, last), slice(None), *place)


def _alone(work: Work, module: torch.nn.Module, raw: Array) -> Array:
    untied = Work(work.net, work.cube, work.dates, work.size, work.chunk_dates, tuned=False)
    return run_block(untied, module, raw)


def xbatcher(work: Work) -> Callable[[], Done]:
    """Prepare xbatcher with a torch DataLoader.

    It has no way to put batches together again: they are written as they come. Tiles that hang
    over the border are dropped. As shipped: one patch after the other from the Dask-backed cube.
    Tuned: the dates of one chunk are read at once, and patches are cut from memory.
    """
    from torch.utils.data import DataLoader
    from xbatcher import BatchGenerator
    from xbatcher.loaders.torch import MapDataset

    module, spec = work.module(), work.spec
    halo = spec.margin
    side = (spec.window or 512) + 2 * halo
    per_axis = (work.size - 2 * halo) // (side - 2 * halo)

    def run() -> Done:
        cells = (side - 2 * halo) // spec.stride
        out = work.create(
            (work.dates * per_axis**2, spec.channels, cells, cells),
            (1, spec.channels, cells, cells),
        )
        done = 0
        for cube in _pieces(work):
            patches = BatchGenerator(
                cube,
                input_dims={"time": 1, "band": 4, "y": side, "x": side},
                input_overlap={"y": 2 * halo, "x": 2 * halo} if halo else {},
                preload_batch=False,
            )
            data = MapDataset(patches, transform=lambda p: torch.from_numpy(decode(p.values[0])))
            for batch in DataLoader(data, batch_size=4 if spec.window else 1):
                made = call(module, batch.numpy())
                edge = halo // spec.stride
                out[done : done + len(made)] = made[..., edge : edge + cells, edge : edge + cells]
                done += len(made)
        amount = done * (1.0 if spec.window else (side - 2 * halo) ** 2 / 1e6)
        note = f"{per_axis**2} whole tiles a date, borders dropped"
        return Done(amount, layout="patches", offset=halo // spec.stride, note=note)

    return run


def _pieces(work: Work) -> list[xr.DataArray] | Any:
    if not work.tuned:
        return [work.opened({})]
    cube = work.opened(None)
    starts = range(0, work.dates, work.chunk_dates)
    return (cube.isel(time=slice(s, s + work.chunk_dates)).load() for s in starts)


def apply_ufunc(work: Work) -> Callable[[], Done]:
    """Prepare ``xr.apply_ufunc(dask="parallelized")``.

    For the ViT the cube is folded into tiles first (tiles over the border are trimmed); it has
    no halo, so the U-Net's output has seams.
    """
    module = work.module()
    return partial(_ufunc_tiles if work.spec.window else _ufunc_pixels, work, module)


def _ufunc_tiles(work: Work, module: torch.nn.Module) -> Done:
    side, spec = work.spec.window or 0, work.spec
    block = _side(work) if work.tuned else side
    cube = work.opened({}).chunk(y=block, x=block)
    folded = cube.coarsen(y=side, x=side, boundary="trim").construct(
        y=("row", "py"), x=("column", "px")
    )

    def vectors(raw: Array) -> Array:
        made = run_windows(module, decode(raw).reshape(-1, *raw.shape[-3:]), 4, work.threads)
        return made.reshape(*raw.shape[:-3], *made.shape[1:])

    cells = side // spec.stride
    made = xr.apply_ufunc(
        vectors,
        folded,
        input_core_dims=[["band", "py", "px"]],
        output_core_dims=[["channel", "cy", "cx"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"channel": spec.channels, "cy": cells, "cx": cells}},
    )
    count = folded.sizes["row"] * folded.sizes["column"]
    note = f"{count} whole tiles a date, borders dropped"
    return _written(work, made, amount=work.dates * count, layout="tiles", note=note)


def _ufunc_pixels(work: Work, module: torch.nn.Module) -> Done:
    def vectors(raw: Array) -> Array:
        return np.moveaxis(run_block(work, module, np.moveaxis(raw, -1, 1)), 1, -1)

    made = xr.apply_ufunc(
        vectors,
        work.opened({}),
        input_core_dims=[["band"]],
        output_core_dims=[["channel"]],
        dask="parallelized",
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"channel": work.spec.channels}},
    )
    note = "no halo: seams" if work.spec.margin else ""
    return _written(work, made.transpose("time", "channel", "y", "x"), note=note)


def map_blocks(work: Work) -> Callable[[], Done]:
    """Prepare ``dask.array.map_blocks`` with the module in a closure."""
    module, spec = work.module(), work.spec
    block = (_side(work) if work.tuned else 448) if spec.window else 512

    def run() -> Done:
        raw = work.opened({}).data.rechunk({2: block, 3: block})
        made = raw.map_blocks(
            lambda values: run_block(work, module, values),
            chunks=_chunks(work, raw.chunks),
            dtype=np.float32,
            meta=np.empty((0, 0, 0, 0), np.float32),
        )
        return _written(work, xr.DataArray(made, dims=("time", "channel", "y", "x")))

    return run


def map_overlap(work: Work) -> Callable[[], Done]:
    """Prepare ``dask.array.map_overlap`` (its three steps, since the channels change)."""
    module = work.module()
    margin = work.spec.margin

    def run() -> Done:
        raw = work.opened({}).data
        depth = {0: 0, 1: 0, 2: margin, 3: margin}
        wide = da.overlap.overlap(raw, depth=depth, boundary="none")
        made = wide.map_blocks(
            lambda values: run_block(work, module, values),
            chunks=_chunks(work, wide.chunks),
            dtype=np.float32,
            meta=np.empty((0, 0, 0, 0), np.float32),
        )
        kept = da.overlap.trim_internal(made, depth, boundary="none")
        return _written(work, xr.DataArray(kept, dims=("time", "channel", "y", "x")))

    return run


def _chunks(work: Work, chunks: tuple[tuple[int, ...], ...]) -> tuple[Any, ...]:
    cells = [tuple(-(-n // work.spec.stride) for n in sizes) for sizes in chunks[2:]]
    return (chunks[0], (work.spec.channels,), *cells)


def _side(work: Work) -> int:
    """Side of a tuned block: as many windows as fit into 1024 pixels, or one chunk."""
    return 1024 // work.spec.window * work.spec.window if work.spec.window else 512


def _written(work: Work, made: xr.DataArray, amount: float | None = None, **said: Any) -> Done:
    count = tasks(made.data)
    dataset = made.rename(NAME).drop_vars(list(made.coords)).to_dataset()
    # Zarr wants equal chunks; trimming leaves the first and last ones shorter or longer.
    if any(len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0] for sizes in made.data.chunks):
        dataset = dataset.chunk({dim: max(n) for dim, n in dataset.chunks.items()})
    dataset.to_zarr(work.out, mode="w", consolidated=False, encoding=work.encoding())
    whole = work.amount if amount is None else amount
    return Done(whole, count, made.data.npartitions, **said)


def tasks(array: Any) -> int:
    """Return how many tasks Dask runs for an array, fused as it would."""
    (optimized,) = dask.optimize(array)
    return len(dict(optimized.__dask_graph__()))


ROWS: dict[str, Callable[[Work], Callable[[], Done]]] = {
    "limit": limit,
    "xeo_to_zarr": xeo_to_zarr,
    "xeo_write": xeo_write,
    "loop": loop,
    "xbatcher": xbatcher,
    "apply_ufunc": apply_ufunc,
    "map_blocks": map_blocks,
    "map_overlap": map_overlap,
}
