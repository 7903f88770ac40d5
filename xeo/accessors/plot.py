"""``.eo.plot``: pictures of cubes, embeddings and classes."""

from __future__ import annotations

from typing import Any

from xeo.accessors.bind import bind
from xeo.ops import plot
from xeo.ops.timeseries import timeseries


class PlotAccessor:
    """Pictures of a cube."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    rgb = bind(None, plot.rgb)
    embedding = bind(None, plot.embedding)
    classes = bind(None, plot.classes)
    timeseries = bind(None, timeseries)
