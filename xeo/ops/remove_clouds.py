"""The verb ``remove_clouds``: values where clouds, shadows and gaps were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xeo import registry
from xeo.cube import Cube
from xeo.engine.plan import Plan
from xeo.errors import DateError, OptionError
from xeo.ops.apply import Options, Output, Said, prepare
from xeo.ops.fill import NO_CLEAR_DATE, REASONS, Fill
from xeo.ops.layout import Layout
from xeo.ops.masks import Mask, resolve_mask
from xeo.spec import GapFiller


def remove_clouds(
    obj: xr.DataArray | xr.Dataset,
    /,
    method: str | GapFiller = "similar_pixels",
    *,
    mask: Mask = None,
    at: Any = None,
    smooth: bool = False,
    limit: float | None = None,
    extrapolate: bool = False,
    quality: bool = False,
    sensor: Said = None,
    units: Said = None,
    offset: float | None = None,
    dates: Any = None,
    bands: Sequence[str] | None = None,
    batch: int | None = None,
    chunk: int | None = None,
    device: str | None = None,
    explain: bool = False,
    **settings: Any,
) -> xr.DataArray | xr.Dataset | Plan:
    """Fill what clouds, shadows and missing values hide.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``(time, [band,] y, x)``; dates may be irregular, each once and in order.
    method : str or GapFiller
        Registered name (`xeo.list_models`) or object: ``"linear"``, ``"nearest"``,
        ``"previous"``, ``"climatology"``, ``"whittaker"``, ``"savgol"``, ``"harmonic"``,
        ``"kalman"``, ``"similar_pixels"`` (the best on hidden pixels of the cubes it was measured
        on). `xeo.evaluate_gap_filling` tells which suits a cube.
    mask : DataArray, str, CloudDetector, None or False
        Booleans, True where bad, on the cube's grid; or a detector of `xeo.cloud_mask`. None
        takes the detector that ``"auto"`` takes where the cube has what it reads, and else
        nothing; False takes missing values alone.
    at : str or sequence of dates, optional
        Dates that are wanted: a step such as ``"5D"`` for a regular cube from the first date
        to the last, or dates. None: the cube's own.
    smooth : bool
        Whether estimates replace clear values too.
    limit : float, optional
        Nothing is filled that is more days than that from the nearest clear date.
    extrapolate : bool
        Whether to fill before the first and after the last clear date of a pixel.
    quality : bool
        Add, as variables, the uncertainty of each value, why it is what it is, and how many
        days the nearest clear date is away.
    sensor, units, offset, dates, bands, batch, chunk, device, explain :
        As for `xeo.embed`.
    **settings :
        Of the method, beside its name: ``lmbda=100`` for ``whittaker``.

    Returns
    -------
    DataArray, Dataset or Plan
        The bands as the cube has them, dims ``(time, [band,] y, x)``, float32, in physical
        units (reflectance 0 to 1 where the cube tells its scale). Clear values of the cube's
        own dates are the observed ones, unless ``smooth``. NaN where nothing was filled: never
        outside of the clear dates of a pixel unless ``extrapolate``. With ``quality`` a
        Dataset that has beside them ``<name>_uncertainty`` (standard deviation, same units),
        ``gap_reason`` (uint8 with CF ``flag_meanings``: observed, filled, extrapolated,
        no_clear_date, too_far, beyond_clear_dates, not_estimated) and ``gap_days`` (days to
        the nearest clear date). Lazy if ``obj`` is lazy.

    Raises
    ------
    UnknownNameError
        If no such method is registered.
    DateError
        If the cube has no dates, or they are doubled or out of order.
    GridError, DimensionError, UnitsError
        If the mask is not boolean or on another grid; else as for `xeo.embed`.
    OptionError
        If an option has a value that cannot be used, or the method has no such setting.

    Notes
    -----
    Uncertainties are those of a straight line between the clear dates, for a random walk seen
    through noise, both estimated from each pixel's own clear dates; a method that tells its
    own, gives that instead. They are of a new observation, its noise included.

    A date of ``at`` counts as within the clear dates of a pixel up to a day outside of them:
    it seldom has the hour of an acquisition.

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=6, size=32)
    >>> filled = cube.eo.remove_clouds("linear", mask="threshold", at="10D")
    >>> filled.sizes["time"] > 1
    True
    """
    found = registry.resolve("remove_clouds", method, settings)
    _check_limit(limit)
    cube = Cube.of(obj, sensor=sensor if isinstance(sensor, str) else None)
    wanted = wanted_dates(cube.select_dates(dates), at)
    bad, told = resolve_mask(obj, mask, sensor=sensor, units=units, offset=offset)
    fill = Fill(found, wanted is None, smooth, limit, extrapolate, quality)
    options = Options(
        sensor,
        units,
        offset,
        bad,
        dates,
        None if bands is None else ((bands,) if isinstance(bands, str) else tuple(bands)),
        batch=batch,
        chunk=chunk,
        device=device,
        # Filters are one way only; a network may have faster ones.
        backend=None if found.spec.weights else "eager",
    )
    prepared = prepare(cube, fill, options, finish=_as_is, dtype="float32", at=wanted)
    if explain:
        return prepared.job.plan
    layout = Layout(prepared, options.told(found.spec.inputs[0].modality))
    outputs = layout.outputs()
    if quality:
        outputs |= _quality(layout, outputs)
    made = layout.finish(prepared.variables(outputs, layout.channel))
    rules = {
        "xeo_mask": told,
        "xeo_smooth": int(smooth),
        "xeo_extrapolate": int(extrapolate),
        **({} if limit is None else {"xeo_limit_days": float(limit)}),
    }
    for name in outputs:
        made[name].attrs.update(rules)
    return layout.like_cube(made)


def wanted_dates(cube: Cube, at: Any) -> NDArray[np.datetime64] | None:
    """Return the dates that ``at`` asks for; None for the cube's own.

    Raises
    ------
    DateError
        If the cube has no dates, or those asked for are none, doubled or out of order.
    OptionError
        If a step is not one.
    """
    own = cube.check_dates()
    if at is None:
        return None
    if isinstance(at, str):
        return _regular(own, at)
    try:
        found = np.asarray(pd.DatetimeIndex(np.atleast_1d(np.asarray(at))).values, "datetime64[ns]")
    except (TypeError, ValueError) as err:
        raise DateError(
            f"expected at to be a step such as '5D' or dates, got {at!r}: {err}"
        ) from err
    if not len(found) or np.isnat(found).any() or (np.diff(found) <= np.timedelta64(0, "ns")).any():
        raise DateError(
            f"expected at to be one or more dates in order, each once, got {list(found[:5])}"
        )
    return found


def _regular(own: NDArray[np.datetime64], step: str) -> NDArray[np.datetime64]:
    first, last = pd.Timestamp(own[0]).normalize(), pd.Timestamp(own[-1])
    try:
        found = pd.date_range(first, last, freq=step)
    except ValueError as err:
        raise OptionError(
            f"expected at to be a step such as '5D', '10D' or 'MS', got {step!r}: {err}"
        ) from err
    if not len(found):
        raise DateError(
            f"expected one date or more from {first} to {last}, but {step!r} gives none"
        )
    return np.asarray(found.values, "datetime64[ns]")


def _check_limit(limit: float | None) -> None:
    if limit is not None and not limit >= 0:
        raise OptionError(f"expected limit in days, 0 or more, got {limit}")


def _quality(layout: Layout, values: dict[str, Output]) -> dict[str, Output]:
    """Return the variables that tell how good the values are."""
    bands = layout.count
    outputs = layout.outputs(
        first=bands, suffix="_uncertainty", long_name="standard deviation of the error of"
    )
    for value, beside in zip(values.values(), outputs, strict=True):
        value.attrs["ancillary_variables"] = f"{beside} gap_reason gap_days"  # type: ignore[index]
    reason = {
        "long_name": "why a value is what it is",
        "flag_values": np.arange(len(REASONS), dtype=np.uint8),
        "flag_meanings": " ".join(REASONS),
    }
    days = {"long_name": "days to the nearest clear date", "units": "days"}
    outputs["gap_reason"] = Output(reason, channels=2 * bands, dtype="uint8", missing=NO_CLEAR_DATE)
    outputs["gap_days"] = Output(days, channels=2 * bands + 1)
    return outputs


def _as_is(values: NDArray[Any]) -> NDArray[Any]:
    return values
