"""Pictures out of video files: only the wanted ones are decoded.

A file is opened when its first picture is asked for, its packets are listed (which decodes
nothing), and decoding starts at the last key frame before a wanted picture, or goes on where it
stopped. One file is used by one thread at a time; its decoder has threads of its own.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xeo.errors import StoreError
from xeo.lazy import require
from xeo.options import threads
from xeo.readers import matroska

Array = npt.NDArray[Any]

#: Decoded pictures that are kept, in bytes: bands of one file are asked for one after another.
CACHE = 256 * 2**20
#: Files that stay open at a time.
_OPEN = 16

#: Weights of red and blue in luma, by the number of the colour space; BT.601 where it is not told.
_LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
_LUMA |= {10: _LUMA[9]}
_BT601 = (0.299, 0.114)

#: Colours of pixels that are stored side by side.
_PACKED = {"bgr0": "bgr-", "bgra": "bgr-", "bgr24": "bgr", "rgb24": "rgb", "rgba": "rgb-"}


@dataclass(frozen=True)
class Picture:
    """A decoded picture: one plane a component, and how components become colours.

    Parameters
    ----------
    planes : mapping of str to array
        Of ``y``, ``u``, ``v`` or of ``r``, ``g``, ``b`` or of ``y`` alone, each ``(row, column)``.
    depth : int
        Bits of a component.
    full : bool
        Whether luma uses all codes, not those of television alone.
    luma : (float, float)
        Weights of red and blue in luma.
    """

    planes: dict[str, Array]
    depth: int
    full: bool = False
    luma: tuple[float, float] = _BT601

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(plane.nbytes for plane in self.planes.values())

    @property
    def exact(self) -> bool:
        """Whether colours are stored as they are, not mixed to luma and chroma."""
        return "u" not in self.planes

    def colour(self, letter: str, window: tuple[slice, slice]) -> Array:
        """Return one colour as codes of `depth` bits; of float32 where it had to be unmixed.

        Parameters
        ----------
        letter : {"r", "g", "b"}
        window : (slice, slice)
            Rows and columns.
        """
        if self.exact:
            return self.planes[letter if letter in self.planes else "y"][window]
        top = 2**self.depth - 1
        unit = 2 ** (self.depth - 8)
        # FFmpeg takes 255 * unit for white, not 2**depth - 1, whatever the depth. Unmixed without
        # rounding: half a code better than a conversion to integers is.
        low, luma, chroma = (0, 1.0, 1.0) if self.full else (16 * unit, 255 / 219, 255 / 224)
        out = (self.planes["y"][window].astype(np.float32) - low) * np.float32(luma)
        for name, weight in zip("uv", self._weights(letter), strict=True):
            if weight:
                centred = self.planes[name][window].astype(np.float32) - 128 * unit
                out += centred * np.float32(weight * chroma)
        return np.clip(out, 0, top, out=out)

    def _weights(self, letter: str) -> tuple[float, float]:
        """Weights of the two chroma components, blue and red, in a colour."""
        red, blue = self.luma
        if letter == "r":
            return 0.0, 2 * (1 - red)
        if letter == "b":
            return 2 * (1 - blue), 0.0
        green = 1 - red - blue
        return -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green


@dataclass(frozen=True)
class Header:
    """What the head of a video file says."""

    path: str
    width: int
    height: int
    tags: dict[str, str]


def probe(path: str) -> Header:
    """Read the head of a video file.

    Raises
    ------
    StoreError
        If it is no video, truncated, or its head is damaged.
    """
    matroska.check(path, pictures=False)
    with _reading(path), _open(path) as container:
        if not container.streams.video:
            raise StoreError(f"expected a video in {path!r}, found none")
        codec = container.streams.video[0].codec_context
        if codec is None:
            raise StoreError(f"expected a video in {path!r} of a codec that FFmpeg knows")
        tags = {str(key): str(text) for key, text in container.metadata.items()}
        return Header(path, int(codec.width), int(codec.height), tags)


def pictures(
    path: str, wanted: Iterable[int], count: int, each: int = 1
) -> Generator[Picture, None, None]:
    """Yield pictures of a file by position.

    Parameters
    ----------
    path : str
    wanted : iterable of int
        Positions, increasing.
    count : int
        How many pictures the file should hold.
    each : int
        How many pictures of the file are expected to stand for one position; a file with
        more or less than ``count * each`` pictures is refused.

    Yields
    ------
    Picture

    Raises
    ------
    StoreError
        If the file is truncated, damaged or of another length.
    """
    film = _films.get(path)
    with film.lock, _reading(path):
        found = film.index().size
        if found != count * each:
            raise StoreError(
                f"expected {count * each} pictures in {path!r}, found {found}: it is "
                f"{'truncated' if found < count * each else 'of another length'}"
            )
        for position in wanted:
            yield film.picture(int(position))


def length(path: str) -> int:
    """Return how many pictures a video file holds; reads it through, decodes nothing."""
    film = _films.get(path)
    with film.lock, _reading(path):
        return int(film.index().size)


def close(paths: Iterable[str]) -> None:
    """Close files that stayed open, and forget their pictures."""
    for path in paths:
        _films.drop(path)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turn the errors of FFmpeg into ours."""
    av = require("av", purpose="read video")
    try:
        yield
    except StoreError:
        raise
    except (av.FFmpegError, EOFError, UnicodeDecodeError) as err:
        raise StoreError(f"reading the video {path!r} failed: {err}") from err


def _open(path: str) -> Any:
    # A name alone could be taken for a protocol, such as "concat:a|b".
    return require("av", purpose="read video").open("file:" + os.path.abspath(path))


class _Film:
    """One open file: where its pictures are, and a decoder on its way through them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.state: tuple[int, int] | None = None
        self._times: npt.NDArray[np.int64] | None = None
        self._keys: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._container: Any = None
        self._decoded: Iterator[Any] = iter(())
        self._next = 0

    def index(self) -> npt.NDArray[np.int64]:
        """Return when each picture is shown, increasing; forget all if the file changed."""
        status = os.stat(self.path)
        state = (status.st_mtime_ns, status.st_size)
        if self._times is None or state != self.state:
            self.close()
            self.state = state
            matroska.check(self.path)
            with _open(self.path) as container:
                stream = container.streams.video[0]
                packets = [
                    (packet.pts, packet.is_keyframe)
                    for packet in container.demux(stream)
                    if packet.pts is not None and packet.size
                ]
            self._times = np.unique(np.array([pts for pts, _ in packets], np.int64))
            keys = np.array([pts for pts, key in packets if key], np.int64)
            self._keys = np.unique(np.searchsorted(self._times, keys))
        return self._times

    def picture(self, position: int) -> Picture:
        """Return one picture, decoded now or lately."""
        assert self.state is not None
        key = (self.path, *self.state, position)
        kept = _cache.get(key)
        if kept is None:
            kept = self._decode(position)
            _cache.put(key, kept)
        return kept

    def close(self) -> None:
        container, self._container, self._times = self._container, None, None
        self._decoded = iter(())
        if container is not None:
            container.close()

    def _decode(self, position: int) -> Picture:
        key = int(self._keys[self._keys <= position][-1]) if (self._keys <= position).any() else 0
        # Going on is right unless a key frame lies between, or the picture has gone by.
        if self._container is None or not max(key, 0) <= self._next <= position:
            self._start(position if key else None)
        found = self._advance(position)
        if found is None:
            # Some files cannot be searched well: from the start, then.
            self._start(None)
            found = self._advance(position)
        if found is None:
            raise StoreError(f"picture {position} of the video {self.path!r} cannot be decoded")
        return found

    def _start(self, position: int | None) -> None:
        """Open the file, or go to the last key frame before a picture."""
        if self._container is None or position is None:
            if self._container is not None:
                self._container.close()
            self._container = _open(self.path)
            stream = self._container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = threads()
            # Damage is an error, not a picture patched up from its neighbours.
            stream.codec_context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
        stream = self._container.streams.video[0]
        if position is not None and self._times is not None:
            self._container.seek(int(self._times[position]), stream=stream)
        self._decoded = self._container.decode(stream)
        self._next = 0

    def _advance(self, position: int) -> Picture | None:
        assert self._times is not None
        for frame in self._decoded:
            if frame.pts is None:
                continue
            at = int(np.searchsorted(self._times, frame.pts))
            self._next = at + 1
            if at == position and not frame.is_corrupt:
                return _picture(frame)
            if at >= position:
                break
        return None


class _Films:
    """Files that are open, at most so many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Film] = OrderedDict()

    def get(self, path: str) -> _Film:
        with self._lock:
            film = self._held.pop(path, None) or _Film(path)
            self._held[path] = film
            extra = list(self._held.values())[:-_OPEN]
            for old in extra:
                # One that is being read stays, and goes another time.
                if old.lock.acquire(blocking=False):
                    del self._held[old.path]
                    old.close()
                    old.lock.release()
        return film

    def drop(self, path: str) -> None:
        with self._lock:
            film = self._held.pop(path, None)
        if film is not None:
            with film.lock:
                film.close()
        _cache.drop(path)


class _Cache:
    """Pictures that were read lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[Any, ...], Picture] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[Any, ...]) -> Picture | None:
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: tuple[Any, ...], picture: Picture) -> None:
        with self._lock:
            if key in self._held:
                return
            self._held[key] = picture
            self._bytes += picture.nbytes
            while self._bytes > CACHE:
                _, old = self._held.popitem(last=False)
                self._bytes -= old.nbytes

    def drop(self, path: str) -> None:
        with self._lock:
            for key in [key for key in self._held if key[0] == path]:
                self._bytes -= self._held.pop(key).nbytes


_films = _Films()
_cache = _Cache()


def remembered(key: tuple[Any, ...], make: Callable[[], Picture]) -> Picture:
    """Return a picture from the cache, whose key begins with its path, or make it."""
    found = _cache.get(key)
    if found is None:
        found = make()
        _cache.put(key, found)
    return found


def _fresh() -> None:
    """Leave the decoders of the parent alone: their threads do not live on in a fork."""
    global _films, _cache
    _films, _cache = _Films(), _Cache()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh)


def _picture(frame: Any) -> Picture:
    name = frame.format.name
    if not _plain(name):
        # Subsampled, palettes, big endian: let FFmpeg bring it to colours.
        depth = max(component.bits for component in frame.format.components)
        frame = frame.reformat(format="gbrp" if depth <= 8 else "gbrp16le")
        name = frame.format.name
    depth = int(frame.format.components[0].bits)
    kind: Any = np.uint8 if depth <= 8 else np.dtype("<u2")
    letters = (
        _PACKED.get(name) or {"y": "yuv", "gb": "gbr", "gr": "y"}[name[: 1 + (name[0] == "g")]]
    )
    if name in _PACKED:
        wide = _plane(frame.planes[0], kind, len(letters), frame.width)
        wide = wide.reshape(len(wide), -1, len(letters))
        planes = {c: wide[..., i].copy() for i, c in enumerate(letters) if c != "-"}
    else:
        planes = {
            c: _plane(frame.planes[i], kind, 1, frame.width).copy() for i, c in enumerate(letters)
        }
    full = name.startswith("yuvj") or int(frame.color_range) == 2
    return Picture(planes, depth, full, _LUMA.get(int(frame.colorspace), _BT601))


def _plain(name: str) -> bool:
    return name in _PACKED or (
        name.startswith(("yuv444p", "yuvj444p", "gbrp", "gbrap", "gray"))
        and not name.endswith(("be", "f32le", "f16le", "msble"))
    )


def _plane(plane: Any, kind: Any, samples: int, width: int) -> Array:
    """Return a plane without the bytes that pad its lines."""
    lines = np.frombuffer(plane, kind).reshape(-1, plane.line_size // np.dtype(kind).itemsize)
    return lines[: plane.height, : width * samples]
