"""Looking at one pixel through time: what was clear, what was cloudy, what was filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo.cube import Cube
from xeo.errors import BandError, DimensionError, GridError, OptionError
from xeo.kernels.dates import days_of
from xeo.kernels.gap_quality import uncertainty
from xeo.layers import Layer
from xeo.lazy import require
from xeo.ops.apply import Options, prepare
from xeo.ops.index import index
from xeo.ops.masks import Mask, resolve_mask
from xeo.spec import Input, ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of Okabe and Ito, which people tell apart whatever their eyes.
_CLEAR, _FILLED, _CLOUDY = "#0072B2", "#D55E00", "0.55"
#: Pixels around the point that a detector sees, where it has to be run.
_AROUND = 64
_SUFFIX = "_uncertainty"


def timeseries(
    obj: xr.DataArray | xr.Dataset,
    point: tuple[float, float] | Mapping[str, float],
    band: str | Sequence[str] | None = None,
    *,
    mask: Mask = None,
    filled: xr.DataArray | xr.Dataset | None = None,
    sensor: str | None = None,
    units: str | None = None,
    offset: float | None = None,
    dates: Any = None,
    ax: Axes | None = None,
) -> Axes | Figure:
    """Draw one pixel through time, with its clear, cloudy and filled values.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``(time, [band,] y, x)``. Only the pixel is read, and what a detector
        needs around it.
    point : (float, float) or mapping
        ``(y, x)`` in the coordinates of the cube, or ``{"y": ..., "x": ...}``, or degrees,
        ``{"lat": ..., "lon": ...}``. The nearest pixel is taken.
    band : str or sequence of str, optional
        Bands, canonical (``"nir"``) or the cube's own (``"B08"``), or indices (``"NDVI"``), one
        panel each. None takes NDVI where the cube has its bands, else the first band.
    mask : DataArray, str, CloudDetector or False, optional
        Which values are bad, as for `xeo.remove_clouds`.
    filled : DataArray or Dataset, optional
        From `xeo.remove_clouds`, at any dates. With ``quality=True`` its uncertainty is drawn
        as a band of two standard deviations to each side; that of an index is estimated in
        the same way from the index at the clear dates, as for a straight line between them.
    sensor, units, offset, dates :
        As for `xeo.embed`.
    ax : Axes, optional
        Where to draw a single panel.

    Returns
    -------
    Axes or Figure
        Axes of one panel, or a figure with one for each. Values far outside of the clear and
        filled ones are drawn as arrows at the edge.

    Raises
    ------
    GridError
        If the point is outside of the cube.
    BandError, OptionError
        If a band or index is not there, or several are given for one ``ax``.
    DateError, DimensionError, UnitsError
        As for `xeo.embed`.

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=12, size=16)
    >>> filled = cube.eo.remove_clouds("linear", quality=True)
    >>> point = {"y": float(cube.y[5]), "x": float(cube.x[7])}
    >>> cube.eo.plot.timeseries(point, filled=filled).get_ylabel()
    'NDVI'
    """
    cube = Cube.of(obj, sensor=sensor).select_dates(dates)
    cube.check_dates()
    if not cube.has_place:
        raise DimensionError(f"expected a cube with rows and columns, got {dict(obj.sizes)}")
    if cube.picked is not None:
        obj = obj.isel({cube.roles["time"]: cube.picked})
        cube = Cube.of(obj, sensor=sensor)
    names = [band] if isinstance(band, str) else list(band or [_usual(cube)])
    if ax is not None and len(names) > 1:
        raise OptionError(f"expected one band to draw on the given axes, got {names}")
    at = _position(cube, point)
    options = Options(sensor, units, offset)
    bad = _bad(obj, cube, mask, at, options)
    here = _Pixel.of(obj, cube, at)
    there = None if filled is None else _Pixel.near(filled, here, sensor)
    panels = [_panel(name, here, there, bad, options) for name in names]
    return _draw(panels, here.title, ax)


@dataclass(frozen=True)
class _Series:
    """Values on dates; NaN where there are none."""

    dates: NDArray[np.datetime64]
    values: NDArray[np.float32]
    spread: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class _Panel:
    label: str
    clear: _Series
    cloudy: _Series
    filled: _Series | None


@dataclass(frozen=True)
class _Pixel:
    """A cube of one pixel in memory, and where it is."""

    obj: Any
    cube: Cube
    y: float
    x: float
    title: str
    spread: xr.Dataset | None = None

    @classmethod
    def of(cls, obj: Any, cube: Cube, at: tuple[int, int]) -> _Pixel:
        roles = [cube.roles[role] for role in ("y", "x")]
        picked = obj.isel({dim: [i] for dim, i in zip(roles, at, strict=True)})
        where = []
        for role, i in zip(("y", "x"), at, strict=True):
            values = cube.coordinate(role)
            where.append(float(i) if values is None else float(values[i]))
        title = ", ".join(f"{dim} = {v:.10g}" for dim, v in zip(roles, where, strict=True))
        sensor = cube.sensors[0].name if cube.named else None
        return cls(picked, Cube.of(picked, sensor=sensor), where[0], where[1], title)

    @classmethod
    def near(cls, obj: Any, other: _Pixel, sensor: str | None) -> _Pixel:
        beside = [] if isinstance(obj, xr.DataArray) else [n for n in obj if _is_quality(str(n))]
        cube = Cube.of(obj.drop_vars(beside) if beside else obj, sensor=sensor)
        cube.check_dates()
        at = _position(cube, (other.y, other.x))
        pick = {cube.roles[role]: [i] for role, i in zip(("y", "x"), at, strict=True)}
        # In one go: what fills one band of a pixel has filled all of them.
        whole = obj.isel(pick).load()
        bands = whole.drop_vars(beside) if beside else whole
        made = cls.of(bands, Cube.of(bands, sensor=sensor), (0, 0))
        return replace(made, spread=whole[beside] if beside else None)

    @property
    def dates(self) -> NDArray[np.datetime64]:
        return self.cube.check_dates()

    def read(self, name: str, options: Options) -> NDArray[np.float32]:
        """Return the values of a band or an index, one for each date."""
        if _layer(self.cube, name) is None:
            made: Any = index(
                self.obj, name, sensor=options.sensor, units=options.units, offset=_one(options)
            )
        else:
            model = _OneBand(name)
            made = prepare(
                self.obj, model, options, finish=_first, dtype="float32", outputs=0
            ).result("band", "", {})
        return np.asarray(made.values[:, 0, 0], np.float32)


@dataclass(frozen=True)
class _OneBand:
    """A band, decoded; the only one where it has no name."""

    name: str

    @property
    def spec(self) -> ModelSpec:
        wanted = (self.name,) if self.name else None
        return ModelSpec("band", inputs=(Input("image", wanted),), channels=1, missing="nan")

    def __call__(self, x: Any, /) -> Any:
        return x


def _is_quality(name: str) -> bool:
    return name.endswith(_SUFFIX) or name in ("gap_reason", "gap_days")


def _first(vectors: NDArray[Any]) -> NDArray[Any]:
    return vectors[..., 0, :, :]


def _one(options: Options) -> float | None:
    return options.offset if isinstance(options.offset, (int, float)) else None


def _layer(cube: Cube, name: str) -> Layer | None:
    """Return the layer that a name stands for; None for an index."""
    if not name and len(cube.layers) == 1:
        return cube.layers[0]
    place = cube.find((name,), (name,))[0]
    if place is not None:
        return cube.layers[place]
    import spyndex

    if name not in spyndex.indices:
        raise BandError(
            f"expected a band of {cube.labels} or an index such as 'NDVI', got {name!r}. Try: "
            "xeo.index lists what it knows when asked for another"
        )
    return None


def _usual(cube: Cube) -> str:
    try:
        red, nir = (cube.find((name,), (name,))[0] for name in ("red", "nir"))
    except BandError:
        red = nir = None
    return cube.layers[0].label if red is None or nir is None else "NDVI"


def _position(cube: Cube, point: Any) -> tuple[int, int]:
    """Return the row and column of the pixel nearest to a point."""
    wanted = _projected(cube, point)
    found = []
    for role, value in zip(("y", "x"), wanted, strict=True):
        values = cube.coordinate(role)
        if values is None:
            values = np.arange(cube.sizes[1 if role == "y" else 2], dtype=float)
        place = int(np.argmin(np.abs(values - value)))
        step = abs(float(values[-1] - values[0])) / max(1, len(values) - 1)
        if not abs(values[place] - value) <= (step or np.inf):
            raise GridError(
                f"expected a point inside the cube, {role} from {values.min():.10g} to "
                f"{values.max():.10g}, got {value:.10g}. Try: (y, x) in its coordinates, or "
                "{'lat': ..., 'lon': ...}"
            )
        found.append(place)
    return found[0], found[1]


def _projected(cube: Cube, point: Any) -> tuple[float, float]:
    """Return a point as ``(y, x)`` of the cube."""
    if not isinstance(point, Mapping):
        if isinstance(point, str) or len(point) != 2:
            raise OptionError(f"expected a point (y, x), got {point!r}")
        return float(point[0]), float(point[1])
    said = {str(key).lower(): float(value) for key, value in point.items()}
    for south, east in (("lat", "lon"), ("latitude", "longitude")):
        if {south, east} <= set(said):
            from pyproj import Transformer

            to_cube = Transformer.from_crs("EPSG:4326", cube.place().crs, always_xy=True)
            x, y = to_cube.transform(said[east], said[south])
            return float(y), float(x)
    names = [str(cube.roles[role]) for role in ("y", "x")]
    for y_name, x_name in (("y", "x"), (names[0].lower(), names[1].lower())):
        if {y_name, x_name} <= set(said):
            return said[y_name], said[x_name]
    raise OptionError(f"expected a point with 'y' and 'x', or 'lat' and 'lon', got {dict(point)}")


def _bad(
    obj: Any, cube: Cube, mask: Mask, at: tuple[int, int], options: Options
) -> NDArray[np.bool_]:
    """Return which dates of a pixel are masked."""
    dims = {role: cube.roles[role] for role in ("y", "x")}
    if not isinstance(mask, xr.DataArray):
        # A detector sees the surroundings of a pixel, but need not see the whole cube.
        first = [max(0, i - _AROUND) for i in at]
        pick = {
            dim: slice(low, i + _AROUND + 1)
            for dim, low, i in zip(dims.values(), first, at, strict=True)
        }
        mask, _ = resolve_mask(
            obj.isel(pick), mask, sensor=options.sensor, units=options.units, offset=_one(options)
        )
        at = at[0] - first[0], at[1] - first[1]
    elif any(mask.sizes.get(dim, obj.sizes[dim]) != obj.sizes[dim] for dim in dims.values()):
        raise GridError(
            f"expected a mask on the grid of the cube, {dict(obj.sizes)}, got {dict(mask.sizes)}"
        )
    if mask is None:
        return np.zeros(cube.sizes[0], bool)
    here = mask.isel({dim: i for dim, i in zip(dims.values(), at, strict=True) if dim in mask.dims})
    time = cube.roles["time"]
    if time in here.dims and time in here.coords and here.sizes[time] != cube.sizes[0]:
        here = here.sel({time: obj[time]})
    return np.broadcast_to(np.asarray(here.values, bool), cube.sizes[:1]).copy()


def _panel(
    name: str,
    here: _Pixel,
    there: _Pixel | None,
    bad: NDArray[np.bool_],
    options: Options,
) -> _Panel:
    values = here.read(name, options)
    seen = _Series(here.dates, np.where(bad, np.float32(np.nan), values))
    cloudy = np.where(bad, values, np.float32(np.nan))
    filled = None
    if there is not None:
        # It is decoded already: what was said of the stored numbers is not true of it.
        plain = Options(options.sensor)
        spread = _spread(name, there, seen)
        filled = _Series(there.dates, there.read(name, plain), spread)
    return _Panel(_label(here, name, options), seen, _Series(here.dates, cloudy), filled)


def _spread(name: str, there: _Pixel, clear: _Series) -> NDArray[np.float32] | None:
    """Return the standard deviation of the filled values of a band, or of an index."""
    layer = _layer(there.cube, name)
    if there.spread is None:
        return None
    if layer is not None:
        return _deviation(there, layer)
    # Errors of bands go together, so an index has less than they seem to say: ask its own values.
    bad = np.isnan(clear.values)[:, None, None]
    values = clear.values[:, None, None]
    made = uncertainty(values, bad, days_of(clear.dates), days_of(there.dates))
    return np.asarray(made[:, 0, 0], np.float32)


def _deviation(there: _Pixel, layer: Layer) -> NDArray[np.float32] | None:
    beside = f"{layer.name}{_SUFFIX}"
    if there.spread is None or beside not in there.spread:
        return None
    found = there.spread[beside]
    band = there.cube.roles.get("band")
    found = found.isel({band: layer.index}) if band in found.dims else found
    return np.asarray(found.values, np.float32).reshape(-1)


def _label(here: _Pixel, name: str, options: Options) -> str:
    layer = _layer(here.cube, name)
    if layer is None:
        return name
    units = here.cube.units_of(layer, options.told("image"))
    shown = name or str(getattr(here.obj, "name", "") or "value")
    return f"{shown} ({units})" if units else shown


def _draw(panels: list[_Panel], title: str, ax: Axes | None) -> Axes | Figure:
    pyplot: Any = require("matplotlib.pyplot", purpose="draw")
    figure: Any = None
    if ax is None:
        figure, grid = pyplot.subplots(
            len(panels), 1, figsize=(9, 1 + 2.6 * len(panels)), sharex=True, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        axes = list(grid[:, 0])
    else:
        axes = [ax]
    for one, panel in zip(axes, panels, strict=True):
        _paint(one, panel)
    axes[0].set_title(title, loc="left", fontsize="medium", pad=9)
    _legend(axes, figure)
    drawn: Axes | Figure = axes[0] if len(panels) == 1 else figure
    return drawn


def _paint(ax: Axes, panel: _Panel) -> None:
    dates: Any = require("matplotlib.dates", purpose="draw dates")
    low, high = _limits(panel)
    if panel.filled is not None:
        _paint_filled(ax, panel.filled)
    cloudy = panel.cloudy
    inside = (cloudy.values >= low) & (cloudy.values <= high)
    style: dict[str, Any] = {"facecolors": "none", "edgecolors": _CLOUDY, "linewidths": 1}
    for chosen, at, marker, label in (
        (inside, cloudy.values, "o", "cloudy"),
        (cloudy.values > high, np.full_like(cloudy.values, high), "^", "cloudy, off the scale"),
        (cloudy.values < low, np.full_like(cloudy.values, low), "v", "cloudy, off the scale"),
    ):
        if chosen.any():
            ax.scatter(
                cloudy.dates[chosen], at[chosen], s=24, marker=marker, label=label, zorder=3,
                clip_on=False, **style,
            )  # fmt: skip
    clear = np.isfinite(panel.clear.values)
    if clear.any():
        ax.scatter(
            panel.clear.dates[clear], panel.clear.values[clear], s=26, color=_CLEAR,
            label="clear", zorder=4, edgecolors="white", linewidths=0.6,
        )  # fmt: skip
    ax.set_ylim(low, high)
    ax.set_ylabel(panel.label)
    locator = dates.AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    ax.grid(axis="y", color="0.92", zorder=0)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _paint_filled(ax: Axes, filled: _Series) -> None:
    if filled.spread is not None and np.isfinite(filled.spread).any():
        beside = 2 * filled.spread
        ax.fill_between(
            filled.dates, filled.values - beside, filled.values + beside, color=_FILLED,
            alpha=0.2, linewidth=0, zorder=1, label="filled ± 2 standard deviations",
        )  # fmt: skip
    ax.plot(
        filled.dates, filled.values, color=_FILLED, linewidth=1.4, marker=".", markersize=6,
        label="filled", zorder=2,
    )  # fmt: skip


def _limits(panel: _Panel) -> tuple[float, float]:
    """Return limits that clear and filled values fit in: clouds may not crush them."""
    values = _finite(panel.clear, panel.filled)
    if not len(values):
        values = _finite(panel.cloudy)
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    size = (high - low) or 0.2 * abs(high) or 1.0
    if panel.filled is not None and panel.filled.spread is not None:
        # Nor may an uncertainty beyond all measure, in a long gap.
        beside = 2 * panel.filled.spread
        ends = [panel.filled.values - beside, panel.filled.values + beside]
        low = max(low - 0.35 * size, float(np.nanmin([low, *ends[0]])))
        high = min(high + 0.35 * size, float(np.nanmax([high, *ends[1]])))
    return low - 0.1 * size, high + 0.1 * size


def _finite(*series: _Series | None) -> NDArray[np.float32]:
    values = np.concatenate([one.values for one in series if one is not None])
    return np.asarray(values[np.isfinite(values)], np.float32)


def _legend(axes: list[Any], figure: Any) -> None:
    found: dict[str, Any] = {}
    for one in axes:
        handles, labels = one.get_legend_handles_labels()
        found = dict(zip(labels, handles, strict=True)) | found
    order = ["clear", "cloudy", "cloudy, off the scale", "filled", "filled ± 2 standard deviations"]
    marks = {label: found[label] for label in order if label in found}
    if not marks:
        return
    where: dict[str, Any] = {"frameon": False, "fontsize": "small"}
    if figure is None:
        axes[0].legend(marks.values(), marks.keys(), **where)
    else:
        figure.legend(marks.values(), marks.keys(), loc="outside lower center", ncols=5, **where)
