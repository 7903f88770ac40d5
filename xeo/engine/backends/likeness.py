"""How near the numbers of a backend come to those of the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xeo.engine.devices import to_host

#: Largest difference of "exact", over the largest number.
EXACT = 1e-5
#: Least cosine similarity of a vector under "fast", and the largest difference: a vector may
#: point the right way and still be off.
SIMILAR, ROUGH = 0.99, 0.1


@dataclass(frozen=True)
class Likeness:
    """How like two outputs are.

    Parameters
    ----------
    difference : float
        Largest difference, over the largest number; infinite if shapes or missing values
        disagree.
    cosine : float
        The least of all vectors.
    """

    difference: float
    cosine: float

    def suits(self, precision: str) -> bool:
        """Whether it is near enough."""
        if precision == "exact":
            return self.difference <= EXACT
        return self.cosine >= SIMILAR and self.difference <= ROUGH

    def __str__(self) -> str:
        return f"relative difference {self.difference:.2g}, cosine similarity {self.cosine:.5f}"


def compare(made: Any, wanted: Any) -> Likeness:
    """Compare what a backend made with what the model makes.

    Parameters
    ----------
    made, wanted : array, shape (sample, [time,] channel, y, x)
        Values that are not finite have to be the same.
    """
    a, b = to_host(made), to_host(wanted)
    if a.shape != b.shape or a.dtype != b.dtype:
        return Likeness(np.inf, -1.0)
    finite = np.isfinite(b)
    if not np.array_equal(np.where(finite, 0, a), np.where(finite, 0, b), equal_nan=True):
        return Likeness(np.inf, -1.0)
    a, b = (np.where(finite, values, 0).astype(np.float64) for values in (a, b))
    if not np.isfinite(a).all():
        return Likeness(np.inf, -1.0)
    scale = np.abs(b).max(initial=0.0)
    far = np.abs(a - b).max(initial=0.0)
    return Likeness(float(far / scale) if scale else float(np.inf if far else 0.0), _cosine(a, b))


def _cosine(a: Any, b: Any) -> float:
    axis: Any = -3
    if a.ndim < 3 or a.shape[-3] == 1:
        # A vector of one number always points the same way: take the picture for the vector.
        axis = tuple(range(1, a.ndim))
    product = (a * b).sum(axis=axis)
    length = np.sqrt((a * a).sum(axis=axis) * (b * b).sum(axis=axis))
    same = np.where(length > 0, product / np.where(length > 0, length, 1), 1.0)
    return float(same.min(initial=1.0))
