"""Pictures of what compressing did: original, decoded, error, worst pixel, rate against PSNR."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xeo.cube import Cube
from xeo.errors import DimensionError, OptionError, XeoError
from xeo.kernels.picture import stretch
from xeo.lazy import require
from xeo.ops.figures import IGNORED, VariableReport, number
from xeo.ops.panels import rgba
from xeo.ops.report_html import bounds_of, histogram_of, spell_dates
from xeo.ops.sample import curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from xeo.ops.report import Report

#: Longest side of the whole picture, in pixels; larger ones are drawn with every n-th.
_SIZE = 600
#: Side of what is shown around the worst pixel.
_ZOOM = 48
#: Values read at once.
_VALUES = 1 << 24
_PACKING = {"scale_factor", "add_offset", "_FillValue"}


@dataclass(frozen=True)
class Views:
    """The original and the decoded form of one array, at one date, as both can be read."""

    members: list[xr.DataArray]
    pair: tuple[list[xr.DataArray], list[xr.DataArray]]
    ignored: xr.DataArray | None
    one: VariableReport
    at: Mapping[str, int]

    @classmethod
    def of(cls, report: Report, one: VariableReport, date: Any) -> Views:
        """Open the store and choose the date."""
        from xeo.ops.stack import open_zarr

        source = _dataset(report.source, one)
        members = [source[name] for name in one.members]
        options: dict[str, Any] = {"chunks": None}
        if report.storage_options:
            options["storage_options"] = dict(report.storage_options)
        # A source that was opened as stored is compared as stored.
        options["mask_and_scale"] = not any(_PACKING & set(da.attrs) for da in members)
        opened = open_zarr(report.store, **options)
        at = _position(report, one, date)
        original = [da.isel(_of(da, at)) for da in members]
        decoded = [opened[name].isel(_of(opened[name], at)) for name in one.members]
        ignored = opened.get(IGNORED)
        if ignored is not None:
            ignored = ignored.isel(_of(ignored, at))
        return cls(members, (original, decoded), ignored, one, at)

    @property
    def picture(self) -> tuple[str, str]:
        """Names of the rows and columns."""
        axes, dims = self.one.axes, self.one.dims
        return dims[axes.index("y")], dims[axes.index("x")]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        first = self.pair[0][0]
        return first.sizes[self.picture[0]], first.sizes[self.picture[1]]

    @property
    def factor(self) -> float:
        """Units of the report per number of the original as xarray has it."""
        decoded = {"scale_factor", "add_offset"} & set(self.pair[0][0].encoding)
        return 1.0 if decoded else abs(self.one.scale)

    def read(self, rows: slice, columns: slice, which: int) -> NDArray[np.float64]:
        """Read a part as floats ``(band, y, x)``, NaN where values are missing or ignored."""
        window = dict(zip(self.picture, (rows, columns), strict=True))
        planes = []
        for da in self.pair[which]:
            part = da.isel(window).transpose(..., *self.picture)
            values = np.asarray(part.values).astype(np.float64)
            planes.append(values.reshape(-1, *values.shape[-2:]))
        made = np.concatenate(planes)
        if self.ignored is not None:
            part = self.ignored.isel(_of(self.ignored, window))
            sizes = dict(zip(self.picture, made.shape[1:], strict=True))
            mask = part.variable.set_dims(sizes).transpose(*self.picture)
            made[:, np.asarray(mask.values, bool)] = np.nan
        return made

    def blocks(self) -> Iterator[slice]:
        """Yield rows to read at once."""
        ny, nx = self.size
        bands = math.prod(n for n, a in zip(self.one.shape, self.one.axes, strict=True) if a == "b")
        step = max(1, _VALUES // max(1, nx * bands))
        return (slice(start, min(start + step, ny)) for start in range(0, ny, step))

    def colours(self) -> list[int]:
        """Return which bands are red, green and blue, or nothing where that is not known."""
        try:
            made = xr.Dataset({str(da.name): da.variable for da in self.pair[0]})
            cube = Cube.of(made.assign_coords(self.pair[0][0].coords))
            chosen = cube.select_bands(("red", "green", "blue")).layers
        except XeoError:
            return []
        names = [str(da.name) for da in self.pair[0]]
        return [names.index(one.name) + one.index for one in chosen]

    def upright(self) -> tuple[slice, slice]:
        """Return the steps that put north above and west to the left."""
        made = []
        for dim, wanted in zip(self.picture, (-1, 1), strict=True):
            found = self.pair[0][0].coords.get(dim)
            turned = found is not None and found.size > 1 and found.dtype.kind in "iuf"
            sign = float(found[-1] - found[0]) * wanted if turned and found is not None else 1
            made.append(slice(None, None, -1 if sign < 0 else 1))
        return made[0], made[1]


@dataclass(frozen=True)
class Overview:
    """Every n-th pixel of both, and where the worst one is."""

    original: NDArray[np.float64]
    decoded: NDArray[np.float64]
    step: int
    worst: tuple[int, int, int]
    largest: float


def draw(report: Report, one: VariableReport, date: Any) -> Figure:
    """Draw the figure that `Report.plot` documents."""
    pyplot: Any = require("matplotlib.pyplot", purpose="draw a report")
    views = Views.of(report, one, date)
    whole = look(views)
    bands = views.colours() or [whole.worst[0]]
    figure: Figure
    figure, axes = pyplot.subplots(
        2, 4, figsize=(16, 7.6), layout="constrained", width_ratios=(1, 1, 1, 1.15)
    )
    zoom = _around(views, whole)
    limit = _limit(views, whole)
    pairs = (whole.original, whole.decoded), zoom
    for row, pair, colours in zip(axes, pairs, _colours(pairs, bands), strict=True):
        image = _pictures(row, views, colours, pair, whole.worst[0], limit)
    _titles(axes, report, views, whole, bands)
    _mark(axes[0], views, whole)
    bar = figure.colorbar(image, ax=list(axes[:, 2]), shrink=0.7)
    bar.set_label(f"decoded less original{f' ({one.units})' if one.units else ''}")
    _curve(axes[0, 3], views, whole)
    _histogram(axes[1, 3], one)
    return figure


def look(views: Views) -> Overview:
    """Read a date row by row: keep every n-th pixel, and find the worst."""
    ny, nx = views.size
    step = -(-max(ny, nx) // _SIZE)
    kept: tuple[list[Any], list[Any]] = ([], [])
    worst, largest = (0, 0, 0), -1.0
    for rows in views.blocks():
        both = [views.read(rows, slice(0, nx), which) for which in (0, 1)]
        error = np.nan_to_num(np.abs(both[1] - both[0]), nan=-1.0)
        if (found := float(error.max())) > largest:
            # Many pixels may be as far off as the bound lets them: the one of most error in all.
            alike = np.where((error == found).any(axis=0), error.sum(axis=0), -np.inf)
            row, column = np.unravel_index(int(alike.argmax()), alike.shape)
            worst = (int(error[:, row, column].argmax()), int(row) + rows.start, int(column))
            largest = found
        first = -rows.start % step
        for one, values in zip(kept, both, strict=True):
            one.append(values[:, first::step, ::step])
    original, decoded = (np.concatenate(one, axis=1) for one in kept)
    return Overview(original, decoded, step, worst, max(largest, 0.0) * views.factor)


def _window(views: Views, whole: Overview) -> tuple[slice, slice]:
    """Return the rows and columns around the worst pixel."""
    made = []
    for centre, size in zip(whole.worst[1:], views.size, strict=True):
        start = max(0, min(centre - _ZOOM // 2, size - _ZOOM))
        made.append(slice(start, min(start + _ZOOM, size)))
    return made[0], made[1]


def _around(views: Views, whole: Overview) -> tuple[Any, Any]:
    window = _window(views, whole)
    return views.read(*window, 0), views.read(*window, 1)


def _limit(views: Views, whole: Overview) -> float:
    """Return the error that is drawn in full colour."""
    bounds = [] if views.one.relative_bound is not None else bounds_of(views.one)
    return max([*bounds, whole.largest]) or 1.0


def _colours(pairs: Sequence[tuple[Any, Any]], bands: list[int]) -> list[list[Any]]:
    """Return all pictures with one stretch, or a difference would be hidden or made."""
    every = [np.moveaxis(one[bands], 0, -1) for pair in pairs for one in pair]
    flat = np.concatenate([one.reshape(-1, len(bands)) for one in every])
    parts = np.split(
        stretch(flat[np.newaxis], (2, 98))[0], np.cumsum([one[..., 0].size for one in every])[:-1]
    )
    made = [part.reshape(one.shape) for part, one in zip(parts, every, strict=True)]
    shown = [rgba(np.broadcast_to(one, (*one.shape[:-1], 3))) for one in made]
    return [shown[:2], shown[2:]]


def _pictures(
    axes: Sequence[Axes], views: Views, colours: Sequence[Any], pair: tuple[Any, Any], worst: int,
    limit: float,
) -> Any:  # fmt: skip
    """Draw both, and the error of the worst band."""
    turn = views.upright()
    for ax, shown in zip(axes, colours, strict=False):
        ax.imshow(shown[turn], interpolation="nearest")
    error = (pair[1][worst] - pair[0][worst]) * views.factor
    image = axes[2].imshow(
        error[turn], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest"
    )
    for ax in axes[:3]:
        ax.set(facecolor="0.85", xticks=[], yticks=[])
    return image


def _titles(axes: Any, report: Report, views: Views, whole: Overview, bands: list[int]) -> None:
    one, (band, row, column) = views.one, whole.worst
    labels = report.bands(one.name)
    named = labels[band] if band < len(labels) and len(labels) > 1 else one.name
    dates = spell_dates(report.dates(one.name))
    place = [dim for dim in views.at if one.axes.count("t") == 1]
    when = dates[views.at[place[0]]] if place and len(dates) > 1 else ""
    shown = "" if len(bands) == 3 else f"{named} "
    axes[0, 0].set_title(f"original {shown}{when}".strip())
    psnr = one.psnr("date")[views.at[place[0]]] if place and when else one.psnr()
    axes[0, 1].set_title(
        "decoded" + (f", {number(float(psnr))} dB" if not math.isnan(psnr) else "")
    )
    axes[0, 2].set_title(f"error of {named}")
    where = f"{views.picture[0]} {row}, {views.picture[1]} {column}"
    axes[1, 0].set_title(f"original around {where}")
    axes[1, 1].set_title("decoded")
    units = f" {one.units}" if one.units else ""
    axes[1, 2].set_title(f"worst pixel: {number(whole.largest)}{units}")


def _mark(axes: Sequence[Axes], views: Views, whole: Overview) -> None:
    """Frame in the whole picture what is shown larger."""
    rectangle = require("matplotlib.patches", purpose="draw a report").Rectangle
    spans = []
    for window, size, turn in zip(_window(views, whole), views.size, views.upright(), strict=True):
        start, stop = window.start, window.stop
        if turn.step < 0:
            start, stop = size - stop, size - start
        spans.append((start / whole.step - 0.5, (stop - start) / whole.step))
    (top, height), (left, width) = spans
    for ax in axes[:3]:
        frame = rectangle((left, top), width, height, fill=False, edgecolor="#e33", linewidth=1.2)
        ax.add_patch(frame)


def _curve(ax: Axes, views: Views, whole: Overview) -> None:
    points = curve(views.members, views.one, views.at, whole.worst)
    drawn = [point for point in points if math.isfinite(point.psnr)]
    exact = [point for point in points if math.isinf(point.psnr)]
    ax.set(xlabel="bits a value", ylabel="PSNR (dB)", title="a part around the worst pixel")
    ax.plot([p.rate for p in drawn], [p.psnr for p in drawn], color="0.6", marker=".", zorder=1)
    for point in drawn:
        if point.chosen:
            ax.plot(point.rate, point.psnr, "o", color="#e33", zorder=2)
        ax.annotate(
            point.label, (point.rate, point.psnr), xytext=(6, -10), textcoords="offset points",
            fontsize=8, color="#e33" if point.chosen else "0.4",
        )  # fmt: skip
    for n, point in enumerate(exact):
        text = f"{point.label}: every bit kept, {number(point.rate)} bits a value"
        ax.text(0.98, 0.04 + 0.07 * n, text, transform=ax.transAxes, ha="right", fontsize=8,
                color="#e33" if point.chosen else "0.4")  # fmt: skip
    if drawn:
        # Room for the labels, which stand to the right.
        ax.margins(0.3, 0.2)
        ax.grid(alpha=0.3)
    else:
        ax.set(xticks=[], yticks=[])


def _histogram(ax: Axes, one: VariableReport) -> None:
    if one.kept is None or not one.max_error():
        ax.text(0.5, 0.5, "every value is as it was", ha="center", transform=ax.transAxes)
        ax.set(xticks=[], yticks=[])
        return
    edges, counts = histogram_of(one)
    ax.stairs(counts, edges, fill=True, color="#3d86c6")
    bounds = bounds_of(one)
    for bound in bounds:
        ax.axvline(-bound, color="#e33", linewidth=1.2)
        ax.axvline(bound, color="#e33", linewidth=1.2, label="bound")
    used = np.flatnonzero(counts)
    reach = max([*bounds, abs(edges[used[0]]), abs(edges[used[-1] + 1])]) * 1.05
    units = "%" if one.relative_bound is not None else one.units
    ax.set(xlim=(-reach, reach), ylim=(0, counts.max() * 1.2), yticks=[], title="all errors",
           xlabel=f"decoded less original{f' ({units})' if units else ''}")  # fmt: skip
    ax.locator_params(axis="x", nbins=5)
    if bounds:
        ax.legend(handles=[ax.lines[-1]], loc="upper right", frameon=False)


def _dataset(source: xr.DataArray | xr.Dataset | None, one: VariableReport) -> xr.Dataset:
    if isinstance(source, xr.DataArray):
        return source.to_dataset(name=one.members[0])
    assert source is not None
    return source


def _of(da: xr.DataArray, at: Mapping[str, Any]) -> dict[Any, Any]:
    return {dim: place for dim, place in at.items() if dim in da.dims}


def _position(report: Report, one: VariableReport, date: Any) -> dict[str, int]:
    """Return a place along each dimension of dates; the worst by PSNR if none is asked for."""
    dims = [dim for dim, axis in zip(one.dims, one.axes, strict=True) if axis == "t"]
    at = dict.fromkeys(dims, 0)
    if not dims:
        if date is not None:
            raise DimensionError(f"expected no date for {one.name!r}, which has none, got {date!r}")
        return at
    # Of several such dimensions the last is time; the first places of the others are shown.
    count = one.shape[one.dims.index(dims[-1])]
    if date is None:
        if len(dims) == 1 and one.kept is not None:
            psnr = one.psnr("date")
            at[dims[0]] = 0 if np.isnan(psnr).all() else int(np.nanargmin(psnr))
        return at
    if isinstance(date, (int, np.integer)) and not isinstance(date, bool):
        if not -count <= date < count:
            raise OptionError(f"expected a date below {count}, got {date}")
        at[dims[-1]] = int(date) % count
        return at
    labels = spell_dates(report.dates(one.name))
    wanted = str(date).replace("T", " ")
    found = [n for n, label in enumerate(labels) if label.startswith(wanted[: len(label)])]
    if not found:
        raise OptionError(f"expected a date from {labels[0]} to {labels[-1]}, got {date!r}")
    at[dims[-1]] = found[0]
    return at
