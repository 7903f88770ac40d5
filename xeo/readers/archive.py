"""What the files of an xarrayvideo archive say: rules, bands, ranges, where each value is.

An archive is a folder. Each of its rules is a set of videos ``<rule>_001.mkv, _002.mkv ...``, three
bands each, with one Matroska tag ``XARRAY``; or of pictures ``<rule>_000000.jp2 ...``, one a date
with all bands, and ``<rule>.json``. ``x.nc`` has the coordinates and all that is no video.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xeo.errors import StoreError, XeoWarning
from xeo.readers import frames, literal
from xeo.warn import warn

TAG = "XARRAY"
REST = "x.nc"
#: The attribute of a mask that says whose missing values it has, and that of a band that says
#: what type it had. Both are ours: xarrayvideo passes them on as any other attribute.
MISSING_OF, DTYPE = "xeo_missing_of", "xeo_dtype"

_VIDEO = re.compile(r"(.+)_(\d{3,})\.mkv")
_ORDERS = ("rgb", "rbg", "gbr", "grb", "brg", "bgr")


@dataclass(frozen=True)
class Rule:
    """Bands that were stored together.

    Parameters
    ----------
    name : str
    bands : tuple
        Names of variables; one name where the variable has a dimension of bands.
    dims : tuple of str
        Of each variable: time, the axis along the rows of pictures, that along their columns,
        and perhaps bands.
    attrs : mapping
        Attributes by variable.
    frames : int
        Number of dates.
    bits : int
    ranges : array, shape (component, 2), optional
        What the codes 0 and ``2**bits - 1`` stand for; None where codes are the values.
    negative : bool
        Whether integers that are stored as they are have a sign.
    components : array, shape (component, band), optional
        With ``means``, how bands come from principal components.
    means : array, shape (band,), optional
    files : tuple of str
        Videos in order, or pictures by date.
    letters : str
        Which colours hold the channels of a video; empty for pictures by date.
    shape : (int, int)
        Sizes of the second and third dimension.
    """

    name: str
    bands: tuple[Hashable, ...]
    dims: tuple[str, ...]
    attrs: Mapping[Hashable, dict[str, Any]]
    frames: int
    bits: int
    ranges: npt.NDArray[np.float64] | None
    negative: bool
    components: npt.NDArray[np.float32] | None
    means: npt.NDArray[np.float32] | None
    letters: str
    stored: int
    files: tuple[str, ...] = ()
    shape: tuple[int, int] = (0, 0)

    @property
    def channels(self) -> int:
        """How many stored components are needed."""
        if self.components is not None:
            return len(self.components)
        return self.stored

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values: float32 unless they are stored as they are."""
        if self.ranges is not None:
            return np.dtype(np.float32)
        if self.negative:
            return np.dtype(np.int16)
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)


def find_rules(folder: Path, sizes: Mapping[Hashable, int]) -> list[Rule]:
    """Return the rules of an archive.

    Parameters
    ----------
    folder : Path
    sizes : mapping
        Sizes of the dimensions in ``x.nc``.

    Raises
    ------
    StoreError
        If there is no video and no picture, or a file is missing, damaged or contradicts
        the others.
    """
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    videos: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        found = _VIDEO.fullmatch(name)
        if found:
            videos[found[1]][int(found[2])] = str(folder / name)
        elif name.endswith(".mkv"):
            videos[name.removesuffix(".mkv")][1] = str(folder / name)
    rules = [_video_rule(name, files, sizes) for name, files in videos.items()]
    for name in names:
        stem = name.removesuffix(".json")
        pictures = re.compile(re.escape(stem) + r"_\d{6,}\.jp2")
        if name != stem and any(map(pictures.fullmatch, names)):
            files = tuple(str(folder / one) for one in names if pictures.fullmatch(one))
            rules.append(_picture_rule(stem, folder / name, files, sizes))
    return rules


def _video_rule(name: str, files: dict[int, str], sizes: Mapping[Hashable, int]) -> Rule:
    headers = {}
    first = frames.probe(files[min(files)])
    rule = _understood(name, _tag(first), sizes)
    count = -(-rule.channels // len(rule.letters))
    # More files than bands need are left over from a rule of principal components.
    for number in sorted(files)[:count]:
        header = first if number == min(files) else frames.probe(files[number])
        headers[_order(header, number)] = header
    if set(headers) != set(range(1, count + 1)):
        raise StoreError(
            f"expected {count} videos of {rule.channels} bands in order, "
            f"got {[Path(path).name for path in files.values()]} with orders {sorted(headers)}"
        )
    if len({(h.width, h.height) for h in headers.values()}) > 1:
        raise StoreError(f"expected videos of one size, those of the rule {name!r} differ")
    shape = (first.width, first.height)
    paths = tuple(headers[number].path for number in sorted(headers))
    return _settled(replace(rule, files=paths, shape=shape), sizes)


def _tag(header: frames.Header) -> dict[str, Any]:
    if TAG not in header.tags:
        raise StoreError(
            f"expected a tag {TAG!r} in {header.path!r}, got {sorted(header.tags)}: "
            "xarrayvideo did not write it"
        )
    try:
        found = literal.parse(header.tags[TAG])
    except ValueError as err:
        raise StoreError(f"expected a dict in the tag of {header.path!r}: {err}") from err
    if not isinstance(found, dict):
        raise StoreError(f"expected a dict in the tag of {header.path!r}, got {found!r:.80}")
    return found


def _order(header: frames.Header, number: int) -> int:
    order = _tag(header).get("ORDER", number)
    return order if isinstance(order, int) else number


def _picture_rule(
    name: str, json_path: Path, files: tuple[str, ...], sizes: Mapping[Hashable, int]
) -> Rule:
    try:
        if json_path.stat().st_size > literal.MOST:
            raise ValueError(f"more than {literal.MOST} bytes")
        told = json.loads(json_path.read_text("utf-8"))
    except (ValueError, RecursionError) as err:
        raise StoreError(f"expected JSON in {str(json_path)!r}: {err}") from err
    if not isinstance(told, dict):
        raise StoreError(f"expected a JSON object in {str(json_path)!r}, got {told!r:.80}")
    rule = _understood(name, told, sizes)
    if len(files) != rule.frames:
        raise StoreError(
            f"expected {rule.frames} pictures of the rule {name!r}, found {len(files)}"
        )
    rows, columns, bands = jpeg2000_size(files[0])
    if rule.components is None and len(rule.dims) == 4:
        rule = replace(rule, stored=bands)
    if bands != rule.channels:
        raise StoreError(f"expected pictures of {rule.channels} bands, got {bands} in {files[0]!r}")
    return _settled(replace(rule, files=files, shape=(rows, columns), letters=""), sizes)


def jpeg2000_size(path: str) -> tuple[int, int, int]:
    """Return rows, columns and components that the head of a JPEG 2000 file says.

    Raises
    ------
    StoreError
        If it is no JPEG 2000 file.
    """
    with open(path, "rb") as file:
        head = file.read(65536)
    # The marker of a codestream's start and that of its sizes follow one another by the standard.
    at = head.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(head) < at + 42:
        raise StoreError(f"expected a JPEG 2000 file at {path!r}, found something else")
    right, bottom, left, top = np.frombuffer(head, ">u4", 4, at + 8).tolist()
    count = int.from_bytes(head[at + 40 : at + 42], "big")
    return bottom - top, right - left, count


def _understood(name: str, told: dict[str, Any], sizes: Mapping[Hashable, int]) -> Rule:
    """Read what a tag tells; the files come later."""
    try:
        return _read(name, told, sizes)
    except StoreError:
        raise
    except (KeyError, TypeError, ValueError) as err:
        raise StoreError(
            f"expected the metadata of xarrayvideo 0.2 for the rule {name!r}, but "
            f"{type(err).__name__}: {err}"
        ) from err


def _read(name: str, told: dict[str, Any], sizes: Mapping[Hashable, int]) -> Rule:
    bands = _field(told, "BANDS")
    bands = (bands,) if isinstance(bands, str) else tuple(bands)
    if not bands or not all(isinstance(band, str | int) for band in bands):
        raise StoreError(f"expected names of bands of the rule {name!r}, got {bands!r:.80}")
    while len(bands) > 1 and bands[-1] == bands[-2]:
        # Repeated to fill up three channels.
        bands = bands[:-1]
    dims = tuple(str(dim) for dim in _field(told, "COORDS_DIMS"))
    if len(dims) not in (3, 4) or len(set(dims)) < len(dims):
        raise StoreError(f"expected 3 or 4 dimensions of the rule {name!r}, got {dims}")
    bits, count = int(told["BITS"]), int(told["FRAMES"])
    if not 1 <= bits <= 16 or count < 1:
        raise StoreError(f"expected 8 to 16 bits and a date or more, got {bits} and {count}")
    ranges = np.array(_field(told, "RANGE"), np.float64).reshape(-1, 2)
    components, means = _principal(told)
    stored = _count(dims, bands, ranges, sizes)
    normalized = told["NORMALIZED"] in (True, "True")
    if normalized and len(ranges) < (stored if components is None else len(components)):
        raise StoreError(f"expected a range for each band of {name!r}, got {len(ranges)}")
    return Rule(
        name=name,
        bands=bands,
        dims=dims,
        attrs=_attributes(name, told),
        frames=count,
        bits=bits,
        ranges=ranges if normalized else None,
        # The writer stores the bits of integers that it takes to fit.
        negative=bits in (8, 16) and bool(np.nanmin(ranges, initial=0) < 0),
        components=components,
        means=means,
        letters=_letters(told),
        stored=stored,
    )


def _field(told: dict[str, Any], key: str) -> Any:
    """Return a field that is text of a literal inside the tag."""
    value = told[key]
    return literal.parse(value) if isinstance(value, str) else value


def _count(
    dims: tuple[str, ...],
    bands: tuple[Hashable, ...],
    ranges: npt.NDArray[np.float64],
    sizes: Mapping[Hashable, int],
) -> int:
    """Return how many bands are stored, without those repeated to fill up three channels."""
    if len(dims) == 3:
        return len(bands)
    if dims[3] in sizes:
        return sizes[dims[3]]
    # No coordinate was kept: what is repeated has the range of the last.
    count = len(ranges)
    while count > 1 and len(ranges) - count < 2 and (ranges[count - 1] == ranges[count - 2]).all():
        count -= 1
    return count


def _principal(
    told: dict[str, Any],
) -> tuple[npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]:
    """Return the matrix and the means of principal components, where there are any."""
    told_pca = told.get("PCA_PARAMS")
    if told_pca in (None, "None"):
        return None, None
    parameters = literal.parse(told_pca) if isinstance(told_pca, str) else told_pca
    if parameters.get("scaler") not in (None, "None"):
        raise StoreError(
            "expected principal components of bands as they are, got ones of scaled bands, "
            "whose scales xarrayvideo does not store"
        )
    matrix = np.array(_field(parameters, "dr_matrix"), np.float32)
    means = np.array(_field(parameters, "dr_mean"), np.float32)
    if matrix.ndim != 2 or means.shape != matrix.shape[1:] or not matrix.size:
        raise StoreError(f"expected a matrix of components, got shape {matrix.shape}")
    return matrix, means


def _attributes(name: str, told: dict[str, Any]) -> dict[Hashable, dict[str, Any]]:
    try:
        found = _field(told, "ATTRS")
        return {band: dict(attrs) for band, attrs in found.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        warn(f"attributes of the rule {name!r} cannot be read and are left out: {err}", XeoWarning)
        return {}


def _letters(told: dict[str, Any]) -> str:
    """Return the colours that hold the first, second, third channel of a video."""
    stored = str(told.get("OUT_PIX_FMT"))
    if stored.startswith("gray"):
        return "y"
    planes = next((order for order in _ORDERS if order in stored), "rgb")
    order = str(told.get("CHANNEL_ORDER", planes))
    if sorted(order) != sorted("rgb"):
        raise StoreError(f"expected an order of the letters r, g and b, got {order!r}")
    return "".join(planes[order.index(letter)] for letter in "rgb")


def _settled(rule: Rule, sizes: Mapping[Hashable, int]) -> Rule:
    """Check sizes against the coordinates; turn the axes that old versions named wrongly."""
    t, first, second, *_ = rule.dims
    want = tuple(
        sizes.get(dim, size) for dim, size in zip((first, second), rule.shape, strict=True)
    )
    if want != rule.shape and want == rule.shape[::-1]:
        rule = replace(rule, dims=(t, second, first, *rule.dims[3:]))
    elif want != rule.shape or sizes.get(t, rule.frames) != rule.frames:
        there = {dim: sizes[dim] for dim in rule.dims if dim in sizes}
        raise StoreError(
            f"expected pictures of the rule {rule.name!r} to fit the coordinates {there}, "
            f"got {rule.frames} of {rule.shape}"
        )
    bands = len(rule.bands) if len(rule.dims) == 3 else rule.stored
    if rule.components is not None and rule.components.shape[1] < bands:
        raise StoreError(
            f"expected components of {bands} bands, got those of {rule.components.shape[1]}"
        )
    if rule.components is None and rule.stored < bands:
        raise StoreError(f"expected {bands} stored bands, got {rule.stored}")
    return rule
