"""Lossless coding of cubes of integers by prediction from all around.

Every pixel is predicted from known neighbours in space, in other bands and at other dates, with
weights fitted to the data; what is left is coded under a density as wide as the surroundings let
expect. Smaller than any picture coder on cubes, and several times slower to read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.cell_decoder import CellDecoder
from xeo.codecs.cell_encoder import CellEncoder
from xeo.codecs.cells import Plan, Planes
from xeo.codecs.labels import decode_labels, encode_labels
from xeo.errors import CodecError
from xeo.kernels.prediction import MOST
from xeo.kernels.pyramid import likeness_order, steps

Shape = tuple[int, int, int, int]
_SAMPLE = 512
#: Pixels, at least, of which one band shares its weights: with fewer, weights cost too much and
#: coding is slow; with more, dates that differ would have to share them.
_PIXELS = 1 << 16
#: Where more than this matters, what does not is coded as expected, instead of being told apart.
_MOSTLY = 0.95


def can_code(span: int) -> bool:
    """Return whether integers of such a range are not too large."""
    return span < MOST


def encode_pyramid(
    values: NDArray[np.uint64],
    valid: NDArray[np.bool_] | None,
    span: int,
    widths: list[int] | None = None,
) -> tuple[dict[str, Any], list[bytes]]:
    """Code a cube of integers, without loss or up to an error.

    Parameters
    ----------
    values : array of uint64, shape (T, B, Y, X)
        From 0 to ``span``.
    valid : array of bool, optional
        Where values matter.
    span : int
        The largest value; `can_code` it.
    widths : list of int, optional
        For each band, how many integers may share a code: what comes back is at most half as
        many off. Codes count from what is predicted, so that good predictions cost little.

    Returns
    -------
    header : dict
        For `decode_pyramid`; JSON can say it.
    parts : list of bytes
    """
    times, count, rows, columns = values.shape
    flat = values.reshape(times, count, rows * columns)
    order = likeness_order(_sample(flat))
    bands = [int(b) for b in np.argsort(-_sample(flat.swapaxes(0, 1)).std(axis=1), kind="stable")]
    each = math.ceil(_PIXELS / (rows * columns))
    plan = Plan.of(order, bands, each)
    header: dict[str, Any] = {"each": each}
    header |= {} if order == sorted(order) else {"order": order}
    header |= {} if bands == sorted(bands) else {"first": bands}
    widths = widths or [1] * count
    header |= {} if widths == [1] * count else {"widths": widths}
    parts, matter = [], None
    if valid is not None and not valid.all():
        alike = bool((valid == valid[:, :1]).all())
        kept = valid[:, : 1 if alike else count]
        matter = kept.reshape(times, -1, rows * columns)[order]
        if kept.mean() < _MOSTLY:
            header["mask"] = kept.shape[1]
            parts.append(encode_labels((~kept).astype(np.uint8)))
    planes = Planes(plan, span, rows * columns, matter, widths)
    planes.values[...] = flat[order]
    grid = steps(rows, columns)
    return header, parts + [
        CellEncoder(planes, cell, grid, "mask" in header).encode() for cell in plan.cells
    ]


def _sample(flat: NDArray[Any]) -> NDArray[np.float64]:
    whole = flat.reshape(len(flat), -1)
    return whole[:, :: max(1, whole.shape[1] // _SAMPLE)].astype(np.float64)


def decode_pyramid(
    header: Mapping[str, Any],
    parts: Sequence[memoryview],
    shape: Shape,
    span: int,
    dates: NDArray[np.intp],
) -> NDArray[np.uint64]:
    """Return some dates of the cube again.

    Parameters
    ----------
    header, parts :
        Of `encode_pyramid`.
    shape : tuple of int
        Of the whole cube.
    span : int
        The largest value.
    dates : array of int
        Sorted positions of the dates that are wanted.

    Returns
    -------
    array of uint64, shape (T, B, Y, X)

    Raises
    ------
    CodecError
        If header and parts are not of such a cube.
    """
    plan = _plan(header, shape)
    lead = int("mask" in header)
    if not 0 <= span < MOST or len(parts) != len(plan.cells) + lead:
        raise CodecError("a chunk lacks parts, or is of too large a range: it is damaged")
    matter = _mask(header, parts, shape, plan.order) if lead else None
    planes = Planes(plan, span, shape[2] * shape[3], matter, _widths(header, shape))
    grid = steps(shape[2], shape[3])
    for number in plan.needed(dates):
        CellDecoder(planes, plan.cells[number], grid, parts[lead + number]).decode()
    place = {date: n for n, date in enumerate(plan.order)}
    made = planes.values[[place[int(date)] for date in dates]]
    return made.astype(np.uint64).reshape(len(dates), *shape[1:])


def parts_of_pyramid(header: Mapping[str, Any], shape: Shape) -> int:
    """Return how many parts `encode_pyramid` makes."""
    return len(_plan(header, shape).cells) + int("mask" in header)


def wanted_of_pyramid(
    header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape
) -> list[int]:
    """Return which parts `decode_pyramid` needs for some dates."""
    lead = int("mask" in header)
    return [*range(lead), *(lead + n for n in _plan(header, shape).needed(dates))]


def _widths(header: Mapping[str, Any], shape: Shape) -> list[int]:
    widths = header.get("widths", [1] * shape[1])
    if len(widths) != shape[1] or not all(type(n) is int and 0 < n <= MOST for n in widths):
        raise CodecError(f"widths of codes of {widths} cannot be: a chunk is damaged")
    return list(widths)


def _mask(
    header: Mapping[str, Any], parts: Sequence[memoryview], shape: Shape, order: list[int]
) -> NDArray[np.bool_]:
    """Return where values matter, dates in the order of coding."""
    bands = header["mask"]
    if type(bands) is not int or bands not in (1, shape[1]):
        raise CodecError(f"a mask of {bands!r} bands of {shape[1]} cannot be: a chunk is damaged")
    labels = decode_labels(bytes(parts[0]), (shape[0], bands, *shape[2:]))
    return np.asarray((labels == 0).reshape(shape[0], bands, -1)[order])


def _plan(header: Mapping[str, Any], shape: Shape) -> Plan:
    order = header.get("order", list(range(shape[0])))
    bands = header.get("first", list(range(shape[1])))
    for listed, size in ((order, shape[0]), (bands, shape[1])):
        if not all(type(n) is int for n in listed) or sorted(listed) != list(range(size)):
            raise CodecError(f"{size} dates or bands in an order of {len(listed)}: damaged")
    each = header["each"]
    if type(each) is not int or each < 1:
        raise CodecError(f"{each!r} dates together cannot be: a chunk is damaged")
    return Plan.of(order, bands, each)
