"""Components side by side in pictures that video encoders take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: x265 goes wrong in pictures of one coding unit (64) in width, and SVT-AV1 wants 64 rows.
_LEAST_WIDTH, _LEAST_HEIGHT = 72, 64
_UNIT = 8
#: Beyond, encoders refuse: the largest side of the highest level of HEVC.
MOST_SIDE = 8192


@dataclass(frozen=True)
class Mosaic:
    """Where the components of a date are.

    Parameters
    ----------
    components : int
        How many there are.
    height, width : int
        Of each, in pixels.
    rows, columns : int
        Of components in a picture; a date has as many pictures as it needs.
    """

    components: int
    height: int
    width: int
    rows: int
    columns: int

    @classmethod
    def of(cls, components: int, height: int, width: int, side: int = MOST_SIDE) -> Mosaic:
        """Arrange components as squarely as can be.

        Parameters
        ----------
        components, height, width : int
            How many, and their size.
        side : int
            Most pixels along a side of a picture.

        Returns
        -------
        Mosaic
        """
        columns = min(math.ceil(math.sqrt(components)), max(1, side // width))
        rows = min(math.ceil(components / columns), max(1, side // height))
        return cls(components, height, width, rows, columns)

    @property
    def pictures(self) -> int:
        """How many pictures a date takes."""
        return math.ceil(self.components / (self.rows * self.columns))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a picture."""
        sides = (self.rows * self.height, self.columns * self.width)
        high, wide = (math.ceil(side / _UNIT) * _UNIT for side in sides)
        return max(high, _LEAST_HEIGHT), max(wide, _LEAST_WIDTH)

    def places(self, picture: int) -> list[tuple[int, slice, slice]]:
        """Return which components are in a picture, and where."""
        each = self.rows * self.columns
        first = picture * each
        found = []
        for number in range(min(each, self.components - first)):
            y, x = divmod(number, self.columns)
            found.append(
                (
                    first + number,
                    slice(y * self.height, (y + 1) * self.height),
                    slice(x * self.width, (x + 1) * self.width),
                )
            )
        return found

    def join(self, planes: NDArray[Any], picture: int) -> NDArray[Any]:
        """Return a picture of a date.

        Parameters
        ----------
        planes : array, shape (component, Y, X)
            All components of the date.
        picture : int
            Which of its pictures.

        Returns
        -------
        array, shape ``size``
            The margin repeats what is next to it, which costs least.
        """
        made = np.empty(self.size, planes.dtype)
        places = self.places(picture)
        height = max(y.stop for _, y, _ in places)
        width = max(x.stop for _, _, x in places)
        if len(places) < self.rows * self.columns:
            # Squares without a component repeat the last one.
            made[:height, :width] = planes[places[-1][0]][0, 0]
        for component, y, x in places:
            made[y, x] = planes[component]
        made[:height, width:] = made[:height, width - 1 : width]
        made[height:] = made[height - 1]
        return made

    def split(self, picture: NDArray[Any], number: int, out: NDArray[Any]) -> None:
        """Put the components of a picture where they belong.

        Parameters
        ----------
        picture : array, shape ``size``
            Of `join`.
        number : int
            Which picture of its date it is.
        out : array, shape (component, Y, X)
            Takes them.
        """
        for component, y, x in self.places(number):
            out[component] = picture[y, x]
