"""What every gap filler here shares: a batch of series, handed to a kernel of ``xeo.kernels``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.dates import days_of
from xeo.kernels.namespace import namespace_of
from xeo.spec import Batch, ModelSpec

#: From values ``(time, band, pixel)``, which are bad ``(time, 1 or band, pixel)``, days and
#: wanted days to values ``(date, band, pixel)``.
Kernel = Callable[[Any, Any, NDArray[np.float64], NDArray[np.float64]], Any]


def filler_spec(name: str, **more: Any) -> ModelSpec:
    """Return the spec of a gap filler: any bands, all dates at once, bad pixels as NaN."""
    given: dict[str, Any] = {
        "channels_per_band": 1,
        "time": "sequence",
        "missing": "nan",
        "partial": True,
        "needs": ("time", "mask"),
        "activation_bytes": 64,
        "tasks": ("gap-filling",),
        "license": "Apache-2.0",
    }
    return ModelSpec(name=name, **(given | more))


def dates_of(batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the days of the first modality, and those that are wanted."""
    own = days_of(next(iter(batch.time.values())))
    return own, own if batch.at is None else days_of(batch.at)


def fill_series(batch: Batch, kernel: Kernel) -> Any:
    """Run a kernel over the pixels of a batch.

    Parameters
    ----------
    batch : Batch
        One modality ``(sample, time, band, y, x)``, with its mask and dates.
    kernel : callable
        As `Kernel`; its answer is cast to the dtype of the values.

    Returns
    -------
    array, shape (sample, date, band, y, x)
        Of the kind and dtype of the values.
    """
    ((modality, x),) = batch.items()
    xp = namespace_of(x)
    days, at = dates_of(batch)
    _, time, band, rows, columns = x.shape
    made = []
    for values, bad in zip(x, batch.mask[modality], strict=True):
        flat = bad.reshape(time, band, rows * columns)
        # Clouds hide all bands at once: then the work on gaps is done once for all of them.
        if band > 1 and bool((flat == flat[:, :1]).all()):
            flat = flat[:, :1]
        filled = kernel(values.reshape(time, band, rows * columns), flat, days, at)
        made.append(filled.reshape(len(at), band, rows, columns))
    # One sample, as a rule: to stack it would copy all that was made.
    whole = made[0][None] if len(made) == 1 else xp.stack(made)
    return xp.asarray(whole, dtype=x.dtype)
