"""The size of a cube's pixels on the ground."""

from __future__ import annotations

import math

from xeo.cube import Cube
from xeo.errors import GridError

#: Metres of a degree of latitude: a sixtieth of a degree is a nautical mile of 1852 m.
_DEGREE = 60 * 1852.0


def pixel_metres(cube: Cube) -> tuple[float, float]:
    """Return the height and width of a pixel in metres, in the middle of the cube.

    Parameters
    ----------
    cube : Cube
        With a CRS, and two or more rows and columns.

    Raises
    ------
    GridError
        If the cube does not tell.
    """
    from pyproj import CRS

    place = cube.place()
    for role, values in (("y", place.y), ("x", place.x)):
        if len(values) < 2:
            raise GridError(
                f"expected two or more positions along {role} to tell the pixel size, got one. "
                "Try: dilate=0 and shadows=False"
            )
    height, width = (abs(float(v[-1] - v[0])) / (len(v) - 1) for v in (place.y, place.x))
    crs = CRS.from_user_input(place.crs)
    if crs.is_geographic:
        middle = math.radians(float(place.y[len(place.y) // 2]))
        return height * _DEGREE, width * _DEGREE * math.cos(middle)
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    return height * factor, width * factor
