"""Write a lazy result to Zarr, block by block, whole blocks only."""

from __future__ import annotations

import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xeo.engine import executor, lazy
from xeo.engine.job import Job, Made, Number
from xeo.engine.profile import Profile
from xeo.engine.stored import store_array
from xeo.errors import OptionError, StoreError, XeoError
from xeo.ops.place import COMPLETE, check_free, local
from xeo.ops.stop import Stop
from xeo.progress import bar

#: What is kept of the encoding of a source, which may be of another Zarr version.
_ENCODING = ("units", "calendar", "grid_mapping")
_CODECS = {
    "compressors": "BytesBytesCodec",
    "serializer": "ArrayBytesCodec",
    "filters": "ArrayArrayCodec",
}


def write(
    obj: xr.DataArray | xr.Dataset,
    store: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool | Callable[[int], None] = True,
    profile: bool = False,
    storage_options: dict[str, Any] | None = None,
) -> Profile | None:
    """Write an array to a Zarr store, with a progress bar.

    Parameters
    ----------
    obj : DataArray or Dataset
        Lazy or not. A result of xeo is made without a Dask graph: some threads read, as many
        as there are cores compute, others write. Codecs of Zarr v3 in its ``encoding`` are
        used; without, floats are stored by Blosc's LZ4 and other numbers by its Zstandard,
        with their bits shuffled.
    store : str or path
        Local path, or any URL that fsspec knows.
    overwrite : bool
        Whether to replace a store that is there. Only a Zarr store is ever replaced.
    workers : int, optional
        Threads that compute; None takes the cores. Each has its share of the cores.
    progress : bool or callable
        Whether to show a bar, which also tells the side that the others wait for; a callable
        is called with the number of values of each block.
    profile : bool
        Whether to return where the time went.
    storage_options : dict, optional
        Passed to fsspec for a URL.

    Returns
    -------
    Profile or None
        With ``profile``: seconds at work and lost by each side, which one binds, and the
        backend that ran the model. ``print`` shows it as a table.

    Raises
    ------
    StoreError
        If there is a store and ``overwrite`` is false, if writing fails, or if the store that
        is read vanished meanwhile.
    OptionError
        If an option has a value that cannot be used.
    Interrupted
        A KeyboardInterrupt: SIGINT or SIGTERM came. The blocks at work are finished first; a
        second signal stops at once.

    Notes
    -----
    Each block is one whole chunk, and a chunk is written at once or not at all (in a local
    folder by renaming, in an object store by its nature). The attribute ``xeo_complete`` of the
    store is 0 until the last one is written: an interrupted store never passes for a whole
    one. Whatever stopped the work carries a note of how many blocks are written.

    Zarr does not tell a chunk of the *source* that was deleted from one that holds nothing but
    the fill value. The metadata of every source is therefore read once more at the end, which
    finds a store that vanished; a single chunk that vanished is not found.

    Examples
    --------
    >>> xeo.write(cube.eo.embed("mosaiks"), "out.zarr")  # doctest: +SKIP
    >>> print(xeo.write(cube.eo.embed("mosaiks"), "out.zarr", profile=True))  # doctest: +SKIP
    """
    if workers is not None and workers < 1:
        raise OptionError(f"expected workers to be 1 or more, got {workers}")
    check_free(store, overwrite=overwrite, storage_options=storage_options)
    target = local(store)
    ds = _regular(_dataset(obj))
    runs = list(_runs(ds))
    if profile and not any(one.job for one in runs):
        raise OptionError(
            "expected a lazy result of xeo for profile=True, got an array that xeo did not make, "
            "that was changed since, or that reads another lazy result, such as a mask. "
            "Try: profile=False"
        )
    made = _Target(target, storage_options)
    with writing(target):
        made.lay_out(ds)
    tally = _Tally(sum(one.blocks(ds) for one in runs), target)
    seen = Profile()
    with _Bar(progress, sum(one.size(ds) for one in runs), _title(ds), seen) as report:
        try:
            for one in runs:
                _fill(ds, one, made, workers, report, tally, seen)
            with writing(target):
                made.finish(seen)
        except BaseException as err:
            err.add_note(str(tally))
            raise
    return seen if profile else None


@dataclass(frozen=True)
class _Run:
    """Variables that are made together: all outputs of a job, or all other arrays."""

    names: tuple[str, ...]
    job: Job | None

    def size(self, ds: xr.Dataset) -> int:
        """Return how many values count as progress."""
        if self.job:
            return math.prod(self.job.plan.shape)
        return sum(int(ds[name].size) for name in self.names)

    def blocks(self, ds: xr.Dataset) -> int:
        """Return how many blocks there are to write."""
        return sum(math.prod(map(len, _chunks(ds[name]))) for name in self.names)


def _chunks(da: xr.DataArray) -> tuple[tuple[int, ...], ...]:
    """Return the chunks that are written: of a job its blocks, of which a task may make several."""
    job = lazy.job_of(da.data)
    return (da.chunks or ()) if job is None else lazy.cut_of(da.data).chunks(job.plan)


def _runs(ds: xr.Dataset) -> Iterator[_Run]:
    together: dict[int, tuple[Job | None, list[str]]] = {}
    for name, da in ds.data_vars.items():
        job = lazy.job_of(da.data)
        together.setdefault(id(job), (job, []))[1].append(str(name))
    for job, names in together.values():
        yield _Run(tuple(names), job)


def can_profile(obj: xr.DataArray | xr.Dataset) -> bool:
    """Tell whether `write` can say of a result where the time went."""
    return any(one.job for one in _runs(_regular(_dataset(obj))))


def _dataset(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    if isinstance(obj, xr.Dataset):
        if not obj.data_vars:
            raise OptionError("expected a Dataset with variables to write, got an empty one")
        return obj
    return obj.rename(str(obj.name or "data")).to_dataset()


def _title(ds: xr.Dataset) -> str:
    return str(next(iter(ds.data_vars)))


def is_complete(store: str | os.PathLike[str], **storage_options: Any) -> bool:
    """Tell whether a store that `write` made holds all of its blocks."""
    import zarr

    group = zarr.open_group(local(store), mode="r", storage_options=storage_options or None)
    return bool(group.attrs.get(COMPLETE, False))


def _regular(ds: xr.Dataset) -> xr.Dataset:
    """Return arrays of chunks that a Zarr grid can have: equal ones, the last one shorter."""
    return ds.assign({name: _equal_chunks(da) for name, da in ds.data_vars.items()})


def _equal_chunks(da: xr.DataArray) -> xr.DataArray:
    if not da.chunks:
        return da.chunk("auto")
    ragged = {
        dim: max(sizes)
        for dim, sizes in zip(da.dims, da.chunks, strict=True)
        if set(sizes[:-1]) - {sizes[0]} or sizes[-1] > sizes[0]
    }
    return da.chunk(ragged) if ragged else da


class _Target:
    """The store that is written."""

    def __init__(self, path: str, options: dict[str, Any] | None) -> None:
        self.path = path
        self.options = (options or None) if "://" in path else None
        self.arrays: dict[str, Any] = {}
        self.unchecked: dict[str, Any] = {}
        self.group: Any = None

    def lay_out(self, ds: xr.Dataset) -> None:
        """Write metadata and coordinates; chunks of values come later."""
        import zarr

        made = spelled(ds).copy()
        made.attrs = {**made.attrs, COMPLETE: 0}
        codecs = {str(name): _codecs(da) for name, da in ds.data_vars.items()}
        for variable in made.variables.values():
            variable.encoding = {k: v for k, v in variable.encoding.items() if k in _ENCODING}
        shapes = {
            str(name): tuple(sizes[0] for sizes in _chunks(da)) for name, da in ds.data_vars.items()
        }
        for name, shape in shapes.items():
            own = {"chunks": shape, "fill_value": _missing(ds[name])}
            made[name].encoding |= codecs[name] | own
        with warnings.catch_warnings():
            # Without consolidated metadata xarray warns whoever opens it, with it Zarr does here.
            warnings.filterwarnings("ignore", "Consolidated metadata is currently not")
            made.to_zarr(
                self.path,
                mode="w",
                compute=False,
                consolidated=True,
                zarr_format=3,
                storage_options=self.options,
            )
        self.group = zarr.open_group(self.path, mode="r+", storage_options=self.options)
        self.arrays = {name: self.group[name] for name in shapes}
        self.unchecked = {
            name: array.with_config({"write_empty_chunks": True})
            for name, array in self.arrays.items()
        }
        # Two blocks that share a chunk would overwrite each other.
        assert all(self.arrays[name].chunks == shape for name, shape in shapes.items())

    def put(self, name: str, place: tuple[slice, ...], block: Any) -> None:
        """Write a block, one that holds nothing but the fill value left out."""
        array = self.arrays[name]
        # Zarr looks at every value, which takes as long as writing them: it need not where the
        # first one is something.
        first = block[(0,) * block.ndim] if block.size else array.fill_value
        empty = bool(first == array.fill_value) or bool(first != first)
        (array if empty else self.unchecked[name])[place] = block

    def finish(self, profile: Profile) -> None:
        """Say that it is complete, and how it was made."""
        # The model's own numbers need no word.
        told = {} if profile.backend in ("", "eager") else {"xeo_backend": profile.backend}
        self.group.attrs.update({COMPLETE: 1, **told})


def _codecs(da: xr.DataArray) -> dict[str, Any]:
    """Return the codecs of an encoding, those of Zarr v3 alone."""
    import zarr.abc.codec as abc

    found = {}
    for word, kind in _CODECS.items():
        if word not in da.encoding:
            continue
        given = da.encoding[word]
        several = given if isinstance(given, tuple | list) else (given,)
        if given is None or all(isinstance(one, getattr(abc, kind)) for one in several):
            found[word] = given
    own = da.dtype.kind in "fiu" and "serializer" not in found
    return {"compressors": _compressor(da.dtype), **found} if own else found


def _compressor(dtype: np.dtype[Any]) -> Any:
    """Return what suits vectors and classes; ``benchmarks/outputs.py`` measures it.

    The default of Zarr, Zstandard without shuffling, takes one and a half to five times as long
    on vectors, and leaves up to a quarter more bytes (or a seventh fewer, where many are alike).
    """
    from zarr.codecs import BloscCodec

    if dtype.kind == "f":
        return BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
    return BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")


def spelled(made: xr.Dataset) -> xr.Dataset:
    """Give text of fixed length, for which Zarr v3 has no specification, any length."""
    fixed = {name: da.astype(object) for name, da in made.coords.items() if da.dtype.kind == "U"}
    return made.assign_coords(fixed)


def _missing(obj: xr.DataArray) -> Any:
    """Return what a chunk that was never written reads as: missing, where the dtype can."""
    if obj.dtype.kind == "f":
        return float("nan")
    if "_nodata" in obj.attrs:
        return int(obj.attrs["_nodata"])
    meanings = str(obj.attrs.get("flag_meanings", "")).split()
    if "no_data" in meanings:
        return int(np.ravel(obj.attrs["flag_values"])[meanings.index("no_data")])
    return 0


def _fill(
    ds: xr.Dataset,
    run: _Run,
    target: _Target,
    workers: int | None,
    report: Callable[[int], None],
    tally: _Tally,
    profile: Profile,
) -> None:
    job = run.job
    if job is None:
        arrays = [ds[name].data for name in run.names]
        kept = [_Kept(target, name, tally, report) for name in run.names]
        lazy.store(arrays, kept, workers=workers)
        return
    cuts = {name: lazy.cut_of(ds[name].data) for name in run.names}

    def keep(index: Number, made: Made) -> None:
        for name, cut in cuts.items():
            at = executor.place(job, index, channel=cut.has_channels(job.plan))
            _Kept(target, name, tally)[at] = cut.of(made)

    with Stop() as stop:
        told = _checked(report, stop, tally)
        executor.run(job, keep, workers=workers, progress=told, profile=profile)
    _check_sources(job)


class _Kept:
    """Takes blocks of a variable, writes them, counts them.

    In another process, where Dask may send it, it only writes.
    """

    def __init__(
        self,
        target: _Target,
        name: str,
        tally: _Tally | None = None,
        report: Callable[[int], None] | None = None,
    ) -> None:
        self.target, self.name, self.tally, self.report = target, name, tally, report

    def __reduce__(self) -> tuple[Any, ...]:
        return _Kept, (self.target, self.name)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return self.target.path, self.name

    def __setitem__(self, place: tuple[slice, ...], block: Any) -> None:
        with writing(self.target.path):
            self.target.put(self.name, place, block)
        if self.tally is not None:
            self.tally.count(self.report, block.size)


def _checked(report: Callable[[int], None], stop: Stop, tally: _Tally) -> Callable[[int], None]:
    """Report, then stop if a signal came and there is anything left to stop."""

    def tell(size: int) -> None:
        report(size)
        if not tally.full:
            stop.check()

    return tell


def _check_sources(job: Any) -> None:
    """Read the metadata of the Zarr arrays that were read once more.

    Raises
    ------
    StoreError
        If one is gone: its chunks would have read as nothing but the fill value.
    """
    import zarr

    arrays = [store_array(p.array) for m in job.modalities for p in m.source.inputs]
    for array in filter(None, arrays):
        try:
            zarr.open_array(array.store, path=array.path, mode="r")
        except Exception as err:
            # Whatever the store raises, it cannot be read any more.
            raise StoreError(
                f"expected {array.store_path} to be there until the end, but it vanished while "
                "it was read: what was made of it cannot be trusted"
            ) from err


@contextmanager
def writing(target: str) -> Iterator[None]:
    """Turn the errors of a store, which each have classes of their own, into ours."""
    try:
        yield
    except XeoError:
        raise
    except Exception as err:
        raise StoreError(f"writing {target!r} failed: {type(err).__name__}: {err}") from err


class _Tally:
    """Counts the blocks that are written; its text goes with whatever stops the work."""

    def __init__(self, total: int, target: str) -> None:
        self.total, self.target = total, target
        self.done = 0
        self._lock = threading.Lock()

    def count(self, report: Callable[[int], None] | None, size: int) -> None:
        """Count a block, and report it to one that cannot be called twice at once."""
        with self._lock:
            self.done += 1
            if report is not None:
                report(size)

    @property
    def full(self) -> bool:
        return self.done == self.total

    def __str__(self) -> str:
        return (
            f"{self.done} of {self.total} blocks are written and whole; {self.target!r} is marked "
            f"incomplete ({COMPLETE} = 0). Try: again, with overwrite=True or --overwrite"
        )


class _Bar:
    """A progress bar of values: rate, time left, the side that binds; or a callable."""

    def __init__(
        self, progress: bool | Callable[[int], None], total: int, name: str, profile: Profile
    ) -> None:
        self.progress, self.total, self.name = progress, total, name
        self.profile = profile
        self.bar: Any = None

    def __enter__(self) -> Callable[[int], None]:
        if callable(self.progress):
            return self.progress
        self.bar = bar(
            total=self.total,
            desc=self.name,
            unit="value",
            unit_scale=True,
            disable=not self.progress,
            # A log file gets a line now and then, a terminal ten a second.
            mininterval=0.1 if sys.stderr.isatty() else 10.0,
        )
        return self._update

    def _update(self, size: int) -> None:
        if self.profile.blocks:
            self.bar.set_postfix_str(f"{self.profile.bound} binds", refresh=False)
        self.bar.update(size)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            if self.profile.backend:
                # What half precision cost is for the user to know.
                told = f"{self.profile.bound} binds; {self.profile.backend}"
                self.bar.set_postfix_str(told, refresh=False)
            self.bar.close()
