"""Gray pictures as video, in memory: packets without a container, the same ones every time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.errors import CodecError, MissingDependencyError, OptionError
from xeo.lazy import require

_PURPOSE = "code cubes as video"
_START = b"\0\0\1"
_ALIGNED = 128


@dataclass(frozen=True)
class Encoder:
    """A video encoder, and how it is told what we want.

    Parameters
    ----------
    library, decoder : str
        Names in FFmpeg.
    bits : int
        Of a pixel.
    pixels : str
        FFmpeg's name for the layout of pixels: gray, or 4:2:0 whose chroma is left empty.
    best, worst : float
        Constant rate factors, 6 for each doubling of steps. Those below 0 are for finer numbers.
    presets : tuple of str
        Names that the encoder knows; empty for numbers from 0 to 13.
    starts : bool
        Whether packets begin with a mark, and the parameters of the stream come apart.
    grain : float
        Differences of rate factors that the encoder heeds.
    options : mapping
        For every stream, whatever the preset.
    """

    library: str
    decoder: str
    bits: int
    pixels: str
    best: float
    worst: float
    presets: tuple[str, ...] = ()
    starts: bool = False
    grain: float = 0.1
    options: Mapping[str, str] = field(default_factory=dict)


_SPEEDS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower",
    "veryslow", "placebo",
)  # fmt: skip
#: x265 gives the same bytes only with one thread; what else is said pays on mosaics of
#: components, in which most of a picture is like the one before.
_X265 = {
    "info": 0, "pools": "none", "frame-threads": 1, "wpp": 0, "log-level": "none", "annexb": 1,
    "scenecut": 0, "keyint": -1, "ref": 3, "bframes": 5, "rdoq-level": 2, "qcomp": 0.5,
    "me": 0, "merange": 8, "subme": 1, "b-adapt": 0, "limit-refs": 3, "limit-modes": 1,
    "b-intra": 1, "rc-lookahead": 10,
}  # fmt: skip
ENCODERS = {
    "x265": Encoder(
        "libx265",
        "hevc",
        12,
        "gray12le",
        -24,
        51,
        _SPEEDS,
        True,
        0.1,
        {"tune": "psnr", "x265-params": ":".join(f"{k}={v}" for k, v in _X265.items())},
    ),
    "x264": Encoder(
        "libx264",
        "h264",
        10,
        "gray10le",
        -24,
        51,
        _SPEEDS,
        True,
        0.1,
        {"tune": "psnr", "x264-params": "threads=1:scenecut=0:keyint=infinite:ref=5:bframes=5"},
    ),
    "svtav1": Encoder(
        "libsvtav1",
        "libdav1d",
        10,
        "yuv420p10le",
        1,
        63,
        (),
        False,
        1.0,
        {"svtav1-params": "lp=1:keyint=-1:scd=0:tune=1:enable-qm=0:aq-mode=0"},
    ),
}
#: Settings that x265 does right whatever the content: coding units of 32, whole pictures only.
_SAFE = {"x265": "ctu=32:keyint=1:bframes=0"}


def check_encoder(name: str, preset: str) -> None:
    """Say before any work that an encoder cannot be used.

    Parameters
    ----------
    name : str
        One of `ENCODERS`.
    preset : str
        Speed, in the encoder's own words; "medium" is a number where it has numbers.

    Raises
    ------
    OptionError
        If there is no such encoder or preset.
    """
    if name not in ENCODERS:
        raise OptionError(f"expected encoder to be one of {sorted(ENCODERS)}, got {name!r}")
    known = ENCODERS[name].presets or ("medium", *map(str, range(14)))
    if preset not in known:
        raise OptionError(f"expected preset of {name} to be one of {list(known)}, got {preset!r}")


def encode_stream(
    pictures: Iterator[NDArray[np.uint16]],
    size: tuple[int, int],
    encoder: str,
    preset: str,
    rate: float,
    *,
    safe: bool = False,
) -> tuple[bytes, bytes]:
    """Code pictures as one closed group.

    Parameters
    ----------
    pictures : iterator of array of uint16, shape ``size``
        In the order in which they are shown.
    size : tuple of int
        Height and width, multiples of 8.
    encoder, preset : str
        As for `check_encoder`.
    rate : float
        Constant rate factor: less is better.
    safe : bool
        Whether to use settings that never go wrong, at more bits.

    Returns
    -------
    head : bytes
        What a decoder has to know first, alike in all groups of one size and settings.
    body : bytes
        Packets, each after its length.

    Raises
    ------
    MissingDependencyError
        If FFmpeg here does not have the encoder.
    """
    av = require("av", purpose=_PURPOSE)
    kind = ENCODERS[encoder]
    try:
        context = av.CodecContext.create(kind.library, "w")
    except (av.FFmpegError, ValueError) as err:
        raise MissingDependencyError(
            f"expected PyAV with the encoder {kind.library!r}, but this one lacks it. "
            f"Try: encoder='x265', or another build of PyAV"
        ) from err
    if kind.library == "libsvtav1":
        # It tells its settings on stderr, whatever the level of FFmpeg's own log.
        os.environ.setdefault("SVT_LOG", "1")
    context.height, context.width = size
    context.pix_fmt = kind.pixels
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.thread_count = 1
    context.options = _options(kind, encoder, preset, rate, safe)
    # Otherwise the parameters of the stream come again with each key frame.
    context.flags |= av.codec.context.Flags.global_header
    packets = []
    for number, picture in enumerate(pictures):
        frame = _frame(av, kind, picture)
        frame.pts = number
        packets += [bytes(packet) for packet in context.encode(frame)]
    packets += [bytes(packet) for packet in context.encode(None)]
    if kind.starts:
        return bytes(context.extradata or b""), b"".join(map(_spelled, map(_bare, packets)))
    return b"", b"".join(map(_spelled, packets))


def _bare(packet: bytes) -> bytes:
    """Take off the mark that a packet of H.264 or HEVC starts with."""
    return packet.removeprefix(b"\0").removeprefix(_START)


def _spelled(packet: bytes) -> bytes:
    """Put the length before a packet: seven bits a byte, low ones first."""
    size, length = len(packet), bytearray()
    while size >= 128:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([*length, size]) + packet


def _packets(data: memoryview, most: int) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = shift = 0
        while at < len(data) and data[at] & 128 and shift < 56:
            size |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
        if at < len(data):
            size |= data[at] << shift
        at += 1
        most -= 1
        if not 0 < size <= len(data) - at or most < 0:
            raise CodecError("a packet of a video in a chunk cannot be: the chunk is damaged")
        yield bytes(data[at : at + size])
        at += size


def _options(kind: Encoder, name: str, preset: str, rate: float, safe: bool) -> dict[str, str]:
    options = dict(kind.options)
    options["preset"] = preset if kind.presets or preset != "medium" else "6"
    if not kind.presets:
        return options | {"crf": str(round(rate))}
    # FFmpeg's own option ends at 0.
    own = f"{name}-params"
    options[own] += f":crf={rate:.3f}"
    if safe and name in _SAFE:
        options[own] += ":" + _SAFE[name]
    return options


def _frame(av: Any, kind: Encoder, picture: NDArray[np.uint16]) -> Any:
    if kind.pixels.startswith("gray"):
        return av.VideoFrame.from_ndarray(picture, format=kind.pixels)
    height, width = picture.shape
    whole = np.full((height * 3 // 2, width), 1 << (kind.bits - 1), np.uint16)
    whole[:height] = picture
    return av.VideoFrame.from_ndarray(whole, format=kind.pixels)


def decode_stream(
    head: bytes,
    body: bytes | memoryview,
    size: tuple[int, int],
    encoder: str,
    dates: int,
    count: int,
) -> Iterator[NDArray[np.uint16]]:
    """Yield the first pictures of a group.

    Parameters
    ----------
    head, body : bytes
        Of `encode_stream`.
    size : tuple of int
        Height and width.
    encoder : str
        That coded them.
    dates, count : int
        How many pictures there are, and how many are wanted; nothing beyond is decoded.

    Yields
    ------
    array of uint16, shape ``size``
        A view that is valid until the next one.

    Raises
    ------
    CodecError
        If the bytes are not those of such pictures.
    """
    av = require("av", purpose=_PURPOSE)
    kind = ENCODERS[encoder]
    found = 0
    try:
        for frame in _frames(av, kind, head, memoryview(body), size, dates):
            # FFmpeg shows gray H.264 with empty colours.
            known = (kind.pixels, f"yuv420p{kind.bits}le")
            if (frame.height, frame.width) != size or frame.format.name not in known:
                raise CodecError(
                    f"expected pictures of {size} in {kind.pixels}, got "
                    f"{(frame.height, frame.width)} in {frame.format.name}: the chunk is damaged"
                )
            yield _luma(frame, size)
            found += 1
            if found == count:
                return
    except (av.FFmpegError, ValueError, EOFError) as err:
        if isinstance(err, CodecError):
            raise
        raise CodecError(f"a video in a chunk cannot be decoded: {err}") from err
    raise CodecError(f"expected {count} pictures in a video, got {found}: the chunk is damaged")


def _frames(
    av: Any, kind: Encoder, head: bytes, body: memoryview, size: tuple[int, int], dates: int
) -> Iterator[Any]:
    context = av.CodecContext.create(kind.decoder, "r")
    context.thread_count = 1
    # A stream may say that it is of any size, and FFmpeg would make room for it. What it aligns
    # sides to counts as well.
    context.options = {"max_pixels": str((size[0] + _ALIGNED) * (size[1] + _ALIGNED))}
    if kind.starts:
        # Damage has to be an error; left to itself FFmpeg hides it in made-up pixels.
        context.options |= {"err_detect": "explode+crccheck+bitstream"}
    for number, packet in enumerate(_packets(body, dates)):
        if kind.starts:
            packet = (b"" if number else head) + b"\0" + _START + packet
        yield from context.decode(av.Packet(packet))
    yield from context.decode(None)


def _luma(frame: Any, size: tuple[int, int]) -> NDArray[np.uint16]:
    plane = frame.planes[0]
    row = plane.line_size // 2
    whole = np.frombuffer(plane, np.uint16, count=row * size[0]).reshape(size[0], row)
    return whole[:, : size[1]]


def rate_for(error: float, encoder: str) -> float:
    """Return the rate factor at which pictures are about so far off.

    Parameters
    ----------
    error : float
        Root mean square, in steps of a pixel.
    encoder : str
        That codes them.

    Returns
    -------
    float
        From the best to the worst that the encoder has.
    """
    kind = ENCODERS[encoder]
    # A quantiser doubles each 6 rate factors; at 4 it is one step of 8 bits.
    unit = 0.3 * 2 ** (kind.bits - 8)
    rate = 4 + 6 * math.log2(max(error, 1e-6) / unit)
    return float(min(max(rate, kind.best), kind.worst))


def error_of(rate: float, encoder: str) -> float:
    """Return how far off pictures are at a rate factor, at most, where all went right."""
    return float(2.0 ** (ENCODERS[encoder].bits - 8) * 2.0 ** ((rate - 4) / 6))


def coarse_for(rate: float, encoder: str) -> int:
    """Return as which power of two of steps the means of pictures are worth keeping."""
    return min(max(math.floor(math.log2(error_of(rate, encoder) / 2)), 0), 12)
