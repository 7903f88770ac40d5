"""Lossless coding of cubes of integers, in the way that is smallest for them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from xeo.codecs.inflating import inflate
from xeo.codecs.labels import decode_labels, encode_labels
from xeo.codecs.pictures import MOST_CHANNELS, decode_picture, encode_picture
from xeo.codecs.pyramid import (
    can_code,
    decode_pyramid,
    encode_pyramid,
    parts_of_pyramid,
    wanted_of_pyramid,
)
from xeo.errors import CodecError, OptionError
from xeo.kernels.ranks import from_ranks, to_ranks, used_integers
from xeo.kernels.upsampling import (
    Repeats,
    find_near_repeats,
    find_repeats,
    keep_once,
    keep_usual,
    repeat,
)

__all__ = ["Shape", "check_effort", "decode_integers", "encode_integers", "wanted_parts"]

Shape = tuple[int, int, int, int]
#: A picture has at least so many pixels where there are dates enough: smaller ones pay more for
#: what a coder learns anew in each, larger ones are read in vain when one date is wanted.
_PIXELS = 1 << 16
_FINE = (Repeats(), Repeats())
#: From this effort on, prediction from all around is tried besides pictures.
_THOROUGH = 7
#: Integers that pictures have no samples for.
_WIDE = 1 << 16
_LEVEL = 9
_ZSTD_LEVEL = 12
_MOST = 2**62


def check_effort(effort: int) -> None:
    """Refuse an effort that has no meaning.

    Raises
    ------
    OptionError
        If it is not an integer from 1 to 9.
    """
    if type(effort) is not int or not 1 <= effort <= 9:
        raise OptionError(
            f"expected an effort from 1, fast, to 9, small, got {effort!r}. Try: effort=7"
        )


def encode_integers(
    values: NDArray[Any],
    effort: int = 7,
    valid: NDArray[np.bool_] | None = None,
    widths: Sequence[int] | None = None,
) -> tuple[dict[str, Any], list[bytes]]:
    """Code a cube of integers, without loss or up to an error.

    Parameters
    ----------
    values : array of int or uint, shape (T, B, Y, X)
        Of any range.
    effort : int
        From 1, fast, to 9, small.
    valid : array of bool, optional
        Where values matter; everywhere by default.
    widths : sequence of int, optional
        For each band, how many integers may share a code: what comes back is at most half as
        many off, rounded down. Values then are less than ``2**62``.

    Returns
    -------
    header : dict
        For `decode_integers`; JSON can say it.
    parts : list of bytes
    """
    if valid is not None:
        values = np.where(valid, values, 0).astype(values.dtype)
    header: dict[str, Any] = {"sets": []}
    parts: list[bytes] = []
    for (grids, always), bands in _alike(values).items():
        whole = len(bands) == values.shape[1]
        inside = values if whole else values[:, bands]
        kept = (keep_once if always else keep_usual)(inside, *grids)
        matter = valid
        if valid is not None:
            matter = _any_once(valid if whole else valid[:, bands], grids)
            kept = _filled(kept, matter)
        kept = np.ascontiguousarray(kept)
        own_widths = [1 if widths is None else widths[band] for band in bands]
        own, coded = _encode_set(kept, matter, effort, own_widths)
        if not always:
            kept = _again(own, coded, kept)
            usual = repeat(kept, *grids, values.shape[2:])
            there = None if valid is None else valid[:, bands]
            own["apart"], more = _encode_apart(inside, usual, there, effort, own_widths)
            coded += more
        own |= {} if whole else {"bands": bands}
        own |= {} if grids == _FINE else {"grid": [g for r in grids for g in astuple(r)]}
        header["sets"].append(own)
        parts += coded
    return header, parts


def _again(own: Mapping[str, Any], parts: Sequence[bytes], values: NDArray[Any]) -> NDArray[Any]:
    """Return what will come back of a set."""
    times, bands, rows, columns = values.shape
    views = [memoryview(part) for part in parts]
    shape = times, bands, rows, columns
    return _decode_set(own, views, shape, values.dtype, np.arange(times))


def _encode_apart(
    values: NDArray[Any],
    usual: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    effort: int,
    widths: Sequence[int],
) -> tuple[dict[str, Any], list[bytes]]:
    """Code what pixels are more than the usual one of their square."""
    rest = values.astype(np.uint64) - usual.astype(np.uint64)
    if valid is not None:
        rest[~valid] = 0
    if max(widths) > 1:
        wide = np.array(widths, np.int64)[:, None, None]
        rest = ((rest.view(np.int64) + wide // 2) // wide).view(np.uint64)
    # Zero, one less, one more, two less: small numbers for small differences, modulo 2**64.
    folded = (rest << np.uint64(1)) ^ (np.uint64(0) - (rest >> np.uint64(63)))
    own, parts = _encode_pictures(folded, int(folded.max()), effort)
    if max(widths) > 1:
        own |= {"widths": list(widths), "range": [int(values.min()), int(values.max())]}
    return own, parts


def decode_integers(
    header: Mapping[str, Any],
    parts: Sequence[memoryview],
    shape: Shape,
    dtype: np.dtype[Any],
    dates: NDArray[np.intp] | None = None,
) -> NDArray[Any]:
    """Return the cube again, or some of its dates.

    Parameters
    ----------
    header, parts :
        Of `encode_integers`.
    shape : tuple of int
        Of the whole cube.
    dtype : numpy.dtype
        Of what is returned; integers that hold all values.
    dates : array of int, optional
        Sorted positions of the dates that are wanted.

    Returns
    -------
    array of ``dtype``, shape (T, B, Y, X)

    Raises
    ------
    CodecError
        If header and parts are not of such a cube.
    """
    wanted = np.arange(shape[0]) if dates is None else dates
    out = np.empty((len(wanted), *shape[1:]), dtype)
    first = 0
    for own, bands, grids in _sets(header, shape):
        small = (shape[0], len(bands), *_sizes(grids, shape))
        count = _parts_of(own, small)
        made = _decode_set(own, parts[first : first + count], small, dtype, wanted)
        out[:, bands] = repeat(made, *grids, shape[2:])
        first += count
        if "apart" in own:
            fine = (shape[0], len(bands), *shape[2:])
            folded = _decode_above(own["apart"], parts[first:], fine, wanted)
            out[:, bands] = _with_apart(out[:, bands], folded, own["apart"], fine)
            first += _parts_of(own["apart"], fine)
    return out


def _with_apart(
    usual: NDArray[Any], folded: NDArray[np.uint64], own: Mapping[str, Any], shape: Shape
) -> NDArray[Any]:
    """Add to usual pixels what was coded apart."""
    rest = (folded >> np.uint64(1)) ^ (np.uint64(0) - (folded & np.uint64(1)))
    if "widths" not in own:
        return (usual.astype(np.uint64) + rest).astype(usual.dtype)
    wide = _widths(own, shape)
    low, high = own["range"]
    if not all(type(n) is int and abs(n) < _MOST for n in (low, high)):
        raise CodecError(f"a range from {low} to {high} cannot be: a chunk is damaged")
    codes = np.clip(rest.view(np.int64), -_MOST // wide, _MOST // wide)
    return np.clip(usual.astype(np.int64) + codes * wide, low, high).astype(usual.dtype)


def wanted_parts(header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape) -> list[int]:
    """Return which parts `decode_integers` needs for some dates.

    Parameters
    ----------
    header : mapping
        Of `encode_integers`.
    dates : array of int
        Positions of the dates.
    shape : tuple of int
        Of the whole cube.

    Returns
    -------
    list of int

    Raises
    ------
    CodecError
        If the header is not of such a cube.
    """
    found: list[int] = []
    first = 0
    for own, bands, grids in _sets(header, shape):
        small = (shape[0], len(bands), *_sizes(grids, shape))
        found += [first + n for n in _wanted_of(own, dates, small)]
        first += _parts_of(own, small)
        if "apart" in own:
            fine = (shape[0], len(bands), *shape[2:])
            found += [first + n for n in _wanted_of(own["apart"], dates, fine)]
            first += _parts_of(own["apart"], fine)
    return found


def _alike(values: NDArray[Any]) -> dict[tuple[tuple[Repeats, Repeats], bool], list[int]]:
    """Sort bands by how their pixels are repeated, always or with exceptions."""
    found: dict[tuple[tuple[Repeats, Repeats], bool], list[int]] = {}
    for band in range(values.shape[1]):
        grids = find_repeats(values[:, band])
        always = True
        if grids == _FINE:
            grids = find_near_repeats(values[:, band])
            always = grids == _FINE
        found.setdefault((grids, always), []).append(band)
    return found


def _any_once(valid: NDArray[np.bool_], grids: tuple[Repeats, Repeats]) -> NDArray[np.bool_]:
    """Return where any of the repeated pixels matters."""
    rows = np.logical_or.reduceat(valid, grids[0].firsts(valid.shape[2]), axis=2)
    return np.logical_or.reduceat(rows, grids[1].firsts(valid.shape[3]), axis=3)


def _filled(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Let what does not matter repeat what came before it, which costs least."""
    flat, matter = values.reshape(-1), valid.reshape(-1)
    last = np.maximum.accumulate(np.where(matter, np.arange(flat.size), -1))
    return flat[np.where(last < 0, matter.argmax(), last)].reshape(values.shape)


def _sets(
    header: Mapping[str, Any], shape: Shape
) -> list[tuple[Mapping[str, Any], list[int], tuple[Repeats, Repeats]]]:
    """Return the header, the bands and the grid of each set, checked."""
    found = []
    seen: list[int] = []
    for own in header["sets"]:
        bands = own.get("bands", list(range(shape[1])))
        numbers = own.get("grid", [1, 0, 1, 0])
        if len(numbers) != 4 or not all(type(n) is int for n in [*numbers, *bands]):
            raise CodecError("a chunk has a set of bands that cannot be: it is damaged")
        grids = Repeats(*numbers[:2]), Repeats(*numbers[2:])
        for grid, size in zip(grids, shape[2:], strict=True):
            if not 0 <= grid.phase < grid.factor <= size:
                raise CodecError(f"pixels repeated as {numbers} in {shape}: a chunk is damaged")
        seen += bands
        found.append((own, bands, grids))
    if sorted(seen) != list(range(shape[1])):
        raise CodecError(f"expected {shape[1]} bands, a chunk has {sorted(seen)}: it is damaged")
    return found


def _sizes(grids: tuple[Repeats, Repeats], shape: Shape) -> tuple[int, int]:
    return len(grids[0].firsts(shape[2])), len(grids[1].firsts(shape[3]))


def _encode_set(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, effort: int, widths: list[int]
) -> tuple[dict[str, Any], list[bytes]]:
    """Code bands on one grid."""
    low, high = int(values.min()), int(values.max())
    above = values.astype(np.uint64) - np.uint64(low % 2**64)
    if max(widths) > 1:
        own, parts = _encode_coarse(above, valid, high - low, effort, widths)
    else:
        own, parts = _encode_above(above, valid, high - low, effort)
    return own | {"low": low}, parts


def _encode_coarse(
    above: NDArray[np.uint64],
    valid: NDArray[np.bool_] | None,
    span: int,
    effort: int,
    widths: list[int],
) -> tuple[dict[str, Any], list[bytes]]:
    """Code integers from 0 to ``span`` up to an error, in the way that is smallest."""
    found = []
    if effort >= _THOROUGH and can_code(span):
        tree, parts = encode_pyramid(above, valid, span, widths)
        found.append(({"span": span, "tree": tree}, parts))
    wide = np.array(widths, np.uint64)[:, None, None]
    codes = (above + wide // np.uint64(2)) // wide
    if not found or span // min(widths) < _WIDE:
        coarse, parts = _encode_pictures(codes, int(codes.max()), effort)
        found.append(({"span": span, "coarse": coarse, "widths": widths}, parts))
    return min(found, key=lambda coded: sum(map(len, coded[1])))


def _widths(header: Mapping[str, Any], shape: Shape) -> NDArray[np.int64]:
    widths = header["widths"]
    if len(widths) != shape[1] or not all(type(n) is int and 0 < n < _MOST for n in widths):
        raise CodecError(f"widths of codes of {widths} cannot be: a chunk is damaged")
    return np.array(widths, np.int64)[:, None, None]


def _encode_above(
    above: NDArray[np.uint64], valid: NDArray[np.bool_] | None, span: int, effort: int
) -> tuple[dict[str, Any], list[bytes]]:
    """Code integers from 0 to ``span``, in the way that is smallest."""
    if not can_code(span):
        shift = np.uint64(16 if can_code(span >> 16) else 32)
        top, parts = _encode_above(above >> shift, valid, span >> int(shift), effort)
        rest, more = _encode_pictures(above & np.uint64(2**shift - 1), 2 ** int(shift) - 1, 1)
        return {"span": span, "top": top, "rest": rest}, parts + more
    found = []
    if span < _WIDE or effort >= _THOROUGH:
        found.append(_encode_pictures(above, span, effort))
    if span < 256:
        # Maps of classes are alike from date to date, and change at once where they do.
        found.append(({"span": span, "labels": 1}, [encode_labels(above.astype(np.uint8))]))
    if span >= _WIDE:
        found.append(({"span": span, "bytes": 1}, [_packed(above, span)]))
    if effort >= _THOROUGH or span >= _WIDE:
        found.append(_encode_tree(above, valid, span))
    return min(found, key=lambda coded: sum(map(len, coded[1])))


def _packed(above: NDArray[np.uint64], span: int) -> bytes:
    """Pack integers as bytes of one significance together: flags of bits repeat."""
    little = np.ascontiguousarray(above.reshape(-1)).astype("<u8")
    planes = np.ascontiguousarray(little.view(np.uint8).reshape(-1, 8).T)
    return bytes(Zstd(level=_ZSTD_LEVEL).encode(planes[: -(-span.bit_length() // 8)]))


def _unpacked(data: memoryview, shape: Shape, span: int) -> NDArray[np.uint64]:
    planes = np.zeros((8, math.prod(shape)), np.uint8)
    try:
        Zstd().decode(bytes(data), out=planes[: -(-span.bit_length() // 8)])
    except (RuntimeError, ValueError) as err:
        raise CodecError(f"integers of a chunk cannot be read: {err}") from err
    return np.ascontiguousarray(planes.T).view("<u8").reshape(shape).astype(np.uint64)


def _encode_tree(
    above: NDArray[np.uint64], valid: NDArray[np.bool_] | None, span: int
) -> tuple[dict[str, Any], list[bytes]]:
    used = used_integers(above, span)
    if used is None:
        tree, parts = encode_pyramid(above, valid, span)
        return {"span": span, "tree": tree}, parts
    ranks = to_ranks(above, used)
    most = int(ranks.max())
    tree, parts = encode_pyramid(ranks, valid, most)
    table = zlib.compress(np.packbits(used).tobytes(), _LEVEL)
    return {"span": span, "tree": tree, "most": most}, [table, *parts]


def _encode_pictures(
    above: NDArray[np.uint64], span: int, effort: int
) -> tuple[dict[str, Any], list[bytes]]:
    each = _dates_each(above.shape)
    parts = []
    for start in range(0, len(above), each):
        picture = _stacked(above[start : start + each])
        for channels in _blocks(picture.shape[0]):
            for shift, dtype in _digits(span):
                digit = (picture[channels] >> np.uint64(shift)).astype(dtype)
                parts.append(encode_picture(digit, effort))
    return {"span": span, "dates": each}, parts


def _decode_set(
    header: Mapping[str, Any],
    parts: Sequence[memoryview],
    shape: Shape,
    dtype: np.dtype[Any],
    wanted: NDArray[np.intp],
) -> NDArray[Any]:
    low = _integer(header, "low", -(2**63), 2**64 - 1)
    span = _integer(header, "span", 0, 2**64 - 1)
    limits = np.iinfo(dtype)
    if low < limits.min or low + span > limits.max:
        raise CodecError(f"integers from {low} to {low + span} do not fit {dtype}: damaged")
    made = _decode_above(header, parts, shape, wanted)
    if made.size and int(made.max()) > span:
        raise CodecError("a chunk has values beyond the range that it declares: it is damaged")
    made += np.uint64(low % 2**64)
    return made.astype(dtype)


def _decode_above(
    header: Mapping[str, Any], parts: Sequence[memoryview], shape: Shape, wanted: NDArray[np.intp]
) -> NDArray[np.uint64]:
    span = _integer(header, "span", 0, 2**64 - 1)
    if "top" in header:
        shift = _shift(header)
        count = _parts_of(header["top"], shape)
        top = _decode_above(header["top"], parts[:count], shape, wanted)
        return (top << np.uint64(shift)) | _decode_above(
            header["rest"], parts[count:], shape, wanted
        )
    if "tree" in header:
        return _decode_tree(header, parts, shape, wanted)
    if "bytes" in header:
        return _unpacked(parts[0], shape, span)[wanted]
    if "labels" in header:
        return decode_labels(bytes(parts[0]), shape)[wanted].astype(np.uint64)
    if "coarse" in header:
        wide = _widths(header, shape).astype(np.uint64)
        codes = _decode_above(header["coarse"], parts, shape, wanted)
        inside = np.minimum(codes, np.uint64(span) // wide + np.uint64(1))
        return np.asarray(np.minimum(inside * wide, np.uint64(span)))
    each = _integer(header, "dates", 1, shape[0])
    out = np.empty((len(wanted), *shape[1:]), np.uint64)
    per_group = _parts_each(span, shape)
    for group in np.unique(wanted // each):
        inside = np.flatnonzero(wanted // each == group)
        count = min(each, shape[0] - int(group) * each)
        own = parts[int(group) * per_group : (int(group) + 1) * per_group]
        made = _decode_group(own, span, (count, *shape[1:]))
        out[inside] = made[wanted[inside] % each]
    return out


def _decode_tree(
    header: Mapping[str, Any], parts: Sequence[memoryview], shape: Shape, wanted: NDArray[np.intp]
) -> NDArray[np.uint64]:
    span = header["span"]
    if "most" not in header:
        return decode_pyramid(header["tree"], parts, shape, span, wanted)
    most = _integer(header, "most", 0, span)
    size = shape[0] * shape[1] * (span + 1)
    packed = inflate(parts[0], -(-size // 8))
    if len(packed) != -(-size // 8):
        raise CodecError("a chunk lacks the list of its integers: it is damaged")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=size).astype(bool)
    used = bits.reshape(shape[0], shape[1], span + 1)[wanted]
    return from_ranks(decode_pyramid(header["tree"], parts[1:], shape, most, wanted), used)


def _parts_of(header: Mapping[str, Any], shape: Shape) -> int:
    if "top" in header:
        return _parts_of(header["top"], shape) + _parts_of(header["rest"], shape)
    if "labels" in header or "bytes" in header:
        return 1
    if "coarse" in header:
        return _parts_of(header["coarse"], shape)
    if "tree" in header:
        return parts_of_pyramid(header["tree"], shape) + int("most" in header)
    each = _integer(header, "dates", 1, shape[0])
    span = _integer(header, "span", 0, 2**64 - 1)
    return -(-shape[0] // each) * _parts_each(span, shape)


def _wanted_of(header: Mapping[str, Any], dates: NDArray[np.intp], shape: Shape) -> list[int]:
    if "top" in header:
        first = _parts_of(header["top"], shape)
        rest = _wanted_of(header["rest"], dates, shape)
        return _wanted_of(header["top"], dates, shape) + [first + n for n in rest]
    if "labels" in header or "bytes" in header:
        return [0]
    if "coarse" in header:
        return _wanted_of(header["coarse"], dates, shape)
    if "tree" in header:
        lead = int("most" in header)
        found = wanted_of_pyramid(header["tree"], dates, shape)
        return [*range(lead), *(lead + n for n in found)]
    each = _integer(header, "dates", 1, shape[0])
    number = _parts_each(_integer(header, "span", 0, 2**64 - 1), shape)
    return [int(g) * number + n for g in np.unique(dates // each) for n in range(number)]


def _shift(header: Mapping[str, Any]) -> int:
    span, top = header["span"], _integer(header["top"], "span", 0, 2**64 - 1)
    rest = _integer(header["rest"], "span", 0, 2**64 - 1)
    for shift in (16, 32):
        if rest == 2**shift - 1 and top == span >> shift and "top" not in header["top"]:
            return shift
    raise CodecError("a chunk has integers of two parts that do not fit: it is damaged")


def _integer(header: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = header[key]
    if type(value) is not int or not least <= value <= most:
        raise CodecError(f"expected {key!r} from {least} to {most}, got {value!r}: damaged")
    return value


def _decode_group(parts: Sequence[memoryview], span: int, shape: Shape) -> NDArray[np.uint64]:
    picture = np.zeros((shape[1], shape[0] * shape[2], shape[3]), np.uint64)
    if len(parts) != _parts_each(span, shape):
        raise CodecError(f"a chunk lacks pictures, it has {len(parts)}: it is damaged")
    left = iter(parts)
    for channels in _blocks(shape[1]):
        block = picture[channels]
        for shift, digit in _digits(span):
            made = decode_picture(next(left), block.shape, digit)
            block |= made.astype(np.uint64) << np.uint64(shift)
    return picture.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)


def _dates_each(shape: tuple[int, ...]) -> int:
    most = min(shape[0], math.ceil(_PIXELS / (shape[2] * shape[3])))
    # Groups of one size: a last one of a few dates would cost more.
    return math.ceil(shape[0] / math.ceil(shape[0] / most))


def _stacked(group: NDArray[Any]) -> NDArray[Any]:
    """Put dates below one another, bands first."""
    return group.swapaxes(0, 1).reshape(group.shape[1], -1, group.shape[3])


def _blocks(channels: int) -> list[slice]:
    return [slice(n, n + MOST_CHANNELS) for n in range(0, channels, MOST_CHANNELS)]


def _digits(span: int) -> list[tuple[int, np.dtype[Any]]]:
    """Return the shift and the dtype of each picture that integers of up to ``span`` need."""
    bits = max(span.bit_length(), 1)
    return [
        (shift, np.dtype(np.uint8 if bits - shift <= 8 else np.uint16))
        for shift in range(0, bits, 16)
    ]


def _parts_each(span: int, shape: Shape) -> int:
    return len(_blocks(shape[1])) * len(_digits(span))
