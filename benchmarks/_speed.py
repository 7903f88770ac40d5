"""Sections of speed and of memory: video beside xarrayvideo, parts of a large store, cores."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from _clock import Timed, best_of
from _films import Film, Studio, ours, stand_in, xarrayvideo
from _machine import measure
from _real import CUBES, Cube, bolzano
from _verdict import Verdict
from numpy.typing import NDArray

OUT = Path(__file__).parent / "out"
#: Rate factors of xarrayvideo at which times are compared.
_CRFS = (8, 16)
_LARGE_CRF = 12
_CHUNK = 256
#: Blocks of 512 x 512, of which the small and the large cube of the memory section are made.
_SMALL, _TIMES = (1, 2), 10


def speed(args: argparse.Namespace) -> Iterator[Verdict]:
    """Print the tables of speed; yield what must hold."""
    names = [name for name in args.cubes if CUBES[name]().values.shape[1] > 1]
    yield from _against_xarrayvideo([CUBES[name]() for name in names], args)
    yield from _parts(args)
    yield from _cores(args)


def memory(args: argparse.Namespace) -> Iterator[Verdict]:
    """Compress a cube and one ten times larger in fresh processes; compare their peaks."""
    OUT.mkdir(exist_ok=True)
    print("\n### Memory when the cube grows ten times, two workers\n")
    print("| target | cube | peak MB | seconds |\n|---|---|---|---|")
    for target in ({"max_error": 0.002, "effort": 3}, {"psnr": 40.0}):
        told = ", ".join(f"{key}={value}" for key, value in target.items())
        peaks = []
        for blocks in (_SMALL, (_SMALL[0] * _TIMES // 2, _SMALL[1] * 2)):
            source = _tiled(blocks)
            job = {"source": str(source), "target": target, "out": str(OUT / "compressed.zarr")}
            seen = measure("_compress_row.py", json.dumps(job), env={"OMP_NUM_THREADS": "1"})
            shutil.rmtree(OUT / "compressed.zarr", ignore_errors=True)
            shape = " x ".join(map(str, seen["shape"]))
            print(f"| {told} | {shape} | {seen['peak']:.0f} | {seen['wall']:.1f} |", flush=True)
            peaks.append(seen["peak"])
        growth = peaks[1] / peaks[0]
        what = f"memory of a cube ten times larger, {told}"
        yield Verdict(what, "<= 1.10 times", f"{growth:.2f} times", growth <= 1.10)


@contextmanager
def cores(count: int) -> Iterator[None]:
    """Keep this process and its children on so many cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(every)[:count]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def _theirs(args: argparse.Namespace, points: tuple[float, ...]) -> Studio:
    if args.xarrayvideo_python:
        return xarrayvideo(args.xarrayvideo_python, points)
    return stand_in(points)


def _psnr(cube: Cube, film: Film) -> float:
    usual = ~cube.missing
    error = (film.values.astype(np.float64) - cube.values)[usual]
    return float(10 * np.log10(cube.peak**2 / np.mean(error**2)))


def _quality(cube: Cube, psnr: float, **settings: Any) -> float:
    """Return the quality at which ours has a PSNR, to a tenth of a decibel or nearly so."""
    low, high = 0.0, 100.0
    for _ in range(8):
        middle = (low + high) / 2
        film = ours("", (middle,), **settings).code(cube.values, cube, (middle,), 1)[0]
        found = _psnr(cube, film)
        if abs(found - psnr) < 0.1:
            return middle
        low, high = (middle, high) if found < psnr else (low, middle)
    return (low + high) / 2


def _against_xarrayvideo(cubes: list[Cube], args: argparse.Namespace) -> Iterator[Verdict]:
    rows: dict[tuple[str, int], list[list[float]]] = {}
    for count in (1, 2):
        told = "one chunk, one core" if count == 1 else "two chunks in two threads, two cores"
        print(f"\n### One cube, ours as {told}\n")
        print(
            "| cube | coder | bpppb | PSNR | encode Mvalue/s (CPU) | beside (CPU) | "
            "decode Mvalue/s (CPU) | beside (CPU) |\n|---|---|---|---|---|---|---|---|"
        )
        for cube in cubes:
            # A cube that is smaller than a chunk is never cut in two.
            if count > 1 and cube.values.shape[2] <= _CHUNK:
                continue
            for crf in _CRFS[:1] if args.quick else _CRFS:
                for name, ratios in _pair(cube, crf, count, args):
                    rows.setdefault((name, count), []).append(ratios)
    targets = {"medium": (2.0, 3.0), "default": (3.0, 3.0)}
    for (name, count), ratios in rows.items():
        faster = np.exp(np.mean(np.log(ratios), axis=0))
        for verb, found, least in zip(("encoding", "decoding"), faster, targets[name], strict=True):
            what = f"{verb} at equal PSNR, preset {name}, beside xarrayvideo's medium, {count} core"
            yield Verdict(
                what + "s" * (count > 1), f">= {least:.0f} times", f"{found:.2f}", found >= least
            )


def _pair(
    cube: Cube, crf: float, count: int, args: argparse.Namespace
) -> Iterator[tuple[str, list[float]]]:
    """Print xarrayvideo at a rate factor, and ours with its PSNR; yield how much faster ours is."""
    studio = _theirs(args, (crf,))
    with cores(count):
        base = studio.code(cube.values, cube, (crf,), args.rounds)[0]
    psnr = _psnr(cube, base)
    _row(cube, f"{studio.name}, CRF {crf}", base, psnr, None)
    for name, settings in (("medium", {"preset": "medium"}), ("default", {})):
        point = _quality(cube, psnr, **settings)
        with cores(count):
            film = _halves(cube, point, settings, count, args.rounds)
        told = f"xeo.video, preset {name}, quality {point:.1f}"
        ratios = _row(cube, told, film, _psnr(cube, film), base)
        yield name, ratios


def _halves(cube: Cube, quality: float, settings: dict[str, Any], count: int, rounds: int) -> Film:
    """Code a cube with ours in ``count`` chunks, each in its own thread."""
    from xeo.codecs.video import VideoCodec

    codec = VideoCodec(quality=quality, nodata=cube.nodata, **settings)
    parts = [np.ascontiguousarray(part) for part in np.array_split(cube.values, count, axis=2)]
    with ThreadPoolExecutor(count) as pool:
        coded = best_of(rounds, lambda: list(pool.map(codec.encode_array, parts)))
        made = best_of(rounds, lambda: list(pool.map(codec.decode_array, coded.value)))
    values = np.concatenate(made.value, axis=2)
    size = sum(map(len, coded.value))
    return Film(size, values, Timed(None, coded.wall, coded.cpu), Timed(None, made.wall, made.cpu))


def _row(cube: Cube, name: str, film: Film, psnr: float, base: Film | None) -> list[float]:
    size = cube.values.size
    base = base or film
    pairs = ((base.encode, film.encode), (base.decode, film.decode))
    ratios = [theirs.wall / mine.wall for theirs, mine in pairs]
    spelt = [f"{t.wall / m.wall:.2f} ({t.cpu / max(m.cpu, 1e-9):.2f})" for t, m in pairs]
    cells = [
        cube.name, name, f"{8 * film.bytes / size:.3f}", f"{psnr:.2f}", film.encode.rate(size),
        spelt[0], film.decode.rate(size), spelt[1],
    ]  # fmt: skip
    print("| " + " | ".join(cells) + " |", flush=True)
    return ratios


def _large(side: int) -> NDArray[Any]:
    """Return the real cube, tiled: each tile turned otherwise, so that borders are plausible."""
    block = bolzano(512).values
    count = side // 512
    rows = []
    for y in range(count):
        row = [block[..., :: 1 - 2 * (y % 2), :: 1 - 2 * (x % 2)] for x in range(count)]
        rows.append(np.concatenate(row, axis=3))
    return np.concatenate(rows, axis=2)


def _parts(args: argparse.Namespace) -> Iterator[Verdict]:
    """Time the reading of one chunk, and of one date of it, beside a whole archive."""
    from xeo.codecs.video import VideoCodec

    side = 1024 if args.quick else args.large
    values = _large(side)
    path = OUT / "large.zarr"
    codec = VideoCodec(nodata=(0.0,))
    _write_large(path, values, codec)
    base = bolzano(512)
    cube = Cube("large", values, base.bands, base.nodata, base.peak, base.peak_label, ())
    with cores(1):
        rounds = max(args.rounds, 3)
        chunk = best_of(rounds, lambda: _read(path, slice(None)))
        date = best_of(rounds, lambda: _read(path, slice(3, 4)))
        every = best_of(1, lambda: _read_all(path))
        studio = _theirs(args, (_LARGE_CRF,))
        film = studio.code(values, cube, (_LARGE_CRF,), 1)[0]
    shape = " x ".join(map(str, values.shape))
    print(f"\n### Parts of a large cube ({shape}), opening included, one core\n")
    print("| what is read | seconds | CPU |\n|---|---|---|")
    table = (
        (f"{studio.name}: everything, as it must", film.decode),
        ("xeo.video: everything", every),
        (f"xeo.video: one chunk of {_CHUNK} x {_CHUNK}, all dates", chunk),
        ("xeo.video: one date of that chunk", date),
    )
    for what, timed in table:
        print(f"| {what} | {timed.wall:.3f} | {timed.cpu:.3f} |", flush=True)
    faster = film.decode.wall / chunk.wall
    what = f"reading one chunk of {side} x {side}, beside xarrayvideo's whole file"
    yield Verdict(what, ">= 20 times", f"{faster:.1f}", faster >= 20)
    sooner = chunk.wall / date.wall
    yield Verdict("one date beside all of a chunk", "> 1 times", f"{sooner:.2f}", sooner > 1)


def _write_large(path: Path, values: NDArray[Any], codec: Any) -> None:
    """Write the chunks of four tiles, and copy what repeats."""
    shutil.rmtree(path, ignore_errors=True)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array(
        "s2", shape=values.shape, chunks=(*values.shape[:2], _CHUNK, _CHUNK), dtype=values.dtype,
        serializer=codec, compressors=None, dimension_names=("time", "band", "y", "x"),
        fill_value=0,
    )  # fmt: skip
    array[..., :1024, :1024] = values[..., :1024, :1024]
    period, count = 1024 // _CHUNK, values.shape[2] // _CHUNK
    chunks = path / "s2" / "c" / "0" / "0"
    for y in range(count):
        for x in range(count):
            if max(y, x) >= period:
                (chunks / str(y)).mkdir(exist_ok=True)
                shutil.copy(chunks / str(y % period) / str(x % period), chunks / str(y) / str(x))


def _read(path: Path, dates: slice) -> NDArray[Any]:
    found = xr.open_zarr(path, chunks=None, consolidated=False)["s2"]
    return found[dates, :, _CHUNK : 2 * _CHUNK, _CHUNK : 2 * _CHUNK].values


def _read_all(path: Path) -> NDArray[Any]:
    return xr.open_zarr(path, chunks=None, consolidated=False)["s2"].values


def _cores(args: argparse.Namespace) -> Iterator[Verdict]:
    """Code chunks one after another, then two at a time."""
    from xeo.codecs.bounded import BoundedCodec
    from xeo.codecs.video import VideoCodec

    values = bolzano(512).values
    parts = [
        np.ascontiguousarray(values[..., y : y + _CHUNK, x : x + _CHUNK])
        for y in (0, _CHUNK)
        for x in (0, _CHUNK)
    ]
    size = sum(part.size for part in parts)
    print("\n### Four chunks, one thread and two\n")
    print("| codec | | one: Mvalue/s (CPU) | two: Mvalue/s (CPU) | ratio |\n|---|---|---|---|---|")
    for codec in (VideoCodec(nodata=(0.0,)), BoundedCodec(max_error=20.0, nodata=(0.0,))):
        data = [codec.encode_array(part) for part in parts]
        works = (("encode", codec.encode_array, parts), ("decode", codec.decode_array, data))
        for verb, call, items in works:
            with ThreadPoolExecutor(2) as pool:
                one = best_of(args.rounds, lambda c=call, i=items: list(map(c, i)))
                two = best_of(args.rounds, lambda c=call, i=items, p=pool: list(p.map(c, i)))
            ratio = one.wall / two.wall
            print(
                f"| {codec.name} | {verb} | {one.rate(size)} | {two.rate(size)} | {ratio:.2f} |",
                flush=True,
            )
            if verb == "encode":
                what = f"two cores beside one, {codec.name}, {verb}"
                yield Verdict(what, ">= 1.7 times", f"{ratio:.2f}", ratio >= 1.7)


def _tiled(blocks: tuple[int, int]) -> Path:
    """Return a plain store of the real cube repeated, made if it is not there."""
    path = OUT / f"tiled_{blocks[0]}x{blocks[1]}.zarr"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    base = bolzano(512)
    shape = (*base.values.shape[:2], 512 * blocks[0], 512 * blocks[1])
    attrs = {"reflectance_scale_factor": 1e-4, "reflectance_add_offset": 0.0, "_nodata": 0}
    group = zarr.open_group(part, mode="w", zarr_format=3)
    array = group.create_array(
        "reflectance", shape=shape, chunks=(*shape[:2], _CHUNK, _CHUNK), dtype="uint16",
        dimension_names=("time", "band", "y", "x"), attributes=attrs, fill_value=0,
    )  # fmt: skip
    for y in range(blocks[0]):
        for x in range(blocks[1]):
            array[..., 512 * y : 512 * (y + 1), 512 * x : 512 * (x + 1)] = base.values
    part.rename(path)
    return path
