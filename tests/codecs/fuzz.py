"""Chunks changed by chance, with checksums that are right: what a hostile store could hold.

``python -m tests.codecs.fuzz --count 100000`` runs many in child processes of limited memory,
and prints the seed of each that ended in anything but an array or a clear error.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import multiprocessing
import random
import sys
import time
from pathlib import Path

import numpy as np

from xeo.codecs.container import pack, unpack
from xeo.errors import CodecError, MissingDependencyError

try:
    import resource
except ImportError:
    resource = None

#: Whether this system can do it.
POSSIBLE = resource is not None and Path("/proc/self/statm").exists()
#: Seeds that once did harm, kept so that they never do again.
KEPT = Path(__file__).with_name("data") / "fuzz_seeds.json"
#: Longer than any decoding of these small chunks takes.
SLOW = 5.0
_EXTRA_MEMORY = 1 << 29


def cubes():
    """Return small cubes of the kinds that take different ways through the codecs."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:24, :40]
    smooth = 3000 + 900 * np.sin(y / 9) * np.cos(x / 7)
    waves = np.stack([[smooth * (1 + 0.1 * b) + 40 * t for b in range(3)] for t in range(4)])
    noisy = (waves + rng.normal(0, 20, waves.shape)).astype("u2")
    gaps = (noisy / 1e4).astype("f4")
    gaps[1, :, 3:9, 5:20] = np.nan
    coarse = noisy[..., ::2, ::2].repeat(2, -2).repeat(2, -1)
    return {
        "integers": noisy,
        "floats": gaps,
        "doubles": waves / 7,
        "lattice": (np.round(waves) * 0.01).astype("f4"),
        "coarse": np.concatenate([noisy, coarse], axis=1),
        "classes": (rng.random((4, 1, 24, 40)) ** 4 * 5).astype("u1"),
        "wide": (waves * 1e12).astype("i8"),
    }


def codecs():
    """Return codecs of all kinds, those whose libraries are there."""
    settings = [
        ("lossless", "LosslessCodec", {}),
        ("bounded", "BoundedCodec", {"max_error": 20}),
        ("bounded", "BoundedCodec", {"relative_error": 0.05}),
        ("video", "VideoCodec", {"quality": 60}),
        ("video", "VideoCodec", {"quality": 60, "keyframes": 2}),
        ("video", "VideoCodec", {"max_error": 20}),
        ("video", "VideoCodec", {"quality": 60, "encoder": "svtav1"}),
    ]
    for module, name, options in settings:
        yield getattr(importlib.import_module(f"xeo.codecs.{module}"), name)(**options)


def specimens():
    """Return the codec and the bytes of each small chunk that is changed."""
    made = []
    for codec in codecs():
        for cube in cubes().values():
            try:
                made.append((type(codec), cube.shape, cube.dtype, codec.encode_array(cube)))
            except MissingDependencyError:
                break
    return made


def change(found, seed):
    """Return a codec, what it is told to expect, and bytes that were changed."""
    dice = random.Random(seed)
    kind, shape, dtype, data = found[dice.randrange(len(found))]
    if dice.random() < 0.15:
        return kind, shape, dtype, _broken(dice, data), True
    header, parts = unpack(data)
    header, parts = json.loads(json.dumps(header)), [bytearray(part) for part in parts]
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        if dice.random() < 0.35 or not parts:
            _lie(dice, header)
        else:
            _damage(dice, parts, found)
    return kind, shape, dtype, pack(header, [bytes(part) for part in parts]), False


def _broken(dice, data):
    """Damage that checksums find."""
    out = bytearray(data)
    way = dice.randrange(3)
    if way == 0:
        out[dice.randrange(len(out))] ^= 1 << dice.randrange(8)
    elif way == 1:
        del out[dice.randrange(len(out)) :]
    else:
        out += bytes(dice.randrange(1, 9))
    return bytes(out)


def _lie(dice, header):
    """Change one value somewhere in the header."""
    place = header
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = dice.choice(keys)
        if isinstance(place[key], (dict, list)) and dice.random() < 0.8:
            place = place[key]
            continue
        break
    usual = [0, 1, -1, 2, 255, 65536, 2**31, 2**63, -(2**40), 1e308, 0.5, "", "x", None, [], {}]
    if dice.random() < 0.2:
        del place[key]
    elif isinstance(place[key], (int, float)) and dice.random() < 0.5:
        place[key] = place[key] + dice.choice((-1, 1, 7))
    else:
        place[key] = dice.choice(usual)


def _damage(dice, parts, found):
    """Change bytes of one part."""
    at = dice.randrange(len(parts))
    part = parts[at]
    way = dice.randrange(7)
    if way == 0 and len(parts) > 1:
        other = dice.randrange(len(parts))
        parts[at], parts[other] = parts[other], parts[at]
    elif way == 1:
        parts[at] = bytearray(dice.randbytes(dice.randrange(64)))
    elif way == 2 and part:
        del part[dice.randrange(len(part)) :]
    elif way == 3:
        foreign = unpack(found[dice.randrange(len(found))][3])[1]
        parts[at] = bytearray(dice.choice(foreign)) if foreign else bytearray()
    elif way == 4 and dice.random() < 0.3:
        del parts[at]
    elif part:
        # The first bytes are where sizes are.
        reach = len(part) if dice.random() < 0.5 else min(len(part), 40)
        for _ in range(dice.choice((1, 1, 2, 8))):
            part[dice.randrange(reach)] = dice.randrange(256)


def attempt(found, seed):
    """Decode one changed chunk; return what is wrong, or nothing."""
    kind, shape, dtype, data, damaged = change(found, seed)
    start = time.perf_counter()
    try:
        made = kind.decode_array(data, shape, dtype)
    except CodecError:
        made = None
    except Exception as err:
        return f"{kind.__name__}: {type(err).__name__}: {err}"
    taken = time.perf_counter() - start
    if taken > SLOW:
        return f"{kind.__name__}: took {taken:.1f} s"
    if made is not None and damaged:
        return f"{kind.__name__}: damaged bytes were taken"
    if made is not None and (made.shape != shape or made.dtype != dtype):
        return f"{kind.__name__}: gave {made.shape} {made.dtype}"
    return ""


def _limit():
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _EXTRA_MEMORY,) * 2)


def _child(found, first, last, results):
    faulthandler.enable()
    _limit()
    for seed in range(first, last):
        results.put((seed, "started"))
        wrong = attempt(found, seed)
        if wrong:
            results.put((seed, wrong))
    results.put((last, "done"))


def run(count, start=0, block=500):
    """Run many in children; return seeds and what was wrong with each."""
    found = specimens()
    context = multiprocessing.get_context("fork")
    wrong, first, begun = {}, start, time.perf_counter()
    while first < start + count:
        results = context.SimpleQueue()
        last = min(first + block, start + count)
        child = context.Process(target=_child, args=(found, first, last, results))
        child.start()
        reached, told = _follow(child, results, first, last)
        wrong |= told
        if reached < last:
            how = "hung" if child.is_alive() else f"killed by signal {-(child.exitcode or 0)}"
            child.kill()
            wrong[reached] = how
        child.join()
        first = reached + 1 if reached < last else last
        if sys.stderr.isatty() or first % 10_000 < block:
            rate = (first - start) / (time.perf_counter() - begun)
            print(f"{first - start} of {count}, {len(wrong)} wrong, {rate:.0f}/s", file=sys.stderr)
    return wrong


def _follow(child, results, first, last):
    reached, told, heard = first, {}, time.perf_counter()
    while True:
        if results.empty():
            dead = not child.is_alive()
            if (dead and results.empty()) or time.perf_counter() - heard > 4 * SLOW:
                return reached, told
            time.sleep(0.005)
            continue
        seed, word = results.get()
        heard = time.perf_counter()
        reached = seed
        if word == "done":
            return last, told
        if word != "started":
            told[seed] = word


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--start", type=int, default=0)
    options = parser.parse_args()
    wrong = run(options.count, options.start)
    for seed, what in sorted(wrong.items()):
        print(seed, what)
    print(f"{options.count} changed chunks, {len(wrong)} of them did harm")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
