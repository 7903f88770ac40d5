"""What every codec of ours does around its own coding of a chunk.

An array of any order of axes becomes a cube ``(time, band, y, x)``; the constant margin that Zarr
adds to chunks at an array's edge is cut off; values that stand for "nothing here" (NaN, infinities,
nodata) are kept to the bit in a plane of labels beside the rest. A chunk that is all alike, or that
a codec cannot take, needs no codec.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from xeo.codecs.container import Index, pack, unpack
from xeo.codecs.labels import decode_labels, encode_labels
from xeo.errors import CodecError, OptionError

Shape = tuple[int, int, int, int]
_KINDS = "biuf"
_USUAL = {0: "", 1: "x", 2: "yx", 3: "tyx"}
#: Labels are bytes, 0 is a usual value.
_MOST_SPECIALS = 255
_RAW_LEVEL = 5


class Unfit(Exception):  # noqa: N818 - not an error: the raw coder takes over
    """A codec cannot keep its promise for this chunk, which is therefore stored exactly."""


class Coder(Protocol):
    """What a codec adds: the coding of a cube of usual values."""

    #: Short name, in the header of every chunk.
    short: str
    axes: str | None
    nodata: tuple[float, ...]

    def _encode(
        self, values: NDArray[Any], valid: NDArray[np.bool_] | None
    ) -> tuple[dict[str, Any], list[bytes]]: ...

    @classmethod
    def _decode(
        cls,
        header: Mapping[str, Any],
        parts: Sequence[memoryview],
        shape: Shape,
        dtype: np.dtype[Any],
        dates: NDArray[np.intp] | None,
    ) -> NDArray[Any]: ...

    @classmethod
    def _wanted(
        cls, header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape
    ) -> Collection[int] | None: ...


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Refuse what no codec of ours can take.

    Raises
    ------
    OptionError
        If it is not of booleans, integers or real numbers of up to eight bytes.
    """
    if dtype.kind not in _KINDS or dtype.itemsize > 8:
        raise OptionError(
            f"expected an array of booleans, integers or floats of at most 64 bits, got {dtype}. "
            "Try: leave this variable to Zarr's own codecs"
        )


def settle_axes(axes: str | None, ndim: int) -> str:
    """Return which axis is which, a letter each.

    Parameters
    ----------
    axes : str or None
        ``t`` (time, or anything else that pictures differ in), ``b`` (band), ``y``, ``x``;
        ``t`` and ``b`` may repeat. None stands for the usual order, ``tbyx`` without what is
        not there: ``tyx``, ``yx``.
    ndim : int
        Number of axes.

    Returns
    -------
    str

    Raises
    ------
    OptionError
        If the letters do not fit.
    """
    if axes is None:
        return _USUAL.get(ndim, "t" * (ndim - 3) + "byx")
    if len(axes) != ndim or set(axes) - set("tbyx") or max(map(axes.count, "yx")) > 1:
        raise OptionError(
            f"expected {ndim} letters of 't', 'b', 'y', 'x' for an array of {ndim} axes, y and x "
            f"once at most, got axes={axes!r}. Try: axes={settle_axes(None, ndim)!r}"
        )
    return axes


def encode_chunk(coder: Coder, array: NDArray[Any]) -> bytes:
    """Return the bytes of a chunk.

    Parameters
    ----------
    coder : Coder
        Codes what is left once the rest is done.
    array : array
        The chunk, of any number of axes.

    Returns
    -------
    bytes

    Raises
    ------
    OptionError
        If its dtype or its axes cannot be coded.
    """
    check_dtype(array.dtype)
    axes = settle_axes(coder.axes, array.ndim)
    header: dict[str, Any] = {"shape": list(array.shape), "dtype": _spell(array.dtype)}
    if axes != settle_axes(None, array.ndim):
        header["axes"] = axes
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        header["order"] = "F"
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    cube = np.ascontiguousarray(fold(native, axes))
    bits = _bits(cube)
    last = bits[-1, -1, -1, -1]
    header["value"] = _hex(last)
    if _alike(bits, last):
        return pack(header | {"codec": "constant"}, [])
    kept = _extent(bits, last)
    if kept == cube.shape:
        del header["value"]
    else:
        header["trim"] = [kept[0], kept[2], kept[3]]
        cube = np.ascontiguousarray(cube[: kept[0], :, : kept[2], : kept[3]])
    try:
        coded = _encode(coder, cube, dict(header))
        if len(coded) < cube.nbytes:
            return coded
    except Unfit:
        pass
    return _encode_raw(cube, header)


def _encode(coder: Coder, cube: NDArray[Any], header: dict[str, Any]) -> bytes:
    bits = _bits(cube)
    special = _specials(cube, coder.nodata)
    if special is None:
        own, parts = coder._encode(cube, None)
        return pack(header | {"codec": coder.short, "own": own}, parts)
    patterns = np.unique(bits[special])
    if len(patterns) > _MOST_SPECIALS:
        raise Unfit
    labels = np.zeros(cube.shape, np.uint8)
    labels[special] = np.searchsorted(patterns, bits[special]) + 1
    # A pixel that no band has is the usual case.
    shared = bool((labels == labels[:, :1]).all())
    header |= {"nodata": [_hex(p) for p in patterns], "bands": int(not shared)}
    plane = encode_labels(labels[:, :1] if shared else labels)
    if special.all():
        return pack(header | {"codec": "labels"}, [plane])
    own, parts = coder._encode(cube, ~special)
    return pack(header | {"codec": coder.short, "own": own}, [plane, *parts])


def decode_chunk(
    coder: type[Coder],
    data: bytes | memoryview,
    *,
    shape: tuple[int, ...] | None = None,
    dtype: np.dtype[Any] | None = None,
    most: int | None = None,
) -> NDArray[Any]:
    """Return the array of a chunk.

    Parameters
    ----------
    coder : type of Coder
        The codec that the bytes are said to be of.
    data : bytes
        Of `encode_chunk`.
    shape, dtype : optional
        What they have to hold, where that is known.
    most : int, optional
        Bytes that the array may have.

    Returns
    -------
    array

    Raises
    ------
    CodecError
        If the bytes are not those that were written, or hold something else.
    """
    header, parts = unpack(data)
    plan = Layout(coder, header, shape, dtype, most)
    return plan.decode(parts, None)


class Layout:
    """What the header of a chunk says, checked.

    Parameters
    ----------
    coder : type of Coder
        The codec that the bytes are said to be of.
    header : mapping
        From the chunk.
    shape, dtype : optional
        What the chunk has to hold, where that is known.
    most : int, optional
        Bytes that the array may have.

    Raises
    ------
    CodecError
        If the header cannot be true.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __init__(
        self,
        coder: type[Coder],
        header: Mapping[str, Any],
        shape: tuple[int, ...] | None,
        dtype: np.dtype[Any] | None,
        most: int | None = None,
    ) -> None:
        try:
            self._read(coder, header)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as err:
            if isinstance(err, CodecError):
                raise
            raise CodecError(f"the header of a chunk cannot be: {err!r}") from err
        if shape is not None and self.shape != tuple(shape):
            raise CodecError(
                f"expected a chunk of shape {tuple(shape)}, got one of {self.shape}: it belongs to "
                "another array. Try: write it again from its source"
            )
        if dtype is not None and self.dtype.newbyteorder("=") != dtype.newbyteorder("="):
            raise CodecError(
                f"expected a chunk of {dtype}, got one of {self.dtype}: it belongs to another "
                "array. Try: write it again from its source"
            )
        size = math.prod(self.shape) * self.dtype.itemsize
        if most is not None and size > most:
            raise CodecError(f"a chunk of {size} bytes is beyond the limit of {most} bytes")
        self.dtype = dtype or self.dtype

    def _read(self, coder: type[Coder], header: Mapping[str, Any]) -> None:
        self.coder, self.header = coder, header
        self.shape = tuple(_count(n) for n in header["shape"])
        self.dtype = np.dtype(str(header["dtype"]))
        check_dtype(self.dtype)
        self.axes = settle_axes(header.get("axes"), len(self.shape))
        self.full = _folded(self.shape, self.axes)
        self.kept: Shape = self.full
        self.codec = str(header["codec"])
        if self.codec not in ("constant", "raw", "labels", coder.short):
            raise CodecError(
                f"expected a chunk of the codec {coder.short!r}, got one of {self.codec!r}"
            )
        if "trim" in header:
            times, rows, columns = (_count(n) for n in header["trim"])
            self.kept = (times, self.full[1], rows, columns)
            if any(k > n for k, n in zip(self.kept, self.full, strict=True)):
                raise CodecError(f"a trim of {self.kept} in {self.full} cannot be")
        native = self.dtype.newbyteorder("=")
        self.value = _pattern(header["value"], native) if "value" in header else None
        self.patterns = [_pattern(text, native) for text in header.get("nodata", ())]
        if len(self.patterns) > _MOST_SPECIALS:
            raise CodecError(f"{len(self.patterns)} special values in a chunk cannot be")

    @property
    def lead(self) -> int:
        """How many parts come before those of the codec."""
        return int(bool(self.patterns))

    def wanted(self, index: Index, dates: NDArray[np.intp]) -> list[int]:
        """Return which parts are needed for some dates."""
        every = range(len(index.spans))
        inside = dates[dates < self.kept[0]]
        if self.codec != self.coder.short or not inside.size:
            return list(every)
        own = self.coder._wanted(self.header.get("own", {}), inside, self.kept)
        if own is None:
            return list(every)
        return [*range(self.lead), *sorted({n + self.lead for n in own} & set(every))]

    def decode(self, parts: Sequence[memoryview], dates: NDArray[np.intp] | None) -> NDArray[Any]:
        """Return the array, or some of its dates as ``(date, band, y, x)``."""
        count = self.full[0] if dates is None else len(dates)
        native = self.dtype.newbyteorder("=")
        out = np.empty((count, *self.full[1:]), native)
        if self.value is None and (self.codec == "constant" or self.kept != self.full):
            raise CodecError("a chunk does not say what its constant value is: it is damaged")
        if self.codec == "constant" or self.kept != self.full:
            _bits(out)[...] = self.value
        if self.codec != "constant":
            inside = None if dates is None else dates[dates < self.kept[0]]
            number = self.kept[0] if inside is None else len(inside)
            if number:
                target = out[:number, :, : self.kept[2], : self.kept[3]]
                self._fill(target, parts, inside)
        if dates is not None:
            return out
        whole = unfold(out, self.shape, self.axes).astype(self.dtype, copy=False)
        return np.asfortranarray(whole) if self.header.get("order") == "F" else whole

    def _fill(
        self, out: NDArray[Any], parts: Sequence[memoryview], dates: NDArray[np.intp] | None
    ) -> None:
        if len(parts) < self.lead:
            raise CodecError("a chunk lacks the part of its missing values: it is damaged")
        if self.codec == "raw":
            whole = _decode_raw(parts, self.kept, out.dtype)
            out[...] = whole if dates is None else whole[dates]
        elif self.codec != "labels":
            own = self.header.get("own")
            if not isinstance(own, dict):
                raise CodecError("a chunk lacks the header of its codec: it is damaged")
            made = _decode_own(self.coder, own, parts[self.lead :], self.kept, out.dtype, dates)
            if made.shape != out.shape or made.dtype != out.dtype:
                raise CodecError(f"a chunk of {out.shape} came out as {made.shape}: it is damaged")
            out[...] = made
        if self.patterns:
            bands = self.kept[1] if self.header.get("bands") else 1
            shape = (self.kept[0], bands, *self.kept[2:])
            labels = decode_labels(bytes(parts[0]), shape)
            _restore(out, labels if dates is None else labels[dates], self.patterns)


def _decode_own(
    coder: type[Coder],
    own: Mapping[str, Any],
    parts: Sequence[memoryview],
    shape: Shape,
    dtype: np.dtype[Any],
    dates: NDArray[np.intp] | None,
) -> NDArray[Any]:
    try:
        # What numbers come of a header that nobody wrote is no matter to warn of.
        with np.errstate(all="ignore"):
            return coder._decode(own, parts, shape, dtype, dates)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as err:
        if isinstance(err, CodecError):
            raise
        # Only a header that a codec did not write leads here.
        raise CodecError(f"a chunk of {coder.short!r} cannot be decoded: {err!r}") from err


def _restore(out: NDArray[Any], labels: NDArray[np.uint8], patterns: list[Any]) -> None:
    if labels.size and int(labels.max()) > len(patterns):
        raise CodecError("a chunk has a label without a value: it is damaged")
    bits = _bits(out)
    for number, pattern in enumerate(patterns, 1):
        np.copyto(bits, pattern, where=labels == number)


def _encode_raw(cube: NDArray[Any], header: dict[str, Any]) -> bytes:
    planes = np.ascontiguousarray(cube.reshape(-1, 1).view(np.uint8).T)
    short = Zstd(level=_RAW_LEVEL).encode(planes)
    if len(short) < cube.nbytes:
        return pack(header | {"codec": "raw", "zstd": 1}, [bytes(short)])
    return pack(header | {"codec": "raw"}, [cube.tobytes()])


def _decode_raw(parts: Sequence[memoryview], shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    if len(parts) != 1:
        raise CodecError(f"expected one part in a raw chunk, got {len(parts)}: it is damaged")
    if len(parts[0]) == size:
        return np.frombuffer(parts[0], dtype).reshape(shape)
    return unshuffled(bytes(parts[0]), math.prod(shape), dtype).reshape(shape)


def unshuffled(data: bytes, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return ``count`` values from planes of bytes under Zstandard.

    Raises
    ------
    CodecError
        If they are not there.
    """
    planes = np.zeros((dtype.itemsize, count), np.uint8)
    try:
        made = Zstd().decode(data, out=planes)
    except (RuntimeError, ValueError) as err:
        raise CodecError(f"a raw part of a chunk cannot be read: {err}") from err
    if made is None:
        raise CodecError("a raw part of a chunk cannot be read")
    return np.ascontiguousarray(planes.T).view(dtype)[:, 0]


def _specials(cube: NDArray[Any], nodata: tuple[float, ...]) -> NDArray[np.bool_] | None:
    """Find what is not a usual value: not finite, or nodata."""
    special = np.zeros(cube.shape, np.bool_)
    if cube.dtype.kind == "f":
        np.logical_not(np.isfinite(cube), out=special)
    for value in nodata:
        # In single precision 1e20 is another number than in double.
        special |= cube == (cube.dtype.type(value) if cube.dtype.kind == "f" else value)
    return special if special.any() else None


def _alike(bits: NDArray[Any], value: Any) -> bool:
    # The first date tells most chunks apart.
    return bool((bits[0] == value).all() and (bits == value).all())


def _extent(bits: NDArray[Any], value: Any) -> Shape:
    """Return how much is left when dates, rows and columns of one value at the end are cut."""
    times, bands, rows, columns = bits.shape
    while times > 1 and (bits[times - 1] == value).all():
        times -= 1
    while rows > 1 and (bits[:times, :, rows - 1] == value).all():
        rows -= 1
    while columns > 1 and (bits[:times, :, :rows, columns - 1] == value).all():
        columns -= 1
    return times, bands, rows, columns


def fold(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return an array as a cube ``(time, band, y, x)``.

    Parameters
    ----------
    array : array
        Of any dims.
    axes : str
        A letter for each.

    Returns
    -------
    array, shape (T, B, Y, X)
        A view where that is possible.
    """
    order = sorted(range(len(axes)), key=lambda n: "tbyx".index(axes[n]))
    return array.transpose(order).reshape(_folded(array.shape, axes))


def _folded(shape: tuple[int, ...], axes: str) -> Shape:
    sizes = [math.prod(n for n, a in zip(shape, axes, strict=True) if a == role) for role in "tbyx"]
    return sizes[0], sizes[1], sizes[2], sizes[3]


def unfold(cube: NDArray[Any], shape: tuple[int, ...], axes: str) -> NDArray[Any]:
    """Undo `fold`.

    Parameters
    ----------
    cube : array, shape (T, B, Y, X)
        Of `fold`.
    shape : tuple of int
        Of the array.
    axes : str
        As for `fold`.

    Returns
    -------
    array
    """
    order = sorted(range(len(axes)), key=lambda n: "tbyx".index(axes[n]))
    moved = cube.reshape([shape[n] for n in order])
    return np.ascontiguousarray(moved.transpose(np.argsort(order))) if order else moved


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    """View values as unsigned integers: NaN equals itself, and -0.0 is not 0.0."""
    return array.view(f"u{array.dtype.itemsize}")


def _spell(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.str[0] == ">" else str(dtype.newbyteorder("="))


def _hex(bits: Any) -> str:
    return f"{int(bits):0{2 * bits.dtype.itemsize}x}"


def _pattern(text: Any, dtype: np.dtype[Any]) -> Any:
    value = int(str(text), 16)
    if not 0 <= value < 256**dtype.itemsize:
        raise CodecError(f"the value {text!r} does not fit {dtype}: the chunk is damaged")
    return np.array(value, f"u{dtype.itemsize}")[()]


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CodecError(f"expected a size of 1 or more in a chunk's header, got {value!r}")
    return value
