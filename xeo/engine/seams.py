"""Windows that neighbouring blocks share, kept until the last of these has used them.

Blended windows overlap, so those at the border of a block belong to its neighbours too. Kept in
the order of the work, row of blocks by row of blocks, they make up a strip as high as a window
and as wide as the cube: no window is computed twice, and no buffer is as large as the scene.
"""

from __future__ import annotations

import threading
from typing import Any

from numpy.typing import NDArray

#: Date (-1 for all), row and column of a window among the windows of the cube.
Key = tuple[int, int, int]


class Seams:
    """What windows made, for the blocks that still need it."""

    def __init__(self) -> None:
        self._kept: dict[Key, tuple[NDArray[Any], int]] = {}
        self._lock = threading.Lock()
        self.largest = 0

    def take(self, key: Key) -> NDArray[Any] | None:
        """Return what a window made, if a neighbour has made it; once for each block."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._count(key, *found)
            return found[0]

    def give(self, key: Key, made: NDArray[Any], uses: int) -> None:
        """Keep what a window made for the other blocks that need it.

        Parameters
        ----------
        key : tuple of int
            Date, row and column of the window.
        made : array
            ``([time,] channel, y, x)``.
        uses : int
            Blocks that need it, the giving one included.
        """
        with self._lock:
            # Two neighbours may make it at the same time: the second one only counts.
            self._count(key, *self._kept.get(key, (made, uses)))

    def _count(self, key: Key, made: NDArray[Any], uses: int) -> None:
        if uses > 1:
            self._kept[key] = made, uses - 1
            self.largest = max(self.largest, len(self._kept))
        else:
            self._kept.pop(key, None)
