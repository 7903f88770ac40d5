"""Components side by side in pictures that video encoders take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: x265 goes wrong in pictures of one coding unit (64) in width, and SVT-AV1 wants 64 rows.
_LEAST_WIDTH, _LEAST_HEIGHT = 72, 64
_UNIT = 8
#: Beyond, encoders refuse: the largest side of the highest level of HEVC.
MOST_SIDE = 8192

Size = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where a component is.

    Parameters
    ----------
    picture : int
        Which of the pictures of its date.
    y, x : slice
        Its rows and columns there.
    """

    picture: int
    y: slice
    x: slice


@dataclass(frozen=True)
class Mosaic:
    """Where the components of a date are: in cells of one size, smaller ones several in a cell.

    Parameters
    ----------
    cell : (int, int)
        Height and width of a cell.
    rows, columns : int
        Of cells in a picture; a date has as many pictures as it needs.
    places : tuple of Place
        Of each component.
    """

    cell: Size
    rows: int
    columns: int
    places: tuple[Place, ...]

    @classmethod
    def of(cls, kinds: Sequence[tuple[int, Size]], side: int = MOST_SIDE) -> Mosaic:
        """Arrange components as squarely as can be.

        Parameters
        ----------
        kinds : sequence of (int, (int, int))
            How many components there are of a height and width.
        side : int
            Most pixels along a side of a picture.

        Returns
        -------
        Mosaic
        """
        cell = max(size[0] for _, size in kinds), max(size[1] for _, size in kinds)
        inside = [_inside(count, size, cell) for count, size in kinds]
        cells = sum(each[-1][0] + 1 for each in inside if each)
        columns = min(math.ceil(math.sqrt(cells)), max(1, side // cell[1]))
        rows = min(math.ceil(cells / columns), max(1, side // cell[0]))
        places, first = [], 0
        for each in inside:
            for number, y, x in each:
                picture, place = divmod(first + number, rows * columns)
                up, left = place // columns * cell[0], place % columns * cell[1]
                places.append(Place(picture, _shifted(y, up), _shifted(x, left)))
            first += each[-1][0] + 1 if each else 0
        return cls(cell, rows, columns, tuple(places))

    @property
    def pictures(self) -> int:
        """How many pictures a date takes."""
        return self.places[-1].picture + 1

    @property
    def size(self) -> Size:
        """Height and width of a picture."""
        sides = (self.rows * self.cell[0], self.columns * self.cell[1])
        high, wide = (math.ceil(side / _UNIT) * _UNIT for side in sides)
        return max(high, _LEAST_HEIGHT), max(wide, _LEAST_WIDTH)

    def join(self, planes: Sequence[NDArray[Any]], picture: int, blank: int) -> NDArray[Any]:
        """Return a picture of a date.

        Parameters
        ----------
        planes : sequence of array, shape (Y, X)
            All components of the date.
        picture : int
            Which of its pictures.
        blank : int
            Value where no component is.

        Returns
        -------
        array, shape ``size``
            The margin repeats what is next to it, which costs least.
        """
        made = np.full(self.size, blank, planes[0].dtype)
        height = width = 0
        for place, plane in zip(self.places, planes, strict=True):
            if place.picture == picture:
                made[place.y, place.x] = plane
                height, width = max(height, place.y.stop), max(width, place.x.stop)
        made[:height, width:] = made[:height, width - 1 : width]
        made[height:] = made[height - 1]
        return made

    def split(self, picture: NDArray[Any], number: int) -> list[tuple[int, NDArray[Any]]]:
        """Cut the components out of a picture.

        Parameters
        ----------
        picture : array, shape ``size``
            Of `join`.
        number : int
            Which picture of its date it is.

        Returns
        -------
        list of (int, array)
            Numbers of components, and views of them.
        """
        return [
            (component, picture[place.y, place.x])
            for component, place in enumerate(self.places)
            if place.picture == number
        ]


def _inside(count: int, size: Size, cell: Size) -> list[tuple[int, slice, slice]]:
    """Put components of a size in cells: number of the cell, rows, columns of each."""
    down, across = cell[0] // size[0], cell[1] // size[1]
    found = []
    for number in range(count):
        at, place = divmod(number, down * across)
        y, x = place // across * size[0], place % across * size[1]
        found.append((at, slice(y, y + size[0]), slice(x, x + size[1])))
    return found


def _shifted(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
