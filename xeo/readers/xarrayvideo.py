"""Archives of xarrayvideo, opened lazily: videos and JPEG 2000.

``xr.open_dataset(folder, engine="xarrayvideo")``. Right where xarrayvideo's own reader is not:
three or more videos of a rule come in order, ranges of ``nan``, flags and attributes as NumPy
prints them are understood, a fourth dimension is read, names of rules may begin alike.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from xeo.errors import StoreError
from xeo.readers import archive, frames, stored
from xeo.readers.archive import DTYPE, MISSING_OF, REST, Rule

Array = npt.NDArray[Any]

#: A chunk, where xarray is asked to choose, has about so many bytes.
_CHUNK = 32 * 2**20


class XarrayVideoBackend(BackendEntrypoint):
    """Opens the folder that xarrayvideo, or `xeo.to_xarrayvideo`, wrote."""

    description = "Open archives of xarrayvideo (videos and JPEG 2000)"
    url = "https://github.com/IPL-UV/xarrayvideo"
    supports_groups = False

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell whether this is a folder with ``x.nc`` and videos or pictures beside it."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        folder = Path(filename_or_obj)
        if not (folder / REST).is_file():
            return False
        return any(name.endswith((".mkv", ".jp2")) for name in os.listdir(folder))

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: Any = None,
        decode_times: Any = None,
        concat_characters: Any = None,
        decode_coords: Any = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
    ) -> xr.Dataset:
        """Open an archive; only the heads of its files are read.

        Parameters
        ----------
        filename_or_obj : str or path
            Its folder, ``<output_path>/<array_id>`` in the words of xarrayvideo.
        drop_variables : str or iterable of str, optional
            Variables to leave out.
        mask_and_scale, decode_times, concat_characters, decode_coords, use_cftime, \
        decode_timedelta :
            How the variables in ``x.nc`` are decoded, as in `xarray.open_dataset`.

        Returns
        -------
        Dataset

        Raises
        ------
        StoreError
            If it is no such archive, or a file of it is missing or damaged.
        """
        folder = _folder(filename_or_obj)
        drop = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        opened = _rest(
            folder,
            drop_variables=drop,
            mask_and_scale=mask_and_scale,
            decode_times=decode_times,
            concat_characters=concat_characters,
            decode_coords=decode_coords,
            use_cftime=use_cftime,
            decode_timedelta=decode_timedelta,
        )
        try:
            rules = archive.find_rules(folder, opened.sizes)
            if not rules:
                raise StoreError(_nothing(folder))
            made = _assembled(opened, rules, set(drop))
        except BaseException:
            opened.close()
            raise
        paths = [path for rule in rules for path in rule.files]

        def close() -> None:
            opened.close()
            frames.close(paths)

        made.set_close(close)
        return made


def _folder(given: Any) -> Path:
    if not isinstance(given, str | os.PathLike):
        raise StoreError(f"expected the path of a folder, got {type(given).__name__}")
    text = os.fspath(given)
    if "://" in text:
        raise StoreError(f"expected a local folder, got {text!r}. Try: to copy it here first")
    folder = Path(os.path.expanduser(text))
    folder = folder.parent if folder.name == REST else folder
    if not folder.is_dir():
        raise StoreError(
            f"expected the folder of an archive of xarrayvideo at {text!r}, found none"
        )
    return folder


def _nothing(folder: Path) -> str:
    inside = sorted(p.parent.name for p in folder.glob(f"*/{REST}"))
    cure = f" Try: {str(folder / inside[0])!r}, or another of {inside[:10]}" if inside else ""
    return f"expected videos (.mkv) or pictures (.jp2, .json) in {str(folder)!r}, found none.{cure}"


def _rest(folder: Path, **options: Any) -> xr.Dataset:
    """Open what is no video; without the file, nothing but the videos is there."""
    path = folder / REST
    if not path.exists():
        return xr.Dataset()
    with open(path, "rb") as file:
        engine = "scipy" if file.read(3) == b"CDF" else "h5netcdf"
    try:
        return xr.open_dataset(path, engine=engine, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as err:
        raise StoreError(f"expected NetCDF in {str(path)!r}, but reading it failed: {err}") from err


def _assembled(opened: xr.Dataset, rules: list[Rule], drop: set[Hashable]) -> xr.Dataset:
    arrays: dict[Hashable, VideoArray] = {}
    attrs: dict[Hashable, dict[str, Any]] = {}
    for rule in rules:
        for position, band in enumerate(rule.bands):
            arrays[band] = VideoArray(rule, position)
            attrs[band] = dict(rule.attrs.get(band, {}))
    for mask in [name for name, told in attrs.items() if told.get(MISSING_OF) in arrays]:
        band = attrs.pop(mask)[MISSING_OF]
        arrays[band] = arrays[band].without(arrays.pop(mask))
    made = {}
    for band, array in arrays.items():
        if band not in drop:
            array = array.typed(attrs[band].pop(DTYPE, None))
            made[band] = _variable(array, attrs[band])
    return opened.assign(made)


def _variable(array: VideoArray, attrs: dict[str, Any]) -> xr.Variable:
    _, *rest = array.shape
    each = max(1, int(np.prod(rest)) * array.dtype.itemsize)
    dates = max(1, min(array.shape[0], _CHUNK // each))
    chunks = dict(zip(array.rule.dims, (dates, *rest), strict=True))
    encoding = {"preferred_chunks": chunks, "source": str(Path(array.rule.files[0]).parent)}
    return xr.Variable(array.rule.dims, indexing.LazilyIndexedArray(array), attrs, encoding)


@dataclass(frozen=True, eq=False)
class VideoArray(BackendArray):
    """One variable, read when it is indexed.

    Parameters
    ----------
    rule : Rule
    position : int
        Of the band in the rule.
    missing : VideoArray, optional
        Not 0 where a value is missing.
    returned : str, optional
        Type of the values, where the archive says.
    """

    rule: Rule
    position: int
    missing: VideoArray | None = None
    returned: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions of the rule."""
        bands = () if len(self.rule.dims) == 3 else (len(self._bands()),)
        return (self.rule.frames, *self.rule.shape, *bands)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is returned."""
        return self.rule.dtype if self.returned is None else np.dtype(self.returned)

    def without(self, missing: VideoArray) -> VideoArray:
        """Return the array with NaN where a mask says that a value is missing."""
        if missing.shape != self.shape or missing.rule.dims != self.rule.dims:
            raise StoreError(f"expected a mask of shape {self.shape}, got {missing.shape}")
        return VideoArray(self.rule, self.position, missing, self.returned)

    def typed(self, returned: Any) -> VideoArray:
        """Return the array with values of the type that it was written from."""
        if returned is None:
            return self
        if returned not in _TYPES or (self.missing is not None and returned[0] != "f"):
            raise StoreError(f"expected a type among {_TYPES}, got {returned!r:.40}")
        return VideoArray(self.rule, self.position, self.missing, returned)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read a part."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _bands(self) -> range:
        count = self.rule.stored if self.rule.components is None else self.rule.components.shape[1]
        return range(count) if len(self.rule.dims) == 4 else range(self.position, self.position + 1)

    def _outer(self, key: tuple[Any, ...]) -> Array:
        values = self._read(key)
        if self.missing is not None:
            values[self.missing._outer(key) != 0] = np.nan
        return values

    def _read(self, key: tuple[Any, ...]) -> Array:
        places = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)]
        dates, back = np.unique(places[0], return_inverse=True)
        bands = np.array(self._bands())[places[3]] if len(places) == 4 else np.array(self._bands())
        out = np.empty((len(dates), len(bands), len(places[1]), len(places[2])), self.dtype)
        if out.size:
            self._fill(out, dates, bands, (places[1], places[2]))
        out = np.moveaxis(out, 1, 3)[back]
        if len(places) == 3:
            out = out[..., 0]
        # An integer drops its axis.
        return out[tuple(0 if np.ndim(k) == 0 and not isinstance(k, slice) else slice(None)
                         for k in key)]  # fmt: skip

    def _fill(self, out: Array, dates: Array, bands: Array, places: tuple[Array, Array]) -> None:
        rule = self.rule
        if rule.components is None:
            for i, channel, codes in stored.read(rule, dates, np.unique(bands), places):
                out[i, bands == channel] = _typed(_scaled(rule, codes, channel), out.dtype)
            return
        assert rule.means is not None
        mixed = np.empty(out.shape, np.float32)
        mixed[:] = rule.means[bands, None, None]
        channels = np.arange(len(rule.components))
        for i, channel, codes in stored.read(rule, dates, channels, places):
            weights = rule.components[channel, bands, None, None]
            mixed[i] += weights * _scaled(rule, codes, channel)
        out[:] = _typed(mixed, out.dtype)


_TYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
          "float16", "float32", "float64")  # fmt: skip


def _scaled(rule: Rule, codes: Array, channel: int) -> Array:
    """Return values of codes."""
    if rule.ranges is None:
        return codes
    low, high = rule.ranges[channel]
    if not np.isfinite(high - low):
        # All of the band was missing: xarrayvideo stored the range nan.
        return np.full(codes.shape, np.nan, np.float32)
    return np.asarray(codes * np.float64((high - low) / (2**rule.bits - 1)) + low)


def _typed(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind in "iu" and values.dtype.kind == "f":
        bounds = np.iinfo(dtype)
        values = np.clip(np.rint(values), bounds.min, bounds.max)
    return values.astype(dtype, copy=False)
