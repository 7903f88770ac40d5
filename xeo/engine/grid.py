"""Where pixels are on the Earth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Place:
    """Centres of the pixels of a grid, and its CRS.

    Parameters
    ----------
    crs : str
        Well-known text.
    y, x : array
        Coordinates in canonical order.
    """

    crs: str
    y: NDArray[np.float64]
    x: NDArray[np.float64]

    def latlon(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return degrees north and east, ``(2, row, column)``."""
        x, y = np.meshgrid(self.x[columns], self.y[rows])
        east, north = _transformer(self.crs).transform(x, y)
        return np.stack([np.asarray(north), np.asarray(east)])


@lru_cache(maxsize=64)
def _transformer(crs: str) -> Any:
    from pyproj import Transformer

    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
