"""Filling 100 dates of 512 x 512 pixels and 4 bands: kernels beside peers, cores and memory."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from _cubes import OUT
from _machine import measure
from _verdict import Verdict
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from xeo.kernels.climatology import climatology
from xeo.kernels.composites import mean_of, median_of, reduce_groups
from xeo.kernels.harmonic import harmonic
from xeo.kernels.interpolate import linear, nearest, previous
from xeo.kernels.savgol import savgol
from xeo.kernels.whittaker import whittaker

DATES, BANDS, SIDE = 100, 4, 512
#: Series that a peer that goes series by series is timed on.
FEW = 2000
ROUNDS = 3
LAMBDA = 100.0


def series(side: int, dates: int = DATES) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return synthetic values ``(time, band, pixel)``, a mask of all bands, and days.

    Seasons and noise; a third of the dates is cloudy wholly, others in round shapes: 45 % in all.
    """
    rng = np.random.default_rng(0)
    days = 17_000.0 + np.cumsum(rng.integers(1, 8, dates)).astype(float)
    phase = np.sin(2 * np.pi * days / 365.25).astype(np.float32)
    values = rng.normal(0.2, 0.02, (dates, BANDS, side * side)).astype(np.float32)
    values += 0.1 * phase[:, None, None]
    y, x = np.mgrid[:side, :side]
    bad = np.zeros((dates, 1, side, side), bool)
    for date in range(dates):
        if date % 3 == 0:
            bad[date] = True
        elif date % 3 == 1:
            cy, cx = rng.integers(0, side, 2)
            r = side * rng.uniform(0.1, 0.6)
            bad[date] = (y - cy) ** 2 + (x - cx) ** 2 < r**2
    bad = bad.reshape(dates, 1, -1)
    values[np.broadcast_to(bad, values.shape)] = np.nan
    return values, bad, days


def _cpu(call: Callable[[], Any], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def kernels(args: argparse.Namespace) -> Iterator[Verdict]:
    """Processor time of each kernel, a series, on one thread."""
    side = 64 if args.quick else SIDE
    values, bad, days = series(side)
    count = BANDS * side * side
    rounds = 1 if args.quick else ROUNDS
    ours = {
        "linear": lambda: linear(values, bad, days, days),
        "nearest": lambda: nearest(values, bad, days, days),
        "previous": lambda: previous(values, bad, days, days),
        "savgol": lambda: savgol(values, bad, days, days),
        "climatology": lambda: climatology(values, bad, days, days),
        "whittaker, given lambda": lambda: whittaker(values, bad, days, days, lmbda=LAMBDA),
        "harmonic": lambda: harmonic(values, bad, days, days),
    }
    peers = _peers(values, bad, days)
    print(f"\n### Kernels: {DATES} dates, {BANDS} bands, {side} x {side} pixels, one thread\n")
    print("| | microseconds of processor a series |\n|---|---|")
    found = {name: _cpu(call, rounds) / count * 1e6 for name, call in ours.items()}
    found |= {name: _cpu(call, rounds) / FEW * 1e6 for name, call in peers.items()}
    for name, micro in found.items():
        print(f"| {name} | {micro:.3f} |", flush=True)
    for what, peer, least in (
        ("linear", "xarray interpolate_na", 10.0),
        ("linear", "np.interp, series by series", 3.0),
        ("whittaker, given lambda", "whittaker-eilers, series by series", 20.0),
    ):
        ratio = found[peer] / found[what]
        yield Verdict(
            f"{what} beside {peer}", f"{least:g} times", f"{ratio:.1f} times", ratio >= least
        )
    yield _exact(values, bad, days)


def _peers(values: Any, bad: Any, days: Any) -> dict[str, Callable[[], Any]]:
    from whittaker_eilers import WhittakerSmoother

    few = FEW // BANDS
    some = np.ascontiguousarray(values[:, :, :few].reshape(DATES, -1).T)
    gone = np.isnan(some)
    dates = (days * 86_400e9).astype("datetime64[ns]")
    da = xr.DataArray(values[:, :, :few], {"time": dates}, ("time", "band", "pixel"))

    def interp() -> None:
        for one, out in zip(some, gone, strict=True):
            if not out.all():
                np.interp(days, days[~out], one[~out])

    x = days.tolist()

    def eilers() -> None:
        for one, out in zip(some, gone, strict=True):
            weights = (~out).astype(float)
            smoother = WhittakerSmoother(
                lmbda=LAMBDA, order=2, data_length=DATES, x_input=x, weights=weights.tolist()
            )
            smoother.smooth(np.where(out, 0.0, one).astype(float).tolist())

    return {
        "xarray interpolate_na": lambda: da.interpolate_na("time"),
        "np.interp, series by series": interp,
        "whittaker-eilers, series by series": eilers,
    }


def _exact(values: Any, bad: Any, days: Any) -> Verdict:
    from whittaker_eilers import WhittakerSmoother

    some = np.where(bad, 0.0, values)[:, :, :200].astype(np.float64)
    mask = bad[:, :, :200]
    made = whittaker(some, mask, days, days, lmbda=LAMBDA)
    worst = 0.0
    for pixel in range(some.shape[2]):
        weights = (~mask[:, 0, pixel]).astype(float).tolist()
        smoother = WhittakerSmoother(
            lmbda=LAMBDA, order=2, data_length=DATES, x_input=days.tolist(), weights=weights
        )
        for band in range(BANDS):
            peer = np.array(smoother.smooth(some[:, band, pixel].tolist()))
            worst = max(worst, float(np.abs(peer - made[:, band, pixel]).max()))
    return Verdict("whittaker is that of whittaker-eilers", "1e-10", f"{worst:.1e}", worst <= 1e-10)


def composites(args: argparse.Namespace) -> Iterator[Verdict]:
    """Processor time of the group reductions of a composite beside flox and xarray."""
    import flox

    values, bad, days = series(32 if args.quick else 64)
    count = values[0].size
    groups = np.minimum((days - days[0]) // 30, 11).astype(int)
    hidden = np.moveaxis(np.where(bad, np.nan, values), 0, -1)
    dates = (days * 86_400e9).astype("datetime64[ns]")
    da = xr.DataArray(np.where(bad, np.nan, values), {"time": dates}, ("time", "band", "pixel"))

    def peer(func: str) -> Any:
        return flox.groupby_reduce(
            hidden, groups, func=func, engine="flox", expected_groups=np.arange(12)
        )[0]

    print("\n### Composites: 100 dates in 12 periods, one thread, microseconds a series\n")
    print("| | ours | flox | xarray resample |\n|---|---|---|---|")
    for name, reduce in (("median", median_of), ("mean", mean_of)):
        ours = _cpu(partial(reduce_groups, values, bad, groups, 12, reduce)) / count * 1e6
        theirs = _cpu(partial(peer, f"nan{name}")) / count * 1e6
        resampled = _cpu(lambda name=name: getattr(da.resample(time="30D"), name)()) / count * 1e6
        print(f"| {name} | {ours:.3f} | {theirs:.3f} | {resampled:.3f} |", flush=True)
        ratio = theirs / ours
        yield Verdict(f"{name} beside flox", "1 time", f"{ratio:.1f} times", ratio >= 1)


def _store(side: int, dates: int) -> Path:
    """Return a Zarr store of such series, made if it is not there, in chunks of all dates."""
    path = OUT / f"series_{dates}x{side}.zarr"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    chunk = min(side, SIDE)
    values, _, days = series(chunk, dates)
    numbers = np.where(np.isnan(values), 0, np.clip(values, 0, 1) * 1e4 + 1).astype("u2")
    tile = numbers.reshape(dates, BANDS, chunk, chunk)
    group = zarr.create_group(part)
    names = ("time", "band", "y", "x")
    array = group.create_array(
        "reflectance", shape=(dates, BANDS, side, side), chunks=(dates, BANDS, chunk, chunk),
        dtype="u2", fill_value=0, dimension_names=names,
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        attributes={"_nodata": 0, "reflectance_scale_factor": 1e-4},
    )  # fmt: skip
    for y in range(0, side, chunk):
        for x in range(0, side, chunk):
            array[:, :, y : y + chunk, x : x + chunk] = tile
    coords = {
        "time": (days * 86_400).astype("i8"),
        "y": -10.0 * np.arange(side),
        "x": 10.0 * np.arange(side),
    }
    for name, numbers in coords.items():
        attrs = {"units": "seconds since 1970-01-01"} if name == "time" else {}
        group.create_array(name, data=numbers, dimension_names=(name,), attributes=attrs)
    zarr.consolidate_metadata(part)
    part.rename(path)
    return path


def chunks(args: argparse.Namespace) -> Iterator[Verdict]:
    """Fill a cube from store to store, on one core and on two, and look at its memory."""
    side, dates = (256, 40) if args.quick else (1024, DATES)
    path = _store(side, dates)
    chunk = dates * BANDS * min(side, SIDE) ** 2 * 4 / 1e6
    print(f"\n### From store to store: {dates} dates, {BANDS} bands, {side} x {side} pixels\n")
    print("| method | cores | seconds | beside one core | peak MB | in chunks |")
    print("|---|---|---|---|---|---|")
    for method in ("linear", "whittaker", "similar_pixels"):
        found = {}
        for cores in (1, 2):
            one = found[cores] = measure("_clouds_child.py", str(path), method, str(cores))
            used = (one["peak"] - one["before"]) / chunk
            speedup = found[1]["seconds"] / one["seconds"]
            print(
                f"| {method} | {cores} | {one['seconds']:.2f} | {speedup:.2f} | {one['peak']:.0f} "
                f"| {used:.2f} |",
                flush=True,
            )
        yield Verdict(f"{method}, two cores", "1.8 times", f"{speedup:.2f}", speedup >= 1.8)
        yield Verdict(f"{method}, peak memory", "3 chunks", f"{used:.2f}", used <= 3)
