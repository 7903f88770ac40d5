"""Section of rates and distortions: ours and others over a range of qualities."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from _films import (
    Film,
    Studio,
    jpeg_2000_lossy,
    jpeg_xl_lossy,
    ours,
    qualities,
    stand_in,
    xarrayvideo,
)
from _real import CUBES, Cube
from _verdict import Verdict
from scipy.interpolate import PchipInterpolator

#: Rate factors of the encoders in ``xeo.video``, so wide that the curves share most of their PSNR.
X265_CRFS = (0, 4, 8, 12, 16, 20, 24, 28, 32)
AV1_CRFS = (4, 12, 20, 28, 36, 44, 52)
OURS, THEIRS = "xeo.video", "xarrayvideo"
#: Bjontegaard rate beside xarrayvideo: on each cube, and their mean.
EACH, MEAN = -40.0, -50.0
_TASKS = ("nodata exact", "nodata as values")
#: Distortions that two curves must share before a comparison says anything, in dB.
_SHARED = 3.0
_RATES = (0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True)
class Curve:
    """Bits per pixel per band, and PSNR, of one coder; ``every`` counts nodata as values."""

    name: str
    bits: tuple[float, ...]
    psnr: tuple[float, ...]
    every: tuple[float, ...] = ()

    @property
    def careless(self) -> Curve:
        """The same, where nodata are values like others."""
        return Curve(self.name, self.bits, self.every)

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return PSNR and log rate, both rising: points beaten by a cheaper one are left out."""
        kept: list[tuple[float, float]] = []
        for psnr, rate in sorted(zip(self.psnr, np.log(self.bits), strict=True)):
            while kept and kept[-1][1] >= rate:
                kept.pop()
            if not kept or psnr > kept[-1][0] + 1e-6:
                kept.append((psnr, rate))
        psnr, rate = np.array(kept).T
        return psnr, rate

    def at(self, bits: float) -> float:
        """Return the PSNR at a rate, NaN beyond the curve."""
        psnr, rate = self.sorted()
        return float(PchipInterpolator(rate, psnr, extrapolate=False)(np.log(bits)))


def bjontegaard(base: Curve, other: Curve) -> tuple[float, float, float]:
    """Return by how many percent the rate of ``other`` differs at equal PSNR, and over what range.

    The logarithm of the rate, piecewise cubic in PSNR and monotone, is integrated over the PSNR
    that both curves have.
    """
    curves = [one.sorted() for one in (base, other)]
    low = max(psnr[0] for psnr, _ in curves)
    high = min(psnr[-1] for psnr, _ in curves)
    if high - low < _SHARED or min(len(psnr) for psnr, _ in curves) < 3:
        return float("nan"), low, high
    areas = [float(PchipInterpolator(*curve).integrate(low, high)) for curve in curves]
    return 100 * float(np.expm1((areas[1] - areas[0]) / (high - low))), low, high


def rate_distortion(args: argparse.Namespace) -> Iterator[Verdict]:
    """Print a table a cube and chunking; yield what must hold."""
    gains: dict[str, list[float]] = {}
    for name in args.cubes:
        cube = CUBES[name]()
        if cube.values.shape[1] < 2:
            continue
        layouts = {"one chunk": 0, f"chunks of {args.chunk}": args.chunk}
        found: tuple[float, float] | None = None
        for layout, side in layouts.items():
            # A cube that is smaller than a chunk is the same in both.
            if found is None or max(cube.values.shape[2:]) > side > 0:
                found = _compare(cube, side, layout, args)
                yield from _each(f"rate of video, {name}, {layout}", cube, found)
            for task, gain in zip(_TASKS, found, strict=True):
                gains.setdefault(f"{layout}, {task}", []).append(gain)
    for what, every in gains.items():
        mean = float(np.mean(every))
        told = f"rate of video, mean of {len(every)} cubes, {what}"
        yield Verdict(told, f"<= {MEAN:.0f} %", f"{mean:+.1f} %", mean <= MEAN)


def _each(what: str, cube: Cube, found: tuple[float, float]) -> Iterator[Verdict]:
    tasks = zip(_TASKS, found, strict=True) if cube.missing.any() else [("no nodata", found[0])]
    for task, gain in tasks:
        yield Verdict(f"{what}, {task}", f"<= {EACH:.0f} %", f"{gain:+.1f} %", gain <= EACH)


def _compare(cube: Cube, side: int, layout: str, args: argparse.Namespace) -> tuple[float, float]:
    """Print the table of a cube; return our Bjontegaard rates for both tasks.

    Ours keeps nodata to the bit and pays for it, which xarrayvideo cannot. Where there are any,
    a second figure is for the task of xarrayvideo, in which they are values like others.
    """
    curves = [_curve(cube, side, studio) for studio in studios(args)]
    _print(cube, layout, curves)
    exact, *_ = bjontegaard(curves[0], curves[1])
    if not cube.missing.any():
        return exact, exact
    plain = _curve(cube, side, ours(OURS, qualities("x265", X265_CRFS), nodata=()))
    careless, *_ = bjontegaard(curves[0].careless, plain.careless)
    print(f"\nWith nodata as values like others, in rate and PSNR: {careless:+.1f} %.")
    return exact, careless


def studios(args: argparse.Namespace) -> list[Studio]:
    """Return all coders, xarrayvideo first and ours second."""
    python = args.xarrayvideo_python
    base = xarrayvideo(python) if python else stand_in()
    step = 2 if args.quick else 1
    points = qualities("x265", X265_CRFS[::step])
    own = ours(f"{OURS}, x265 medium", points)
    slow = ours(f"{OURS}, x265 slow", points, preset="slow")
    points = qualities("svtav1", AV1_CRFS[::step])
    av1 = ours(f"{OURS}, SVT-AV1 6", points, encoder="svtav1")
    rest = [] if args.quick else [slow, jpeg_xl_lossy(), jpeg_2000_lossy()]
    return [base, own, av1, *rest]


def _curve(cube: Cube, side: int, studio: Studio) -> Curve:
    """Code every chunk at every point; add up bytes and squares of errors."""
    sizes = np.zeros(len(studio.points))
    squares = np.zeros((2, len(studio.points)))
    usual = ~cube.missing
    for rows, columns in cube.chunks(side):
        part = np.ascontiguousarray(cube.values[..., rows, columns])
        films = studio.code(part, cube, studio.points, 1)
        seen = usual[..., rows, columns]
        sizes += [film.bytes for film in films]
        squares += np.transpose([_squares(part, film, seen) for film in films])
    bits = 8 * sizes / cube.values.size
    counts = np.array([[usual.sum()], [usual.size]])
    psnr, every = 10 * np.log10(cube.peak**2 / (squares / counts))
    return Curve(studio.name, tuple(bits), tuple(psnr), tuple(every))


def _squares(part: np.ndarray, film: Film, seen: np.ndarray) -> tuple[float, float]:
    """Return the squares of errors of usual values, and of all."""
    error = np.square(film.values.astype(np.float64) - part)
    return float(np.sum(error, where=seen)), float(np.sum(error))


def _print(cube: Cube, layout: str, curves: Sequence[Curve]) -> None:
    shape = " x ".join(map(str, cube.values.shape))
    print(f"\n### {cube.name} ({shape} {cube.values.dtype}), {layout}, peak {cube.peak_label}\n")
    at = " | ".join(f"dB at {rate}" for rate in _RATES)
    print(f"| coder | beside {curves[0].name} | over dB | {at} | bpppb: PSNR |")
    print("|---" * (4 + len(_RATES)) + "|")
    for curve in curves:
        gain, low, high = bjontegaard(curves[0], curve)
        told = " ".join(f"{b:.3f}: {p:.1f}," for b, p in zip(curve.bits, curve.psnr, strict=True))
        found = [curve.at(rate) for rate in _RATES]
        cells = [
            curve.name, f"{gain:+.1f} %", f"{low:.1f}-{high:.1f}",
            *("" if np.isnan(one) else f"{one:.2f}" for one in found), told.rstrip(","),
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)
