"""Looking: true and false colours, embeddings as colours, class maps with their legend."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xeo.cube import Cube
from xeo.errors import BandError, DateError, DimensionError, OptionError
from xeo.kernels.picture import principal_components, spread, stretch
from xeo.kernels.quantize import dequantize
from xeo.lazy import require
from xeo.ops.panels import add_legend, draw, panels, rgba
from xeo.ops.pixels import read_bands, step_of, strided, take, upright

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CHANNELS = ("embedding", "band", "bands", "channel", "channels", "feature", "features", "latent")
#: More pictures than this on one page are stamps.
_MOST = 48
#: Values that are read at most; beyond it an embedding is coarsened further.
_VALUES = 64_000_000


def rgb(
    obj: xr.DataArray | xr.Dataset,
    bands: Sequence[str] = ("red", "green", "blue"),
    *,
    date: Any = None,
    percentiles: tuple[float, float] = (2, 98),
    limits: Sequence[Any] | None = None,
    sensor: str | None = None,
    size: int = 1000,
    col_wrap: int = 4,
    ax: Axes | None = None,
) -> Axes | Figure:
    """Draw three bands as red, green and blue.

    Parameters
    ----------
    obj : DataArray or Dataset
        Cube with dims ``([time,] [band,] y, x)``, in any order and either orientation.
    bands : sequence of str
        Three names, canonical (``"nir"``) or the cube's own (``"B08"``).
    date : int, str, slice or sequence, optional
        Position of a date, or anything that ``obj.sel(time=...)`` takes; None for all. More
        than one date give one picture each.
    percentiles : (float, float)
        What is drawn black and what is drawn full, per band. Dates share one stretch,
        that of their clearer quarter.
    limits : (float, float) or three such pairs, optional
        Values that are drawn black and full, of all bands or of each, in units of the decoded
        cube (reflectance). They replace ``percentiles``, and are the same in every picture.
    sensor : str, optional
        Name of the sensor, where labels and attributes do not tell.
    size : int
        Longest side of the picture in pixels; larger cubes are drawn with every n-th pixel,
        and only those are kept in memory.
    col_wrap : int
        Pictures per row.
    ax : Axes, optional
        Where to draw a single date.

    Returns
    -------
    Axes or Figure
        Axes of one date, or a figure with one for each. Missing pixels are grey.

    Raises
    ------
    BandError
        If there are not three bands, or one is not in the cube.
    DateError
        If no date or too many are selected.
    OptionError
        If ``limits`` are not rising pairs.

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=3, size=16)
    >>> cube.eo.plot.rgb(date=1).get_title()
    '2023-05-07'
    """
    if isinstance(bands, str) or len(bands) != 3:
        raise BandError(f"expected three bands, got {bands!r}. Try: ('nir', 'red', 'green')")
    ends = None if limits is None else _ends(limits)
    cube = _select(Cube.of(obj, sensor=sensor).select_bands(bands), date)
    step = step_of(cube, size)
    values = np.stack(read_bands(cube, cube.layers, step), axis=-1)
    colours = stretch(values, percentiles) if ends is None else spread(values, ends)
    return draw(panels(cube, rgba(colours), step), ax, col_wrap)


def embedding(
    obj: xr.DataArray | xr.Dataset,
    components: int = 3,
    *,
    date: Any = None,
    percentiles: tuple[float, float] = (2, 98),
    size: int = 1000,
    col_wrap: int = 4,
    ax: Axes | None = None,
) -> Axes | Figure:
    """Draw the principal components of vectors as colours.

    Parameters
    ----------
    obj : DataArray or Dataset
        Vectors with dims ``([time,] embedding, y, x)``, as `xeo.embed` returns them; int8
        ones are dequantised. A Dataset must hold one such variable.
    components : {3, 1}
        Three as red, green and blue, or one as grey.
    date, size, col_wrap, ax :
        As for `rgb`.
    percentiles : (float, float)
        What is drawn black and what is drawn full, per component. Dates share one
        stretch, that of their darker quarter.

    Returns
    -------
    Axes or Figure
        Axes of one date, or a figure with one for each. Missing pixels are grey. Colours are
        relative: they mean the same within one picture, not between two calls.

    Raises
    ------
    DimensionError
        If there is no dimension of channels, or it is shorter than ``components``.
    OptionError
        If ``components`` is neither 1 nor 3.

    Notes
    -----
    Directions come from at most 50,000 vectors; the sign of each is such that its largest entry
    is positive, so the same vectors always get the same colours.

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=1, size=16)
    >>> cube.eo.embed("band_stats").eo.plot.embedding().get_title()
    '2023-01-06'
    """
    if components not in (1, 3):
        raise OptionError(f"expected components 3 (colours) or 1 (grey), got {components}")
    da, channel = _vectors(obj)
    count = da.sizes[channel]
    if count < components:
        raise DimensionError(
            f"expected at least {components} positions along {channel!r}, got {count}. "
            "Try: components=1"
        )
    cube = _select(Cube.of(da.isel({channel: 0}, drop=True)), date)
    ny, nx = cube.sizes[1:]
    fit = int(np.sqrt(_VALUES / (cube.sizes[0] * count * ny * nx)) * max(ny, nx))
    step = step_of(cube, max(1, min(size, fit)))
    values = _read_vectors(cube, da, channel, step)
    projected, _, _ = principal_components(values, components)
    colours = np.broadcast_to(stretch(projected, percentiles), (*projected.shape[:-1], 3))
    return draw(panels(cube, rgba(colours), step), ax, col_wrap)


def classes(
    obj: xr.DataArray | xr.Dataset,
    variable: str | None = None,
    *,
    date: Any = None,
    size: int = 1000,
    col_wrap: int = 4,
    ax: Axes | None = None,
) -> Axes | Figure:
    """Draw a map of classes with its legend.

    Parameters
    ----------
    obj : DataArray or Dataset
        Class codes with dims ``([time,] y, x)`` and the CF attributes ``flag_values`` and
        ``flag_meanings``; colours from ``flag_colors``, else the customary ones of Sen2Cor and
        Dynamic World classes. Without these attributes each code that occurs is a class.
    variable : str, optional
        Which variable of a Dataset; not needed if only one has ``flag_meanings``.
    date, size, col_wrap, ax :
        As for `rgb`.

    Returns
    -------
    Axes or Figure
        Axes of one date, or a figure with one for each. The legend lists the classes that
        occur; ``no_data`` and codes without a meaning are grey.

    Raises
    ------
    BandError
        If a Dataset has no variable of classes, or several.
    OptionError
        If values, meanings and colours are not of one length, or there are over 100 codes.

    Examples
    --------
    >>> cube = xeo.simulate_cube(dates=1, size=64)
    >>> ax = cube.eo.plot.classes("land_cover")
    >>> [text.get_text() for text in ax.get_legend().get_texts()][:2]
    ['water', 'forest']
    """
    da = _class_variable(obj, variable)
    cube = _select(Cube.of(da), date)
    step = step_of(cube, size)
    codes = take(cube, da.variable, step)
    names, colours = _legend(da, codes)
    image = np.zeros((*codes.shape, 4), np.float32)
    for code, colour in colours.items():
        image[codes == code] = colour
    present = {code: name for code, name in names.items() if (codes == code).any()}
    drawn = draw(panels(cube, image, step), ax, col_wrap)
    add_legend(drawn, present, colours)
    return drawn


def _ends(limits: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Return limits as an array ``(band, 2)``."""
    try:
        ends = np.broadcast_to(np.asarray(limits, np.float64), (3, 2))
    except (TypeError, ValueError):
        ends = np.full((3, 2), np.nan)
    if not np.isfinite(ends).all() or (ends[:, 0] >= ends[:, 1]).any():
        raise OptionError(
            f"expected limits to be a low and a higher value, or three such pairs, got {limits!r}. "
            "Try: limits=(0, 0.3)"
        )
    return ends


def _select(cube: Cube, date: Any) -> Cube:
    """Choose the dates to draw."""
    if not cube.has_place:
        raise DimensionError(
            f"expected dimensions y and x (or their common names), got {tuple(cube.obj.dims)}"
        )
    if date is not None and "time" not in cube.roles:
        raise DateError(f"expected a cube with a time dimension to choose {date!r} from, got none")
    if isinstance(date, (int, np.integer)) and not isinstance(date, bool):
        count = cube.sizes[0]
        if not -count <= date < count:
            raise DateError(f"expected a date position below {count}, got {date}")
        cube = replace(cube, picked=np.array([date % count]))
    else:
        cube = cube.select_dates(date)
    if cube.sizes[0] > _MOST:
        raise DateError(
            f"expected at most {_MOST} dates in one figure, got {cube.sizes[0]}. "
            "Try: date=0 or date='2020-06' or date=slice('2020-06', '2020-07')"
        )
    return cube


def _vectors(obj: xr.DataArray | xr.Dataset) -> tuple[xr.DataArray, Hashable]:
    """Return the variable of vectors and its dimension of channels."""
    found = [obj] if isinstance(obj, xr.DataArray) else list(obj.data_vars.values())
    both = [(da, dim) for da in found for dim in _CHANNELS if dim in da.dims]
    if len(both) != 1:
        raise DimensionError(
            f"expected one variable with a dimension of channels, one of {_CHANNELS}, got "
            f"{len(both)} among {[(da.name, da.dims) for da in found]}. Try: "
            "obj.rename({...: 'embedding'}), or choose a variable of the Dataset"
        )
    return both[0]


def _read_vectors(
    cube: Cube, da: xr.DataArray, channel: Hashable, step: int
) -> npt.NDArray[np.float32]:
    values = upright(cube, strided(cube, da.variable, step), channel)
    if values.dtype == np.int8:
        values = dequantize(values)
    return np.asarray(values, np.float32)


def _class_variable(obj: xr.DataArray | xr.Dataset, variable: str | None) -> xr.DataArray:
    if isinstance(obj, xr.DataArray):
        return obj
    named = [str(name) for name, da in obj.data_vars.items() if "flag_meanings" in da.attrs]
    chosen = variable or (named[0] if len(named) == 1 else None)
    if chosen is None or chosen not in obj.data_vars:
        raise BandError(
            f"expected the name of a variable of classes, those with flag_meanings are {named}, "
            f"got {variable!r}. Try: variable={named[0] if named else '...'!r}"
        )
    return obj[chosen]


def _legend(
    da: xr.DataArray, codes: npt.NDArray[Any]
) -> tuple[dict[int, str], dict[int, tuple[float, float, float, float]]]:
    """Return the name and the colour of each class but ``no_data``."""
    values, meanings, colours = _flags(da, codes)
    named = {v: m for v, m in zip(values, meanings, strict=True) if m.lower() not in _NO_DATA}
    to_rgba = require("matplotlib.colors", purpose="draw classes").to_rgba
    if colours:
        table = dict(zip(values, colours, strict=True))
    else:
        wheel = require("matplotlib", purpose="draw classes").colormaps["tab20"]
        # Even places of tab20 are ten strong colours, odd ones their pale twins.
        order = [*range(0, 20, 2), *range(1, 20, 2)]
        table = {v: _COLOURS.get(m, wheel(order[i % 20])) for i, (v, m) in enumerate(named.items())}
    return named, {v: to_rgba(table[v]) for v in named}


#: Customary colours of classes: Dynamic World (Brown et al. 2022, doi:10.1038/s41597-022-01307-4)
#: and the Sen2Cor scene classification.
_COLOURS = {
    "water": "#419bdf",
    "trees": "#397d49",
    "grass": "#88b053",
    "flooded_vegetation": "#7a87c6",
    "crops": "#e49635",
    "shrub_and_scrub": "#dfc35a",
    "built": "#c4281b",
    "built_area": "#c4281b",
    "bare": "#a59b8f",
    "bare_ground": "#a59b8f",
    "snow_and_ice": "#b39fe1",
    "saturated_or_defective": "#ff0000",
    "dark_area_pixels": "#2f2f2f",
    "cloud_shadows": "#643200",
    "vegetation": "#00a000",
    "not_vegetated": "#ffe65a",
    "unclassified": "#808080",
    "cloud_medium_probability": "#c0c0c0",
    "cloud_high_probability": "#ffffff",
    "thin_cirrus": "#64c8ff",
    "snow": "#ff96ff",
}
_NO_DATA = ("no_data", "nodata", "missing", "fill")


def _flags(da: xr.DataArray, codes: npt.NDArray[Any]) -> tuple[list[int], list[str], list[str]]:
    meanings = str(da.attrs.get("flag_meanings", "")).split()
    colours = str(da.attrs.get("flag_colors", "")).split()
    if not meanings:
        finite = codes[np.isfinite(codes)] if codes.dtype.kind == "f" else codes
        values = [int(v) for v in np.unique(finite)]
        if len(values) > 100:
            raise OptionError(
                f"expected class codes, got {len(values)} different values without "
                "flag_meanings. Try: obj.eo.plot.rgb() or da.plot() for quantities"
            )
        return values, [f"class {v}" for v in values], []
    values = [int(v) for v in np.ravel(da.attrs.get("flag_values", range(len(meanings))))]
    if len(values) != len(meanings) or len(colours) not in (0, len(meanings)):
        raise OptionError(
            f"expected as many flag_values as flag_meanings (and flag_colors), got "
            f"{len(values)}, {len(meanings)} and {len(colours)}. Try: correct the attributes"
        )
    return values, meanings, colours
