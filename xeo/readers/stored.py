"""The stored numbers of an archive of xarrayvideo, as arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt

from xeo.errors import StoreError
from xeo.lazy import require
from xeo.readers import frames
from xeo.readers.archive import Rule, jpeg2000_size

Array = npt.NDArray[Any]
Read = Iterator[tuple[int, int, Array]]


def read(rule: Rule, dates: Array, channels: Array, places: tuple[Array, Array]) -> Read:
    """Yield codes, one channel of one date at a time; a file at a time.

    Parameters
    ----------
    rule : Rule
    dates : array of int
        Positions, increasing.
    channels : array of int
        Which stored components.
    places : (array of int, array of int)
        Positions along the second and the third dimension.

    Yields
    ------
    int
        Place in ``dates``.
    int
        Channel.
    array
        Codes, float32 where they are not stored exactly.

    Raises
    ------
    StoreError
        If a file is damaged or not what the metadata says.
    """
    windows = [slice(int(p.min()), int(p.max()) + 1) for p in places]
    inside = np.ix_(*(p - p.min() for p in places))
    whole = all(np.array_equal(p, np.arange(p[0], p[-1] + 1)) for p in places)
    kind = _pictures if not rule.letters else _videos
    for i, channel, codes in kind(rule, dates, channels, (windows[0], windows[1])):
        yield i, channel, codes if whole else codes[inside]


def _pictures(rule: Rule, dates: Array, channels: Array, window: tuple[slice, slice]) -> Read:
    """Pictures by date, their rows along the second dimension."""
    for i, date in enumerate(dates):
        path = rule.files[date]
        status = os.stat(path)
        key = (path, status.st_mtime_ns, status.st_size)
        picture = frames.remembered(key, lambda path=path: _jpeg2000(path, rule))  # type: ignore[misc]
        for channel in channels:
            codes = picture.colour(str(channel), window)
            yield i, int(channel), _signed(codes, rule)


def _jpeg2000(path: str, rule: Rule) -> frames.Picture:
    # The head says what decoding would allocate.
    size = jpeg2000_size(path)
    if size != (*rule.shape, rule.channels):
        raise StoreError(
            f"expected {rule.shape} pixels and {rule.channels} bands in {path!r}, got {size}"
        )
    codec = require("imagecodecs", purpose="read JPEG 2000")
    with open(path, "rb") as file:
        data = file.read()
    try:
        decoded = codec.jpeg2k_decode(data)
    except (RuntimeError, ValueError) as err:
        raise StoreError(f"reading the picture {path!r} failed: {err}") from err
    decoded = decoded.reshape(*rule.shape, rule.channels)
    planes = {str(c): np.ascontiguousarray(decoded[..., c]) for c in range(rule.channels)}
    return frames.Picture(planes, 8 * decoded.dtype.itemsize)


def _videos(rule: Rule, dates: Array, channels: Array, window: tuple[slice, slice]) -> Read:
    """Videos of some channels each, their columns along the second dimension."""
    each = len(rule.letters)
    turned = window[::-1]
    for number in sorted({int(channel) // each for channel in channels}):
        path = rule.files[number]
        here = [int(channel) for channel in channels if channel // each == number]
        words = _words(rule, path)
        wanted = (dates[:, None] * words + np.arange(words)).ravel()
        with closing(frames.pictures(path, wanted, rule.frames, words)) as found:
            for i in range(len(dates)):
                group = [next(found) for _ in range(words)]
                for channel in here:
                    letter = rule.letters[channel % each]
                    if words > 1:
                        codes = _wide(group, letter, path)[turned]
                    else:
                        codes = _signed(
                            _rescaled(group[0].colour(letter, turned), group[0], rule), rule
                        )
                    yield i, channel, codes.T


def _words(rule: Rule, path: str) -> int:
    """Return how many pictures stand for a date: more than one where the writer erred.

    It takes integers of 16 to 64 bits that fit 8 for bytes, and stores all of their bytes.
    """
    if rule.ranges is None and rule.bits == 8:
        found = frames.length(path)
        if found in (2 * rule.frames, 4 * rule.frames, 8 * rule.frames):
            return found // rule.frames
    return 1


def _wide(group: list[frames.Picture], letter: str, path: str) -> Array:
    """Put the bytes of wide integers together again."""
    if not all(picture.exact for picture in group):
        raise StoreError(
            f"expected a picture a date in {path!r}, got {len(group)}: xarrayvideo stored the "
            "bytes of wide integers with loss, and they cannot be read back"
        )
    order = "gbr"
    planes = np.stack([picture.planes[c] for picture in group for c in order])
    wide = np.frombuffer(planes.tobytes(), f"<i{len(group)}")
    return np.asarray(wide.reshape(len(order), *planes.shape[1:])[order.index(letter)])


def _rescaled(codes: Array, picture: frames.Picture, rule: Rule) -> Array:
    """Bring codes of another depth than the metadata says to that one."""
    if picture.depth == rule.bits:
        return codes
    return codes * np.float32((2**rule.bits - 1) / (2**picture.depth - 1))


def _signed(codes: Array, rule: Rule) -> Array:
    """Give integers that were stored bit by bit their sign back."""
    if rule.negative and rule.ranges is None and codes.dtype.kind == "u":
        return codes.view(f"i{codes.dtype.itemsize}")
    return codes
