"""Lossy coders of cubes: ours, xarrayvideo, pictures of JPEG XL and JPEG 2000.

xarrayvideo and its stand-in use libx265 with the preset ``medium``, tuned for PSNR, 12 bits, each
band over its whole range, as its authors do; its bytes are those of its Matroska files, without
``x.nc``. Ours are whole chunks. JPEG XL and JPEG 2000 code planes of 16 bits below one another, so
that their own allocation of bits serves all of them.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imagecodecs
import numpy as np
from _clock import Timed, best_of
from _coders import Array, join, split
from _real import Cube

HERE = Path(__file__).parent
CRFS = (4, 8, 12, 16, 20, 24, 28, 30)
_STRIP = "all planes below one another"
_PARAMS: dict[str, Any] = {"c:v": "libx265", "preset": "medium", "tune": "psnr"}


@dataclass(frozen=True)
class Film:
    """A coded part of a cube: bytes, what comes back, times."""

    bytes: int
    values: Array
    encode: Timed[None]
    decode: Timed[None]


@dataclass(frozen=True)
class Studio:
    """A lossy coder: codes a part of a cube at each of its ``points``."""

    name: str
    points: Sequence[float]
    code: Callable[[Array, Cube, Sequence[float], int], list[Film]]


def ours(name: str, points: Sequence[float], **settings: Any) -> Studio:
    """Return ``xeo.video``; points are qualities."""
    from xeo.codecs.video import VideoCodec

    def code(part: Array, cube: Cube, points: Sequence[float], rounds: int) -> list[Film]:
        told = {"nodata": cube.nodata, **settings}
        codecs = [VideoCodec(quality=q, **told) for q in points]
        return [_film(part, rounds, one.encode_array, one.decode_array) for one in codecs]

    return Studio(name, points, code)


def qualities(encoder: str, crfs: Sequence[float]) -> list[float]:
    """Return the qualities of ``xeo.video`` that stand for constant rate factors."""
    from xeo.codecs.streams import ENCODERS

    kind = ENCODERS[encoder]
    return [100 * (kind.worst - crf) / (kind.worst - kind.best) for crf in crfs]


def xarrayvideo(python: Path, points: Sequence[float] = CRFS, **params: Any) -> Studio:
    """Return the real xarrayvideo, run by another Python; points are constant rate factors."""

    def code(part: Array, cube: Cube, points: Sequence[float], rounds: int) -> list[Film]:
        jobs = [
            {"params": _PARAMS | {"crf": crf} | params, "bits": 12, "rounds": rounds}
            for crf in points
        ]
        return _run_xarrayvideo(python, part, jobs)

    return Studio("xarrayvideo", points, code)


def stand_in(points: Sequence[float] = CRFS, preset: str = "medium") -> Studio:
    """Return xarrayvideo's layout, made with PyAV."""

    def code(part: Array, cube: Cube, points: Sequence[float], rounds: int) -> list[Film]:
        return [
            _film(part, rounds, lambda one, crf=crf: _triples(one, crf, preset), _untriples)
            for crf in points
        ]

    return Studio("layout of xarrayvideo (stand-in)", points, code)


def jpeg_xl_lossy(points: Sequence[float] = (0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8, 15)) -> Studio:
    """Return JPEG XL; points are distances."""

    def encode(plane: Array, distance: float) -> bytes:
        coded = imagecodecs.jpegxl_encode(
            plane, lossless=False, distance=distance, effort=7, photometric="gray",
            usecontainer=False, numthreads=1,
        )  # fmt: skip
        return bytes(coded)

    def decode(data: bytes) -> Array:
        return imagecodecs.jpegxl_decode(data, numthreads=1)

    return Studio("JPEG XL, lossy", points, _stills(encode, decode))


def jpeg_2000_lossy(points: Sequence[float] = tuple(range(28, 76, 6))) -> Studio:
    """Return JPEG 2000; points are PSNR of its own scale."""

    def encode(plane: Array, level: float) -> bytes:
        coded = imagecodecs.jpeg2k_encode(
            plane, level=level, reversible=False, codecformat="j2k", numthreads=1
        )
        return bytes(coded)

    def decode(data: bytes) -> Array:
        return imagecodecs.jpeg2k_decode(data, numthreads=1)

    return Studio("JPEG 2000, lossy", points, _stills(encode, decode))


def _film(
    part: Array, rounds: int, encode: Callable[[Array], Any], decode: Callable[[Any], Array]
) -> Film:
    coded = best_of(rounds, lambda: encode(part))
    decoded = best_of(rounds, lambda: decode(coded.value))
    size = len(coded.value) if isinstance(coded.value, bytes) else coded.value.size
    return Film(
        size, decoded.value, Timed(None, coded.wall, coded.cpu),
        Timed(None, decoded.wall, decoded.cpu),
    )  # fmt: skip


@dataclass(frozen=True)
class _Bundle:
    """Streams, and what brings their values back."""

    streams: list[bytes]
    low: Array
    span: Array
    shape: tuple[int, int, int, int]

    @property
    def size(self) -> int:
        return sum(map(len, self.streams))


def _stills(
    encode: Callable[[Array, float], bytes], decode: Callable[[bytes], Array]
) -> Callable[[Array, Cube, Sequence[float], int], list[Film]]:
    """Code planes of 16 bits, all bands on one scale."""

    def pack(part: Array, point: float) -> _Bundle:
        low = part.min()
        span = max(float(part.max() - low), 1e-9)
        scaled = np.rint((part.astype(np.float64) - low) * (65535 / span)).astype(np.uint16)
        streams = [encode(one, point) for one in split(scaled, _STRIP)]
        return _Bundle(streams, np.array(low), np.array(span), part.shape)

    def unpack(bundle: _Bundle) -> Array:
        made = join([decode(one) for one in bundle.streams], _STRIP, bundle.shape)
        return made.astype(np.float64) * (bundle.span / 65535) + bundle.low

    def code(part: Array, cube: Cube, points: Sequence[float], rounds: int) -> list[Film]:
        return [
            _film(part, rounds, lambda one, point=point: pack(one, point), unpack)
            for point in points
        ]

    return code


def _run_xarrayvideo(python: Path, part: Array, jobs: list[dict[str, Any]]) -> list[Film]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        np.save(folder / "cube.npy", part)
        (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
        told = [str(python), str(HERE / "_xarrayvideo_child.py"), made]
        variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        ran = subprocess.run(told, env=variables, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(f"xarrayvideo failed:\n{ran.stderr[-2000:]}")
        found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
        return [
            Film(
                one["bytes"], np.load(folder / f"job{n}.npy"), Timed(None, *one["encode"]),
                Timed(None, *one["decode"]),
            )
            for n, one in enumerate(found)
        ]  # fmt: skip


def _triples(part: Array, crf: float, preset: str) -> _Bundle:
    """Code three bands a stream, the last one repeated, each over its whole range."""
    shape = part.shape
    low = part.min(axis=(0, 2, 3), keepdims=True).astype(np.float64)
    span = np.maximum(part.max(axis=(0, 2, 3), keepdims=True) - low, 1e-9)
    scaled = np.rint((part - low) * (4095 / span)).astype(np.uint16)
    padded = np.concatenate([scaled, *[scaled[:, -1:]] * (-shape[1] % 3)], axis=1)
    streams = [_matroska(padded[:, n : n + 3], crf, preset) for n in range(0, padded.shape[1], 3)]
    return _Bundle(streams, low, span, shape)


def _matroska(triple: Array, crf: float, preset: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        container.metadata["XARRAY"] = "x" * 475  # Bands, ranges, attributes: about that long.
        stream = container.add_stream("libx265", rate=30)
        stream.height, stream.width = triple.shape[2:]
        stream.pix_fmt = "yuv444p12le"
        stream.time_base = Fraction(1, 30)
        stream.options = {
            "preset": preset, "tune": "psnr", "crf": str(crf), "x265-params": "log-level=none",
        }  # fmt: skip
        for at, planes in enumerate(triple):
            # Its channels are red, green, blue; the picture holds green, blue, red.
            ordered = np.ascontiguousarray(planes.transpose(1, 2, 0))
            frame = av.VideoFrame.from_ndarray(ordered, format="gbrp12le")
            frame.pts = at
            container.mux(stream.encode(frame.reformat(format="yuv444p12le")))
        container.mux(stream.encode())
    return out.getvalue()


def _untriples(bundle: _Bundle) -> Array:
    planes = []
    for data in bundle.streams:
        with av.open(io.BytesIO(data)) as container:
            frames = [frame.to_ndarray(format="gbrp12le") for frame in container.decode(video=0)]
        planes.append(np.stack(frames).transpose(0, 3, 1, 2))
    made = np.concatenate(planes, axis=1)[:, : bundle.shape[1]]
    return made * (bundle.span / 4095) + bundle.low
