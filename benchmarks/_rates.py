"""Section of rates and distortions: ours and others over a range of qualities."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from _films import Film, Studio, jpeg_2000_lossy, jpeg_xl_lossy, ours, stand_in, xarrayvideo
from _real import CUBES, Cube
from _verdict import Verdict
from scipy.interpolate import PchipInterpolator

#: Of ``xeo.video``: what covers the distortions of xarrayvideo at its rate factors 4 to 30.
QUALITIES = (40, 46, 52, 58, 64, 70, 76, 82, 88)
AV1_QUALITIES = (30, 40, 50, 60, 70, 80, 90)
OURS, THEIRS = "xeo.video", "xarrayvideo"
#: Bjontegaard rate beside xarrayvideo: on each cube, and their mean.
EACH, MEAN = -40.0, -50.0
#: Distortions that two curves must share before a comparison says anything, in dB.
_SHARED = 3.0
_RATES = (0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True)
class Curve:
    """Bits per pixel per band, and PSNR, of one coder."""

    name: str
    bits: tuple[float, ...]
    psnr: tuple[float, ...]

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
        whole = _curves(cube, 0, args)
        _print(cube, "one chunk", whole)
        layouts = {"one chunk": (whole[0], whole[1])}
        if max(cube.values.shape[2:]) > args.chunk > 0:
            cut = _curves(cube, args.chunk, args)
            _print(cube, f"chunks of {args.chunk}", cut)
            layouts[f"chunks of {args.chunk}"] = (cut[0], cut[1])
            gain, *_ = bjontegaard(whole[0], cut[1])
            print(f"\nOurs in chunks beside {whole[0].name} on the whole cube: {gain:+.1f} %.")
        for layout, (theirs, mine) in layouts.items():
            gain, *_ = bjontegaard(theirs, mine)
            gains.setdefault(layout, []).append(gain)
            what = f"rate of video, {name}, {layout}, beside {theirs.name}"
            yield Verdict(what, f"<= {EACH:.0f} %", f"{gain:+.1f} %", gain <= EACH)
    every = [np.mean(one) for one in gains.values()]
    for layout, mean in zip(gains, every, strict=True):
        count = len(gains[layout])
        what = f"rate of video, mean of {count} cubes, {layout}"
        yield Verdict(what, f"<= {MEAN:.0f} %", f"{mean:+.1f} %", bool(mean <= MEAN))


def studios(args: argparse.Namespace) -> list[Studio]:
    """Return all coders, xarrayvideo first and ours second."""
    python = args.xarrayvideo_python
    base = xarrayvideo(python) if python else stand_in()
    step = 2 if args.quick else 1
    own = ours(f"{OURS}, x265 medium", QUALITIES[::step])
    av1 = ours(f"{OURS}, SVT-AV1", AV1_QUALITIES[::step], encoder="svtav1")
    slow = ours(f"{OURS}, x265 slow", QUALITIES[::step], preset="slow")
    rest = [] if args.quick else [slow, jpeg_xl_lossy(), jpeg_2000_lossy()]
    return [base, own, av1, *rest]


def _curves(cube: Cube, side: int, args: argparse.Namespace) -> list[Curve]:
    return [_curve(cube, side, studio) for studio in studios(args)]


def _curve(cube: Cube, side: int, studio: Studio) -> Curve:
    """Code every chunk at every point; add up bytes and squares of errors over usual values."""
    sizes = np.zeros(len(studio.points))
    squares = np.zeros(len(studio.points))
    usual = ~cube.missing
    for rows, columns in cube.chunks(side):
        part = np.ascontiguousarray(cube.values[..., rows, columns])
        films = studio.code(part, cube, studio.points, 1)
        seen = usual[..., rows, columns]
        sizes += [film.bytes for film in films]
        squares += [_squares(part, film, seen) for film in films]
    bits = 8 * sizes / cube.values.size
    psnr = 10 * np.log10(cube.peak**2 / (squares / usual.sum()))
    return Curve(studio.name, tuple(bits), tuple(psnr))


def _squares(part: np.ndarray, film: Film, seen: np.ndarray) -> float:
    error = film.values.astype(np.float64) - part
    return float(np.sum(np.square(error), where=seen))


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
