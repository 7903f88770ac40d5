"""Sections of lossless and of bounded coding: ours beside all others, chunk by chunk."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _bounded import BOUNDED, Peer, Scale, worst
from _clock import Timed, best_of
from _coders import LOSSLESS, Array, Coder, choose, size
from _real import CUBES, Bound, Cube
from _verdict import Verdict
from numpy.typing import NDArray

#: What the four and the nine bands of WorldCereal may take, in bits.
LOSSLESS_TARGET = {"worldcereal9": 5.16}
BOUNDED_TARGET = {("worldcereal4", "0.002"): 2.96, ("worldcereal4", "0.005"): 1.98}
#: How far from the best peer we may be.
CLOSE = 1.03
#: A peer chooses its arrangement on no more values than that.
_SAMPLE = 1_500_000
OURS = "xeo"


@dataclass(frozen=True)
class Row:
    """A coder's line: bytes, largest error in bounds (0 where exact), times, how it was fed."""

    name: str
    bytes: int
    error: float
    encode: Timed[Any]
    decode: Timed[Any]
    note: str = ""


def lossless(args: argparse.Namespace) -> Iterator[Verdict]:
    """Print a table a cube; yield what must hold."""
    for name in args.cubes:
        cube = CUBES[name]()
        rows = [_ours_lossless(cube, args), *(_exact(cube, one, args) for one in LOSSLESS)]
        _print(f"Lossless, {_told(cube, args.chunk)}", cube, rows, "exact")
        best = min(row.bytes for row in rows[1:] if row.error == 0)
        ratio = rows[0].bytes / best
        yield Verdict(f"lossless {name}: every bit comes back", "exact", "", rows[0].error == 0)
        if name in LOSSLESS_TARGET:
            bits = _bits(cube, rows[0])
            most = LOSSLESS_TARGET[name]
            yield Verdict(f"lossless {name}", f"<= {most} bpppb", f"{bits:.2f}", bits <= most)
            yield Verdict(f"lossless {name}: smallest", "<= 1", f"{ratio:.3f}", ratio <= 1)
        else:
            what = f"lossless {name}: beside the best peer"
            yield Verdict(what, f"<= {CLOSE}", f"{ratio:.3f}", ratio <= CLOSE)


def bounded(args: argparse.Namespace) -> Iterator[Verdict]:
    """Print a table a cube and bound; yield what must hold."""
    for name in args.cubes:
        cube = CUBES[name]()
        for bound in cube.bounds:
            rows = [_ours_bounded(cube, bound, args)]
            rows += [_bound(cube, bound, one, args) for one in BOUNDED]
            title = f"Bounded, error at most {bound.label}, {_told(cube, args.chunk)}"
            _print(title, cube, rows, "largest error / bound")
            yield from _verdicts(cube, bound, rows)


def _verdicts(cube: Cube, bound: Bound, rows: Sequence[Row]) -> Iterator[Verdict]:
    what = f"bounded {cube.name} {bound.label}"
    first = rows[0]
    yield Verdict(f"{what}: the bound holds", "<= 1", f"{first.error:.6f}", first.error <= 1)
    most = BOUNDED_TARGET.get((cube.name, bound.label))
    if most is not None:
        bits = _bits(cube, first)
        yield Verdict(what, f"<= {most} bpppb", f"{bits:.2f}", bits <= most)
    ratio = first.bytes / min(row.bytes for row in rows[1:] if row.error <= 1)
    yield Verdict(f"{what}: beside the best peer", f"<= {CLOSE}", f"{ratio:.3f}", ratio <= CLOSE)


def _ours_lossless(cube: Cube, args: argparse.Namespace) -> Row:
    from xeo.codecs.lossless import LosslessCodec

    codec = LosslessCodec(nodata=cube.nodata)
    made, encode, decode = _rounds(
        cube, args, lambda part, _: codec.encode_array(part), codec.decode_array
    )
    same = made.tobytes() == cube.values.tobytes()
    return Row(OURS, sum(map(len, encode.value)), 0 if same else np.inf, encode, decode)


def _ours_bounded(cube: Cube, bound: Bound, args: argparse.Namespace) -> Row:
    from xeo.codecs.bounded import BoundedCodec

    codec = BoundedCodec(
        max_error=bound.absolute, relative_error=bound.relative, nodata=cube.nodata
    )
    made, encode, decode = _rounds(
        cube, args, lambda part, _: codec.encode_array(part), codec.decode_array
    )
    missing = cube.missing
    error = worst(cube.values, made, missing if missing.any() else None, bound)
    return Row(OURS, sum(map(len, encode.value)), error, encode, decode)


def _exact(cube: Cube, coder: Coder, args: argparse.Namespace) -> Row:
    sample = _sample(cube, args.chunk)
    plan = choose(coder, sample)
    made, encode, decode = _rounds(
        cube,
        args,
        lambda part, _: (coder.pack(part, plan), part.shape),
        lambda one: coder.unpack(one[0], plan, one[1], cube.values.dtype),
    )
    same = np.array_equal(made, cube.values, equal_nan=cube.values.dtype.kind == "f")
    total = sum(size(pieces) for pieces, _ in encode.value)
    return Row(coder.name, total, 0 if same else np.inf, encode, decode, str(plan))


def _bound(cube: Cube, bound: Bound, peer: Peer, args: argparse.Namespace) -> Row:
    scale = Scale.of(bound, cube.values)
    missing = cube.missing
    sample = _sample(cube, args.chunk)
    gaps = missing[: sample.shape[0], :, : sample.shape[2], : sample.shape[3]]
    plan = peer.plan(sample, gaps if gaps.any() else None, scale)
    made, encode, decode = _rounds(
        cube,
        args,
        lambda part, gap: peer.pack(part, gap if gap.any() else None, scale, plan),
        lambda coded: peer.unpack(coded, scale),
    )
    error = worst(cube.values, made, missing if missing.any() else None, bound)
    total = sum(size(coded.pieces) for coded in encode.value)
    return Row(peer.name, total, error, encode, decode, str(plan))


def _rounds(
    cube: Cube,
    args: argparse.Namespace,
    encode: Callable[[Array, NDArray[np.bool_]], Any],
    decode: Callable[[Any], Array],
) -> tuple[Array, Timed[list[Any]], Timed[list[Array]]]:
    """Code every chunk, decode it; return the cube again, and the times."""
    where = list(cube.chunks(args.chunk))
    parts = [np.ascontiguousarray(cube.values[..., y, x]) for y, x in where]
    missing = cube.missing
    gaps = [np.ascontiguousarray(missing[..., y, x]) for y, x in where]
    coded = best_of(args.rounds, lambda: [encode(p, g) for p, g in zip(parts, gaps, strict=True)])
    decoded = best_of(args.rounds, lambda: [decode(one) for one in coded.value])
    made = np.empty_like(cube.values)
    for (y, x), part in zip(where, decoded.value, strict=True):
        made[..., y, x] = part
    return made, coded, decoded


def _sample(cube: Cube, side: int) -> Array:
    """Return the first chunk, as many of its dates as a choice needs."""
    rows, columns = next(cube.chunks(side))
    part = cube.values[..., rows, columns]
    dates = max(2, _SAMPLE // (part.size // len(part)))
    return np.ascontiguousarray(part[:dates])


def _told(cube: Cube, side: int) -> str:
    shape = " x ".join(map(str, cube.values.shape))
    chunks = f"chunks of {side} x {side}" if side else "one chunk"
    return f"{cube.name} ({shape} {cube.values.dtype}, {chunks})"


def _bits(cube: Cube, row: Row) -> float:
    return 8 * row.bytes / cube.values.size


def _print(title: str, cube: Cube, rows: Sequence[Row], error: str) -> None:
    print(f"\n### {title}\n")
    print(
        f"| coder | bpppb | beside xeo | ratio | {error} | encode Mvalue/s (CPU) | "
        "decode Mvalue/s (CPU) | arrangement |\n|---|---|---|---|---|---|---|---|"
    )
    for row in sorted(rows, key=lambda row: row.bytes):
        name = f"**{row.name}**" if row.name == OURS else row.name
        held = ("yes" if row.error == 0 else "**no**") if error == "exact" else _spell(row.error)
        cells = [
            name, f"{_bits(cube, row):.3f}", f"{row.bytes / rows[0].bytes:.3f}",
            f"{cube.values.nbytes / row.bytes:.2f}", held, row.encode.rate(cube.values.size),
            row.decode.rate(cube.values.size), row.note,
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)


def _spell(error: float) -> str:
    return f"{error:.4f}" if error <= 1 else f"**{error:.6g}**"
