"""Codecs of ours as Zarr knows them: one base for Zarr v3, one for the numcodecs twins of v2."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numcodecs.abc
import numpy as np
from numcodecs.compat import ensure_contiguous_ndarray_like
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.abc.store import RangeByteRequest

from xeo.codecs.chunk import (
    Coder,
    Layout,
    Shape,
    Unfit,
    check_dtype,
    decode_chunk,
    encode_chunk,
    settle_axes,
)
from xeo.codecs.container import index_size, read_index
from xeo.errors import CodecError, OptionError

if TYPE_CHECKING:
    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

__all__ = ["ChunkCodec", "Shape", "Twin", "Unfit"]

#: What is read first of a chunk of which some dates are wanted: enough for most indexes.
_FIRST_READ = 4096
#: Zarr v2 does not tell a codec how large a chunk is; no codec of numcodecs takes more.
_MOST_V2 = 2**31 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChunkCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Base of our codecs for Zarr v3; a subclass codes a cube of usual values.

    Parameters
    ----------
    axes : str, optional
        Which axis of a chunk is which, a letter each: ``t`` time, ``b`` band, ``y``, ``x``. None
        stands for the last ones of ``tbyx``, without ``b`` for three axes.
    nodata : tuple of float
        Values that stand for "nothing here", kept exactly; NaN and infinities always are.
    """

    is_fixed_size = False
    name: ClassVar[str]
    short: ClassVar[str]

    axes: str | None = None
    nodata: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Bring settings into one form, and check them."""
        nodata = self.nodata if isinstance(self.nodata, Sequence) else (self.nodata,)
        # NaN and infinities are kept anyway, and JSON cannot say them.
        finite = tuple(value for value in map(_plain, nodata) if math.isfinite(value))
        object.__setattr__(self, "nodata", finite)
        if self.axes is not None:
            settle_axes(self.axes, len(self.axes))

    def _encode(
        self, values: NDArray[Any], valid: NDArray[np.bool_] | None
    ) -> tuple[dict[str, Any], list[bytes]]:
        raise TypeError(f"{type(self).__name__} must say how it codes a cube: _encode is missing")

    @classmethod
    def _decode(
        cls,
        header: Mapping[str, Any],
        parts: Sequence[memoryview],
        shape: Shape,
        dtype: np.dtype[Any],
        dates: NDArray[np.intp] | None,
    ) -> NDArray[Any]:
        raise TypeError(f"{cls.__name__} must say how it decodes a cube: _decode is missing")

    @classmethod
    def _wanted(
        cls, header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape
    ) -> Collection[int] | None:
        return None

    def settings(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON can say it."""
        found = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                found[field.name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a codec from `settings`.

        Raises
        ------
        OptionError
            If there is a setting that the codec does not have.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if set(settings) - known:
            raise OptionError(
                f"expected settings of {cls.name} among {sorted(known)}, got "
                f"{sorted(set(settings) - known)}. Try: a newer xarray-eo, which may know them"
            )
        lists: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()
        }
        return cls(**lists)

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata that Zarr stores."""
        return {"name": self.name, "configuration": self.settings()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make a codec from the metadata that Zarr stored."""
        return cls.from_settings(data.get("configuration") or {})

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise: the size depends on the values."""
        raise NotImplementedError

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuse arrays that the codec cannot take, when Zarr makes them.

        Raises
        ------
        OptionError
            If the dtype is not of numbers, or ``axes`` does not fit the shape.
        """
        check_dtype(dtype.to_native_dtype())
        settle_axes(self.axes, len(shape))

    def encode_array(self, array: NDArray[Any]) -> bytes:
        """Return the bytes of a chunk.

        Parameters
        ----------
        array : array
            Of any dims that ``axes`` fits.

        Returns
        -------
        bytes
        """
        return encode_chunk(cast("Coder", self), array)

    @classmethod
    def decode_array(
        cls,
        data: bytes | memoryview,
        shape: tuple[int, ...] | None = None,
        dtype: np.dtype[Any] | None = None,
        most: int | None = None,
    ) -> NDArray[Any]:
        """Return the array of a chunk.

        Parameters
        ----------
        data : bytes
            Of `encode_array`.
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
            If the bytes are damaged, or hold something else.
        """
        coder = cast("type[Coder]", cls)
        return decode_chunk(coder, data, shape=shape, dtype=dtype, most=most)

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        data = self.encode_array(np.asarray(chunk_array.as_numpy_array()))
        return chunk_spec.prototype.buffer.from_bytes(data)

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        dtype = chunk_spec.dtype.to_native_dtype()
        made = self.decode_array(_view(chunk_bytes), chunk_spec.shape, dtype)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(made)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        """Decode what a selection needs: some dates, where it names no others."""
        axes = settle_axes(self.axes, len(chunk_spec.shape))
        dates = _dates(selection, chunk_spec.shape, axes)
        if dates is None:
            data = await byte_getter.get(chunk_spec.prototype)
            if data is None:
                return None
            return (await self._decode_single(data, chunk_spec))[selection]
        fetched = await self._fetch(byte_getter, chunk_spec, dates)
        if fetched is None:
            return None
        made = await asyncio.to_thread(_some_dates, *fetched, dates, selection)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(made)

    async def _fetch(
        self, byte_getter: ByteGetter, spec: ArraySpec, dates: NDArray[np.intp]
    ) -> tuple[Layout, list[memoryview]] | None:
        """Read the index of a chunk, then the parts of it that are needed."""
        try:
            first = await byte_getter.get(spec.prototype, RangeByteRequest(0, _FIRST_READ))
        except Exception:
            # Most stores give what there is of a range; some (icechunk 2) refuse, each with an
            # error of its own, one that ends beyond a small chunk.
            first = await byte_getter.get(spec.prototype)
        if first is None:
            return None
        prefix = _view(first)
        if (size := index_size(prefix)) > len(prefix):
            more = await byte_getter.get(spec.prototype, RangeByteRequest(0, size))
            prefix = _view(more) if more is not None else prefix
        index = read_index(prefix)
        dtype = spec.dtype.to_native_dtype()
        layout = Layout(cast("type[Coder]", type(self)), index.header, spec.shape, dtype)
        parts = [memoryview(b"")] * len(index.spans)
        for start, stop, numbers in _runs(index.spans, layout.wanted(index, dates)):
            if stop <= len(prefix):
                got = prefix[start:stop]
            else:
                more = await byte_getter.get(spec.prototype, RangeByteRequest(start, stop))
                got = _view(more) if more is not None else memoryview(b"")
            for number in numbers:
                low, high = index.spans[number]
                parts[number] = index.checked(number, got[low - start : high - start])
        return layout, parts


def _some_dates(
    layout: Layout, parts: list[memoryview], dates: NDArray[np.intp], selection: Any
) -> NDArray[Any]:
    """Decode dates, then select among them what was asked of the chunk."""
    made = layout.decode(parts, dates).astype(layout.dtype, copy=False)
    at = layout.axes.index("t")
    chosen = list(selection)
    chosen[at] = _among(chosen[at], dates, layout.shape[at])
    # With one axis of time the others only have to find their places again.
    shape = tuple(len(dates) if n == at else size for n, size in enumerate(layout.shape))
    order = sorted(range(len(layout.axes)), key=lambda n: "tbyx".index(layout.axes[n]))
    moved = made.reshape([shape[n] for n in order]).transpose(np.argsort(order))
    return np.asarray(moved[tuple(chosen)])


def _dates(selection: Any, shape: tuple[int, ...], axes: str) -> NDArray[np.intp] | None:
    """Return which dates a selection needs, or None where that is all or cannot be told."""
    if axes.count("t") != 1 or not isinstance(selection, tuple) or len(selection) != len(axes):
        return None
    at = axes.index("t")
    wanted = selection[at]
    if isinstance(wanted, slice):
        found = np.arange(shape[at], dtype=np.intp)[wanted]
    elif isinstance(wanted, (int, np.integer)):
        found = np.array([wanted], np.intp)
    elif isinstance(wanted, np.ndarray) and wanted.dtype.kind in "iu":
        found = np.unique(wanted).astype(np.intp)
    else:
        return None
    found = np.sort(found)
    return found if 0 < len(found) < shape[at] and found[0] >= 0 else None


def _among(wanted: Any, dates: NDArray[np.intp], size: int) -> Any:
    if isinstance(wanted, slice):
        return slice(None) if (wanted.step or 1) > 0 else slice(None, None, -1)
    found = np.searchsorted(dates, wanted)
    return int(found) if isinstance(wanted, (int, np.integer)) else found


def _runs(
    spans: Sequence[tuple[int, int]], numbers: Sequence[int]
) -> list[tuple[int, int, list[int]]]:
    """Join neighbouring parts, so that each run is one request."""
    runs: list[tuple[int, int, list[int]]] = []
    for number in numbers:
        start, stop = spans[number]
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], stop, [*runs[-1][2], number])
        else:
            runs.append((start, stop, [number]))
    return runs


def _view(data: Buffer) -> memoryview:
    return memoryview(data.to_bytes())


def _plain(value: Any) -> float:
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise OptionError(f"expected numbers as nodata, got {value!r}")
    return number


class Twin(numcodecs.abc.Codec):  # type: ignore[misc]
    """Base of the numcodecs twins, for Zarr v2: the same bytes, the same settings.

    Parameters
    ----------
    **settings :
        Of the codec.
    """

    #: The codec that it is the twin of.
    codec: ClassVar[type[ChunkCodec]]

    def __init__(self, **settings: Any) -> None:
        self._codec = self.codec.from_settings(settings)

    @property
    def codec_of_v3(self) -> ChunkCodec:
        """The codec of Zarr v3 with the same settings."""
        return self._codec

    def encode(self, buf: Any) -> bytes:
        """Return the bytes of a chunk.

        Parameters
        ----------
        buf : array
            The chunk.

        Returns
        -------
        bytes

        Raises
        ------
        OptionError
            If it is beyond 2 GiB.
        """
        array = np.asarray(buf)
        if array.nbytes > _MOST_V2:
            raise OptionError(
                f"expected chunks of at most {_MOST_V2} bytes in Zarr v2, got {array.nbytes}. "
                "Try: smaller chunks"
            )
        return self._codec.encode_array(array)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the array of a chunk.

        Parameters
        ----------
        buf : bytes
            Of `encode`.
        out : array, optional
            Takes the values.

        Returns
        -------
        array

        Raises
        ------
        CodecError
            If the bytes are damaged.
        """
        data = memoryview(ensure_contiguous_ndarray_like(buf)).cast("B")
        made = self.codec.decode_array(data, most=_MOST_V2)
        if out is None:
            return made
        target = ensure_contiguous_ndarray_like(out)
        if target.nbytes != made.nbytes:
            raise CodecError(f"expected a chunk of {target.nbytes} bytes, got {made.nbytes}")
        flat = made.ravel(order="F" if made.flags.f_contiguous else "C")
        target.view(np.uint8)[...] = flat.view(np.uint8)
        return out

    def get_config(self) -> dict[str, Any]:
        """Return the metadata that Zarr stores."""
        return {"id": self.codec_id, **self._codec.settings()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make a codec from the metadata that Zarr stored."""
        return cls(**{key: value for key, value in config.items() if key != "id"})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._codec.settings()})"
