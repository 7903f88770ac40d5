"""Lossless coders of others, each with the arrangements of a cube among which it may choose.

An arrangement turns a cube ``(time, band, y, x)`` into pieces that a coder takes. A coder gets the
one that is smallest on the first chunk of a cube, and pays four bytes for every further piece.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import imagecodecs
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, int, int, int]


def _planes(cube: Array) -> list[Array]:
    return [plane for date in cube for plane in date]


def _pictures(cube: Array) -> list[Array]:
    return list(cube)


def _volumes(cube: Array) -> list[Array]:
    return list(cube.swapaxes(0, 1))


def _turned(cube: Array) -> list[Array]:
    return [volume.T for volume in cube.swapaxes(0, 1)]


def _tall(cube: Array) -> list[Array]:
    times, bands, rows, columns = cube.shape
    return [cube.swapaxes(0, 1).reshape(bands, times * rows, columns)]


def _strip(cube: Array) -> list[Array]:
    return [cube.swapaxes(0, 1).reshape(-1, cube.shape[-1])]


def _cube(cube: Array) -> list[Array]:
    return [cube]


def _series(cube: Array) -> list[Array]:
    return [cube.transpose(1, 2, 3, 0)]


#: Name: how it splits, the shapes of its pieces, how pieces become ``(time, band, y, x)``.
ARRANGEMENTS: dict[str, Callable[[Array], list[Array]]] = {
    "a plane each": _planes,
    "a date each": _pictures,
    "a band each": _volumes,
    "a band each, x first": _turned,
    "dates below one another, bands as channels": _tall,
    "all planes below one another": _strip,
    "whole": _cube,
    "whole, time last": _series,
}


def split(cube: Array, arrangement: str) -> list[Array]:
    """Return the pieces of a cube, contiguous."""
    return [np.ascontiguousarray(piece) for piece in ARRANGEMENTS[arrangement](cube)]


def join(pieces: Sequence[Array], arrangement: str, shape: Shape) -> Array:
    """Return the cube of which these are the pieces."""
    times, bands, rows, columns = shape
    if arrangement == "whole, time last":
        return pieces[0].reshape(bands, rows, columns, times).transpose(3, 0, 1, 2)
    if arrangement == "a band each, x first":
        return np.stack([piece.T for piece in pieces], axis=1)
    if arrangement in ("a plane each", "a date each", "whole"):
        return np.stack(list(pieces)).reshape(shape)
    return np.stack(list(pieces)).reshape(bands, times, rows, columns).swapaxes(0, 1)


def piece_shapes(shape: Shape, arrangement: str) -> list[tuple[int, ...]]:
    """Return what `split` makes of a cube of ``shape``."""
    empty = np.broadcast_to(np.uint8(0), shape)
    return [piece.shape for piece in ARRANGEMENTS[arrangement](empty)]


def differences(cube: Array, axis: int | None) -> Array:
    """Return differences along an axis, modulo the dtype, around its middle."""
    if axis is None:
        return cube
    made = cube.copy()
    middle = cube.dtype.type(1 << (8 * cube.itemsize - 1))
    later, former = _neighbours(axis)
    made[later] -= cube[former]
    made[later] += middle
    return made


def sums(cube: Array, axis: int | None) -> Array:
    """Undo `differences`."""
    if axis is None:
        return cube
    made = cube.copy()
    later, _ = _neighbours(axis)
    made[later] -= cube.dtype.type(1 << (8 * cube.itemsize - 1))
    return np.cumsum(made, axis=axis, dtype=cube.dtype)


def _neighbours(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    before = (slice(None),) * axis
    return (*before, slice(1, None)), (*before, slice(None, -1))


def halves(cube: Array) -> Array:
    """Split floats of 32 bits into two planes of 16, in an order that follows their values."""
    bits = cube.view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return np.concatenate([ordered >> 16, ordered & 0xFFFF], axis=1).astype(np.uint16)


def whole(parts: Array) -> Array:
    """Undo `halves`."""
    high, low = np.split(parts.astype(np.uint32), 2, axis=1)
    ordered = (high << 16) | low
    bits = np.where(ordered >> 31, ordered & np.uint32(0x7FFFFFFF), ~ordered)
    return bits.view(np.float32)


@dataclass(frozen=True)
class Plan:
    """How a cube reaches a coder."""

    arrangement: str
    #: Axis of differences.
    axis: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        along = {None: "", 0: ", differences in time", 1: ", differences of bands"}[self.axis]
        told = "".join(f", {key} {value}" for key, value in self.settings.items())
        return self.arrangement + along + told


@dataclass(frozen=True)
class Coder:
    """A coder of arrays.

    Parameters
    ----------
    name : str
        For the tables.
    encode : callable
        Of an array, and the settings of a plan.
    decode : callable
        Of bytes, shape and dtype.
    plans : tuple of Plan
        Among which it may choose.
    kinds : str
        Kinds of dtype that it takes as they are; others are cut into halves of 16 bits.
    """

    name: str
    encode: Callable[..., bytes]
    decode: Callable[[bytes, tuple[int, ...], np.dtype[Any]], Array]
    plans: tuple[Plan, ...]
    kinds: str = "u"

    def pack(self, cube: Array, plan: Plan) -> list[bytes]:
        """Return the bytes of every piece of a cube."""
        ready = cube if cube.dtype.kind in self.kinds else halves(cube)
        pieces = split(differences(ready, plan.axis), plan.arrangement)
        return [self.encode(piece, **plan.settings) for piece in pieces]

    def unpack(self, data: Sequence[bytes], plan: Plan, shape: Shape, dtype: Any) -> Array:
        """Return the cube again."""
        cut = np.dtype(dtype).kind not in self.kinds
        inner = (shape[0], 2 * shape[1], *shape[2:]) if cut else shape
        kind = np.dtype(np.uint16 if cut else dtype)
        shapes = piece_shapes(inner, plan.arrangement)
        pieces = [self.decode(one, s, kind) for one, s in zip(data, shapes, strict=True)]
        made = sums(join(pieces, plan.arrangement, inner), plan.axis)
        return whole(made) if cut else made


def size(data: Sequence[bytes]) -> int:
    """Return what pieces take: their bytes, and the length of each beyond the first."""
    return sum(map(len, data)) + 4 * (len(data) - 1)


def choose(coder: Coder, cube: Array) -> Plan:
    """Return the plan with which a coder makes the fewest bytes of a cube."""
    # Differences of floats are not exact, and those of halves say little.
    usable = [p for p in coder.plans if p.axis is None or cube.dtype.kind == "u"]
    usable = [p for p in usable if p.axis is None or cube.shape[p.axis] > 1]
    return min(usable, key=lambda plan: size(coder.pack(cube, plan)))


def _jpeg_xl_encode(piece: Array, effort: int = 7) -> bytes:
    planes = piece if piece.ndim == 3 and len(piece) > 1 else piece.reshape(piece.shape[-2:])
    coded = imagecodecs.jpegxl_encode(
        planes, lossless=True, effort=effort, photometric="gray", planar=planes.ndim == 3,
        usecontainer=False, numthreads=1,
    )  # fmt: skip
    return bytes(coded)


def _jpeg_xl_decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return imagecodecs.jpegxl_decode(data, numthreads=1).reshape(shape)


def _jpeg_2000_encode(piece: Array) -> bytes:
    # The bare codestream: the boxes of a JP2 file say nothing that a store does not know.
    return bytes(
        imagecodecs.jpeg2k_encode(piece, level=0, reversible=True, codecformat="j2k", numthreads=1)
    )


def _jpeg_2000_decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return imagecodecs.jpeg2k_decode(data, numthreads=1).reshape(shape)


def _jpeg_ls_encode(piece: Array) -> bytes:
    return bytes(imagecodecs.jpegls_encode(piece))


def _jpeg_ls_decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return imagecodecs.jpegls_decode(data).reshape(shape)


def _pcodec_encode(piece: Array, level: int = 8) -> bytes:
    return bytes(imagecodecs.pcodec_encode(piece, level=level))


def _pcodec_decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return imagecodecs.pcodec_decode(data, shape=shape, dtype=dtype)


def _blosc_encode(piece: Array, shuffle: str = "bitshuffle") -> bytes:
    return bytes(
        imagecodecs.blosc_encode(
            piece, level=9, compressor="zstd", shuffle=shuffle, typesize=piece.itemsize,
            numthreads=1,
        )
    )  # fmt: skip


def _blosc_decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.frombuffer(imagecodecs.blosc_decode(data, numthreads=1), dtype).reshape(shape)


def _zfp_encode(piece: Array) -> bytes:
    # ZFP knows integers of 32 and 64 bits: those of 16 are widened.
    wide = piece if piece.dtype.kind == "f" else piece.astype(np.int32)
    return bytes(imagecodecs.zfp_encode(wide, mode="reversible", execution="serial"))


def _zfp_decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return imagecodecs.zfp_decode(data).reshape(shape).astype(dtype)


def _lerc_encode(piece: Array) -> bytes:
    gaps = np.isnan(piece) if piece.dtype.kind == "f" else np.zeros(0, bool)
    coded = imagecodecs.lerc_encode(
        np.where(gaps, 0, piece).astype(piece.dtype) if gaps.any() else piece, level=0,
        masks=~gaps if gaps.any() else None, planar=piece.ndim == 3, compression="zstd",
    )  # fmt: skip
    return bytes(coded)


def _lerc_decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    made, seen = imagecodecs.lerc_decode(data, masks=True)
    if seen is not None and not seen.all():
        made[np.broadcast_to(~seen.astype(bool), made.shape)] = np.nan
    return made.reshape(shape)


def _ffv1_encode(piece: Array) -> bytes:
    """Return a bare stream of FFV1: lengths, the decoder's settings, then a packet a plane."""
    planes = piece.reshape(-1, *piece.shape[-2:])
    context: Any = av.CodecContext.create("ffv1", "w")
    context.height, context.width = planes.shape[1:]
    context.pix_fmt = _gray(planes.dtype)
    context.time_base = Fraction(1, 25)
    context.thread_count = 1
    context.options = {"level": "3", "context": "1", "slices": "4", "slicecrc": "0"}
    frames = (_frame(plane, context.pix_fmt, at) for at, plane in enumerate(planes))
    packets = [bytes(p) for f in itertools.chain(frames, [None]) for p in context.encode(f)]
    out = io.BytesIO()
    for part in (bytes(context.extradata or b""), *packets):
        out.write(len(part).to_bytes(4, "little") + part)
    return out.getvalue()


def _ffv1_decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    parts, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        parts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    context: Any = av.CodecContext.create("ffv1", "r")
    context.extradata = parts[0]
    context.height, context.width = shape[-2:]
    context.pix_fmt = _gray(dtype)
    context.thread_count = 1
    packets = itertools.chain(map(av.Packet, parts[1:]), [None])
    planes = [frame.to_ndarray() for packet in packets for frame in context.decode(packet)]
    return np.stack(planes).reshape(shape)


def _gray(dtype: np.dtype[Any]) -> str:
    return "gray" if dtype.itemsize == 1 else "gray16le"


def _frame(plane: Array, kind: str, at: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), format=kind)
    frame.pts = at
    return frame


_CHANNELS = ("a date each", "dates below one another, bands as channels")
_ONE_PLANE = ("a plane each", "all planes below one another")
_ALIKE = (None, 0, 1)


def _plans(arrangements: Sequence[str], axes: Sequence[int | None]) -> tuple[Plan, ...]:
    return tuple(Plan(one, axis) for one in arrangements for axis in axes)


def jpeg_xl(effort: int) -> Coder:
    """Return JPEG XL, which takes up to 256 bands as channels."""
    told = {"effort": effort}
    plans = tuple(Plan(one, axis, told) for one in (*_CHANNELS, _ONE_PLANE[1]) for axis in _ALIKE)
    return Coder(f"JPEG XL {effort}", _jpeg_xl_encode, _jpeg_xl_decode, plans)


BLOSC = Coder(
    "blosc-zstd 9", _blosc_encode, _blosc_decode,
    tuple(
        Plan(one, axis, {"shuffle": shuffle})
        for one in ("whole", "whole, time last")
        for axis in _ALIKE
        for shuffle in ("bitshuffle", "shuffle")
    ),
    kinds="uf",
)  # fmt: skip
PCODEC = Coder(
    "pcodec 8", _pcodec_encode, _pcodec_decode,
    _plans(("whole", "a band each", "whole, time last"), _ALIKE), kinds="uf",
)  # fmt: skip
JPEG_2000 = Coder("JPEG 2000", _jpeg_2000_encode, _jpeg_2000_decode, _plans(_ONE_PLANE, _ALIKE))
JPEG_LS = Coder("JPEG-LS", _jpeg_ls_encode, _jpeg_ls_decode, _plans(_ONE_PLANE, _ALIKE))
FFV1 = Coder("FFV1", _ffv1_encode, _ffv1_decode, _plans(("whole",), _ALIKE))
ZFP = Coder(
    "ZFP reversible", _zfp_encode, _zfp_decode,
    _plans(("whole", "a band each", "all planes below one another"), (None,)), kinds="uf",
)  # fmt: skip
LERC = Coder(
    "LERC", _lerc_encode, _lerc_decode,
    _plans(("a date each", "a band each", "all planes below one another"), (None,)), kinds="uf",
)  # fmt: skip
LOSSLESS = (jpeg_xl(7), jpeg_xl(3), JPEG_2000, JPEG_LS, PCODEC, BLOSC, FFV1, ZFP, LERC)
