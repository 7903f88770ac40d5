"""Cubes of any numbers as cubes of integers, bit by bit.

Floats that came from packed integers sit on a lattice, often another one each date; floats that a
table or a network produced are few different ones; others are taken by their order.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.inflating import inflate
from xeo.codecs.integers import (
    Shape,
    decode_integers,
    encode_integers,
    wanted_parts,
)
from xeo.errors import CodecError
from xeo.kernels.lattice import Lattice, find_lattice

#: With a larger share of different values, a table of them costs more than it saves.
_RARE = 0.75
#: Integers of a smaller range are numbered by their own coder where that pays.
_WIDE = 1 << 16
_SAMPLE = 4096
_LEVEL = 9


def encode_exact(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, effort: int
) -> tuple[dict[str, Any], list[bytes]]:
    """Code a cube without loss.

    Parameters
    ----------
    values : array of bool, int, uint or float, shape (T, B, Y, X)
        Native byte order.
    valid : array of bool, optional
        Where values matter; everywhere by default. Floats are finite there.
    effort : int
        Of `encode_integers`.

    Returns
    -------
    header : dict
        For `decode_exact`; JSON can say it.
    parts : list of bytes
    """
    if values.dtype.kind == "b":
        return _coded("plain", b"", values.view(np.uint8), valid, effort)
    if values.dtype.kind in "iu":
        return _smaller(_coded("plain", b"", values, valid, effort), values, valid, effort)
    lattices = _lattices(values, valid)
    if lattices is not None:
        table = np.array([[g.offset, g.step, g.divide] for g in lattices])
        numbers = _on_lattices(values, valid, lattices)
        return _coded("lattice", _pack_table(table), numbers, valid, effort)
    order = _ordered(values)
    return _smaller(_coded("order", b"", order, valid, effort), order, valid, effort)


def _smaller(
    found: tuple[dict[str, Any], list[bytes]],
    numbers: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    effort: int,
) -> tuple[dict[str, Any], list[bytes]]:
    """Return what was found, or ranks in a table of different values where those are smaller."""
    few = _few(numbers, valid)
    if few is None:
        return found
    # Sorted values lie between their neighbours, which tells most of their digits.
    table, lead = encode_integers(few.reshape(1, 1, 1, -1), effort)
    own, parts = encode_integers(np.searchsorted(few, numbers).astype(np.int64), effort, valid)
    about = {"table": table, "lead": len(lead), "count": len(few)}
    other = {"as": "ranks", "own": own, **about}, lead + parts
    return min(found, other, key=lambda coded: sum(map(len, coded[1])))


def decode_exact(
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
        Of `encode_exact`.
    shape : tuple of int
        Of the whole cube.
    dtype : numpy.dtype
        Of the cube.
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
    kind, own = header["as"], header["own"]
    if kind == "plain" and dtype.kind in "iu":
        return decode_integers(own, parts, shape, dtype, dates)
    if kind == "plain" and dtype.kind == "b":
        return decode_integers(own, parts, shape, np.dtype(np.uint8), dates).astype(bool)
    if kind == "ranks" and dtype.kind in "iuf":
        return _from_ranks(header, parts, shape, dtype, dates)
    if dtype.kind != "f" or kind not in ("lattice", "order"):
        raise CodecError(f"a chunk of {dtype} cannot be coded as {kind!r}: it is damaged")
    if kind == "order":
        made = decode_integers(own, parts, shape, np.dtype(np.uint64), dates)
        return _unordered(made, dtype)
    numbers = decode_integers(own, parts[1:], shape, np.dtype(np.int64), dates)
    return _from_lattices(numbers, parts[0], shape, dtype, dates)


def wanted_exact(header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape) -> list[int]:
    """Return which parts `decode_exact` needs for some dates.

    Parameters
    ----------
    header : mapping
        Of `encode_exact`.
    dates : array of int
        Positions of the dates.
    shape : tuple of int
        Of the whole cube.

    Returns
    -------
    list of int
    """
    found = wanted_parts(header["own"], dates, shape)
    lead = _lead(header)
    return [*range(lead), *(n + lead for n in found)]


def _lead(header: Mapping[str, Any]) -> int:
    """Return how many parts are needed for any date."""
    lead = header.get("lead", int(header["as"] == "lattice"))
    if type(lead) is not int or not 0 <= lead < 2**16:
        raise CodecError(f"a table in {lead!r} parts cannot be: a chunk is damaged")
    return lead


def _from_ranks(
    header: Mapping[str, Any],
    parts: Sequence[memoryview],
    shape: Shape,
    dtype: np.dtype[Any],
    dates: NDArray[np.intp] | None,
) -> NDArray[Any]:
    lead, count = _lead(header), header["count"]
    if type(count) is not int or not 0 < count <= math.prod(shape):
        raise CodecError(f"a table of {count!r} values cannot be: a chunk is damaged")
    kind = np.dtype(np.uint64) if dtype.kind == "f" else dtype
    table = decode_integers(header["table"], parts[:lead], (1, 1, 1, count), kind).ravel()
    numbers = decode_integers(header["own"], parts[lead:], shape, np.dtype(np.int64), dates)
    if numbers.size and not (int(numbers.min()) >= 0 and int(numbers.max()) < count):
        raise CodecError("a chunk points beyond its table of values: it is damaged")
    made = table[numbers]
    return _unordered(made, dtype) if dtype.kind == "f" else made


def _coded(
    kind: str, table: bytes, numbers: NDArray[Any], valid: NDArray[np.bool_] | None, effort: int
) -> tuple[dict[str, Any], list[bytes]]:
    own, parts = encode_integers(numbers, effort, valid)
    return {"as": kind, "own": own}, [table, *parts] if table else parts


def _lattices(values: NDArray[Any], valid: NDArray[np.bool_] | None) -> list[Lattice] | None:
    """Find a lattice for every plane."""
    found: list[Lattice] = []
    for t, b in np.ndindex(values.shape[:2]):
        plane = values[t, b].ravel() if valid is None else values[t, b][valid[t, b]]
        lattice = find_lattice(plane) if plane.size else Lattice(0.0, 1.0)
        if lattice is None:
            return None
        found.append(lattice)
    return found


def _on_lattices(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, lattices: list[Lattice]
) -> NDArray[np.int64]:
    numbers = np.zeros(values.shape, np.int64)
    for (t, b), lattice in zip(np.ndindex(values.shape[:2]), lattices, strict=True):
        plane = values[t, b] if valid is None else np.where(valid[t, b], values[t, b], 0)
        numbers[t, b] = lattice.numbers(plane)
    return numbers


def _from_lattices(
    numbers: NDArray[np.int64],
    table: memoryview,
    shape: Shape,
    dtype: np.dtype[Any],
    dates: NDArray[np.intp] | None,
) -> NDArray[Any]:
    rows = _unpack_table(table, shape)
    if dates is not None:
        rows = rows[dates]
    out = np.empty(numbers.shape, dtype)
    for t, b in np.ndindex(numbers.shape[:2]):
        offset, step, divide = map(float, rows[t, b])
        out[t, b] = Lattice(offset, step, bool(divide)).values(numbers[t, b], dtype)
    return out


def _few(order: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[Any] | None:
    """Return the different values if they are few, and far apart."""
    flat = order.ravel() if valid is None else order[valid]
    if int(flat.max()) - int(flat.min()) < _WIDE:
        return None
    sample = flat[:: max(1, len(flat) // _SAMPLE)]
    if len(np.unique(sample)) > 0.9 * len(sample):
        return None
    table = np.unique(flat)
    return table if len(table) <= _RARE * len(flat) else None


def _ordered(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Return unsigned integers in the order of floats, one for each bit pattern."""
    bits = values.view(f"u{values.dtype.itemsize}")
    top = bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    return np.where(bits & top, ~bits, bits | top).astype(np.uint64)


def _unordered(order: NDArray[np.uint64], dtype: np.dtype[Any]) -> NDArray[Any]:
    if order.size and int(order.max()) >> (8 * dtype.itemsize):
        raise CodecError(f"a chunk has values beyond {dtype}: it is damaged")
    bits = order.astype(f"u{dtype.itemsize}")
    top = bits.dtype.type(1 << (8 * dtype.itemsize - 1))
    return np.where(bits & top, bits ^ top, ~bits).view(dtype)


def _pack_table(table: NDArray[np.float64]) -> bytes:
    rows = np.ascontiguousarray(table.astype("<f8").T).view(np.uint8)
    # Planes of bytes: offsets on a lattice of their own have few digits.
    planes = rows.reshape(3, -1, 8).transpose(0, 2, 1)
    return zlib.compress(planes.tobytes(), _LEVEL)


def _unpack_table(data: memoryview, shape: Shape) -> NDArray[np.float64]:
    planes = inflate(data, 24 * shape[0] * shape[1])
    if len(planes) != 24 * shape[0] * shape[1]:
        raise CodecError("a chunk lacks the lattices of its planes: it is damaged")
    rows = np.frombuffer(planes, np.uint8).reshape(3, 8, -1).transpose(0, 2, 1)
    table = np.ascontiguousarray(rows).view("<f8")[..., 0].T
    return table.astype(np.float64).reshape(shape[0], shape[1], 3)
