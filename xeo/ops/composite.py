"""The verb ``composite``: one clear picture for each month, season or any other period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo import bands as vocabulary
from xeo.cube import Cube
from xeo.engine.plan import Plan
from xeo.errors import BandError, DateError, OptionError
from xeo.kernels.best_pixel import cloud_score, day_score
from xeo.kernels.composites import (
    count_clear,
    likeness_score,
    mean_of,
    median_of,
    medoid_score,
    reduce_groups,
    select,
)
from xeo.kernels.dates import days_of
from xeo.kernels.geomedian import geomedian_of
from xeo.kernels.namespace import namespace_of
from xeo.ops.apply import Options, Output, Said, prepare
from xeo.ops.layout import Layout
from xeo.ops.masks import Mask, resolve_mask
from xeo.spec import Batch, Input, ModelSpec

#: Methods and their settings. Those that take whole observations know the date of each pixel.
METHODS: Mapping[str, Mapping[str, float]] = {
    "median": {},
    "mean": {},
    "geomedian": {"tolerance": 1e-4, "iterations": 200},
    "medoid": {},
    "max_ndvi": {},
    "best_pixel": {"distance": 50, "day_weight": 1.0, "cloud_weight": 1.0, "likeness_weight": 1.0},
}
SELECTING = ("medoid", "max_ndvi", "best_pixel")
_CITATIONS = {
    "geomedian": "Roberts, D. et al. (2017). doi:10.1109/TGRS.2017.2723896",
    "medoid": "Flood, N. (2013). doi:10.3390/rs5126481",
    "max_ndvi": "Holben, B. N. (1986). doi:10.1080/01431168608948945",
    "best_pixel": "Griffiths, P. et al. (2013). doi:10.1109/JSTARS.2012.2228167",
}
#: What people write for the start of a period, in the words of pandas.
_WORDS = {"M": "MS", "ME": "MS", "Q": "QS", "QE": "QS", "Y": "YS", "YE": "YS", "A": "YS"}
_DAY = "day of the chosen observation, counted from 1970-01-01"


def composite(
    obj: xr.DataArray | xr.Dataset,
    /,
    period: str = "MS",
    method: str = "median",
    *,
    mask: Mask = None,
    sensor: Said = None,
    units: Said = None,
    offset: float | None = None,
    dates: Any = None,
    start: Any = None,
    count: bool | None = None,
    date_of: bool = False,
    chunk: int | None = None,
    device: str | None = None,
    explain: bool = False,
    **settings: float,
) -> xr.DataArray | xr.Dataset | Plan:
    """Make one picture of each period out of the clear observations in it.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``(time, [band,] y, x)``, as for `xeo.embed`; dates rise.
    period : str
        Of pandas: ``"MS"`` months, ``"QS"`` quarters, ``"QS-DEC"`` seasons, ``"YS"`` years,
        ``"W-MON"`` weeks, ``"10D"`` ten days each. ``"M"``, ``"Q"`` and ``"Y"`` are taken too.
    method : {"median", "mean", "geomedian", "medoid", "max_ndvi", "best_pixel"}
        The first three compute new values: ``median`` and ``mean`` of each band for itself,
        ``geomedian`` [1]_ of spectra. The others take all bands of a pixel from one date:
        ``medoid`` [2]_ the one nearest to all others, ``max_ndvi`` [3]_ the greenest,
        ``best_pixel`` [4]_ one near the middle of the period, far from clouds and not unlike the
        median, as a cloud would be that the mask missed.
    mask : DataArray, str, CloudDetector or False, optional
        Pixels not to use: booleans, True is bad, dims ``(time, y, x)`` or fewer; or a detector
        of `xeo.cloud_mask`. None takes the best detector that the cube has the bands for, if
        there is one; False uses all values but missing ones.
    sensor, units, offset, dates, chunk, device, explain :
        As for `xeo.embed`.
    start : str or datetime, optional
        A day in the first period, and for periods of so many days its first; None takes the
        first date. Earlier dates are not used.
    count : bool, optional
        Add the number of clear observations; None adds it to a Dataset only.
    date_of : bool
        Add the date that each pixel comes from, where the method takes one.
    **settings
        Of the method. ``geomedian``: ``tolerance`` (1e-4, share of the spread) and
        ``iterations`` (200). ``best_pixel``: ``distance`` (50 pixels from which on clouds are
        far), ``day_weight``, ``cloud_weight``, ``likeness_weight`` (1 each).

    Returns
    -------
    DataArray, Dataset or Plan
        The bands of ``obj`` in float32, decoded, with one date for each period from the first
        to the last: its start. Periods without a clear observation are NaN. A Dataset gets the
        variable ``count``, uint16 ``(time, y, x)``: dates on which all bands are clear. A
        DataArray stays one, unless ``count`` or ``date_of`` are asked for: then it is the
        variable of its name, or ``data``. ``date_of`` is int32, days since 1970-01-01, -1
        where there is none. Lazy if ``obj`` is lazy.

    Raises
    ------
    OptionError
        If method, period or a setting is unknown, or ``date_of`` does not fit the method.
    DateError
        If dates are missing, doubled or unsorted, or all lie before ``start``.
    BandError
        If ``max_ndvi`` finds no red or near-infrared band.
    DimensionError, UnitsError
        As for `xeo.embed`.

    References
    ----------
    .. [1] Roberts, D., Mueller, N. and McIntyre, A. (2017). High-dimensional pixel composites
       from Earth observation time series. *IEEE TGRS* 55. doi:10.1109/TGRS.2017.2723896
    .. [2] Flood, N. (2013). Seasonal composite Landsat TM/ETM+ images using the medoid.
       *Remote Sensing* 5. doi:10.3390/rs5126481
    .. [3] Holben, B. N. (1986). Characteristics of maximum-value composite images from temporal
       AVHRR data. *International Journal of Remote Sensing* 7. doi:10.1080/01431168608948945
    .. [4] Griffiths, P. et al. (2013). A pixel-based Landsat compositing algorithm for large area
       land cover mapping. *IEEE JSTARS* 6. doi:10.1109/JSTARS.2012.2228167

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=12, size=16)
    >>> seasons = cube.eo.composite("QS")
    >>> seasons.sizes["time"], int(seasons["count"].max())
    (4, 3)
    >>> seasons["B04"].attrs["xeo_mask"]
    'scl'
    """
    cube = Cube.of(obj, sensor=sensor.get("image") if isinstance(sensor, Mapping) else sensor)
    _check(method, date_of, settings)
    edges = period_edges(cube.select_dates(dates).check_dates(), period, start)
    found, told = resolve_mask(obj, mask, sensor=sensor, units=units, offset=offset)
    green = _green(cube) if method == "max_ndvi" else (0, 0)
    model = Compositor(method, str(edges[-1]), date_of, green, tuple(sorted(settings.items())))
    options = Options(
        sensor, units, offset, found, dates, chunk=chunk, device=device, backend="eager"
    )
    prepared = prepare(obj, model, options, finish=_keep, dtype="float32", at=edges[:-1])
    if explain:
        return prepared.job.plan
    made = _result(Layout(prepared, options.told("image")), count, date_of)
    parts = made.data_vars.values() if isinstance(made, xr.Dataset) else [made]
    for one in parts:
        one.attrs["xeo_mask"] = told
    return made


def _result(layout: Layout, count: bool | None, date_of: bool) -> xr.DataArray | xr.Dataset:
    outputs = layout.outputs()
    if count or (count is None and layout.whole):
        about: dict[str, Any] = {"long_name": "clear observations", "units": "1"}
        outputs["count"] = Output(about, channels=layout.count, dtype="uint16")
    if date_of:
        about = {"long_name": _DAY, "units": "day", "_nodata": -1}
        outputs["date_of"] = Output(about, channels=layout.count + 1, dtype="int32", missing=-1)
    made = layout.prepared.variables(outputs, layout.channel)
    return layout.like_cube(layout.finish(made))


def _check(method: str, date_of: bool, settings: Mapping[str, float]) -> None:
    if method not in METHODS:
        raise OptionError(f"expected method to be one of {list(METHODS)}, got {method!r}")
    if date_of and method not in SELECTING:
        raise OptionError(
            f"expected a method that takes whole observations for date_of=True, one of "
            f"{list(SELECTING)}, got {method!r}"
        )
    unknown = sorted(set(settings) - set(METHODS[method]))
    if unknown:
        raise OptionError(
            f"expected settings of {method!r} out of {sorted(METHODS[method])}, got {unknown}"
        )
    for name, value in settings.items():
        whole = name in ("iterations", "distance")
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
        if not fits or (whole and (value != int(value) or value < 1)):
            kind = "a whole number above 0" if whole else "a number of 0 or more"
            raise OptionError(f"expected {name} to be {kind}, got {value!r}")


def _green(cube: Cube) -> tuple[int, int]:
    """Return where red and near infrared stand among the bands of the job."""
    labels = [one.label for one in cube.layers_of(Input()) if one is not None]
    red, nir, narrow = (vocabulary.pick(labels, [name], cube.sensors)[0] for name in _GREEN)
    nir = narrow if nir is None else nir
    if red is None or nir is None:
        raise BandError(
            f"expected the bands 'red' and 'nir' for max_ndvi, got {labels}. Try: rename them, or "
            "say sensor='...', or method='medoid'"
        )
    return red, nir


_GREEN = ("red", "nir", "nir08")


def period_edges(
    dates: NDArray[np.datetime64], period: str, start: Any = None
) -> NDArray[np.datetime64]:
    """Return where periods start, and where the last one ends.

    Parameters
    ----------
    dates : array of datetime64, shape (time,)
        Rising.
    period : str
        As for `composite`.
    start : str or datetime, optional
        As for `composite`.

    Returns
    -------
    array of datetime64, shape (periods + 1,)
        Consecutive, none left out for want of dates.
    """
    import pandas as pd

    try:
        step = pd.tseries.frequencies.to_offset(_WORDS.get(period, period))
    except (ValueError, TypeError) as err:
        raise OptionError(
            f"expected a period as pandas writes them, got {period!r}. Try: 'MS' (months), 'QS' "
            "(quarters), 'YS' (years) or '10D'"
        ) from err
    first = pd.Timestamp(dates[0] if start is None else start).normalize()
    if not isinstance(step, (pd.tseries.offsets.Tick, pd.tseries.offsets.Day)):
        first = step.rollback(first)
    if first > dates[-1]:
        raise DateError(f"expected start before the last date, {dates[-1]}, got {start!r}")
    if step is None or first + step <= first:
        raise OptionError(f"expected a period that goes forward, got {period!r}")
    starts = pd.date_range(first, pd.Timestamp(dates[-1]), freq=step)
    edges = [*starts, starts[-1] + step]
    return np.array([edge.to_datetime64() for edge in edges], "datetime64[ns]")


@dataclass(frozen=True)
class Compositor:
    """Reduces a series to one picture for each of the periods that are asked for.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    end : str
        Where the last period ends.
    date_of : bool
        Whether the last channel is the day that a pixel comes from.
    green : tuple of int
        Positions of the red and near-infrared bands, for ``max_ndvi``.
    settings : tuple of (str, float)
        Of the method, where they are not the usual ones.
    """

    method: str
    end: str
    date_of: bool = False
    green: tuple[int, int] = (0, 0)
    settings: tuple[tuple[str, float], ...] = ()

    @cached_property
    def spec(self) -> ModelSpec:
        """All bands and dates at once; a halo as far as clouds matter."""
        halo = int(self._settings["distance"]) if self.method == "best_pixel" else 0
        return ModelSpec(
            "composite",
            channels_per_band=1,
            channels=1 + self.date_of,
            time="sequence",
            missing="nan",
            needs=("time", "mask"),
            halo=halo,
            activation_bytes=64,
            tasks=("compositing",),
            citation=_CITATIONS.get(self.method, ""),
        )

    @property
    def _settings(self) -> dict[str, float]:
        return {**METHODS[self.method], **dict(self.settings)}

    def __call__(self, batch: Batch, /) -> Any:
        """Return bands, counts and days, ``(sample, period, channel, y, x)``."""
        ((modality, x),) = batch.items()
        xp = namespace_of(x)
        mask = batch.mask[modality]
        edges = np.append(batch.at, np.datetime64(self.end)).astype("datetime64[ns]")
        dates = np.asarray(batch.time[modality]).astype("datetime64[ns]")
        return xp.stack([self._one(*pair, dates, edges) for pair in zip(x, mask, strict=True)])

    def _one(self, x: Any, bad: Any, dates: Any, edges: Any) -> Any:
        xp = namespace_of(x)
        time, bands, rows, columns = x.shape
        count = len(edges) - 1
        groups = np.searchsorted(edges[:-1], dates, side="right") - 1
        values = x.reshape(time, bands, rows * columns)
        flat = bad.reshape(time, bands, rows * columns)
        if bands > 1 and bool((flat == flat[:, :1]).all()):
            flat = flat[:, :1]
        seen = count_clear(flat, groups, count)
        parts = [xp.asarray(seen[:, None], dtype=x.dtype)]
        if self.method in SELECTING:
            score = self._score(bad.any(axis=1), dates, groups, edges)
            if self.method == "best_pixel":
                like = likeness_score(values, flat, groups, count)
                score = score + self._settings["likeness_weight"] * like
            made, chosen = select(values, flat, groups, count, score)
            if self.date_of:
                days = dates.astype("datetime64[D]").astype(np.float32)
                days = xp.asarray(np.append(days, np.float32(np.nan)), dtype=x.dtype)
                parts.append(days[chosen][:, None])
        else:
            made = reduce_groups(values, flat, groups, count, self._reduce())
        whole = xp.concatenate([made, *parts], axis=1)
        return whole.reshape(count, bands + len(parts), rows, columns)

    def _reduce(self) -> Any:
        if self.method == "geomedian":
            iterations = int(self._settings["iterations"])
            tolerance = self._settings["tolerance"]
            return partial(geomedian_of, tolerance=tolerance, iterations=iterations)
        return mean_of if self.method == "mean" else median_of

    def _score(self, hidden: Any, dates: Any, groups: Any, edges: Any) -> Any:
        if self.method == "medoid":
            return medoid_score
        if self.method == "max_ndvi":
            return partial(_ndvi_score, green=self.green)
        settings, days = self._settings, days_of(edges)
        inside = np.maximum(groups, 0)
        length = days[inside + 1] - days[inside]
        near = day_score(days_of(dates), days[inside] + length / 2, length)
        score = settings["day_weight"] * near[:, None, None]
        score = score + settings["cloud_weight"] * cloud_score(hidden, int(settings["distance"]))
        return score.astype(np.float32).reshape(len(dates), -1)


def _ndvi_score(x: Any, hidden: Any, *, green: tuple[int, int]) -> Any:
    """Return the NDVI; below all others where it has no meaning."""
    xp = namespace_of(x)
    red, nir = (x[:, band] for band in green)
    total = red + nir
    ratio = (nir - red) / xp.where(total > 0, total, 1)
    return xp.where(total > 0, xp.clip(ratio, -1, 1), -2)


def _keep(vectors: NDArray[Any]) -> NDArray[Any]:
    return vectors
