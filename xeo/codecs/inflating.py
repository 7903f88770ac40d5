"""Decompression that cannot be made to fill the memory."""

from __future__ import annotations

import zlib

from xeo.errors import CodecError


def inflate(data: bytes | memoryview, most: int) -> bytes:
    """Decompress what zlib compressed.

    Parameters
    ----------
    data : bytes
        Of `zlib.compress`.
    most : int
        Bytes that there can be.

    Returns
    -------
    bytes

    Raises
    ------
    CodecError
        If it is damaged, or holds more.
    """
    worker = zlib.decompressobj()
    try:
        made = worker.decompress(bytes(data), most + 1)
    except zlib.error as err:
        raise CodecError(f"a table of a chunk cannot be read: {err}") from err
    if len(made) > most or not worker.eof:
        raise CodecError("a table of a chunk is too long or cut short: it is damaged")
    return made
