"""Checksums of Matroska files, which FFmpeg writes and does not read.

A decoder patches up damage from neighbouring pictures and says nothing: values would be wrong.
"""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

from xeo.errors import StoreError

_SEGMENT, _CLUSTER, _CRC32 = 0x18538067, 0x1F43B675, 0xBF
_BLOCK = 2**20


def check(path: str, *, pictures: bool = True) -> None:
    """Compare the elements of a file with their checksums, those that have one.

    Parameters
    ----------
    path : str
    pictures : bool
        Whether to read the pictures too, which are nearly all of the file, not only their sizes.

    Raises
    ------
    StoreError
        If the file is truncated, damaged, or no Matroska file.
    """
    end = os.path.getsize(path)
    with open(path, "rb") as file:
        _, size = _head(file, path)
        file.seek(size, os.SEEK_CUR)
        name, size = _head(file, path)
        if name != _SEGMENT:
            raise StoreError(f"expected a Matroska file at {path!r}, found something else")
        while file.tell() < end:
            name, size = _head(file, path)
            start = file.tell()
            if size < 0:
                # Of unknown size, as in a live stream: it ends with the file.
                return
            if start + size > end:
                raise StoreError(
                    f"expected {start + size} bytes or more in {path!r}, found {end}: it is "
                    "truncated or damaged"
                )
            if pictures or name != _CLUSTER:
                _compare(file, path, size)
            file.seek(start + size)


def _compare(file: BinaryIO, path: str, size: int) -> None:
    """Check the children of an element against the checksum that comes first among them."""
    head = file.read(6) if size >= 6 else b""
    if head[:2] != bytes([_CRC32, 0x84]):
        return
    found, left = 0, size - 6
    while left:
        block = file.read(min(left, _BLOCK))
        if not block:
            break
        found, left = zlib.crc32(block, found), left - len(block)
    if left or found != int.from_bytes(head[2:], "little"):
        raise StoreError(f"checksums of the video {path!r} do not match: it is damaged")


def _head(file: BinaryIO, path: str) -> tuple[int, int]:
    """Return the name and the size of the next element; -1 for an unknown size."""
    name, _ = _number(file, path)
    size, length = _number(file, path)
    size -= 1 << (7 * length)
    return name, -1 if size == (1 << (7 * length)) - 1 else size


def _number(file: BinaryIO, path: str) -> tuple[int, int]:
    """Read a number of 1 to 8 bytes with the bit that marks its length; and that length."""
    first = file.read(1)
    length = 9 - first[0].bit_length() if first else 9
    rest = file.read(length - 1)
    if length > 8 or len(rest) < length - 1:
        raise StoreError(f"expected a Matroska file at {path!r}, found something else")
    return int.from_bytes(first + rest, "big"), length
