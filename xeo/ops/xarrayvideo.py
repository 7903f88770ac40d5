"""Write archives that xarrayvideo reads, date by date."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xeo.errors import DimensionError, OptionError, StoreError
from xeo.layers import find_roles
from xeo.ops.coding import is_classes
from xeo.ops.ffmpeg import Encoder, program
from xeo.ops.place import local
from xeo.progress import bar
from xeo.readers.archive import DTYPE, MISSING_OF, REST, TAG

Array = npt.NDArray[Any]

#: Bytes of values that are read at a time; more only where one date has more.
_BLOCK = 64 * 2**20
#: Linux takes no longer argument of a command, and the tag is one.
_LONGEST_TAG = 120_000
#: Bits that each encoder takes, and how it codes unless asked otherwise.
_ENCODERS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "libx265": ((8, 10, 12), {"preset": "medium", "crf": 10, "tune": "psnr"}),
    "libx264": ((8, 10), {"preset": "medium", "crf": 10}),
    "vp9": ((8, 10, 12), {"crf": 10, "b:v": 0}),
    "hevc_nvenc": ((8, 16), {"preset": "p5", "rc": "constqp", "qp": 10}),
}
_FFV1 = {"level": 3, "slicecrc": 1}
#: Narrower or lower pictures make x265 fail or, worse, go wrong; where they are one of its usual
#: blocks wide, it wants smaller blocks.
_NARROWEST, _LOWEST, _NARROW = 49, 16, 64


def to_xarrayvideo(
    obj: xr.DataArray | xr.Dataset,
    path: str | os.PathLike[str],
    *,
    codec: str = "libx265",
    bits: int | None = None,
    options: Mapping[str, Any] | None = None,
    lossless: bool | Sequence[str] = False,
    value_range: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, int]:
    """Write a cube as videos that xarrayvideo reads.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``(time, [band,] y, x)`` in any order, lazy or not. Variables that have
        not all of time, y and x, and coordinates, go to ``x.nc`` as they are.
    path : str or path
        Folder to write. ``video2xarray(parent, name)`` reads ``parent/name``.
    codec : {"libx265", "libx264", "vp9", "hevc_nvenc"}
        Encoder of what is stored with loss, by its name in ffmpeg.
    bits : int, optional
        Of a stored number; None for the most that the encoder takes.
    options : mapping, optional
        Passed to ffmpeg for what is stored with loss, ``{"crf": 4, "preset": "slow"}``.
    lossless : bool or sequence of str
        Whether to store all variables exactly, or which. Classes, flags, masks, and integers
        that span at most 256 numbers always are. What no video can hold exactly (floats,
        integers that span more than 65 536 numbers) then goes to ``x.nc``.
    value_range : (float, float) or mapping of str to (float, float), optional
        What is stored with loss is clipped to it; None for the extremes of each band.
    overwrite : bool
        Whether to replace an archive that is there.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    dict of str to int
        Bytes of each file.

    Raises
    ------
    DimensionError
        If no variable has time, y and x.
    OptionError
        If an option has a value that cannot be used, or nothing is left to store as video.
    StoreError
        If there is something at the path, or ffmpeg fails. Nothing is left half-written.
    MissingDependencyError
        If there is no ffmpeg program or no ffmpeg-python.

    Notes
    -----
    One video holds three bands, so that xarrayvideo's reader cannot mix up their order. Missing
    values become masks of their own, ``<band>_missing``: xarrayvideo shows them as variables,
    ``xr.open_dataset(path, engine="xarrayvideo")`` puts NaN back. Original types come back
    likewise. The fill value of integers is a number like others: decode it to NaN before.

    Each value is read twice, first to find the ranges. A few dates are in memory at a time.

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=4, size=64)
    >>> files = cube.eo.to_xarrayvideo("cubes/one", options={"crf": 4})  # doctest: +SKIP
    """
    ds, roles = _as_dataset(obj)
    target = _target(path, overwrite)
    settings = _Settings.of(codec, bits, options)
    names = _videos(ds, roles)
    ranges = _ranges(names, value_range)
    exact = _exact(ds, names, lossless)
    program(purpose="write an archive of xarrayvideo")
    with _partial(target, overwrite) as folder, ExitStack() as stack:
        total = 2 * sum(ds[name].size for name in names)
        shown = stack.enter_context(
            bar(total=total, desc=target.name, unit="value", unit_scale=True, disable=not progress)
        )
        bands = [_survey(ds, name, roles["time"], name in exact, ranges, shown) for name in names]
        videos = [band for band in bands if band is not None]
        if not videos:
            raise OptionError(
                f"expected something to store as video, but {names} are to be stored exactly and "
                "no video holds them. Try: lossless=False, or obj.to_netcdf(...)"
            )
        for rule, group in _groups(videos):
            made = _Writer(ds, roles, rule, group, settings.of_group(group), folder)
            made.write(names, shown)
        rest = ds.drop_vars([band.name for band in videos])
        _write_rest(rest, roles["time"], folder / REST)
        return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}


@dataclass(frozen=True)
class _Settings:
    """How pictures are coded: encoder, bits, and options of ffmpeg."""

    codec: str
    bits: int
    options: Mapping[str, Any]

    @classmethod
    def of(cls, codec: str, bits: int | None, options: Mapping[str, Any] | None) -> _Settings:
        if codec not in _ENCODERS:
            raise OptionError(f"expected a codec among {sorted(_ENCODERS)}, got {codec!r}")
        known, usual = _ENCODERS[codec]
        if bits is not None and bits not in known:
            raise OptionError(f"expected bits among {known} for {codec!r}, got {bits}")
        return cls(codec, bits or known[-1], {**usual, **(options or {})})

    def of_group(self, group: Sequence[_Band]) -> _Settings:
        """Return settings that keep integers exact where a group is to be exact."""
        bits = group[0].exact
        return _Settings("ffv1", bits, _FFV1) if bits else self

    @property
    def formats(self) -> tuple[str, str]:
        """Pixels as they are given to ffmpeg, and as they are stored."""
        many = "" if self.bits == 8 else f"{self.bits}le"
        if self.codec == "ffv1":
            return f"gbrp{many}", "bgr0" if self.bits == 8 else f"gbrp{many}"
        return f"gbrp{many}", f"yuv444p{many}"

    def fits(self, width: int, height: int) -> bool:
        """Whether the encoder takes pictures of a size."""
        return self.codec != "libx265" or (width >= _NARROWEST and height >= _LOWEST)

    def sized(self, width: int, height: int) -> tuple[str, dict[str, Any]]:
        """Return encoder and options for pictures of a size."""
        options = dict(self.options)
        if self.codec != "libx265":
            return self.codec, options
        if not self.fits(width, height):
            return "vp9", {**_ENCODERS["vp9"][1], "crf": options.get("crf", 10)}
        told = [options.get("x265-params"), "log-level=error"]
        told += ["ctu=32"] if width <= _NARROW else []
        options["x265-params"] = ":".join(filter(None, told))
        return self.codec, options


@dataclass(frozen=True)
class _Band:
    """What is known of a variable before it is coded.

    ``low`` and ``high`` are what the least and the largest code stand for; ``exact`` is 8 or 16
    where integers are stored as they are, 0 where something is lost.
    """

    name: str
    dtype: np.dtype[Any]
    low: float
    high: float
    missing: bool
    exact: int

    @property
    def raw(self) -> bool:
        """Whether codes are the values."""
        return bool(self.exact) and self.low == 0

    def codes(self, values: Array, bits: int) -> Array:
        """Return stored numbers; what is missing gets any."""
        kind = np.dtype("u1" if bits == 8 else "<u2")
        if self.exact:
            shifted: Array = (values.astype(np.int64) - int(self.low)).astype(kind)
            return shifted
        top = 2**bits - 1
        scale = top / (self.high - self.low) if self.high > self.low else 0.0
        finite = np.where(np.isfinite(values), values, self.low).astype(np.float64)
        return np.clip(np.rint((finite - self.low) * scale), 0, top).astype(kind)


def _as_dataset(obj: xr.DataArray | xr.Dataset) -> tuple[xr.Dataset, dict[str, Hashable]]:
    """Return a variable a band, and the names of the dimensions."""
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        raise DimensionError(f"expected a DataArray or Dataset, got {type(obj).__name__}")
    roles = find_roles(obj)
    if not {"time", "y", "x"} <= set(roles):
        raise DimensionError(
            f"expected dimensions time, y and x (or their common names), got {tuple(obj.dims)}. "
            "Try: obj.expand_dims('time')"
        )
    ds = obj if isinstance(obj, xr.Dataset) else obj.to_dataset(name=str(obj.name or "data"))
    band = roles.get("band")
    wide = [name for name, da in ds.data_vars.items() if band is not None and band in da.dims]
    for name in wide:
        labels = [str(v) for v in ds[band].values]
        if len(wide) > 1 or set(labels) & {str(v) for v in ds.variables}:
            labels = [f"{name}_{label}" for label in labels]
        parts = {label: ds[name].isel({band: i}, drop=True) for i, label in enumerate(labels)}
        ds = ds.drop_vars([name]).assign(parts)
    return ds, roles


def _videos(ds: xr.Dataset, roles: Mapping[str, Hashable]) -> list[str]:
    dims = {roles["time"], roles["y"], roles["x"]}
    names = [
        str(name) for name, da in ds.data_vars.items() if set(da.dims) == dims and da.size
        and da.dtype.kind in "biuf"
    ]  # fmt: skip
    if not names:
        found = {str(name): (*da.dims, str(da.dtype)) for name, da in ds.data_vars.items()}
        raise DimensionError(
            f"expected a variable of numbers with dimensions {sorted(map(str, dims))}, got {found}"
        )
    return names


def _blocks(ds: xr.Dataset, names: Sequence[str], time: Hashable) -> Iterator[xr.Dataset]:
    """Yield loaded blocks of a few dates, whole chunks where they are small enough."""
    part = xr.Dataset({name: ds[name].variable for name in names})
    each = sum(part[name].nbytes for name in names) // max(1, part.sizes[time])
    most = max(1, _BLOCK // max(1, each))
    start = 0
    for size in part.chunksizes.get(time, (part.sizes[time],)):
        for first in range(start, start + size, most):
            yield part.isel({time: slice(first, min(first + most, start + size))}).load()
        start += size


def _exact(ds: xr.Dataset, names: Sequence[str], lossless: bool | Sequence[str]) -> set[str]:
    """Return which variables are to come back as they are."""
    if lossless is True:
        return set(names)
    asked = set() if lossless is False else {lossless} if isinstance(lossless, str) else {*lossless}
    if asked - set(names):
        raise OptionError(
            f"expected lossless to name some of {list(names)}, got {sorted(asked - set(names))}"
        )
    return asked | {name for name in names if is_classes(name, ds[name])}


def _ranges(names: Sequence[str], value_range: Any) -> dict[str, tuple[float, float]]:
    """Return the ranges that were asked for, by name."""
    if value_range is None:
        return {}
    told = value_range if isinstance(value_range, Mapping) else dict.fromkeys(names, value_range)
    for name, (low, high) in told.items():
        if name not in names or not low < high or not np.isfinite([low, high]).all():
            raise OptionError(
                f"expected a range (low, high) for some of {list(names)}, got {name!r}: {low, high}"
            )
    return {name: (float(low), float(high)) for name, (low, high) in told.items()}


def _survey(
    ds: xr.Dataset,
    name: str,
    time: Hashable,
    exact: bool,
    ranges: Mapping[str, tuple[float, float]],
    shown: Any,
) -> _Band | None:
    """Read a variable once, for its extremes and gaps; None for what no video can hold exactly."""
    dtype = ds[name].dtype
    if dtype.kind == "f" and exact:
        shown.update(2 * ds[name].size)
        return None
    low, high, missing = np.inf, -np.inf, False
    for block in _blocks(ds, [name], time):
        values = block[name].values
        good = values[np.isfinite(values)] if dtype.kind == "f" else values
        if good.size:
            low, high = min(low, good.min().item()), max(high, good.max().item())
        missing |= good.size < values.size
        shown.update(values.size)
    if low > high:
        low = high = 0.0
    if dtype.kind != "f" and (exact or high - low < 256):
        bits = 8 if high - low < 256 else 16
        if high - low >= 2**bits:
            shown.update(ds[name].size)
            return None
        low = 0 if low >= 0 and high < 2**bits else low
        return _Band(name, dtype, low, low + 2**bits - 1, False, bits)
    low, high = ranges.get(name, (float(low), float(high)))
    return _Band(name, dtype, low, high, missing, 0)


def _groups(bands: Sequence[_Band]) -> Iterator[tuple[str, list[_Band]]]:
    """Yield bands in threes, alike in how they are stored, with a name for each."""
    for exact, word in ((0, "video"), (8, "exact"), (16, "exact16")):
        alike = [band for band in bands if band.exact == exact]
        for i in range(0, len(alike), 3):
            # No name begins with another: a reader may look for files by how they begin.
            yield f"{word}{i // 3 + 1:03d}", alike[i : i + 3]


@dataclass(frozen=True)
class _Writer:
    """Writes three bands, and a video of where they are missing."""

    ds: xr.Dataset
    roles: Mapping[str, Hashable]
    rule: str
    group: list[_Band]
    settings: _Settings
    folder: Path

    def write(self, taken: Sequence[str], shown: Any) -> None:
        """Write both videos, reading the values once."""
        dims = self._dims()
        masked = [band for band in self.group if band.missing]
        last: dict[str, Array] = {}
        with ExitStack() as stack:
            main = stack.enter_context(self._encoder(self.rule, self.settings, self._tag(dims)))
            mask = None
            if masked:
                exact, told = _Settings("ffv1", 8, _FFV1), self._mask_tag(masked, dims, taken)
                mask = stack.enter_context(self._encoder(f"missing-{self.rule}", exact, told))
            for values in self._pictures(dims, shown):
                bad = {band.name: ~np.isfinite(values[band.name]) for band in masked}
                main.write(_planes([self._codes(b, values, bad, last) for b in self.group]))
                if mask is not None:
                    mask.write(_planes([bad[band.name].astype(np.uint8) for band in masked]))

    def _pictures(self, dims: Sequence[Hashable], shown: Any) -> Iterator[dict[str, Array]]:
        """Yield one date at a time, rows along the last dimension."""
        time, first, second = dims
        names = [band.name for band in self.group]
        for block in _blocks(self.ds, names, time):
            turned = block.transpose(time, second, first)
            for i in range(block.sizes[time]):
                yield {name: turned[name].values[i] for name in names}
            shown.update(sum(block[name].size for name in names))

    def _dims(self) -> tuple[Hashable, Hashable, Hashable]:
        """Return the order of the dimensions; the second becomes the width of pictures."""
        time = self.roles["time"]
        first, second = (d for d in self.ds[self.group[0].name].dims if d != time)
        width, height = self.ds.sizes[first], self.ds.sizes[second]
        turn = not self.settings.fits(width, height) and self.settings.fits(height, width)
        return (time, second, first) if turn else (time, first, second)

    def _codes(
        self,
        band: _Band,
        values: Mapping[str, Array],
        bad: Mapping[str, Array],
        last: dict[str, Array],
    ) -> Array:
        codes = band.codes(values[band.name], self.settings.bits)
        if band.name in bad:
            # Nothing costs less than what was there before.
            codes = np.where(bad[band.name], last.get(band.name, codes), codes)
            last[band.name] = codes
        return codes

    def _encoder(self, rule: str, settings: _Settings, tag: dict[str, Any]) -> Encoder:
        _, first, second = self._dims()
        width, height = self.ds.sizes[first], self.ds.sizes[second]
        given, stored = settings.formats
        codec, options = settings.sized(width, height)
        text = repr(tag)
        if len(text.encode()) > _LONGEST_TAG:
            raise OptionError(
                f"expected attributes of at most {_LONGEST_TAG} bytes, got {len(text.encode())} "
                f"for {[b.name for b in self.group]}. Try: obj.drop_attrs()"
            )
        return Encoder(
            self.folder / f"{rule}_001.mkv",
            (height, width),
            given,
            {"c:v": codec, **options, "pix_fmt": stored, "r": 30, "metadata": f"{TAG}={text}"},
        )

    def _tag(self, dims: Sequence[Hashable]) -> dict[str, Any]:
        raw = all(band.raw for band in self.group)
        attrs = {}
        for band in self.group:
            attrs[band.name] = _plain(self.ds[band.name].attrs)
            plain = (np.uint8 if band.exact == 8 else np.uint16) if raw else np.float32
            if band.dtype != plain:
                attrs[band.name][DTYPE] = str(band.dtype)
        names = [band.name for band in self.group]
        ranges = [[float(band.low), float(band.high)] for band in self.group]
        return self._told(names, dims, attrs, ranges, self.settings, not raw)

    def _mask_tag(
        self, masked: Sequence[_Band], dims: Sequence[Hashable], taken: Sequence[str]
    ) -> dict[str, Any]:
        masks = {}
        for band in masked:
            mask = f"{band.name}_missing"
            while mask in taken or mask in self.ds.variables:
                mask += "_"
            masks[mask] = {MISSING_OF: band.name, "long_name": f"where {band.name} is missing"}
        exact = _Settings("ffv1", 8, _FFV1)
        return self._told(list(masks), dims, masks, [[0.0, 255.0]] * len(masks), exact, False)

    def _told(
        self,
        names: list[str],
        dims: Sequence[Hashable],
        attrs: dict[str, Any],
        ranges: list[list[float]],
        settings: _Settings,
        normalized: bool,
    ) -> dict[str, Any]:
        """Return the tag, in the words of xarrayvideo 0.2."""
        given, stored = settings.formats
        fill = 3 - len(names)
        return {
            "VERSION": "0.2",
            "BANDS": _spelled(names + names[-1:] * fill),
            "CHANNELS": 3,
            "COORDS_DIMS": _spelled(tuple(map(str, dims))),
            "ATTRS": _spelled(attrs),
            "FRAMES": str(self.ds.sizes[dims[0]]),
            "RANGE": _spelled(ranges + ranges[-1:] * fill),
            "OUT_PIX_FMT": given,
            "REQ_PIX_FMT": stored,
            "PLANAR": True,
            "BITS": settings.bits,
            "NORMALIZED": normalized,
            "CHANNEL_ORDER": "gbr",
            "PCA_PARAMS": None,
            "ORDER": 1,
        }


def _planes(codes: Sequence[Array]) -> Array:
    """Stack three bands as green, blue, red; the last one fills up."""
    red, green, blue = (codes[min(i, len(codes) - 1)] for i in range(3))
    return np.stack([green, blue, red])


def _spelled(value: Any) -> str:
    """Return a literal without the letters "nan", which xarrayvideo's reader replaces."""
    return repr(value).replace("nan", r"na\x6e")


def _plain(value: Any) -> Any:
    """Return attributes as what a literal can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float) else str(value)


def _write_rest(rest: xr.Dataset, time: Hashable, path: Path) -> None:
    """Write coordinates and what is no video."""
    rest = rest.copy()
    for name, da in rest.data_vars.items():
        if time in da.dims and da.nbytes > _BLOCK and not da.chunks:
            # NetCDF is written chunk by chunk, what is in no chunks at once.
            rest[name] = da.chunk({time: max(1, da.sizes[time] * _BLOCK // da.nbytes)})
    rest.attrs = _storable(rest.attrs)
    kept = ("units", "calendar", "dtype", "_FillValue", "scale_factor", "add_offset")
    for variable in rest.variables.values():
        variable.attrs = _storable(variable.attrs)
        variable.encoding = {k: v for k, v in variable.encoding.items() if k in kept}
    packed = {
        name: {"zlib": True}
        for name, variable in rest.variables.items()
        if variable.ndim and variable.dtype.kind not in "OUS"
    }
    try:
        rest.to_netcdf(path, engine="h5netcdf", encoding=packed)
    except (TypeError, ValueError) as err:
        raise StoreError(f"writing {REST} failed: {err}. Try: obj.drop_vars(...)") from err


def _storable(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return attributes as NetCDF can hold them."""
    numbers = (str, int, float, np.ndarray, np.generic)
    return {str(k): v if isinstance(v, numbers) else str(v) for k, v in attrs.items()}


def _target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Return the folder to write, or say why it cannot be."""
    text = local(path)
    if "://" in text:
        raise StoreError(f"expected a local folder to write, got {text!r}")
    target = Path(text)
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return target
    if not overwrite:
        raise StoreError(f"expected nothing at {str(target)!r}, found something. "
                         "Try: overwrite=True")  # fmt: skip
    names = {p.suffix for p in target.iterdir()} if target.is_dir() else {""}
    if not names <= {".nc", ".mkv", ".jp2", ".json"}:
        raise StoreError(
            f"expected an archive of xarrayvideo to overwrite at {str(target)!r}, found something "
            "else, which is left alone. Try: another name, or delete it yourself"
        )
    return target


@contextmanager
def _partial(target: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder beside the target that takes its place when all is written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f".{target.name}-{uuid.uuid4().hex[:12]}")
    folder.mkdir()
    try:
        yield folder
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
