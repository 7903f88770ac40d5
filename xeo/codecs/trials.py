"""Video at a rate, and the search for the rate that reaches an aim."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import Unfit
from xeo.codecs.scene import Reader, Scene
from xeo.codecs.streams import ENCODERS, coarse_for, decode_stream, error_of, rate_for
from xeo.errors import CodecError

#: How much better than asked a PSNR may be in decibels, and how much smaller a size.
_CLOSE_PSNR, _CLOSE_SIZE = 0.25, 0.95
_TRIALS = 7
#: Decibels for each rate factor, and factors for each halving of the size, as a first guess.
_SLOPE, _HALVING = 0.85, 5.0

Code = Callable[[Iterator[NDArray[np.uint16]], tuple[int, int], float, bool], tuple[bytes, bytes]]


@dataclass(frozen=True)
class Made:
    """What one rate gave.

    Parameters
    ----------
    rate : float
        Constant rate factor.
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
    scene : Scene
        Of the cube.
    components : list of array of int16
        Of the cube, in the order of coding.
    groups : sequence of slice
        Dates of each group of pictures, in the order of coding.
    encoder : str
        Name of the encoder.
    code : callable
        Codes pictures: takes them, their size, the rate, and whether to be safe.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None
    scene: Scene
    components: Sequence[NDArray[np.int16]]
    groups: Sequence[slice]
    encoder: str
    code: Code

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
        encoder, scene = self.encoder, self.scene
        coarse = coarse_for(rate, encoder)
        reader = scene.reader(coarse)
        coded = [
            self.code(self._pictures(reader, group), scene.mosaic.size, rate, safe)
            for group in self.groups
        ]
        head = coded[0][0]
        if any(other != head for other, _ in coded):
            return None
        made = np.empty_like(self.values)
        limit = (2 + _TOLERANCE * error_of(rate, encoder)) ** 2
        places = np.argsort(scene.order)
        for group, (_, body) in zip(self.groups, coded, strict=True):
            originals = self._pictures(reader, group)
            try:
                wrong = decode_group(reader, group, head, body, encoder, places, made, originals)
            except CodecError:
                return None
            # Some builds write streams that other pictures come out of.
            if wrong > limit:
                return None
        side = scene.side(coarse) + squeezed(head)
        return Made(rate, side, tuple(body for _, body in coded), made, self._error(made))

    def _pictures(self, reader: Reader, group: slice) -> Iterator[NDArray[np.uint16]]:
        """Yield the pictures of some dates: all first ones, then all second ones."""
        scene = self.scene
        half = 1 << (scene.bits - 1)
        shifts = half + scene.means - reader.means
        for picture in range(scene.mosaic.pictures):
            for date in range(group.start, group.stop):
                planes = [
                    np.clip(plane[date] + shift, 0, 2 * half - 1).astype(np.uint16)
                    for plane, shift in zip(
                        self.components, shifts[:, date].astype(np.int32), strict=True
                    )
                ]
                yield scene.mosaic.join(planes, picture, half)

    def _error(self, made: NDArray[Any]) -> float:
        total = count = 0.0
        for date, (x, y) in enumerate(zip(self.values, made, strict=True)):
            error = np.subtract(x, y, dtype=np.float64)
            if self.valid is not None:
                error = error[self.valid[date]]
            total += float(np.vdot(error, error))
            count += error.size
        return total / max(count, 1.0)


#: More than the parameters of any stream of ours have.
_MOST_HEAD = 1 << 14
#: Times the error that a rate usually leaves, beyond which something went wrong.
_TOLERANCE = 3.0


def decode_group(
    reader: Reader,
    group: slice,
    head: bytes,
    body: bytes | memoryview,
    encoder: str,
    places: NDArray[np.intp],
    out: NDArray[Any],
    originals: Iterator[NDArray[np.uint16]] | None = None,
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
    originals : iterator of array of uint16, optional
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
    for number, picture in enumerate(frames):
        which, place = number // length, group.start + number % length
        if originals is not None:
            worst = max(worst, _square(picture, next(originals)))
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


def search_psnr(trial: Trial, psnr: float, peak: float) -> Made:
    """Find the highest rate factor that reaches a PSNR.

    Parameters
    ----------
    trial : Trial
        The cube.
    psnr, peak : float
        Decibels to reach, and of what.

    Returns
    -------
    Made

    Raises
    ------
    Unfit
        If the best video does not reach it.
    """

    def excess(made: Made) -> float:
        return math.inf if made.error == 0 else 10 * math.log10(peak**2 / made.error) - psnr

    # Steps of a picture are worth as much in values, the transform being orthonormal.
    error = peak * 10 ** (-psnr / 20) / trial.scene.step
    best: Made | None = None
    low, high = ENCODERS[trial.encoder].best, ENCODERS[trial.encoder].worst
    rate = rate_for(error, trial.encoder)
    for _ in range(_TRIALS):
        made = trial.at(rate)
        over = excess(made)
        if over >= 0:
            low = rate
            best = made if best is None or made.rate > best.rate else best
            if over <= _CLOSE_PSNR:
                break
        else:
            high = rate
        # Aim at the middle of what is close enough.
        guess = rate + (min(over, 60.0) - _CLOSE_PSNR / 2) / _SLOPE
        rate = guess if low < guess < high else (low + high) / 2
        if high - low < 0.05:
            break
    if best is None:
        made = trial.at(ENCODERS[trial.encoder].best)
        if excess(made) < 0:
            raise Unfit
        return made
    return best


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
    low, high = ENCODERS[trial.encoder].best, ENCODERS[trial.encoder].worst
    rate = low + 0.4 * (high - low)
    best: Made | None = None
    for _ in range(_TRIALS):
        made = trial.at(rate)
        share = (made.size + _OVERHEAD) / size
        if share <= 1:
            high = rate
            best = made if best is None or made.rate < best.rate else best
            if share >= _CLOSE_SIZE or rate == low:
                break
        else:
            low = rate
        guess = rate + _HALVING * math.log2(max(share, 1e-9) / ((1 + _CLOSE_SIZE) / 2))
        rate = guess if low < guess < high else (low + high) / 2
        if high - low < 0.05:
            break
    return best if best is not None else trial.at(ENCODERS[trial.encoder].worst)


#: Bytes of a chunk beside its parts: index and header.
_OVERHEAD = 120
