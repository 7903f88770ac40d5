"""Lossless coding of cubes of integers: pictures of several dates, their bands as channels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.pictures import MOST_CHANNELS, decode_picture, encode_picture
from xeo.errors import CodecError

Shape = tuple[int, int, int, int]
#: A picture has at least so many pixels where there are dates enough: smaller ones pay more for
#: what a coder learns anew in each, larger ones are read in vain when one date is wanted.
_PIXELS = 1 << 16


def encode_integers(values: NDArray[Any], effort: int = 7) -> tuple[dict[str, Any], list[bytes]]:
    """Code a cube of integers without loss.

    Parameters
    ----------
    values : array of int or uint, shape (T, B, Y, X)
        Of any range.
    effort : int
        From 1, fast, to 9, small.

    Returns
    -------
    header : dict
        For `decode_integers`; JSON can say it.
    parts : list of bytes
    """
    low, high = int(values.min()), int(values.max())
    header = {"low": low, "span": high - low, "dates": _dates_each(values.shape)}
    parts = []
    for start in range(0, len(values), header["dates"]):
        group = values[start : start + header["dates"]]
        picture = _stacked(group).astype(np.uint64) - np.uint64(low % 2**64)
        for channels in _blocks(picture.shape[0]):
            for shift, dtype in _digits(header["span"]):
                digit = (picture[channels] >> np.uint64(shift)).astype(dtype)
                parts.append(encode_picture(digit, effort))
    return header, parts


def decode_integers(
    header: Mapping[str, Any],
    parts: Sequence[memoryview],
    shape: Shape,
    dtype: np.dtype[Any],
    dates: NDArray[np.intp] | None = None,
) -> NDArray[Any]:
    """Return the cube again, or some of its dates.

    Parameters
    ----------
    header, parts :
        Of `encode_integers`.
    shape : tuple of int
        Of the whole cube.
    dtype : numpy.dtype
        Of what is returned; integers that hold all values.
    dates : array of int, optional
        Sorted positions of the dates that are wanted.

    Returns
    -------
    array of ``dtype``, shape (T, B, Y, X)

    Raises
    ------
    CodecError
        If header and parts are not of such a cube.
    """
    low, span, each = _checked(header, shape, dtype)
    wanted = np.arange(shape[0]) if dates is None else dates
    out = np.empty((len(wanted), *shape[1:]), dtype)
    per_group = _parts_each(span, shape)
    for group in np.unique(wanted // each):
        inside = np.flatnonzero(wanted // each == group)
        count = min(each, shape[0] - int(group) * each)
        own = parts[int(group) * per_group : (int(group) + 1) * per_group]
        made = _decode_group(own, span, (count, *shape[1:]))
        made += np.uint64(low % 2**64)
        out[inside] = made.astype(dtype)[wanted[inside] % each]
    return out


def wanted_parts(header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape) -> list[int]:
    """Return which parts `decode_integers` needs for some dates.

    Parameters
    ----------
    header : mapping
        Of `encode_integers`.
    dates : array of int
        Positions of the dates.
    shape : tuple of int
        Of the whole cube.

    Returns
    -------
    list of int

    Raises
    ------
    CodecError
        If the header is not of such a cube.
    """
    _, span, each = _checked(header, shape, np.dtype(object))
    number = _parts_each(span, shape)
    groups = np.unique(dates // each)
    return [int(g) * number + n for g in groups for n in range(number)]


def _decode_group(parts: Sequence[memoryview], span: int, shape: Shape) -> NDArray[np.uint64]:
    picture = np.zeros((shape[1], shape[0] * shape[2], shape[3]), np.uint64)
    if len(parts) != _parts_each(span, shape):
        raise CodecError(f"a chunk lacks pictures, it has {len(parts)}: it is damaged")
    left = iter(parts)
    for channels in _blocks(shape[1]):
        block = picture[channels]
        for shift, digit in _digits(span):
            made = decode_picture(next(left), block.shape, digit)
            block |= made.astype(np.uint64) << np.uint64(shift)
    if int(picture.max()) > span:
        raise CodecError("a chunk has values beyond the range that it declares: it is damaged")
    return picture.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)


def _checked(header: Mapping[str, Any], shape: Shape, dtype: np.dtype[Any]) -> tuple[int, int, int]:
    low, span, each = header["low"], header["span"], header["dates"]
    if not all(type(n) is int for n in (low, span, each)) or not 0 < each <= max(shape[0], 1):
        raise CodecError("the header of integers cannot be: the chunk is damaged")
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    least, most = (limits.min, limits.max) if limits else (-(2**63), 2**64 - 1)
    if span < 0 or low < least or low + span > most:
        raise CodecError(f"integers from {low} to {low + span} do not fit {dtype}: damaged")
    return low, span, each


def _dates_each(shape: tuple[int, ...]) -> int:
    return min(shape[0], math.ceil(_PIXELS / (shape[2] * shape[3])))


def _stacked(group: NDArray[Any]) -> NDArray[Any]:
    """Put dates below one another, bands first."""
    return group.swapaxes(0, 1).reshape(group.shape[1], -1, group.shape[3])


def _blocks(channels: int) -> list[slice]:
    return [slice(n, n + MOST_CHANNELS) for n in range(0, channels, MOST_CHANNELS)]


def _digits(span: int) -> list[tuple[int, np.dtype[Any]]]:
    """Return the shift and the dtype of each picture that integers of up to ``span`` need."""
    bits = max(span.bit_length(), 1)
    return [
        (shift, np.dtype(np.uint8 if bits - shift <= 8 else np.uint16))
        for shift in range(0, bits, 16)
    ]


def _parts_each(span: int, shape: Shape) -> int:
    return len(_blocks(shape[1])) * len(_digits(span))
