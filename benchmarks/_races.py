"""The sections on speed: three networks, and chunks of many dates."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from _cubes import cube
from _machine import measure
from _turns import EAGER, LIMITS, PICKED, Entry, Found, race, shipped, table, tuned
from _verdict import Verdict
from _work import Work

Races = dict[str, Found]


def vit(args: argparse.Namespace) -> Iterator[Verdict]:
    """The network that computes most: as fast as torch alone, then as fast as the processor."""
    work = _work("vit", args, dates=1 if args.quick else 4, size=1024 if args.quick else 1536)
    peers = ("loop", "xbatcher", "apply_ufunc", "map_blocks")
    # What an expert would do by hand on this kind of processor; no promise is about it.
    packed = tuned("loop", packed=True)
    found = race([EAGER, *LIMITS, PICKED, *_both(peers), packed], work, args)
    limit = _limit(found)
    table(_title("ViT-S/16, windows of 224", work), "windows/s", found, limit)
    eager, picked = found[EAGER.label].rate, found[PICKED.label].rate
    yield _least("ViT, eager torch: of the limit of eager torch alone", eager / limit, 0.95)
    best = max(found[shipped(peer).label].rate for peer in peers)
    yield _least("ViT: beside the best peer as shipped", picked / best, 1.7)
    best = max(found[tuned(peer).label].rate for peer in peers)
    yield _least("ViT: beside the best peer tuned", picked / best, 1.0)
    yield from _chunks_of_dates(args)


def _chunks_of_dates(args: argparse.Namespace) -> Iterator[Verdict]:
    """Run the same cube, stored by one date and by twelve."""
    size = 512 if args.quick else 1536
    work = _work("vit", args, dates=12, size=size)
    other = {"cube": str(cube(12, size, 12)), "chunk_dates": 12}
    rows = [Entry("xeo_write", "by one date"), Entry("xeo_write", "by twelve dates", other)]
    found = race(rows, work, args, base=None)
    table(f"ViT-S/16, windows of 224: 12 dates of {size}²", "windows/s", found, None)
    one, twelve = (each.rate for each in found.values())
    yield _least("ViT: chunks of twelve dates beside chunks of one", twelve / one, 0.9)


def pixel(args: argparse.Namespace) -> Iterator[Verdict]:
    """The network that computes least: reading and writing decide."""
    work = _work("mlp", args, dates=2 if args.quick else 12, size=1024 if args.quick else 2048)
    peers = ("loop", "xbatcher", "apply_ufunc", "map_blocks")
    found = race([EAGER, *LIMITS, PICKED, *_both(peers)], work, args)
    table(_title("Per-pixel network", work), "Mpx/s", found, _limit(found))
    rate = found[PICKED.label].rate
    ratio = {label: rate / one.rate for label, one in found.items()}
    yield _least("Per-pixel: beside apply_ufunc as shipped", ratio["apply_ufunc as shipped"], 2.0)
    dask = min(ratio[f"{peer} tuned"] for peer in ("apply_ufunc", "map_blocks"))
    yield _least("Per-pixel: beside the best tuned Dask", dask, 1.5)
    yield _least("Per-pixel: beside xbatcher as shipped", ratio["xbatcher as shipped"], 5.0)


def unet(args: argparse.Namespace) -> Iterator[Verdict]:
    """The network with a halo."""
    work = _work("unet", args, dates=1 if args.quick else 3, size=1024 if args.quick else 2048)
    found = race([EAGER, *LIMITS, PICKED, *_both(("loop", "map_overlap"))], work, args)
    table(_title("U-Net, halo of 32", work), "Mpx/s", found, _limit(found))
    best = found["map_overlap tuned"].rate
    yield _least("U-Net: beside map_overlap tuned", found[PICKED.label].rate / best, 1.15)
    # A convolution on two threads rounds otherwise than on one: both sides take one.
    seen = measure("_engine_child.py", "exact", str(work.size), env={"OMP_NUM_THREADS": "1"})
    print("\n| U-Net beside the whole image | largest difference, of the largest value |")
    print("|---|---|")
    for name, largest in seen["found"].items():
        print(f"| {name} | {largest:.1e} |")
    for name, largest in seen["found"].items():
        most = 0.0 if name.startswith("eager") else 1e-5
        what = "bit-exact with" if most == 0 else "the numbers of"
        yield Verdict(
            f"U-Net, {name}: {what} the whole image",
            f"at most {most:g}",
            f"{largest:.1e}",
            largest <= most,
        )


def dates(args: argparse.Namespace) -> Iterator[Verdict]:
    """Chunks of twelve dates, which a loop over dates decodes twelve times."""
    size = 1024 if args.quick else 2048
    work = _work("mlp", args, dates=12, size=size, chunk_dates=12)
    peers = ("loop", "apply_ufunc", "map_blocks")
    found = race([EAGER, *LIMITS, PICKED, *_both(peers)], work, args)
    table(_title("Per-pixel network", work), "Mpx/s", found, _limit(found))
    rows = [make(peer) for peer in peers[1:] for make in (shipped, tuned)]
    best = max(found[row.label].rate for row in rows)
    yield _least(
        "Chunks of twelve dates: beside the best Dask", found[PICKED.label].rate / best, 1.7
    )


def _work(
    net: str,
    args: argparse.Namespace,
    *,
    dates: int,
    size: int,
    chunk_dates: int = 1,
) -> Work:
    path = cube(dates, size, chunk_dates)
    return Work(net, str(path), dates, size, chunk_dates, compress=args.codec == "default")


def _both(peers: Sequence[str]) -> Iterator[Entry]:
    for peer in peers:
        yield shipped(peer)
        yield tuned(peer)


def _limit(found: Races) -> float:
    return max(found[entry.label].rate for entry in LIMITS)


def _title(what: str, work: Work) -> str:
    many = f"chunks of {work.chunk_dates} date{'s' * (work.chunk_dates > 1)}"
    return f"{what}: {work.dates} date{'s' * (work.dates > 1)} of {work.size}², {many}"


def _least(what: str, ratio: float, target: float) -> Verdict:
    return Verdict(what, f"at least {target:g}", f"{ratio:.2f}", ratio >= target)
