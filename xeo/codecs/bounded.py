"""Coding of cubes under a guaranteed error, as a codec of Zarr v3 and as a filter of Zarr v2."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import ChunkCodec, Shape, Twin, Unfit
from xeo.codecs.exact import decode_exact, encode_exact, wanted_exact
from xeo.codecs.integers import check_effort, decode_integers, encode_integers, wanted_parts
from xeo.errors import CodecError, OptionError
from xeo.kernels.bins import (
    FineLogBins,
    FloatBins,
    IntegerBins,
    LatticeBins,
    LogBins,
    TableBins,
)
from xeo.kernels.lattice import Lattice, find_lattice

Bins = IntegerBins | FloatBins | LatticeBins | LogBins | FineLogBins | TableBins
_KINDS: dict[str, type[Bins]] = {
    "integer": IntegerBins,
    "float": FloatBins,
    "lattice": LatticeBins,
    "log": LogBins,
    "fine": FineLogBins,
    "table": TableBins,
}
#: What is left of a bound for rounding: a bin must be so many times as wide as the floats' spacing.
_ROOM = 8
_MOST = 2**62
#: Steps of floats that share a code: more would be slower, fewer waste some of the bound.
_FINE = 255


@dataclass(frozen=True, kw_only=True)
class BoundedCodec(ChunkCodec):
    """Every value within an error that you choose, in as few bytes as that allows.

    Exactly one of the two errors is given. A chunk whose dtype cannot resolve the bound is stored
    exactly.

    Parameters
    ----------
    max_error : float or tuple of float, optional
        The largest ``|decoded - value|``, in the numbers that are stored; a tuple has one a band.
    relative_error : float or tuple of float, optional
        The largest ``|decoded - value| / |value|``, between 0 and 1; zeros stay zeros.
    effort : int
        From 1, fast, to 9, small.
    axes : str, optional
        Which axis of a chunk is which; see `xeo.codecs.base.ChunkCodec`.
    nodata : tuple of float
        Values that stand for "nothing here", kept exactly.

    Raises
    ------
    OptionError
        If a setting has no meaning.
    """

    name: ClassVar[str] = "xeo.bounded"
    short: ClassVar[str] = "bounded"

    max_error: float | tuple[float, ...] | None = None
    relative_error: float | tuple[float, ...] | None = None
    effort: int = 7

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        check_effort(self.effort)
        if (self.max_error is None) == (self.relative_error is None):
            raise OptionError(
                f"expected one of max_error and relative_error, got max_error={self.max_error!r} "
                f"and relative_error={self.relative_error!r}"
            )
        word = "max_error" if self.relative_error is None else "relative_error"
        given = getattr(self, word)
        most = math.inf if word == "max_error" else 1.0
        if isinstance(given, (tuple, list)):
            bounds = tuple(_bound(word, value, most) for value in given)
            if not bounds:
                raise OptionError(f"expected a {word} for each band, got none")
            object.__setattr__(self, word, bounds)
        else:
            object.__setattr__(self, word, _bound(word, given, most))

    def _bounds(self, bands: int) -> list[float]:
        given = self.max_error if self.relative_error is None else self.relative_error
        bounds = given if isinstance(given, tuple) else (given,) * bands
        if len(bounds) != bands:
            raise OptionError(
                f"expected an error for each of {bands} bands, got {len(bounds)}: {bounds}. "
                "Try: one number for all"
            )
        return [float(bound) for bound in bounds if bound is not None]

    def _encode(
        self, values: NDArray[Any], valid: NDArray[np.bool_] | None
    ) -> tuple[dict[str, Any], list[bytes]]:
        bounds = self._bounds(values.shape[1])
        coded = None
        if values.dtype.kind != "b":
            coded = self._encode_bins(values, valid, bounds)
        return coded or self._encode_exact(values, valid)

    def _encode_bins(
        self, values: NDArray[Any], valid: NDArray[np.bool_] | None, bounds: list[float]
    ) -> tuple[dict[str, Any], list[bytes]] | None:
        """Code bins, unless the dtype cannot resolve them."""
        absolute = self.relative_error is None
        numbers = np.zeros(values.shape, np.int64)
        spelled, widths = [], []
        for band, bound in enumerate(bounds):
            inside = values[:, band] if valid is None else values[:, band][valid[:, band]]
            found = (_absolute if absolute else _relative)(inside.ravel(), bound)
            if found is None:
                return None
            bins, width = found
            spelled.append(_spell(bins))
            widths.append(width)
            if valid is None:
                numbers[:, band] = bins.numbers(values[:, band])
            else:
                numbers[:, band][valid[:, band]] = bins.numbers(inside)
        own, parts = encode_integers(numbers, self.effort, valid, widths)
        same = spelled == spelled[:1] * len(spelled)
        header = {"bins": spelled[:1] if same else spelled, "own": own}
        views = [memoryview(part) for part in parts]
        made = self._decode(header, views, _shape(values), values.dtype, None)
        return (header, parts) if self._holds(values, made, valid, bounds) else None

    def _encode_exact(
        self, values: NDArray[Any], valid: NDArray[np.bool_] | None
    ) -> tuple[dict[str, Any], list[bytes]]:
        exact, parts = encode_exact(values, valid, self.effort)
        views = [memoryview(part) for part in parts]
        made = decode_exact(exact, views, _shape(values), values.dtype)
        if not self._holds(values, made, valid, [0.0] * values.shape[1]):
            raise Unfit
        return {"exact": exact}, parts

    def _holds(
        self,
        values: NDArray[Any],
        made: NDArray[Any],
        valid: NDArray[np.bool_] | None,
        bounds: list[float],
    ) -> bool:
        """Check every value that matters against its bound, and against nodata."""
        for band, bound in enumerate(bounds):
            x, y = values[:, band], made[:, band]
            if valid is not None:
                x, y = x[valid[:, band]], y[valid[:, band]]
            if not _within(x, y, bound, self.relative_error is not None):
                return False
            if any((y == value).any() for value in self.nodata):
                return False
        return True

    @classmethod
    def _decode(
        cls,
        header: Mapping[str, Any],
        parts: Sequence[memoryview],
        shape: Shape,
        dtype: np.dtype[Any],
        dates: NDArray[np.intp] | None,
    ) -> NDArray[Any]:
        if "exact" in header:
            return decode_exact(header["exact"], parts, shape, dtype, dates)
        spelled = header["bins"]
        if len(spelled) not in (1, shape[1]):
            raise CodecError(f"expected bins of {shape[1]} bands, got {len(spelled)}: damaged")
        numbers = decode_integers(header["own"], parts, shape, np.dtype(np.int64), dates)
        out = np.empty(numbers.shape, dtype)
        for band in range(shape[1]):
            bins = _read(spelled[band % len(spelled)], dtype)
            out[:, band] = bins.values(numbers[:, band], dtype)
        return out

    @classmethod
    def _wanted(
        cls, header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape
    ) -> Collection[int] | None:
        if "exact" in header:
            return wanted_exact(header["exact"], dates, shape)
        return wanted_parts(header["own"], dates, shape)


class BoundedTwin(Twin):
    """`BoundedCodec` for Zarr v2.

    Parameters
    ----------
    **settings :
        Of `BoundedCodec`.
    """

    codec_id = "xeo.bounded"
    codec = BoundedCodec


def _bound(word: str, value: Any, most: float) -> float:
    number = value.item() if isinstance(value, np.generic) else value
    usual = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not usual or not 0 < number < most:
        wanted = "a positive number" if most == math.inf else "a number between 0 and 1"
        raise OptionError(
            f"expected {wanted} as {word}, got {value!r}. Try: lossless coding for no error at all"
        )
    return float(number)


def _absolute(values: NDArray[Any], bound: float) -> tuple[Bins, int] | None:
    """Return fine bins, and how many of them stay within a bound."""
    if not values.size:
        return _nothing(values.dtype)
    low, high = values.min(), values.max()
    if values.dtype.kind != "f":
        return _integers(int(low), int(high), bound)
    largest = np.abs(values).max()
    if float(largest) > float(np.finfo(values.dtype).max) / 4:
        return None
    spacing = float(np.spacing(largest))
    if bound < spacing * _ROOM:
        return None
    # What the dtype rounds comes off the bound, and so do the last bits of float64.
    room = 0.0 if values.dtype == np.float64 else spacing / 2
    step = 2 * (bound - room) * (1 - 2.0**-40) - 4 * float(np.spacing(float(largest)))
    lattice = find_lattice(values)
    if lattice is not None:
        numbers = lattice.numbers(values)
        found = _integers(int(numbers.min()), int(numbers.max()), bound / lattice.spacing)
        if found is not None and found[1] * lattice.spacing >= step * _FINE / (_FINE + 1):
            return LatticeBins(lattice, found[0]), found[1]
    fine = step / (_FINE + 1)
    if (float(high) - float(low)) / fine > _MOST:
        return None
    return FloatBins(float(low), float(high), fine), _FINE


def _integers(low: int, high: int, bound: float) -> tuple[IntegerBins, int] | None:
    half = math.floor(min(bound, (high - low + 1) // 2))
    return (IntegerBins(low, high, 0), 2 * half + 1) if high - low < _MOST else None


def _relative(values: NDArray[Any], bound: float) -> tuple[Bins, int] | None:
    """Return bins, and how many of them stay within a ratio."""
    whole = values.dtype.kind != "f"
    magnitude = _size(values) if whole else np.abs(values.astype(np.float64))
    inside = magnitude[magnitude > 0]
    if not inside.size:
        return _nothing(values.dtype)
    low, high = inside.min(), inside.max()
    if whole:
        table = TableBins(int(low), int(high), bound)
        return (table, 1) if table.fits else None
    room = float(np.finfo(values.dtype).eps)
    ratio = (bound - room) * (1 - 2.0**-20)
    if ratio <= room * _ROOM:
        return None
    if values.min() > 0:
        return FineLogBins(float(low), float(high), ratio, _FINE), _FINE
    return LogBins(float(low), float(high), ratio), 1


def _nothing(dtype: np.dtype[Any]) -> tuple[Bins, int]:
    return (FloatBins(0.0, 0.0, 1.0) if dtype.kind == "f" else IntegerBins(0, 0, 0)), 1


def _size(values: NDArray[Any]) -> NDArray[np.uint64]:
    # The least integer of a type has no positive one in it.
    wide = values.astype(np.uint64)
    return np.where(values < 0, np.uint64(0) - wide, wide)


def _within(x: NDArray[Any], y: NDArray[Any], bound: float, relative: bool) -> bool:
    if x.dtype.kind == "b":
        return bool((x == y).all())
    if x.dtype.kind == "f":
        wide = x.astype(np.float64)
        error: NDArray[Any] = np.abs(y.astype(np.float64) - wide)
        limit = bound * np.abs(wide) if relative else bound
    else:
        big, small = np.maximum(x, y).astype(np.uint64), np.minimum(x, y).astype(np.uint64)
        error = big - small
        limit = bound * _size(x).astype(np.float64) if relative else bound
    return bool((error <= limit).all())


def _shape(values: NDArray[Any]) -> Shape:
    times, bands, rows, columns = values.shape
    return times, bands, rows, columns


def _spell(bins: Bins) -> list[Any]:
    kind = next(word for word, cls in _KINDS.items() if isinstance(bins, cls))
    if isinstance(bins, LatticeBins):
        return [kind, *astuple(bins.lattice), *astuple(bins.bins)]
    return [kind, *astuple(bins)]


def _read(spelled: Sequence[Any], dtype: np.dtype[Any]) -> Bins:
    """Return bins that a header spells, checked."""
    kind, *numbers = spelled
    bins = _made(kind, numbers)
    integer = isinstance(bins, (IntegerBins, TableBins))
    if integer != (dtype.kind in "iu"):
        raise CodecError(f"bins of kind {kind!r} are not of {dtype}: a chunk is damaged")
    if isinstance(bins, IntegerBins):
        limits = np.iinfo(dtype)
        if not limits.min <= bins.low <= bins.high <= limits.max:
            raise CodecError(f"bins from {bins.low} to {bins.high} do not fit {dtype}: damaged")
    return bins


def _made(kind: str, numbers: list[Any]) -> Bins:
    whole = [type(n) is int and abs(n) < 2**64 for n in numbers]
    real = [type(n) in (int, float) and math.isfinite(n) for n in numbers]
    if kind == "integer" and whole == [True] * 3 and _usual(*numbers):
        return IntegerBins(*numbers)
    if kind == "float" and real == [True] * 3 and numbers[2] > 0 and numbers[0] <= numbers[1]:
        return FloatBins(*map(float, numbers))
    if kind == "log" and real == [True] * 3 and _ratio(*numbers):
        return LogBins(*map(float, numbers))
    if kind == "fine" and real == [True] * 4 and _ratio(*numbers[:3]) and whole[3]:
        low, high, ratio, width = numbers
        return FineLogBins(float(low), float(high), float(ratio), max(1, min(width, 2**16)))
    if kind == "table" and real == [True] * 3 and whole[:2] == [True] * 2 and _ratio(*numbers):
        table = TableBins(numbers[0], numbers[1], float(numbers[2]))
        if table.high < 2**53:
            return table
    if kind == "lattice" and len(numbers) == 6 and all(real[:2]) and all(whole[3:]):
        offset, step, divide, *rest = numbers
        if step > 0 and type(divide) is bool and _usual(*rest):
            return LatticeBins(Lattice(float(offset), float(step), divide), IntegerBins(*rest))
    raise CodecError(f"bins of kind {kind!r} with {numbers} cannot be: a chunk is damaged")


def _usual(low: int, high: int, half: int) -> bool:
    return low <= high < low + 2**63 and 0 <= half < 2**62


def _ratio(low: float, high: float, ratio: float) -> bool:
    return 0 < low <= high and 2.0**-60 < ratio < 1
