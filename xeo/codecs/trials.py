"""Video at a rate, and the search for the rate that reaches an aim."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import Unfit
from xeo.codecs.scene import Scene, pictures
from xeo.codecs.streams import ENCODERS, decode_stream, error_of, rate_for
from xeo.errors import CodecError

#: How much better than asked a PSNR may be in decibels, and how much smaller a size.
_CLOSE_PSNR, _CLOSE_SIZE = 0.25, 0.95
_TRIALS = 7
#: Decibels for each rate factor, and factors for each halving of the size, as a first guess.
_SLOPE, _HALVING = 0.85, 5.0

Code = Callable[[Iterator[NDArray[np.uint16]], tuple[int, int], float, bool], bytes]


@dataclass(frozen=True)
class Made:
    """What one rate gave.

    Parameters
    ----------
    rate : float
        Constant rate factor.
    streams : tuple of bytes
        A group each.
    values : array, shape (T, B, Y, X)
        As they are decoded.
    error : float
        Mean squared error of values that matter.
    """

    rate: float
    streams: tuple[bytes, ...]
    values: NDArray[Any]
    error: float

    @property
    def size(self) -> int:
        """Bytes of the streams."""
        return sum(map(len, self.streams))


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
    components : array of uint16
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
    components: NDArray[np.uint16]
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
        encoder = self.encoder
        mosaic = self.scene.mosaic
        streams = tuple(
            self.code(pictures(self.components, mosaic, group), mosaic.size, rate, safe)
            for group in self.groups
        )
        made = np.empty_like(self.values)
        limit = (2 + _TOLERANCE * error_of(rate, encoder)) ** 2
        for group, stream in zip(self.groups, streams, strict=True):
            try:
                wrong = decode_group(
                    self.scene, group, stream, encoder, None, made, self.components
                )
            except CodecError:
                return None
            # Some builds write streams that other pictures come out of.
            if wrong > limit:
                return None
        return Made(rate, streams, made, self._error(made))

    def _error(self, made: NDArray[Any]) -> float:
        total = count = 0.0
        for date, (x, y) in enumerate(zip(self.values, made, strict=True)):
            error = np.subtract(x, y, dtype=np.float64)
            if self.valid is not None:
                error = error[self.valid[date]]
            total += float(np.vdot(error, error))
            count += error.size
        return total / max(count, 1.0)


#: Times the error that a rate usually leaves, beyond which something went wrong.
_TOLERANCE = 3.0


def decode_group(
    scene: Scene,
    group: slice,
    data: bytes | memoryview,
    encoder: str,
    places: NDArray[np.intp] | None,
    out: NDArray[Any],
    original: NDArray[np.uint16] | None = None,
) -> float:
    """Decode what is wanted of a group of dates.

    Parameters
    ----------
    scene : Scene
        What the pictures mean.
    group : slice
        Positions of its dates in the order of coding.
    data : bytes
        The stream.
    encoder : str
        That coded it.
    places : array of int, optional
        Where in the order of coding the wanted dates are; None for all dates.
    out : array, shape (date, B, Y, X)
        Takes the wanted dates.
    original : array of uint16, optional
        What was coded, to be compared.

    Returns
    -------
    float
        Mean squared difference to ``original`` in steps of a pixel.

    Raises
    ------
    CodecError
        If the stream is damaged.
    """
    mosaic = scene.mosaic
    dates = np.arange(group.start, group.stop)
    wanted = {int(p): n for n, p in enumerate(scene_places(scene, places)) if p in dates}
    if not wanted:
        return 0.0
    last = max(wanted) - group.start
    count = (mosaic.pictures - 1) * len(dates) + last + 1
    kept = (
        {}
        if mosaic.pictures == 1
        else {p: np.empty((mosaic.components, mosaic.height, mosaic.width), "u2") for p in wanted}
    )
    single = np.empty((mosaic.components, mosaic.height, mosaic.width), np.uint16)
    squares = 0.0
    for number, picture in enumerate(decode_stream(data, mosaic.size, encoder, count)):
        which, inside = divmod(number, len(dates))
        place = group.start + inside
        if place not in wanted:
            continue
        planes = kept.get(place, single)
        mosaic.split(picture, which, planes)
        if which == mosaic.pictures - 1:
            if original is not None:
                squares += _squares(planes, original[place])
            out[wanted[place]] = scene.values(place, planes)
    return squares / (single.size * len(wanted))


def scene_places(scene: Scene, places: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """Return where in the order of coding each wanted date is."""
    return np.argsort(scene.order) if places is None else places


def _squares(one: NDArray[np.uint16], other: NDArray[np.uint16]) -> float:
    error = np.subtract(one, other, dtype=np.float32).ravel()
    return float(np.dot(error, error))


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
    error = peak * 10 ** (-psnr / 20) * trial.scene.gain / trial.scene.step
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
    overhead = len(trial.scene.side()) + _OVERHEAD
    low, high = ENCODERS[trial.encoder].best, ENCODERS[trial.encoder].worst
    rate = low + 0.4 * (high - low)
    best: Made | None = None
    for _ in range(_TRIALS):
        made = trial.at(rate)
        share = (made.size + overhead) / size
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


#: Bytes of a chunk beside its streams and its side part: index and header.
_OVERHEAD = 120
