"""The bytes of one chunk: an index that says what is in it, then parts, each with a checksum.

``xeo``, version (1 byte), length of the index (4 bytes, little endian), its CRC-32 (4 bytes);
the index: length of the header, header (JSON, deflated), number of parts, then for each part its
length and its CRC-32; then the parts. Lengths inside the index are LEB128. Whoever has the index
can fetch single parts by their byte ranges.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xeo.errors import CodecError

MAGIC = b"xeo"
VERSION = 1
_LEAD = struct.Struct("<3sBII")
_CRC = struct.Struct("<I")
#: More than any index needs, so that hostile lengths cost nothing.
_MOST_INDEX = 1 << 26
_MOST_HEADER = 1 << 24
# What headers have in common, so that deflate need not spell it: part of the file format.
_WORDS = (
    b'{"bands":[0,1,2,3],"codec":"labels","codec":"raw","codec":"constant","dtype":"float64",'
    b'"dtype":"int16","dtype":"uint8","nodata":["0000"],"trim":[12,384,384],"value":"0000",'
    b'"shape":[12,4,256,256],"dtype":"float32","dtype":"uint16","order":[0,1,2,3,4,5,6,7,8,9],'
    b'"step":1,"low":0,"high":1,"own":{"codec":"bounded","codec":"lossless","codec":"video",'
)


@dataclass(frozen=True)
class Index:
    """What a chunk holds, and where.

    Parameters
    ----------
    header : mapping
        What the codec wrote.
    spans : tuple of (int, int)
        First byte and end of each part, from the start of the chunk.
    checks : tuple of int
        CRC-32 of each part.
    """

    header: Mapping[str, Any]
    spans: tuple[tuple[int, int], ...]
    checks: tuple[int, ...]

    def checked(self, number: int, data: memoryview) -> memoryview:
        """Return a part, if it is the one that was written.

        Raises
        ------
        CodecError
            If its length or its checksum is not that of the index.
        """
        first, last = self.spans[number]
        if len(data) != last - first:
            raise CodecError(
                f"expected {last - first} bytes in part {number} of a chunk, got {len(data)}: "
                "the chunk is cut short. Try: write it again from its source"
            )
        if zlib.crc32(data) != self.checks[number]:
            raise CodecError(
                f"the checksum of part {number} of a chunk is not that of its bytes: they were "
                "changed after they were written. Try: write the chunk again from its source"
            )
        return data


def pack(header: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    """Return the bytes of a chunk.

    Parameters
    ----------
    header : mapping
        Of what JSON can say.
    parts : sequence of bytes
        In the order in which they are wanted.

    Returns
    -------
    bytes
    """
    text = json.dumps(header, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_WORDS)
    short = squeeze.compress(text) + squeeze.flush()
    pieces = [_number(len(short)), short, _number(len(parts))]
    for part in parts:
        pieces += [_number(len(part)), _CRC.pack(zlib.crc32(part))]
    index = b"".join(pieces)
    lead = _LEAD.pack(MAGIC, VERSION, len(index), zlib.crc32(index))
    return b"".join([lead, index, *parts])


def unpack(data: bytes | memoryview) -> tuple[Mapping[str, Any], list[memoryview]]:
    """Return the header and the parts of a chunk, all of them checked.

    Parameters
    ----------
    data : bytes
        All bytes of the chunk.

    Returns
    -------
    mapping, list of memoryview

    Raises
    ------
    CodecError
        If these are not the bytes that were written.
    """
    view = memoryview(data).cast("B")
    index = read_index(view)
    size = index.spans[-1][1] if index.spans else index_size(view)
    if size != len(view):
        raise CodecError(
            f"expected a chunk of {size} bytes, got {len(view)}: it was cut or something "
            "was added. Try: write it again from its source"
        )
    spans = enumerate(index.spans)
    return index.header, [index.checked(n, view[first:last]) for n, (first, last) in spans]


def index_size(prefix: bytes | memoryview) -> int:
    """Return how many bytes from the start of a chunk its index takes.

    Raises
    ------
    CodecError
        If this is not the start of a chunk.
    """
    if len(prefix) < _LEAD.size:
        raise CodecError(
            f"expected a chunk of xeo, which has {_LEAD.size} bytes or more, got {len(prefix)}. "
            "Try: write the chunk again from its source"
        )
    magic, version, length, _ = _LEAD.unpack_from(prefix)
    if magic != MAGIC:
        raise CodecError(
            f"expected the bytes of a chunk of xeo to begin with {MAGIC!r}, got {bytes(magic)!r}: "
            "another codec wrote them, or they are damaged"
        )
    if version == 0:
        raise CodecError("a chunk of version 0 cannot be: it is damaged")
    if version > VERSION:
        raise CodecError(
            f"expected version {VERSION} or less of the chunk format, got {version}. "
            "Try: pip install --upgrade xarray-eo"
        )
    if length > _MOST_INDEX:
        raise CodecError(f"a chunk's index of {length} bytes cannot be: the chunk is damaged")
    return _LEAD.size + int(length)


def read_index(prefix: bytes | memoryview) -> Index:
    """Read the index from the first bytes of a chunk.

    Parameters
    ----------
    prefix : bytes
        `index_size` bytes or more.

    Returns
    -------
    Index

    Raises
    ------
    CodecError
        If the index is cut or changed.
    """
    size = index_size(prefix)
    body = bytes(prefix[_LEAD.size : size])
    if len(body) < size - _LEAD.size or zlib.crc32(body) != _LEAD.unpack_from(prefix)[3]:
        raise CodecError(
            "the checksum of a chunk's index is not that of its bytes: they were changed or cut "
            "after they were written. Try: write the chunk again from its source"
        )
    length, at = _read_number(body, 0)
    header = _header(body[at : at + length])
    count, at = _read_number(body, at + length)
    if count > len(body):
        raise CodecError(f"a chunk of {count} parts cannot be: the chunk is damaged")
    spans, checks, start = [], [], size
    for _ in range(count):
        length, at = _read_number(body, at)
        checks.append(_CRC.unpack(_exactly(body[at : at + _CRC.size], _CRC.size))[0])
        at += _CRC.size
        spans.append((start, start + length))
        start += length
    return Index(header, tuple(spans), tuple(checks))


def _header(data: bytes) -> Mapping[str, Any]:
    try:
        spread = zlib.decompressobj(-15, zdict=_WORDS)
        header = json.loads(spread.decompress(data, _MOST_HEADER))
    except (zlib.error, ValueError, RecursionError) as err:
        raise CodecError(f"the header of a chunk cannot be read ({err}): it is damaged") from err
    if not isinstance(header, dict):
        raise CodecError("the header of a chunk is not a mapping: it is damaged")
    return header


def _number(value: int) -> bytes:
    """Spell a length: seven bits a byte, low ones first, the high bit says that more follow."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        byte = _exactly(data[at : at + 1], 1)[0]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise CodecError("a length in the index of a chunk has no end: the chunk is damaged")


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise CodecError("the index of a chunk ends too early: the chunk is damaged")
    return data
