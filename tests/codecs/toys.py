"""A codec with nothing in it, for tests of what is around a codec."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xeo.codecs.base import ChunkCodec, Twin, Unfit


@dataclass(frozen=True, kw_only=True)
class PlainCodec(ChunkCodec):
    """A part a date; zeros where nothing is."""

    name: ClassVar[str] = "test.plain"
    short: ClassVar[str] = "plain"

    squeeze: bool = False

    def _encode(self, values, valid):
        if values.dtype.kind == "b":
            raise Unfit
        if valid is not None:
            values = np.where(valid, values, 0)
        kept = values.astype("u1") if self.squeeze else values
        return {"d": kept.dtype.str}, [date.tobytes() for date in kept]

    @classmethod
    def _decode(cls, header, parts, shape, dtype, dates):
        kept = np.dtype(header["d"])
        some = range(shape[0]) if dates is None else dates
        read = [np.frombuffer(parts[n], kept).reshape(shape[1:]) for n in some]
        return np.stack(read).astype(dtype)

    @classmethod
    def _wanted(cls, header, dates, shape):
        return [int(n) for n in dates]


class PlainTwin(Twin):
    codec_id = "test.plain"
    codec = PlainCodec
