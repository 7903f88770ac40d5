"""Planes of labels, such as where nothing was measured: mostly 0, in patches, alike over dates."""

from __future__ import annotations

import math

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from xeo.errors import CodecError

_LEVEL = 19


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
    return bytes(Zstd(level=_LEVEL).encode(np.ascontiguousarray(labels)))


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
    out = np.zeros(math.prod(shape), np.uint8)
    try:
        Zstd().decode(data, out=out)
    except (RuntimeError, ValueError) as err:
        raise CodecError(f"the labels of missing values cannot be read: {err}") from err
    return out.reshape(shape)
