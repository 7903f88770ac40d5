"""Dates as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def days_of(dates: Any) -> NDArray[np.float64]:
    """Return dates as days since 1970-01-01, fractions included.

    Parameters
    ----------
    dates : array of datetime64, shape (time,)
    """
    stamps = np.asarray(dates).astype("datetime64[ns]").astype(np.int64)
    return np.asarray(stamps / 86_400e9, np.float64)
