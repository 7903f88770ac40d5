"""Pictures on axes: extents in map units, north up, titles with dates, missing pixels grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xeo.cube import Cube
from xeo.errors import DateError
from xeo.lazy import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MISSING = "0.85"


@dataclass(frozen=True)
class Panels:
    """Pictures ``(date, y, x, colour)``, north up, and what to write around them."""

    images: npt.NDArray[Any]
    titles: tuple[str, ...]
    extent: tuple[float, float, float, float]
    labels: tuple[str, str]
    aspect: float


def rgba(colours: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Add opacity: a pixel with a missing colour is not drawn."""
    good = np.isfinite(colours).all(axis=-1, keepdims=True)
    return np.where(good, np.concatenate([colours, good], axis=-1), 0).astype(np.float32)


def panels(cube: Cube, images: npt.NDArray[Any], step: int) -> Panels:
    """Return what to draw of pictures of every ``step``-th pixel of a cube."""
    dates = cube.dates
    titles = [""] * len(images) if dates is None else [str(d)[:10] for d in dates]
    if dates is not None and len(set(titles)) < len(titles):
        titles = [str(d)[:16].replace("T", " ") for d in dates]
    left, right, x_label = _span(cube, "x", images.shape[2] * step)
    top, bottom, y_label = _span(cube, "y", images.shape[1] * step)
    degrees = y_label.endswith("(°)")
    aspect = 1 / max(0.05, float(np.cos(np.deg2rad((top + bottom) / 2)))) if degrees else 1.0
    return Panels(images, tuple(titles), (left, right, bottom, top), (x_label, y_label), aspect)


def _span(cube: Cube, role: str, pixels: int) -> tuple[float, float, str]:
    """Return the western (or northern) edge, the one so many pixels on, and the label."""
    values, name = cube.coordinate(role), cube.roles[role]
    if values is None or len(values) < 2:
        return 0.0, float(pixels), f"{name} (pixel)"
    pixel = abs(float(values[-1] - values[0])) / (len(values) - 1)
    sign = 1 if role == "x" else -1
    start = float(values.min() if role == "x" else values.max()) - sign * pixel / 2
    stop = start + sign * pixels * pixel
    units = str(cube.obj.coords[name].attrs.get("units", "")).lower()
    if units in ("m", "metre", "meter", "metres", "meters"):
        return start / 1000, stop / 1000, f"{'Easting' if role == 'x' else 'Northing'} (km)"
    if "degree" in units or str(name).lower() in ("lat", "latitude", "lon", "longitude"):
        return start, stop, f"{'Longitude' if role == 'x' else 'Latitude'} (°)"
    return start, stop, f"{name} ({units})" if units else str(name)


def draw(found: Panels, ax: Axes | None, col_wrap: int) -> Axes | Figure:
    """Draw one picture on axes, or several on a figure, and return that.

    Raises
    ------
    DateError
        If axes are given for several pictures.
    """
    pyplot: Any = require("matplotlib.pyplot", purpose="draw")
    count = len(found.images)
    if count > 1 and ax is not None:
        raise DateError(f"expected one date to draw on the given axes, got {count}. Try: date=0")
    if count == 1:
        if ax is None:
            ax = pyplot.subplots(figsize=(6, 6), layout="constrained")[1]
        assert ax is not None
        _paint(ax, found, 0)
        return ax
    columns = max(1, min(col_wrap, count))
    rows = -(-count // columns)
    figure: Figure
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(3 * columns, 3 * rows), sharex=True, sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for i, one in enumerate(axes.flat):
        if i < count:
            _paint(one, found, i)
            one.label_outer()
        else:
            one.remove()
    return figure


def _paint(ax: Axes, found: Panels, i: int) -> None:
    ax.set_facecolor(_MISSING)
    ax.imshow(
        found.images[i], extent=found.extent, origin="upper", aspect=found.aspect,
        interpolation="nearest",
    )  # fmt: skip
    ax.set(title=found.titles[i], xlabel=found.labels[0], ylabel=found.labels[1])
    ax.ticklabel_format(useOffset=False, style="plain")
    ax.locator_params(nbins=5)


def add_legend(drawn: Any, names: dict[int, str], colours: dict[int, Any]) -> None:
    """Name the colours beside axes or a figure."""
    patch = require("matplotlib.patches", purpose="draw classes").Patch
    marks = [
        patch(facecolor=colours[code], edgecolor="0.5", label=name) for code, name in names.items()
    ]
    if not marks:
        return
    if hasattr(drawn, "get_title"):
        drawn.legend(handles=marks, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    else:
        drawn.legend(handles=marks, loc="outside right upper", frameon=False)
