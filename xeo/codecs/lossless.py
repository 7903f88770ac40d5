"""Lossless coding of cubes, as a codec of Zarr v3 and as a filter of Zarr v2."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xeo.codecs.base import ChunkCodec, Shape, Twin, Unfit
from xeo.codecs.exact import decode_exact, encode_exact, wanted_exact
from xeo.codecs.integers import check_effort


@dataclass(frozen=True, kw_only=True)
class LosslessCodec(ChunkCodec):
    """Every bit of every value, in fewer bytes than general compressors need.

    Parameters
    ----------
    effort : int
        From 1, fast, to 9, small.
    axes : str, optional
        Which axis of a chunk is which; see `xeo.codecs.base.ChunkCodec`.
    nodata : tuple of float
        Values that stand for "nothing here", coded apart.

    Raises
    ------
    OptionError
        If a setting has no meaning.
    """

    name: ClassVar[str] = "xeo.lossless"
    short: ClassVar[str] = "lossless"

    effort: int = 7

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        check_effort(self.effort)

    def _encode(
        self, values: NDArray[Any], valid: NDArray[np.bool_] | None
    ) -> tuple[dict[str, Any], list[bytes]]:
        header, parts = encode_exact(values, valid, self.effort)
        views = [memoryview(part) for part in parts]
        made = decode_exact(header, views, _shape(values), values.dtype)
        # No coder is trusted with a promise.
        if not _same(values, made, valid):
            raise Unfit
        return header, parts

    @classmethod
    def _decode(
        cls,
        header: Mapping[str, Any],
        parts: Sequence[memoryview],
        shape: Shape,
        dtype: np.dtype[Any],
        dates: NDArray[np.intp] | None,
    ) -> NDArray[Any]:
        return decode_exact(header, parts, shape, dtype, dates)

    @classmethod
    def _wanted(
        cls, header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape
    ) -> Collection[int] | None:
        return wanted_exact(header, dates, shape)


def _shape(values: NDArray[Any]) -> Shape:
    times, bands, rows, columns = values.shape
    return times, bands, rows, columns


def _same(values: NDArray[Any], made: NDArray[Any], valid: NDArray[np.bool_] | None) -> bool:
    bits = f"u{values.dtype.itemsize}"
    equal = values.view(bits) == made.view(bits)
    return bool(equal.all() if valid is None else equal[valid].all())


class LosslessTwin(Twin):
    """`LosslessCodec` for Zarr v2.

    Parameters
    ----------
    **settings :
        Of `LosslessCodec`.
    """

    codec_id = "xeo.lossless"
    codec = LosslessCodec
