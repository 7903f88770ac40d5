"""The verb ``evaluate_gap_filling``: how wrong each method is, on one's own cube."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo import registry
from xeo.cube import Cube
from xeo.errors import DateError, OptionError
from xeo.kernels.dates import days_of
from xeo.kernels.gap_quality import gap_days
from xeo.kernels.hide import far_from, hide
from xeo.ops.apply import Said
from xeo.ops.gap_report import GapReport
from xeo.ops.gap_scores import Scored, score
from xeo.ops.masks import Mask, resolve_mask
from xeo.ops.remove_clouds import remove_clouds
from xeo.progress import bar
from xeo.spec import GapFiller, ModelSpec

#: Bytes of the sample's values; as many pixels are taken as fit.
_ROOM = 256 * 2**20
#: Days to the nearest clear date that part gaps into short and long ones.
_EDGES = (5.0, 10.0, 20.0, 40.0)


def evaluate_gap_filling(
    obj: xr.DataArray | xr.Dataset,
    methods: Sequence[str | GapFiller] | Mapping[str, str | GapFiller] | None = None,
    *,
    mask: Mask = None,
    share: float = 0.3,
    whole: float = 0.5,
    margin: int = 2,
    sample: int = 65_536,
    edges: Sequence[float] = _EDGES,
    peak: float | None = None,
    draws: int = 400,
    seed: int = 0,
    sensor: Said = None,
    units: Said = None,
    offset: float | None = None,
    dates: Any = None,
    bands: Sequence[str] | None = None,
    progress: bool = True,
) -> GapReport:
    """Score gap-filling methods on pixels of this cube that were clear, and hidden.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``(time, [band,] y, x)``, as for `xeo.remove_clouds`.
    methods : sequence or mapping, optional
        Registered names (`xeo.list_models`), objects, or a mapping of labels to either;
        None takes all that are registered.
    mask : DataArray, str, CloudDetector, None or False
        As for `xeo.remove_clouds`. What it misses passes for truth here: a better mask gives
        a better score.
    share : float
        Share of the dates on which something is hidden, 0 to 1.
    whole : float
        Share of these on which all is hidden; on the others the shape of the clouds of another
        date is.
    margin : int
        Hidden pixels so near to a bad one are not scored: they may be hazy, or in shadow.
    sample : int
        Pixels that are looked at, in up to four squares spread over the cube; fewer where 256 MB
        of values hold fewer.
    edges : sequence of float
        Days to the nearest clear date, between which errors are told apart.
    peak : float, optional
        Range of the values, for PSNR and SSIM; None takes 1 for reflectance and indices, else
        the range from the 1st to the 99th percentile of the clear values.
    draws : int
        Of the bootstrap over dates, for the confidence intervals (95 %).
    seed : int
        Of what is hidden, and of the bootstrap.
    sensor, units, offset, dates, bands :
        As for `xeo.remove_clouds`.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    GapReport
        Prints as a table, the best method first. ``dataset`` holds MAE, RMSE, bias (units of
        the cube), PSNR (dB), SSIM, SAM (degrees), the share of the errors within the 95 %
        band of the uncertainty, and the share of the hidden pixels that was filled, with dims
        ``(filler, band, hidden, gap)``; RMSE and MAE with their intervals. NDVI, cut to
        -1 to 1, is scored beside the bands where red and near infrared are among them.
        ``plot()`` is a picture.

    Raises
    ------
    UnknownNameError
        If no such method is registered.
    DateError
        If there are fewer than four dates, or nothing that is clear can be hidden.
    OptionError
        If an option has a value that cannot be used.

    Notes
    -----
    Hidden pixels were clear in truth, so what was there is known; what is under real clouds may
    differ from it (it is more often cloudy when it rains). Every method sees the same cube, is
    given the same dates, and is scored where all of them made a value.

    References
    ----------
    .. [1] Wang, Z. et al. (2004). Image quality assessment. *IEEE Transactions on Image
       Processing* 13. doi:10.1109/TIP.2003.819861 (SSIM)
    .. [2] Kruse, F. A. et al. (1993). The spectral image processing system. *Remote Sensing of
       Environment* 44. doi:10.1016/0034-4257(93)90013-N (SAM)

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=12, size=24)
    >>> report = cube.eo.evaluate_gap_filling(["linear", "nearest"], mask=False, progress=False)
    >>> sorted(report.dataset["filler"].values.tolist())
    ['linear', 'nearest']
    """
    found = _methods(methods)
    cuts = sorted(float(edge) for edge in edges)
    if min(sample, draws) < 1 or not all(edge > 0 for edge in cuts):
        raise OptionError(
            f"expected sample, draws and edges above 0, got sample={sample}, draws={draws}, "
            f"edges={list(edges)}"
        )
    if min(margin, seed) < 0:
        raise OptionError(f"expected margin and seed from 0 on, got {margin} and {seed}")
    bad, word = resolve_mask(obj, mask, sensor=sensor, units=units, offset=offset)
    read: dict[str, Any] = {
        "sensor": sensor,
        "units": units,
        "offset": offset,
        "dates": dates,
        "bands": bands,
    }
    # The plan of the whole refuses what cannot be read, or a mask that does not fit.
    _observed(obj, bad, explain=True, **read)
    truths = [
        _observed(part, hole, **read).load()
        for part, hole in _parts(obj, bad, sample, dates, bands)
    ]
    squares = [_Square.of(one, share, whole, margin, seed) for one in truths]
    scored = np.concatenate([one.scored for one in squares])
    if not scored.any():
        raise DateError(
            "expected clear pixels that can be hidden, away from bad ones and with 3 clear dates "
            "left, found none. Try: margin=0, a larger share, or more dates"
        )
    gaps = np.concatenate([one.gap_days for one in squares])
    alone = np.concatenate([one.whole for one in squares])
    indices = _ndvi(truths[0], sensor)
    names, values = _joined([one.values for one in squares], indices)
    peaks = _peaks(values, names, truths[0], peak)
    made: dict[str, Scored] = {}
    with bar(total=len(found), desc="evaluate", unit="method", disable=not progress) as shown:
        for label, method in found.items():
            shown.set_postfix_str(label)
            filled = [one.filled(method) for one in squares]
            _, estimates = _joined([one for one, _ in filled], indices)
            _, spread = _joined([one for _, one in filled])
            made[label] = Scored(estimates, spread)
            shown.update()
    dataset = score(
        values, made, names, scored, alone, gaps, cuts, peaks, draws, seed, len(squares[0].hidden)
    )
    units_of = {str(v.attrs.get("units", "")) for v in _variables(truths[0])}
    dataset.attrs = {"mask": word, "seed": seed, "units": ", ".join(sorted(units_of - {""}))}
    return GapReport(dataset)


@dataclass(frozen=True)
class Observed:
    """A filler that fills nothing: the decoded cube, NaN where it is masked."""

    spec: ClassVar[ModelSpec] = ModelSpec(
        name="observed",
        time="sequence",
        missing="nan",
        channels_per_band=1,
        needs=("time", "mask"),
        tasks=("gap-filling",),
    )

    def __call__(self, batch: Any, /) -> Any:
        """Return the values as they came."""
        (x,) = batch.values()
        return x


def _methods(given: Any) -> dict[str, Any]:
    """Return labels and models."""
    if given is None:
        given = registry.names("remove_clouds")
    if isinstance(given, str) or not isinstance(given, Mapping):
        several = [given] if isinstance(given, str) or hasattr(given, "spec") else list(given)
        models = [registry.resolve("remove_clouds", one) for one in several]
        labels = [one if isinstance(one, str) else one.spec.name for one in several]
    else:
        labels = [str(label) for label in given]
        models = [registry.resolve("remove_clouds", one) for one in given.values()]
    if not labels or len(set(labels)) < len(labels):
        raise OptionError(
            f"expected one or more methods of different names, got {labels}. Try: a mapping of "
            "labels to methods"
        )
    return dict(zip(labels, models, strict=True))


def _observed(obj: xr.DataArray | xr.Dataset, bad: xr.DataArray | None, **options: Any) -> Any:
    """Return the cube decoded, NaN where it is bad; or the plan of that."""
    return remove_clouds(obj, Observed(), mask=False if bad is None else bad, **options)


def _variables(obj: xr.DataArray | xr.Dataset) -> list[xr.DataArray]:
    return [obj] if isinstance(obj, xr.DataArray) else list(obj.data_vars.values())


def _parts(
    obj: xr.DataArray | xr.Dataset,
    bad: xr.DataArray | None,
    sample: int,
    dates: Any,
    bands: Sequence[str] | None,
) -> Iterator[tuple[Any, xr.DataArray | None]]:
    """Yield up to four equal squares of the cube and of its mask, spread over it."""
    cube = Cube.of(obj).select_dates(dates)
    count, rows, columns = cube.sizes
    if count < 4:
        raise DateError(f"expected four dates or more to hide some of, got {count}")
    depth = count * (len(cube.layers) if bands is None else len(bands))
    pixels = max(1, min(sample, _ROOM // (4 * depth)))
    if rows * columns <= pixels:
        yield obj, bad
        return
    side = max(8, math.isqrt(pixels // 4))
    y, x = cube.roles["y"], cube.roles["x"]
    for down in _starts(rows, side):
        for right in _starts(columns, side):
            at = {y: slice(down, down + side), x: slice(right, right + side)}
            hole = None if bad is None else bad.isel(at, missing_dims="ignore")
            yield obj.isel(at), hole


def _starts(size: int, side: int) -> list[int]:
    """Return where two pieces begin, a quarter from each end; or the only one."""
    if size < 2 * side:
        return [max(0, (size - side) // 2)]
    return [size // 4 - side // 2, size - size // 4 - (side + 1) // 2]


@dataclass(frozen=True)
class _Square:
    """A part of the cube in memory, and what is hidden of it.

    ``scored``, ``whole`` (scored on a date that is hidden wholly) and ``gap_days`` have dims
    ``(time, y, x)``.
    """

    obj: Any
    values: dict[str, NDArray[Any]]
    hidden: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    gap_days: NDArray[Any]

    @classmethod
    def of(cls, obj: Any, share: float, whole: float, margin: int, seed: int) -> _Square:
        values = _bands(obj)
        bad = np.isnan(np.stack(list(values.values()))).any(axis=0)
        hidden = hide(bad, seed, dates=share, whole=whole)
        days = days_of(Cube.of(obj).check_dates())
        gaps = gap_days((bad | hidden).reshape(len(days), -1), days, days).reshape(bad.shape)
        alone = hidden.any(axis=(1, 2)) & (bad | hidden).all(axis=(1, 2))
        scored = hidden & far_from(bad, margin)
        return cls(obj, values, hidden, scored, scored & alone[:, None, None], gaps)

    def filled(self, method: Any) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Return the values and the uncertainties that a method gives, by band."""
        cube = Cube.of(self.obj)
        dims = [cube.roles[role] for role in ("time", "y", "x") if role in cube.roles]
        coords = {dim: self.obj.coords[dim] for dim in dims if dim in self.obj.coords}
        mask = xr.DataArray(self.hidden, coords, dims)
        made = remove_clouds(self.obj, method, mask=mask, quality=True)
        assert isinstance(made, xr.Dataset)
        main = [str(n) for n in made.data_vars if f"{n}_uncertainty" in made.data_vars]
        beside = {name: made[f"{name}_uncertainty"] for name in main}
        return _bands(made[main]), _bands(xr.Dataset(beside), list(self.values))


def _bands(obj: Any, names: list[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return the values of each band, ``(time, y, x)``, in the cube's own orientation."""
    cube = Cube.of(obj)
    order = [role for role in ("time", "band", "y", "x") if role in cube.roles]
    found = []
    for layer in cube.layers:
        values = np.asarray(
            layer.variable.transpose(*(cube.roles[r] for r in order if r in layer.roles)).values
        )
        found.append(values[:, layer.index] if "band" in layer.roles else values)
    return dict(zip(names or [one.label or "values" for one in cube.layers], found, strict=True))


def _ndvi(obj: Any, sensor: Said) -> tuple[int, int] | None:
    """Return the places of red and near infrared, where both are there."""
    cube = Cube.of(obj, sensor=sensor if isinstance(sensor, str) else None)
    red, nir = cube.find(("red", "nir"), ("red", "nir"))
    return None if red is None or nir is None else (red, nir)


def _joined(
    squares: list[dict[str, NDArray[Any]]], indices: tuple[int, int] | None = None
) -> tuple[list[str], NDArray[np.float32]]:
    """Return names and values ``(time, band, y, x)`` of all squares one after the other.

    With the places of red and near infrared, NDVI is the last band.
    """
    names = list(squares[0])
    values = np.concatenate([np.stack([one[n] for n in names], axis=1) for one in squares])
    values = values.astype(np.float32, copy=False)
    if indices is None:
        return names, values
    red, nir = (values[:, place] for place in indices)
    with np.errstate(all="ignore"):
        ratio = (nir - red) / (nir + red)
    # Where both are near 0 the ratio is anything, and one such pixel would outweigh all others.
    ratio = np.where(np.isfinite(ratio), np.clip(ratio, -1, 1), np.float32(np.nan))
    return [*names, "NDVI"], np.concatenate([values, ratio[:, None]], axis=1)


def _peaks(values: NDArray[Any], names: list[str], truth: Any, peak: float | None) -> list[float]:
    if peak is not None:
        if not peak > 0:
            raise OptionError(f"expected peak above 0, the range of the values, got {peak}")
        return [peak] * len(names)
    if all(v.attrs.get("units") in ("1", None) for v in _variables(truth)):
        largest = float(np.nanmax(np.abs(values)))
        if largest <= 2:
            return [1.0] * len(names)
    low, high = np.nanpercentile(values, [1, 99], axis=(0, 2, 3))
    return [float(max(one, np.finfo(np.float32).tiny)) for one in high - low]
