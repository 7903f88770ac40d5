"""Several arrays out of one job: what each takes of a block that was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.engine.job import Made
from xeo.engine.plan import Plan


@dataclass(frozen=True)
class Cut:
    """One array among those that a job makes together.

    Parameters
    ----------
    name : str
        Ends the Dask name of the array: two cuts of a job have different ones.
    dtype : str
        Of the array.
    channels : int or tuple of int, optional
        One channel, whose axis goes; or the first and the one after the last; None takes the
        values as the job made them.
    valid : bool
        Take the fractions of valid pixels instead.
    missing : float
        What stands for NaN in a dtype that has none.
    """

    name: str
    dtype: str
    channels: int | tuple[int, int] | None = None
    valid: bool = False
    missing: float = 0

    @property
    def whole(self) -> bool:
        """Whether this is all that the job makes."""
        return not self.valid and self.channels is None

    def has_channels(self, plan: Plan) -> bool:
        """Whether the array has an axis of channels."""
        return not self.valid and not isinstance(self.channels, int) and bool(plan.outputs)

    def chunks(self, plan: Plan) -> tuple[tuple[int, ...], ...]:
        """Return the chunks of the array."""
        beside = plan.valid_chunks
        if not self.has_channels(plan):
            return beside
        count = plan.outputs
        if isinstance(self.channels, tuple):
            count = self.channels[1] - self.channels[0]
        return (*beside[:-2], (count,), *beside[-2:])

    def shape(self, plan: Plan) -> tuple[int, ...]:
        """Return the shape of the array."""
        return tuple(sum(sizes) for sizes in self.chunks(plan))

    def of(self, made: Made) -> NDArray[Any]:
        """Return the array's part of a block."""
        if self.valid:
            assert made.valid is not None
            return made.valid
        values = made.values
        if isinstance(self.channels, int):
            values = values[..., self.channels, :, :]
        elif self.channels is not None:
            values = values[..., slice(*self.channels), :, :]
        return self._cast(values)

    def _cast(self, values: NDArray[Any]) -> NDArray[Any]:
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iu" and values.dtype.kind == "f":
            values = np.where(np.isnan(values), self.missing, values)
        return np.asarray(values, dtype)
