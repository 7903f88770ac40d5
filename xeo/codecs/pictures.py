"""Lossless pictures of several channels: JPEG XL, or plain bytes where that is shorter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from xeo.errors import CodecError
from xeo.lazy import require

#: First byte of what is stored: JPEG XL has its own, the others are ours.
_JPEG_XL, _BYTES, _ZSTD = 0xFF, 0, 1
_LEVEL = 12
_PURPOSE = "code pictures without loss"
#: JPEG XL takes up to 256 channels; its search for likeness among them grows with their square.
MOST_CHANNELS = 32
# A picture of so few values is shorter without a codec's own header.
_TINY = 64


def encode_picture(planes: NDArray[Any], effort: int) -> bytes:
    """Code channels that resemble one another.

    Parameters
    ----------
    planes : array of uint8 or uint16, shape (channel, Y, X)
        At most `MOST_CHANNELS` of them.
    effort : int
        Of JPEG XL, 1 to 9.

    Returns
    -------
    bytes
    """
    raw = planes.astype(planes.dtype.newbyteorder("<"), copy=False).tobytes()
    found = [bytes([_BYTES]) + raw]
    if planes.size >= _TINY:
        found.append(_jpeg_xl(planes, effort))
    if min(map(len, found)) > len(raw) // 8 or planes.size < 4096:
        shuffled = np.frombuffer(raw, np.uint8).reshape(-1, planes.dtype.itemsize).T
        found.append(bytes([_ZSTD]) + Zstd(level=_LEVEL).encode(np.ascontiguousarray(shuffled)))
    return min(found, key=len)


def decode_picture(
    data: bytes | memoryview, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return the channels again.

    Parameters
    ----------
    data : bytes
        Of `encode_picture`.
    shape : tuple of int
        Of the channels.
    dtype : numpy.dtype
        Of the channels, uint8 or uint16.

    Returns
    -------
    array of ``dtype`` and ``shape``

    Raises
    ------
    CodecError
        If the bytes are not those of such a picture.
    """
    if not len(data):
        raise CodecError("a picture of a chunk has no bytes: the chunk is damaged")
    kind, body = data[0], bytes(data[1:])
    if kind == _JPEG_XL:
        return _from_jpeg_xl(bytes(data), shape, dtype)
    size = math.prod(shape) * dtype.itemsize
    little = dtype.newbyteorder("<")
    if kind == _BYTES and len(body) == size:
        return np.frombuffer(body, little).astype(dtype).reshape(shape)
    if kind != _ZSTD:
        raise CodecError(f"a picture of a chunk cannot be of kind {kind}: the chunk is damaged")
    planes = np.zeros((dtype.itemsize, math.prod(shape)), np.uint8)
    try:
        Zstd().decode(body, out=planes)
    except (RuntimeError, ValueError) as err:
        raise CodecError(f"a picture of a chunk cannot be read: {err}") from err
    return np.ascontiguousarray(planes.T).view(little)[:, 0].astype(dtype).reshape(shape)


def _jpeg_xl(planes: NDArray[Any], effort: int) -> bytes:
    imagecodecs = require("imagecodecs", purpose=_PURPOSE)
    picture = planes[0] if len(planes) == 1 else planes
    coded = imagecodecs.jpegxl_encode(
        np.ascontiguousarray(picture),
        lossless=True,
        effort=effort,
        photometric="gray",
        planar=len(planes) > 1,
        numthreads=1,
    )
    return _bare(bytes(coded))


def _bare(coded: bytes) -> bytes:
    """Return a codestream without the boxes around it, some fifty bytes."""
    if coded[:2] == b"\xff\x0a":
        return coded
    at, found = 0, b""
    while at + 8 <= len(coded):
        size = int.from_bytes(coded[at : at + 4], "big") or len(coded) - at
        kind = coded[at + 4 : at + 8]
        if kind == b"jxlc":
            found += coded[at + 8 : at + size]
        elif kind == b"jxlp":
            found += coded[at + 12 : at + size]
        at += size
    return found


def _from_jpeg_xl(data: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    imagecodecs = require("imagecodecs", purpose=_PURPOSE)
    out = np.empty(shape[1:] if shape[0] == 1 else shape, dtype)
    try:
        # With ``out`` its size is checked against what the bytes declare before any is decoded.
        imagecodecs.jpegxl_decode(data, numthreads=1, out=out)
    except (imagecodecs.JpegxlError, ValueError, RuntimeError, MemoryError) as err:
        raise CodecError(f"a picture of a chunk cannot be read: {err}") from err
    return out.reshape(shape)
