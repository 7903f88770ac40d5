"""Planes of labels, such as where nothing was measured: mostly 0, in patches, alike over dates.

Zstandard, of bytes or, where there is one label, of bits: what a picture coder saves beyond that
is less than the parts of a chunk differ by.
"""

from __future__ import annotations

import math

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from xeo.errors import CodecError

_LEVEL = 19
#: First byte: how labels are stored.
_BYTES, _BITS = 0, 1


def encode_labels(labels: NDArray[np.uint8]) -> bytes:
    """Code a plane of labels.

    Parameters
    ----------
    labels : array of uint8, shape (T, B, Y, X)
        Mostly 0.

    Returns
    -------
    bytes
    """
    coder = Zstd(level=_LEVEL)
    found = [bytes([_BYTES]) + coder.encode(np.ascontiguousarray(labels))]
    if int(labels.max(initial=0)) < 2:
        found.append(bytes([_BITS]) + coder.encode(np.packbits(labels)))
    return bytes(min(found, key=len))


def decode_labels(data: bytes, shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return the labels again.

    Parameters
    ----------
    data : bytes
        Of `encode_labels`.
    shape : tuple of int
        Of the labels.

    Returns
    -------
    array of uint8, shape (T, B, Y, X)

    Raises
    ------
    CodecError
        If these are not the bytes of labels of this shape.
    """
    count = math.prod(shape)
    kind = data[0] if data else -1
    if kind not in (_BYTES, _BITS):
        raise CodecError(f"labels of kind {kind} cannot be: the chunk is damaged")
    # With ``out`` there is no more memory than the shape justifies, whatever the bytes say.
    out = np.zeros(-(-count // 8) if kind == _BITS else count, np.uint8)
    try:
        Zstd().decode(data[1:], out=out)
    except (RuntimeError, ValueError) as err:
        raise CodecError(f"the labels of missing values cannot be read: {err}") from err
    return (np.unpackbits(out, count=count) if kind == _BITS else out).reshape(shape)
