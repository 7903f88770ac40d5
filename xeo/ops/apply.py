"""What every verb that runs a model shares: check the cubes, plan, make the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo import bands as vocabulary
from xeo import weights
from xeo.calibration import Told
from xeo.cube import Cube
from xeo.engine import backends, executor, lazy
from xeo.engine.cuts import Cut
from xeo.engine.devices import check_device
from xeo.engine.job import Job, Modality
from xeo.engine.plan import make_plan
from xeo.engine.source import Source
from xeo.errors import BandError, DimensionError, GridError, OptionError, XeoWarning
from xeo.layers import Layer
from xeo.lazy import check
from xeo.ops.result import coordinates
from xeo.spec import Input, ModelSpec
from xeo.warn import warn

Said = str | Mapping[str, str] | None
PRECISIONS = ("exact", "fast")
_FRACTION = "fraction of the pixels of a cell that are valid"


@dataclass(frozen=True)
class Options:
    """What the user asked for beside the model; see `xeo.embed`."""

    sensor: Said = None
    units: Said = None
    offset: float | Mapping[str, float] | None = None
    mask: xr.DataArray | None = None
    dates: Any = None
    bands: tuple[str, ...] | None = None
    batch: int | None = None
    overlap: int | None = None
    chunk: int | None = None
    device: str | None = None
    precision: str = "exact"
    backend: str | None = None
    blend: bool | None = None
    valid_fraction: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise OptionError(
                f"expected precision to be one of {PRECISIONS}, got {self.precision!r}"
            )
        if self.backend is not None:
            backends.check(self.backend)
        if self.blend is False and self.overlap:
            raise OptionError(
                f"expected no overlap with blend=False, got overlap={self.overlap}. "
                "Try: leave one of the two out"
            )
        for word in ("batch", "chunk"):
            value = getattr(self, word)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise OptionError(f"expected {word} to be a whole number above 0, got {value!r}")

    def told(self, modality: str) -> Told:
        """Return what was said of the numbers of one modality."""
        return Told(_of(self.units, modality), _of(self.offset, modality))


@dataclass(frozen=True)
class Output:
    """One variable of a result.

    Parameters
    ----------
    attrs : mapping
        Beside provenance.
    channels, valid, missing :
        What it takes of the job's values; see `xeo.engine.cuts.Cut`.
    dtype : str
        Of the variable; ``""`` for that of the job.
    """

    attrs: Mapping[str, Any]
    channels: int | tuple[int, int] | None = None
    valid: bool = False
    dtype: str = ""
    missing: float = 0


@dataclass(frozen=True)
class Prepared:
    """A job, and the cube that gives its result dims, coordinates and CRS."""

    job: Job
    cube: Cube
    reasons: tuple[str, ...]
    dtype: np.dtype[Any]
    layers: tuple[Layer | None, ...] = ()

    @property
    def lazy(self) -> bool:
        """Whether any input is not in memory."""
        return any(
            not isinstance(p.array, np.ndarray) and not hasattr(p.array, "__cuda_array_interface__")
            for m in self.job.modalities
            for p in m.source.inputs
        )

    def result(
        self, name: str, channel: str, attrs: Mapping[str, Any]
    ) -> xr.DataArray | xr.Dataset:
        """Return the output: lazy if any input is.

        Parameters
        ----------
        name : str
            Of the array, and first word of its Dask name.
        channel : str
            Name of the dimension of channels; ``""`` if the output has none.
        attrs : mapping
            Attributes beside provenance.

        Returns
        -------
        DataArray or Dataset
            A Dataset with ``valid_fraction`` beside the array, where that was asked for.
        """
        found = {name: Output(attrs)}
        if self.job.counts:
            told = {"units": "1", "long_name": _FRACTION}
            found["valid_fraction"] = Output(told, valid=True, dtype="float32")
        made = self.variables(found, channel)
        return made if self.job.counts else made[name]

    def variables(self, outputs: Mapping[str, Output], channel: str = "") -> xr.Dataset:
        """Return several variables that are made together: lazy if any input is.

        Parameters
        ----------
        outputs : mapping of str to Output
            Name of a variable to what it takes of the job's values.
        channel : str
            Name of the dimension of channels, for the outputs that keep some.
        """
        job = self.job
        for package in job.plan.spec.packages:
            check(package, purpose=f"run the model {job.plan.spec.name!r}")
        cuts = [
            Cut(name, one.dtype or str(self.dtype), one.channels, one.valid, one.missing)
            for name, one in outputs.items()
        ]
        if self.lazy:
            first = next(iter(outputs))
            token = lazy.token(job, *map(repr, cuts))
            arrays = lazy.build(job, name=f"xeo-{first}-{token}", cuts=cuts)
        else:
            arrays = executor.compute(job, cuts)
        dims, coords = coordinates(self.cube, job.plan, channel, job.at)
        made = xr.Dataset(coords={k: v for k, v in coords.items() if k != channel})
        for (name, one), cut, array in zip(outputs.items(), cuts, arrays, strict=True):
            has = cut.has_channels(job.plan)
            here = [dim for dim in dims if has or dim != channel]
            beside = {} if one.valid else self.provenance()
            made[name] = (here, array, {**one.attrs, **beside, **self._mapping()})
            if has:
                count = range(*cut.channels) if isinstance(cut.channels, tuple) else None
                made = made.assign_coords({channel: coords[channel] if count is None else count})
        return made

    def _mapping(self) -> dict[str, str]:
        """Name the variable of the CRS.

        As an attribute rather than in the encoding: xarray then stores the variable it names
        as a coordinate, and it comes back as one however the store is opened.
        """
        found = self.cube.grid_mapping
        return {} if found is None else {"grid_mapping": str(found)}

    def provenance(self) -> dict[str, str]:
        """Return what made the output, as attributes that every store can hold."""
        spec = self.job.plan.spec
        # A model may stand inside of one that keeps the rules of a verb.
        model = getattr(self.job.model, "inner", self.job.model)
        found = {
            "xeo_model": spec.name,
            "xeo_version": _version(),
            "xeo_parameters": json.dumps(_settings(model), sort_keys=True, default=str),
            "xeo_units": "; ".join(self.reasons),
        }
        # Models made of a file of the user's carry its hash; see `xeo.models.from_torch`.
        digest = getattr(getattr(model, "file", None), "sha256", None)
        if spec.weights is not None:
            found["xeo_weights"] = spec.weights
            digest = digest or weights.get(spec.weights).sha256
        if digest:
            found["xeo_weights_sha256"] = str(digest)
        for key, value in (("xeo_license", spec.license), ("references", spec.citation)):
            if value:
                found[key] = value
        return {key: value for key, value in found.items() if value}


def prepare(
    obj: Any,
    model: Any,
    options: Options,
    *,
    finish: Callable[[NDArray[Any]], NDArray[Any]],
    dtype: Any,
    outputs: int | None = None,
    at: NDArray[np.datetime64] | None = None,
) -> Prepared:
    """Check cubes against a model, and plan; nothing is read.

    Parameters
    ----------
    obj : DataArray, Dataset, DataTree or Cube
        What the user has.
    model : object
        With ``spec``.
    options : Options
        What the user asked for.
    finish : callable
        From vectors to the stored dtype; must pickle.
    dtype : dtype
        Of the output.
    outputs : int, optional
        Channels of the output, 0 for no axis of channels; None takes the model's.
    at : array of datetime64, optional
        Dates of the output, for a model that makes others than the cube's.
    """
    check_device(options.device)
    spec: ModelSpec = model.spec
    cubes = _cubes(obj, spec, options)
    first, cube = next(iter(cubes.items()))
    if options.bands is not None:
        if first.bands is not None:
            raise OptionError(
                f"model {spec.name!r} reads the bands {list(first.bands)}: leave bands= out"
            )
        cube = cube.select_bands(options.bands)
    cube = cube.select_dates(options.dates)
    cubes = {first: cube, **{k: v for k, v in cubes.items() if k is not first}}
    if not cube.has_place:
        raise DimensionError(
            f"expected a cube with rows and columns, got the dimensions {dict(cube.obj.sizes)}. "
            "Try: obj.expand_dims(['y', 'x'])"
        )
    if spec.time != "each" or "time" in spec.needs or "time" in cube.roles:
        _check_time(cube, spec)
    modalities, reasons = _modalities(cubes, options, spec)
    overlap = _overlap(spec, options)
    channels = spec.channels_for(modalities[0].source.bands)
    plan = make_plan(
        spec,
        sizes=cube.sizes,
        chunks=cube.chunks(modalities[0].source),
        inner=cube.inner_chunks(modalities[0].source),
        bands=modalities[0].source.bands,
        stored=modalities[0].source.dtype.itemsize,
        dtype=str(np.dtype(dtype)),
        channels=channels,
        outputs=channels if outputs is None else outputs,
        keeps_time=spec.time != "series" and "time" in cube.roles,
        batch=options.batch,
        overlap=overlap,
        side=options.chunk,
        flip=cube.flip,
        roomy=options.device not in (None, "cpu"),
        inputs=_described(cubes, modalities, reasons),
        steps=None if at is None else len(at),
    )
    place = cube.place() if "latlon" in spec.needs else None
    job = Job(
        plan,
        model,
        modalities,
        finish,
        place,
        options.device,
        options.precision,
        options.backend,
        options.batch,
        options.valid_fraction,
        at,
    )
    return Prepared(job, cube, tuple(reasons), np.dtype(dtype), cube.layers_of(first))


def _check_time(cube: Cube, spec: ModelSpec) -> None:
    if spec.time != "each" or "time" in spec.needs or cube.dates is not None:
        cube.check_dates()


def _overlap(spec: ModelSpec, options: Options) -> int:
    if options.blend is False:
        return 0
    if options.overlap is None:
        return _blended(spec) if options.blend else spec.overlap
    # The spec knows what fits; asking it anew gives its message.
    return replace(spec, overlap=options.overlap).overlap


def _blended(spec: ModelSpec) -> int:
    """Return the overlap of a model that is to be blended: its own, or a quarter of a window."""
    if spec.window is None:
        raise OptionError(
            f"expected a model of fixed windows for blend=True, but {spec.name!r} takes any size "
            "and has no seams. Try: leave blend out"
        )
    quarter = spec.kept // 4 // spec.unit * spec.unit
    wanted = spec.overlap or max(spec.unit, quarter)
    if 2 * wanted > spec.kept:
        raise OptionError(
            f"expected windows of two cells or more for blend=True, but {spec.name!r} makes one "
            "of each. Try: leave blend out"
        )
    return wanted


def _cubes(obj: Any, spec: ModelSpec, options: Options) -> dict[Input, Cube]:
    """Return the cube of each input that is there, the first input first."""
    if isinstance(obj, Cube):
        found = {spec.inputs[0]: obj}
    elif isinstance(obj, xr.DataTree):
        found = _from_tree(obj, spec, options)
    else:
        found = _from_one(obj, spec, options)
    missing = [i.modality for i in spec.inputs if i not in found and not i.optional]
    if missing:
        raise BandError(
            f"model {spec.name!r} expects the modalities {[i.modality for i in spec.inputs]}, but "
            f"{missing} are not in this {type(obj).__name__}. Try: a DataTree with one node for "
            "each, or sensor={node: name}"
        )
    return {i: found[i] for i in spec.inputs if i in found}


def _from_tree(tree: xr.DataTree, spec: ModelSpec, options: Options) -> dict[Input, Cube]:
    nodes = [node for node in tree.subtree if node.has_data]
    cubes = {}
    for node in nodes:
        name = str(node.name or "")
        try:
            cubes[name] = Cube.of(node.to_dataset(), sensor=_of(options.sensor, name), name=name)
        except BandError:
            continue  # a node of labels or geometry holds no bands
    found: dict[Input, Cube] = {}
    for one in spec.inputs:
        fits = [
            cube
            for name, cube in cubes.items()
            if one.modality in (name, "image") or one.modality in {s.family for s in cube.sensors}
        ]
        if len(fits) > 1:
            raise BandError(
                f"expected one node for {one.modality!r}, got {len(fits)} of {list(cubes)}. "
                "Try: embed the node itself, tree['name'].to_dataset()"
            )
        if fits:
            found[one] = fits[0]
    return found


def _from_one(obj: Any, spec: ModelSpec, options: Options) -> dict[Input, Cube]:
    first, *others = spec.inputs
    cube = Cube.of(obj, sensor=_of(options.sensor, first.modality))
    _warn_untrained(cube, first, spec)
    found = {first: cube}
    for one in others:
        # Radar, weather and terrain may share the data set, and then the grid.
        beside = replace(cube, sensors=vocabulary.family(one.modality))
        wanted = one.bands or ()
        if any(_stands_for(layer.label, beside, wanted) for layer in beside.layers):
            found[one] = beside
    return found


def _stands_for(label: str, cube: Cube, wanted: tuple[str, ...]) -> bool:
    bands = (vocabulary.canonical(label, sensor) for sensor in cube.sensors)
    return any(band is not None and band.name in wanted for band in bands)


def _warn_untrained(cube: Cube, first: Input, spec: ModelSpec) -> None:
    families = {sensor.family for sensor in cube.sensors}
    if first.modality != "image" and families and first.modality not in families:
        warn(
            f"model {spec.name!r} was trained on {first.modality}, this cube is taken for "
            f"{sorted(families)}: expect less of it",
            XeoWarning,
        )


def _modalities(
    cubes: Mapping[Input, Cube], options: Options, spec: ModelSpec
) -> tuple[tuple[Modality, ...], list[str]]:
    made, reasons = [], []
    first: Cube | None = None
    for one, cube in cubes.items():
        mask = options.mask if first is None else None
        source, absent, why = cube.source(one, options.told(one.modality), mask)
        reasons += [f"{one.modality}: {reason}" for reason in why]
        y, x = (None, None) if first is None else _aligned(first, cube, one.modality)
        made.append(_modality(one, cube, source, absent, spec, y, x))
        first = first or cube
    return tuple(made), reasons


def _described(
    cubes: Mapping[Input, Cube], modalities: Sequence[Modality], reasons: Sequence[str]
) -> tuple[str, ...]:
    """Say for people what is read, and why its units are what they are."""
    lines = []
    for (one, cube), modality in zip(cubes.items(), modalities, strict=True):
        bands = modality.source.bands - len(modality.absent)
        sensors = " or ".join(sensor.name for sensor in cube.sensors) or "no known sensor"
        why = [r.partition(": ")[2] for r in reasons if r.startswith(f"{one.modality}: ")]
        units = one.units if isinstance(one.units, str) else ""
        told = f" in {units}" if units else ""
        by = f" by {', '.join(why)}" if why else ""
        lines.append(f"{one.modality}: {bands} bands of {sensors}{told}{by}")
    return tuple(lines)


def _modality(
    one: Input,
    cube: Cube,
    source: Source,
    absent: tuple[int, ...],
    spec: ModelSpec,
    y: Any,
    x: Any,
) -> Modality:
    dates = None
    if "time" in spec.needs and "time" in cube.roles:
        dates = cube.check_dates()
    waves = _wavelengths(cube, one) if "center_wavelength" in spec.needs else None
    gsd = _gsd(cube) if "gsd" in spec.needs and cube.has_place else None
    return Modality(one.modality, source, dates, waves, gsd, absent, y, x)


def _wavelengths(cube: Cube, one: Input) -> NDArray[np.float64] | None:
    """Return micrometres, a band each; None for radar, weather and terrain, which have none."""
    places = range(len(cube.layers)) if one.bands is None else cube.find(one.bands)
    bands = [(place, cube.meaning(cube.layers[place or 0])[0]) for place in places]
    unknown = [cube.layers[place or 0].label for place, band in bands if band is None]
    if unknown:
        raise BandError(
            f"expected a known centre wavelength for every band, got none for {unknown}. "
            "Try: sensor='...'"
        )
    found = [band.center_wavelength for _, band in bands if band is not None]
    return np.array(found) if all(one is not None for one in found) else None


def _gsd(cube: Cube) -> float:
    y = cube.coordinate("y")
    if y is None or len(y) < 2:
        raise GridError("expected a y coordinate with two or more rows to tell the pixel size")
    return float(abs(y[1] - y[0]))


def _aligned(first: Cube, other: Cube, name: str) -> tuple[Any, Any]:
    """Return, for each canonical pixel of one cube, the nearest of another along each axis."""
    if not other.has_place:
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    if other.obj is first.obj:
        return np.arange(first.sizes[1]), np.arange(first.sizes[2])
    here, there = first.place(), other.place()
    if here.crs != there.crs and not _same_crs(here.crs, there.crs):
        raise GridError(
            f"expected {name!r} in the CRS of the first modality, got another. "
            "Try: other.rio.reproject_match(first) or other.odc.reproject(first.odc.geobox)"
        )
    return (
        _nearest(here.y, there.y, f"rows of {name}"),
        _nearest(here.x, there.x, f"columns of {name}"),
    )


def _nearest(
    wanted: NDArray[np.float64], given: NDArray[np.float64], what: str
) -> NDArray[np.int64]:
    if len(given) == 1:
        return np.zeros(len(wanted), np.int64)
    rising = given if given[1] > given[0] else -given
    target = wanted if given[1] > given[0] else -wanted
    right = np.clip(np.searchsorted(rising, target), 1, len(rising) - 1)
    nearest = np.where(target - rising[right - 1] <= rising[right] - target, right - 1, right)
    far = np.abs(rising[nearest] - target).max()
    # A pixel's own half is inside it; beyond a whole one the modality does not cover the cube.
    if far > abs(rising[1] - rising[0]):
        raise GridError(
            f"expected the {what} to cover the cube, but a pixel centre is {far:g} away from the "
            "nearest. Try: cut the cube, obj.sel(y=slice(...), x=slice(...))"
        )
    return nearest.astype(np.int64)


def _same_crs(one: str, other: str) -> bool:
    from pyproj import CRS

    return bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def _of(said: Any, name: str) -> Any:
    return said.get(name) if isinstance(said, Mapping) else said


def _settings(model: Any) -> dict[str, Any]:
    if not is_dataclass(model):
        return {}
    shown = {f.name: getattr(model, f.name) for f in fields(model) if f.repr}
    # Files and functions are named by their hash; their paths say nothing elsewhere.
    plain = (str, int, float, bool, tuple, type(None))
    return {k: v for k, v in shown.items() if isinstance(v, plain) and len(str(v)) < 1000}


def _version() -> str:
    from importlib.metadata import version

    return version("xarray-eo")
