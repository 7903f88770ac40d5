"""The verb ``embed``: vectors for pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo import registry
from xeo.engine.plan import Plan
from xeo.errors import OptionError, UnitsError
from xeo.kernels.quantize import NODATA
from xeo.kernels.quantize import dequantize as _dequantize
from xeo.kernels.quantize import quantize as _quantize
from xeo.ops.apply import Options, Said, prepare
from xeo.spec import Embedder

Cubes = xr.DataArray | xr.Dataset | xr.DataTree
_DTYPES = ("float32", "float16", "int8")
_FORMULA = "sign(q) * (abs(q) / 127.5) ** 2"


def embed(
    obj: Cubes,
    model: str | Embedder = "mosaiks",
    *,
    sensor: Said = None,
    units: Said = None,
    offset: float | None = None,
    mask: xr.DataArray | None = None,
    dates: Any = None,
    bands: Sequence[str] | None = None,
    batch: int | None = None,
    overlap: int | None = None,
    chunk: int | None = None,
    dtype: str = "float32",
    device: str | None = None,
    precision: str = "exact",
    backend: str | None = None,
    blend: bool | None = None,
    valid_fraction: bool = False,
    explain: bool = False,
) -> xr.DataArray | xr.Dataset | Plan:
    """Turn pixels into vectors that say what is there.

    Parameters
    ----------
    obj : DataArray, Dataset or DataTree
        Cube with dims ``([time,] [band,] y, x)`` under their common names, in any order;
        bands as a dimension or as variables. A tree has one node for each modality, each on
        its own grid and dates.
    model : str or Embedder
        Registered name (`xeo.list_models`) or object.
    sensor : str or mapping, optional
        Name of the sensor or product, where labels and attributes do not tell; for a tree a
        mapping of node to name.
    units : str or mapping, optional
        What the numbers are in, where attributes do not tell: ``"reflectance"`` (0 to 1),
        ``"dn"`` (the product's stored numbers), ``"db"``, ``"power"``; a mapping of modality
        to units for several.
    offset : float, optional
        To be added to stored numbers before scaling: -1000 for Sentinel-2 of processing
        baseline 04.00 or later, 0 where that is done already.
    mask : DataArray, optional
        Pixels not to look at, such as clouds: boolean, True is bad, dims ``(time, y, x)`` or
        fewer.
    dates : slice, str or sequence, optional
        Which dates, as ``obj.sel(time=...)`` takes them; None for all.
    bands : sequence of str, optional
        Which bands, for a model that takes any.
    batch : int, optional
        Windows per model call; None fits them into memory.
    overlap : int, optional
        Pixels by which neighbouring windows overlap and are blended, for a model of fixed
        windows; None takes the model's.
    chunk : int, optional
        Side of a block, in input pixels; None decides by store chunks and memory.
    dtype : {"float32", "float16", "int8"}
        ``int8`` keeps the direction of each vector, not its length, in one byte a channel,
        -128 for missing; `xeo.dequantize` undoes it.
    device : str, optional
        ``"cuda"`` or ``"cuda:1"`` runs the model there.
    precision : {"exact", "fast"}
        ``exact`` runs the model by the fastest backend whose numbers are those of the model
        (relative difference at most 1e-5, checked on your own data); ``fast`` may use half
        precision, and tells the cosine similarity that it costs.
    backend : str, optional
        Which backend to use, such as ``"eager"``; None measures. See `xeo.tune`.
    blend : bool, optional
        Whether neighbouring windows overlap and are blended, where they do not see the same;
        None leaves it to the model, False tiles exactly, True overlaps by a quarter where the
        model does not say.
    valid_fraction : bool
        Return a Dataset with the fraction of valid pixels of each cell beside the vectors.
    explain : bool
        Return the plan, which prints blocks, windows, batches and memory, and do nothing.

    Returns
    -------
    DataArray, Dataset or Plan
        Dims ``([time,] embedding, y, x)``: time stays for models of single dates, and goes for
        models of series. Coordinates, CRS and GeoTransform are those of the output's cells;
        NaN where all pixels of a cell are missing; attributes say what made it. Lazy if
        ``obj`` is lazy. With ``valid_fraction`` a Dataset of ``embeddings`` and
        ``valid_fraction``, float32 of dims ``([time,] y, x)``, 0 to 1.

    Raises
    ------
    UnknownNameError
        If no such model is registered.
    BandError
        If bands or modalities are missing, or cannot be told apart.
    UnitsError
        If the model wants units, and nothing says what the numbers are in.
    DateError
        If dates are missing, doubled, unsorted, or none is selected.
    DimensionError, GridError
        If dimensions, coordinates or CRS do not fit.
    OptionError
        If an option has a value that cannot be used.

    References
    ----------
    .. [1] Brown, C. F. et al. (2025). AlphaEarth Foundations. arXiv:2507.22291 (the int8 form)

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=2, size=32)
    >>> cube.eo.embed("band_stats").sizes["embedding"]
    20
    """
    if dtype not in _DTYPES:
        raise OptionError(f"expected dtype to be one of {_DTYPES}, got {dtype!r}")
    found = registry.resolve("embed", model)
    options = Options(
        sensor,
        units,
        offset,
        mask,
        dates,
        _names(bands),
        batch,
        overlap,
        chunk,
        device,
        precision,
        backend,
        blend,
        valid_fraction,
    )
    prepared = prepare(obj, found, options, finish=_finish(dtype), dtype=dtype)
    if explain:
        return prepared.job.plan
    attrs: dict[str, Any] = {"long_name": f"{found.spec.name} embedding", "units": "1"}
    if dtype == "int8":
        attrs |= {"quantization": _FORMULA, "_nodata": NODATA}
    return prepared.result("embeddings", "embedding", attrs)


def dequantize(obj: xr.DataArray) -> xr.DataArray:
    """Return unit vectors from embeddings stored as signed bytes.

    Parameters
    ----------
    obj : DataArray
        Of dtype int8, as ``embed(..., dtype="int8")`` and AlphaEarth store them; -128 is missing.

    Returns
    -------
    DataArray
        float32, ``sign(q) * (|q| / 127.5) ** 2``; NaN where missing. Lazy if ``obj`` is lazy.

    Raises
    ------
    UnitsError
        If ``obj`` is not int8.

    References
    ----------
    .. [1] Brown, C. F. et al. (2025). AlphaEarth Foundations. arXiv:2507.22291

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=1, size=16)
    >>> codes = cube.eo.embed("band_stats", dtype="int8")
    >>> xeo.dequantize(codes).dtype
    dtype('float32')
    """
    if obj.dtype != np.int8:
        raise UnitsError(
            f"expected int8 codes of embed(..., dtype='int8'), got {obj.dtype}. If it was read "
            "with mask_and_scale, open it with mask_and_scale=False"
        )
    made: xr.DataArray = xr.apply_ufunc(
        _dequantize, obj, dask="parallelized", output_dtypes=["float32"]
    )
    made.attrs = {k: v for k, v in obj.attrs.items() if k not in ("quantization", "_nodata")}
    return made


def _finish(dtype: str) -> Any:
    return partial(_quantize, axis=-3) if dtype == "int8" else partial(_cast, dtype=dtype)


def _cast(vectors: NDArray[Any], *, dtype: str) -> NDArray[Any]:
    return vectors.astype(dtype, copy=False)


def _names(bands: Sequence[str] | None) -> tuple[str, ...] | None:
    if bands is None:
        return None
    return (bands,) if isinstance(bands, str) else tuple(bands)
