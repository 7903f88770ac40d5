"""Coders of others that keep a maximum error.

Plain quantisers in front of lossless coders, and coders that know a bound themselves. Where a cube
lacks values, LERC keeps its own mask; a quantiser spends a code on them; the others get the pixels
filled from their left neighbour and pay for a mask, which JPEG XL codes. Integers are allowed the
half that rounding takes back, and for a relative bound every coder works on logarithms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from _coders import BLOSC, PCODEC, Array, Coder, Plan, choose, join, jpeg_xl, piece_shapes, split
from _real import Bound
from numpy.typing import NDArray

#: Keeps a relative bound safe from the rounding of single precision.
_SAFE = 1 - 1e-5
_MASK = jpeg_xl(7)
_MASK_PLAN = Plan("dates below one another, bands as channels")


@dataclass(frozen=True)
class Scale:
    """The scale on which a bound is one number."""

    bound: Bound
    dtype: np.dtype[Any]
    #: What single precision may add to an error, in stored units.
    rounding: float = 0.0

    @classmethod
    def of(cls, bound: Bound, cube: Array) -> Scale:
        """Return the scale for a cube."""
        if cube.dtype.kind in "iu":
            return cls(bound, cube.dtype)
        largest = np.nanmax(np.abs(cube), initial=0, where=np.isfinite(cube))
        return cls(bound, cube.dtype, float(np.spacing(np.float32(largest))))

    @property
    def whole(self) -> bool:
        return self.dtype.kind in "iu"

    @property
    def tolerance(self) -> float:
        """Absolute error that is allowed on this scale."""
        if self.bound.relative is not None:
            return float(np.log1p(self.bound.relative)) * _SAFE
        assert self.bound.absolute is not None
        return self.bound.absolute + 0.499 if self.whole else self.bound.absolute - self.rounding

    def forward(self, values: Array) -> Array:
        if self.bound.relative is None:
            return values
        return np.log(values.astype(np.float64))

    def back(self, values: Array) -> Array:
        if self.bound.relative is not None:
            values = np.exp(values.astype(np.float64))
        if not self.whole:
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(self.dtype)


@dataclass(frozen=True)
class Coded:
    """What a peer made of a cube."""

    pieces: list[bytes]
    plan: Plan
    state: Any


class Quantised:
    """A uniform quantiser before a lossless coder."""

    def __init__(self, coder: Coder) -> None:
        self.name, self.coder = f"quantise + {coder.name}", coder

    def plan(self, cube: Array, missing: NDArray[np.bool_] | None, scale: Scale) -> Plan:
        """Return the plan that is smallest for a chunk."""
        return choose(self.coder, self._codes(cube, missing, scale)[0])

    def pack(
        self, cube: Array, missing: NDArray[np.bool_] | None, scale: Scale, plan: Plan
    ) -> Coded:
        """Code a cube."""
        codes, state = self._codes(cube, missing, scale)
        return Coded(self.coder.pack(codes, plan), plan, (codes.shape, codes.dtype, *state))

    def unpack(self, coded: Coded, scale: Scale) -> Array:
        """Decode a cube."""
        shape, dtype, low, step, gap = coded.state
        codes = self.coder.unpack(coded.pieces, coded.plan, shape, dtype)
        made = scale.back((codes.astype(np.float64) - gap) * step + low)
        if gap:
            made[codes == 0] = np.nan if made.dtype.kind == "f" else 0
        return made

    def _codes(
        self, cube: Array, missing: NDArray[np.bool_] | None, scale: Scale
    ) -> tuple[Array, tuple[float, float, int]]:
        """Return codes, and what brings them back: lowest value, step, code of what is missing."""
        gap = int(missing is not None)
        values = scale.forward(
            cube if missing is None else np.where(missing, cube.dtype.type(1), cube)
        )
        usual = values if missing is None else values[~missing]
        low = float(usual.min()) if usual.size else 0.0
        # Of integers every odd step has its middle.
        step = np.floor(2 * scale.tolerance) if scale.whole else 2 * scale.tolerance
        codes = np.rint((values.astype(np.float64) - low) / step)
        if missing is not None:
            codes = np.where(missing, 0, codes + 1)
        kind = np.uint8 if codes.max() < 256 else np.uint16
        return codes.astype(kind), (low, float(step), gap)


class Volumes:
    """A coder of floats that knows a bound."""

    def __init__(
        self,
        name: str,
        encode: Callable[[Array, float], bytes],
        decode: Callable[[bytes, tuple[int, ...]], Array],
        arrangements: tuple[str, ...],
        stretch: tuple[float, ...] = (1,),
    ) -> None:
        self.name, self.encode, self.decode = name, encode, decode
        self.plans = tuple(
            Plan(one, settings={"tolerance": f} if len(stretch) > 1 else {})
            for one in arrangements
            for f in stretch
        )

    def plan(self, cube: Array, missing: NDArray[np.bool_] | None, scale: Scale) -> Plan:
        """Return the plan that is smallest for a chunk and keeps the bound on it."""
        sizes = {}
        for number, plan in enumerate(self.plans):
            coded = self.pack(cube, missing, scale, plan)
            if plan.settings and not self._holds(cube, missing, scale, coded):
                continue
            sizes[number] = sum(map(len, coded.pieces))
        return self.plans[min(sizes, key=lambda n: sizes[n])]

    def _holds(
        self, cube: Array, missing: NDArray[np.bool_] | None, scale: Scale, coded: Coded
    ) -> bool:
        return worst(cube, self.unpack(coded, scale), missing, scale.bound) <= 1

    def pack(
        self, cube: Array, missing: NDArray[np.bool_] | None, scale: Scale, plan: Plan
    ) -> Coded:
        """Code a cube."""
        values = scale.forward(cube if missing is None else filled(cube, missing))
        tolerance = scale.tolerance * plan.settings.get("tolerance", 1)
        ready = values.astype(np.float32)
        pieces = [self.encode(one, tolerance) for one in split(ready, plan.arrangement)]
        if missing is not None:
            pieces += _MASK.pack(missing.astype(np.uint8), _MASK_PLAN)
        return Coded(pieces, plan, (cube.shape, missing is not None))

    def unpack(self, coded: Coded, scale: Scale) -> Array:
        """Decode a cube."""
        shape, gaps = coded.state
        shapes = piece_shapes(shape, coded.plan.arrangement)
        own = coded.pieces[: len(shapes)]
        pieces = [self.decode(one, s) for one, s in zip(own, shapes, strict=True)]
        made = scale.back(join(pieces, coded.plan.arrangement, shape))
        if gaps:
            mask = _MASK.unpack(coded.pieces[len(shapes) :], _MASK_PLAN, shape, np.uint8)
            made[mask != 0] = np.nan if made.dtype.kind == "f" else 0
        return made


class Lerc:
    """LERC, which keeps a mask and codes integers as such."""

    name = "LERC"
    plans = tuple(map(Plan, ("a date each", "a band each", "all planes below one another")))

    def plan(self, cube: Array, missing: NDArray[np.bool_] | None, scale: Scale) -> Plan:
        """Return the plan that is smallest for a chunk."""
        return min(
            self.plans,
            key=lambda plan: sum(map(len, self.pack(cube, missing, scale, plan).pieces)),
        )

    def pack(
        self, cube: Array, missing: NDArray[np.bool_] | None, scale: Scale, plan: Plan
    ) -> Coded:
        """Code a cube."""
        values = scale.forward(cube if missing is None else filled(cube, missing))
        ready = values if scale.whole else values.astype(np.float32)
        bound = np.floor(scale.tolerance) if scale.whole else scale.tolerance
        valid = np.ones(cube.shape, bool) if missing is None else ~missing
        pieces = []
        for piece, mask in zip(
            split(ready, plan.arrangement), split(valid, plan.arrangement), strict=True
        ):
            coded = imagecodecs.lerc_encode(
                piece, level=float(bound), masks=None if mask.all() else mask,
                planar=piece.ndim == 3, compression="zstd",
            )  # fmt: skip
            pieces.append(bytes(coded))
        return Coded(pieces, plan, cube.shape)

    def unpack(self, coded: Coded, scale: Scale) -> Array:
        """Decode a cube."""
        shapes = piece_shapes(coded.state, coded.plan.arrangement)
        pieces = []
        for data, shape in zip(coded.pieces, shapes, strict=True):
            values, mask = imagecodecs.lerc_decode(data, masks=True)
            made = scale.back(values)
            if mask is not None and not mask.all():
                gaps = np.broadcast_to(~mask.astype(bool), made.shape)
                made[gaps] = np.nan if made.dtype.kind == "f" else 0
            pieces.append(made.reshape(shape))
        return join(pieces, coded.plan.arrangement, coded.state)


Peer = Quantised | Volumes | Lerc


def filled(cube: Array, missing: NDArray[np.bool_]) -> Array:
    """Fill what is missing from the left, then from the right, then with the mean."""
    seen = ~missing
    column = np.arange(cube.shape[-1])
    left = np.maximum.accumulate(np.where(seen, column, -1), axis=-1)
    right = np.minimum.accumulate(np.where(seen, column, len(column))[..., ::-1], axis=-1)
    source = np.where(left >= 0, left, right[..., ::-1])
    empty = source == len(column)
    made = np.take_along_axis(cube, np.where(empty, 0, source), axis=-1)
    made[empty] = cube[seen].mean() if seen.any() else 1
    return made


def worst(cube: Array, made: Array, missing: NDArray[np.bool_] | None, bound: Bound) -> float:
    """Return the largest error, in bounds; infinity where values are missing wrongly."""
    before, after = cube.astype(np.float64), made.astype(np.float64)
    if missing is not None:
        if not np.array_equal(before[missing], after[missing], equal_nan=True):
            return float("inf")
        before, after = before[~missing], after[~missing]
    if not before.size:
        return 0.0
    error = np.abs(after - before)
    if bound.relative is not None:
        return float(np.max(error / (bound.relative * np.abs(before))))
    assert bound.absolute is not None
    return float(error.max() / bound.absolute)


def _sperr_encode(piece: Array, tolerance: float) -> bytes:
    # A volume of one plane kills the process.
    flat = piece.reshape(piece.shape[-2:]) if len(piece) == 1 else piece
    return bytes(imagecodecs.sperr_encode(flat, tolerance, "pwe", numthreads=1))


def _sperr_decode(data: bytes, shape: tuple[int, ...]) -> Array:
    return imagecodecs.sperr_decode(data, numthreads=1).reshape(shape)


def _sz3_encode(piece: Array, tolerance: float) -> bytes:
    return bytes(imagecodecs.sz3_encode(piece, "abs", abs=tolerance))


def _sz3_decode(data: bytes, shape: tuple[int, ...]) -> Array:
    return imagecodecs.sz3_decode(data, shape, np.dtype(np.float32))


def _zfp_encode(piece: Array, tolerance: float) -> bytes:
    mode = imagecodecs.ZFP.MODE.FIXED_ACCURACY
    return bytes(imagecodecs.zfp_encode(piece, tolerance, mode=mode, execution="serial"))


def _zfp_decode(data: bytes, shape: tuple[int, ...]) -> Array:
    return imagecodecs.zfp_decode(data).reshape(shape)


_VOLUMES = ("a band each", "a band each, x first", "a date each", "all planes below one another")
BOUNDED: tuple[Peer, ...] = (
    Quantised(jpeg_xl(7)),
    Quantised(jpeg_xl(3)),
    Quantised(BLOSC),
    Quantised(PCODEC),
    Volumes("SPERR", _sperr_encode, _sperr_decode, _VOLUMES),
    Volumes("SZ3", _sz3_encode, _sz3_decode, (*_VOLUMES, "whole")),
    # Its tolerance is a cautious one: powers of two more often hold than not.
    Volumes("ZFP", _zfp_encode, _zfp_decode, (*_VOLUMES, "whole"), (1, 2, 4, 8)),
    Lerc(),
)
