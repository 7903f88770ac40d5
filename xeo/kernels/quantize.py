"""Embeddings in one byte a channel, as AlphaEarth stores them."""

from __future__ import annotations

from typing import Any

import numpy as np

#: The byte that stands for a missing vector.
NODATA = -128
_HALF = 127.5


def quantize(vectors: Any, axis: int) -> Any:
    """Return the direction of each vector as signed bytes.

    Parameters
    ----------
    vectors : array of float
        NaN in any channel marks a missing vector.
    axis : int
        The axis of channels.

    Returns
    -------
    array of int8
        ``round(sign(f) * sqrt(|f|) * 127.5)``, at most 127 either way, of the unit vector
        ``f``; -128 in all channels of a missing vector. The length of the vector is dropped.

    References
    ----------
    .. [1] Brown, C. F. et al. (2025). AlphaEarth Foundations: An embedding field model for
       accurate and efficient global mapping from sparse label data. arXiv:2507.22291
    """
    length = np.sqrt((vectors.astype(np.float32) ** 2).sum(axis=axis, keepdims=True))
    missing = ~np.isfinite(length)
    unit = vectors / np.where((length == 0) | missing, 1, length)
    # Division can overshoot 1 by a rounding step, and a missing vector has no square root.
    unit = np.clip(np.where(missing, 0, unit), -1, 1)
    coded = np.rint(np.sign(unit) * np.sqrt(np.abs(unit)) * _HALF)
    return np.where(missing, NODATA, np.clip(coded, -127, 127)).astype(np.int8)


def dequantize(codes: Any) -> Any:
    """Return vectors from their bytes: ``sign(q) * (|q| / 127.5) ** 2``, NaN for -128.

    Parameters
    ----------
    codes : array of int8
        As made by `quantize`.

    Returns
    -------
    array of float32, shape of ``codes``
    """
    values = codes.astype(np.float32)
    vectors = np.sign(values) * (np.abs(values) / _HALF) ** 2
    return np.where(codes == NODATA, np.float32(np.nan), vectors).astype(np.float32)
