"""The verb ``classify``: a class for each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo import registry
from xeo.engine.plan import Plan
from xeo.ops.apply import Options, Said, prepare
from xeo.ops.embed import Cubes
from xeo.spec import Classifier

#: The class of a pixel that saw no valid number.
NO_DATA = 255


def classify(
    obj: Cubes,
    model: str | Classifier = "dynamic_world",
    *,
    probability: bool = False,
    sensor: Said = None,
    units: Said = None,
    offset: float | None = None,
    mask: xr.DataArray | None = None,
    dates: Any = None,
    batch: int | None = None,
    chunk: int | None = None,
    device: str | None = None,
    precision: str = "exact",
    backend: str | None = None,
    valid_fraction: bool = False,
    explain: bool = False,
) -> xr.DataArray | xr.Dataset | Plan:
    """Map the class of each pixel.

    Parameters
    ----------
    obj : DataArray, Dataset or DataTree
        Cube with dims ``([time,] [band,] y, x)``, as for `xeo.embed`.
    model : str or Classifier
        Registered name (`xeo.list_models`) or object.
    probability : bool
        Return the probability of each class instead.
    sensor, units, offset, mask, dates, batch, chunk, device, precision, backend, explain :
        As for `xeo.embed`.
    valid_fraction : bool
        Return a Dataset with the fraction of valid pixels of each cell beside the classes.

    Returns
    -------
    DataArray, Dataset or Plan
        Dims ``([time,] y, x)``, uint8, with CF attributes ``flag_values`` and
        ``flag_meanings``; 255 is ``no_data``. With ``probability`` float32 of dims
        ``([time,] class, y, x)``, NaN where missing. Lazy if ``obj`` is lazy.

    Raises
    ------
    UnknownNameError, BandError, UnitsError, DateError, DimensionError, OptionError
        As for `xeo.embed`.

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=1, size=16)
    >>> cube.eo.classify("dynamic_world", explain=True).shape
    (1, 16, 16)
    """
    found = registry.resolve("classify", model)
    options = Options(
        sensor,
        units,
        offset,
        mask,
        dates,
        None,
        batch,
        None,
        chunk,
        device,
        precision,
        backend,
        None,
        valid_fraction,
    )
    names = found.spec.classes
    prepared = prepare(
        obj,
        found,
        options,
        finish=_softmax if probability else _winner,
        dtype="float32" if probability else "uint8",
        outputs=len(names) if probability else 0,
    )
    if explain:
        return prepared.job.plan
    if probability:
        made = prepared.result("probability", "class", {"units": "1"})
        return made.assign_coords({"class": list(names)})
    attrs = {
        "long_name": f"{found.spec.name} class",
        "flag_values": np.array([*range(len(names)), NO_DATA], np.uint8),
        "flag_meanings": " ".join([*names, "no_data"]),
    }
    return prepared.result("class", "", attrs)


def _winner(scores: NDArray[Any]) -> NDArray[np.uint8]:
    missing = np.isnan(scores).any(axis=-3)
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=-3)
    return np.where(missing, NO_DATA, best).astype(np.uint8)


def _softmax(scores: NDArray[Any]) -> NDArray[np.float32]:
    raised = np.exp(scores - scores.max(axis=-3, keepdims=True))
    made: NDArray[np.float32] = (raised / raised.sum(axis=-3, keepdims=True)).astype(np.float32)
    return made
