"""Video at a rate, and the search for the rate that reaches an aim."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import Unfit
from xeo.codecs.components import FINEST, Analysis
from xeo.codecs.scene import Reader, Scene
from xeo.codecs.streams import ENCODERS, coarse_for, decode_stream, error_of, rate_for
from xeo.errors import CodecError

#: How much better than asked a PSNR may be in decibels, and a size in powers of two.
_CLOSE_PSNR, _CLOSE_SIZE = 0.25, 0.07
_TRIALS = 7
#: From trial to trial on one side of an aim, steps grow by this much.
_CAUTION = 0.7
#: Decibels for each rate factor, and factors for each halving of the size, as a first guess.
_SLOPE, _HALVING = 0.6, 5.0

Code = Callable[[Iterator[NDArray[np.uint16]], tuple[int, int], float, bool], tuple[bytes, bytes]]


@dataclass(frozen=True)
class Made:
    """What one rate gave.

    Parameters
    ----------
    rate : float
        Constant rate factor.
    scene : Scene
        What leads back.
    side : bytes
        All but the pictures.
    streams : tuple of bytes
        A group each.
    values : array, shape (T, B, Y, X)
        As they are decoded.
    error : float
        Mean squared error of values that matter.
    """

    rate: float
    scene: Scene
    side: bytes
    streams: tuple[bytes, ...]
    values: NDArray[Any]
    error: float

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(map(len, (self.side, *self.streams)))


@dataclass(frozen=True)
class Trial:
    """A cube that can be coded at any rate.

    Parameters
    ----------
    values : array, shape (T, B, Y, X)
        The cube.
    valid : array of bool, optional
        Where it matters.
    analysis : Analysis
        Of the cube.
    groups : sequence of slice
        Dates of each group of pictures, in the order of coding.
    encoder : str
        Name of the encoder.
    code : callable
        Codes pictures: takes them, their size, the rate, and whether to be safe.
    cache : dict
        Of components counted in steps.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None
    analysis: Analysis
    groups: Sequence[slice]
    encoder: str
    code: Code
    cache: dict[int, tuple[Scene, list[NDArray[np.int16]]]] = field(default_factory=dict)

    def at(self, rate: float) -> Made:
        """Code at a rate, decode what was written, and code anew where it went wrong.

        Raises
        ------
        Unfit
            If it goes wrong with safe settings too.
        """
        for safe in (False, True):
            made = self._coded(rate, safe)
            if made is not None:
                return made
        raise Unfit

    def _coded(self, rate: float, safe: bool) -> Made | None:
        # Below 0 x265 has no finer quantiser; finer numbers do as well.
        fine = 0
        if self.encoder in _LAYERED:
            fine = min(max(math.ceil(-rate / 6), 0), FINEST)
        scene, layers = self._counted(fine)
        own = rate + 6 * fine
        coarse = coarse_for(own, self.encoder)
        reader = scene.reader(coarse)
        shifts = (1 << (scene.bits - 1)) + scene.means - reader.means
        sets = [_Pictures(scene, layers, shifts, group) for group in self.groups]
        coded = [self.code(iter(some), scene.mosaic.size, own, safe) for some in sets]
        head = coded[0][0]
        if any(other != head for other, _ in coded):
            return None
        made = np.empty_like(self.values)
        places = np.argsort(scene.order)
        limit = (2 + _TOLERANCE * error_of(own, self.encoder)) ** 2
        for some, (_, body) in zip(sets, coded, strict=True):
            try:
                wrong = decode_group(
                    reader, some.group, head, body, self.encoder, places, made, some
                )
            except CodecError:
                return None
            # Some builds write streams that other pictures come out of.
            if wrong > limit:
                return None
        side = scene.side(coarse) + squeezed(head)
        streams = tuple(body for _, body in coded)
        return Made(rate, scene, side, streams, made, mean_square(self.values, made, self.valid))

    def _counted(self, fine: int) -> tuple[Scene, list[NDArray[np.int16]]]:
        if fine not in self.cache:
            self.cache.clear()
            self.cache[fine] = self.analysis.counted(fine)
        return self.cache[fine]


#: Encoders whose rate factors go on below 0 in finer steps.
_LAYERED = ("x265", "x264")
#: More than the parameters of any stream of ours have.
_MOST_HEAD = 1 << 14
#: Times the error that a rate usually leaves, beyond which something went wrong.
_TOLERANCE = 3.0


@dataclass(frozen=True)
class _Pictures:
    """The pictures of some dates: all first ones, then all second ones."""

    scene: Scene
    layers: Sequence[NDArray[np.int16]]
    shifts: NDArray[np.int64]
    group: slice

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        scene = self.scene
        half = 1 << (scene.bits - 1)
        # Of layers of one component the first takes its mean.
        firsts = np.cumsum([0, *scene.layers])
        shifts = np.full((len(self.layers), self.shifts.shape[1]), half)
        shifts[firsts[:-1]] = self.shifts
        for picture in range(scene.mosaic.pictures):
            for date in range(self.group.start, self.group.stop):
                planes = [
                    np.clip(layer[date] + np.int32(shift), 0, 2 * half - 1).astype(np.uint16)
                    for layer, shift in zip(self.layers, shifts[:, date], strict=True)
                ]
                yield scene.mosaic.join(planes, picture, half)


def decode_group(
    reader: Reader,
    group: slice,
    head: bytes,
    body: bytes | memoryview,
    encoder: str,
    places: NDArray[np.intp],
    out: NDArray[Any],
    originals: Iterable[NDArray[np.uint16]] = (),
) -> float:
    """Decode what is wanted of a group of dates.

    Parameters
    ----------
    reader : Reader
        What the pictures mean.
    group : slice
        Positions of its dates in the order of coding.
    head, body : bytes
        The stream.
    encoder : str
        That coded it.
    places : array of int
        Where in the order of coding the wanted dates are.
    out : array, shape (date, B, Y, X)
        Takes the wanted dates.
    originals : iterable of array of uint16, optional
        The pictures that were coded, to be compared.

    Returns
    -------
    float
        Largest mean squared difference of a picture to its original, in steps of a pixel.

    Raises
    ------
    CodecError
        If the stream is damaged.
    """
    mosaic = reader.scene.mosaic
    length = group.stop - group.start
    wanted = {int(p): n for n, p in enumerate(places) if group.start <= p < group.stop}
    if not wanted:
        return 0.0
    total = mosaic.pictures * length
    count = total - length + max(wanted) - group.start + 1
    kept: dict[int, list[NDArray[np.uint16]]] = {}
    worst = 0.0
    frames = decode_stream(head, body, mosaic.size, encoder, total, count)
    for number, (picture, original) in enumerate(zip_longest(frames, islice(originals, count))):
        which, place = number // length, group.start + number % length
        if original is not None:
            worst = max(worst, _square(picture, original))
        if place not in wanted:
            continue
        last = which == mosaic.pictures - 1
        # Earlier pictures of a date wait for its last one; views of them would not last.
        cut = [plane if last else plane.copy() for _, plane in mosaic.split(picture, which)]
        planes = kept.setdefault(place, [])
        planes += cut
        if last:
            reader.values(place, kept.pop(place), out[wanted[place]])
    return worst


def _square(one: NDArray[np.uint16], other: NDArray[np.uint16]) -> float:
    error = np.subtract(one, other, dtype=np.float32).ravel()
    return float(np.dot(error, error)) / error.size


# What the parameters of streams have in common, so that deflate need not spell it: part of the
# file format.
_HEADS = bytes.fromhex(
    "00000001676e000cdb3660d1be26261000000300100000030320f14299a00000000168e97810f2c0"
    "0000000140010c01ffff04080000030099c800000300003c999c09000000014201010408000003009"
    "9c800000300003cc06480c914a5999e4932b9a02000000300200000030321000000014401c172b42240"
)


def squeezed(head: bytes) -> bytes:
    """Compress the parameters of a stream."""
    worker = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_HEADS)
    return worker.compress(head) + worker.flush()


def spread(data: bytes | memoryview) -> bytes:
    """Undo `squeezed`.

    Raises
    ------
    CodecError
        If the bytes are damaged.
    """
    worker = zlib.decompressobj(-15, zdict=_HEADS)
    try:
        head = worker.decompress(bytes(data), _MOST_HEAD)
    except zlib.error as err:
        raise CodecError(f"the parameters of a video cannot be read: {err}") from err
    if not worker.eof or worker.unused_data:
        raise CodecError("the parameters of a video are cut short: the chunk is damaged")
    return head


def search_psnr(trial: Trial, psnr: float, peak: float) -> Made | None:
    """Find the highest rate factor that reaches a PSNR.

    Parameters
    ----------
    trial : Trial
        The cube.
    psnr, peak : float
        Decibels to reach, and of what.

    Returns
    -------
    Made or None
        None if the best video does not reach it.
    """

    def excess(made: Made) -> float:
        return 200.0 if made.error == 0 else 10 * math.log10(peak**2 / made.error) - psnr

    # Steps of a picture are worth as much in values, the transform being orthonormal.
    error = peak * 10 ** (-psnr / 20) / trial.analysis.step
    return _search(trial, rate_for(error, trial.encoder), excess, _CLOSE_PSNR, -_SLOPE)


def search_size(trial: Trial, size: float) -> Made:
    """Find the lowest rate factor that stays below a size.

    Parameters
    ----------
    trial : Trial
        The cube.
    size : float
        Bytes, all overhead included.

    Returns
    -------
    Made
        The smallest there is, where none is small enough.
    """

    def excess(made: Made) -> float:
        return math.log2(size / (made.size + _OVERHEAD))

    kind = ENCODERS[trial.encoder]
    start = kind.best + 0.4 * (kind.worst - kind.best)
    made = _search(trial, start, excess, _CLOSE_SIZE, 1 / _HALVING)
    return made if made is not None else trial.at(kind.worst)


def _search(
    trial: Trial, rate: float, excess: Callable[[Made], float], close: float, slope: float
) -> Made | None:
    """Find a rate whose excess is positive and as small as ``close``, or the nearest to that.

    ``slope`` is how the excess changes with the rate factor, as a first guess.
    """
    kind = ENCODERS[trial.encoder]
    best: Made | None = None
    # The nearest rates on either side of the aim: what is good, and what is not.
    good: tuple[float, float] | None = None
    bad: tuple[float, float] | None = None
    for _ in range(_TRIALS):
        rate = min(max(round(rate / kind.grain) * kind.grain, kind.best), kind.worst)
        if rate in [side[0] for side in (good, bad) if side]:
            break
        made = trial.at(rate)
        over = excess(made)
        if over >= 0:
            best, good = made, (rate, over)
            if over <= close:
                break
        else:
            bad = rate, over
        if good and bad:
            # Aim at the middle of what is close enough, and not at what was tried.
            share = min(max((close / 2 - bad[1]) / (good[1] - bad[1]), 0.1), 0.9)
            rate = bad[0] + (good[0] - bad[0]) * share
        else:
            rate += (close / 2 - over) / slope
            slope *= _CAUTION
    return best


#: Bytes of a chunk beside its parts: index and header.
_OVERHEAD = 120


def mean_square(values: NDArray[Any], made: NDArray[Any], valid: NDArray[np.bool_] | None) -> float:
    """Return the mean squared error of the values that matter.

    Parameters
    ----------
    values, made : array, shape (T, B, Y, X)
        The cube, and what it became.
    valid : array of bool, optional
        Where it matters.

    Returns
    -------
    float
    """
    total = count = 0.0
    for date, (x, y) in enumerate(zip(values, made, strict=True)):
        error = np.subtract(x, y, dtype=np.float64)
        if valid is not None:
            error = error[valid[date]]
        total += float(np.vdot(error, error))
        count += error.size
    return total / max(count, 1.0)
