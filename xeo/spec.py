"""What a model says of itself, and the protocols that the verbs accept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from xeo.errors import ModelError

#: ``each``: one date is one sample, the output keeps time. ``series``: all dates are one
#: sample, the output has no time. ``sequence``: all dates are one sample, the output keeps time.
TimeUse = Literal["each", "series", "sequence"]
#: ``fill``: bad pixels are replaced by ``fill_value`` before the call. ``nan``: they arrive as NaN.
Missing = Literal["fill", "nan"]
Padding = Literal["reflect", "edge"]
Units = Literal["reflectance", "dn", "db", "power", "kelvin", "celsius", "metre", "degree", "mm"]

CONTEXT = ("time", "latlon", "center_wavelength", "gsd", "mask")


@dataclass(frozen=True)
class Input:
    """One modality that a model reads.

    Parameters
    ----------
    modality : str
        A sensor family of `xeo.bands` (``"sentinel2"``, ``"sentinel1"``, ``"landsat"``,
        ``"weather"``, ``"terrain"``), or ``"image"`` for any.
    bands : tuple of str, optional
        Canonical band names in the model's order; None takes all bands as they come.
    units : str or tuple of str, optional
        What the values must be in: ``"reflectance"`` (0 to 1), ``"dn"`` (reflectance x 10000),
        ``"db"``, ``"power"``, ``"kelvin"``, ..., one for all bands or one each; None takes
        them as decoded.
    optional : bool
        Whether the model runs without this modality.
    optional_bands : tuple of str
        Bands of ``bands`` that a cube may lack; they arrive as missing pixels.
    """

    modality: str = "image"
    bands: tuple[str, ...] | None = None
    units: Units | tuple[Units, ...] | None = None
    optional: bool = False
    optional_bands: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        each = isinstance(self.units, tuple)
        if each and (self.bands is None or len(self.units or ()) != len(self.bands)):
            raise ModelError(
                f"expected one of units for each band of {self.modality!r}, got {self.units} for "
                f"{self.bands}"
            )

    def units_of(self, position: int) -> str | None:
        """Return the units that one band, by its position, must be in."""
        return self.units[position] if isinstance(self.units, tuple) else self.units


@dataclass(frozen=True)
class ModelSpec:
    """What a model says of itself, in the words of the STAC MLM extension.

    Parameters
    ----------
    name : str
        Registered name.
    bands, units :
        Shorthand for one `Input`; leave out when ``inputs`` is given.
    inputs : tuple of Input
        The modalities, the first one being the grid and dates of the output.
    window : int, optional
        Side of the square a model reads at once, in pixels, halo included. None: any size
        that is a multiple of ``stride`` (convolutional and per-pixel models).
    halo : int
        Context pixels on each side whose output is dropped. The engine rounds it up to
        ``stride`` and ``align``.
    stride : int
        Input pixels per output pixel.
    align : int
        Windows start at, and measure, multiples of so many pixels (a network that halves and
        doubles again needs 2); at least ``stride``.
    overlap : int
        Pixels by which the kept squares of neighbouring windows overlap; they are blended
        with a cosine weight. Only with ``window``.
    channels : int
        Length of the output vector, and ``channels_per_band`` more for each input band.
    time : {"each", "series", "sequence"}
        What the model does with dates.
    missing : {"fill", "nan"}
        How bad pixels arrive; ``fill_value`` is in the model's units.
    partial : bool
        Whether the output means something where some bands of a pixel are missing, but not all.
    padding : {"reflect", "edge"}
        How a window is filled outside the cube.
    needs : tuple of str
        Context that the model wants in its `Batch`: any of ``time``, ``latlon``,
        ``center_wavelength``, ``gsd``, ``mask``.
    dtype : str
        Of the output.
    classes : tuple of str
        Names of the output channels of a classifier, in order.
    activation_bytes : int
        Rough working memory of one call, per input pixel and date.
    weights : str, optional
        Name of its file in `xeo.weights`.
    packages : tuple of str
        Optional packages that a call imports: their absence is said before any work.
    tasks, architecture, total_parameters, license, citation :
        As in the STAC MLM and Scientific extensions; ``citation`` ends in a DOI or address.
    """

    name: str
    bands: tuple[str, ...] | None = None
    units: Units | None = None
    inputs: tuple[Input, ...] = ()
    window: int | None = None
    halo: int = 0
    stride: int = 1
    align: int = 1
    overlap: int = 0
    channels: int = 0
    channels_per_band: int = 0
    time: TimeUse = "each"
    missing: Missing = "fill"
    fill_value: float = 0.0
    partial: bool = False
    padding: Padding = "reflect"
    needs: tuple[str, ...] = ()
    dtype: str = "float32"
    classes: tuple[str, ...] = ()
    activation_bytes: int = 1024
    weights: str | None = None
    packages: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("embedding",)
    architecture: str = ""
    total_parameters: int = 0
    license: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        short = (Input("image", self.bands, self.units),)
        if not self.inputs:
            object.__setattr__(self, "inputs", short)
        elif (self.bands, self.units) != (None, None) and self.inputs != short:
            # `dataclasses.replace` gives both, alike.
            self._refuse("give either bands and units, or inputs, not both")
        if self.inputs[0].optional:
            self._refuse("the first input gives the output its grid and cannot be optional")
        for word in ("halo", "overlap", "channels", "channels_per_band"):
            if getattr(self, word) < 0:
                self._refuse(f"{word} must be 0 or more, got {getattr(self, word)}")
        if self.stride < 1:
            self._refuse(f"stride must be 1 pixel or more, got {self.stride}")
        if self.align < 1:
            self._refuse(f"align must be 1 pixel or more, got {self.align}")
        if self.channels + self.channels_per_band < 1:
            self._refuse("channels or channels_per_band must be 1 or more")
        unknown = set(self.needs) - set(CONTEXT)
        if unknown:
            self._refuse(f"needs has unknown words {sorted(unknown)}; known: {CONTEXT}")
        self._check_window()

    def _check_window(self) -> None:
        if self.window is None:
            if self.overlap:
                self._refuse("overlap blends fixed windows: give window, or leave overlap at 0")
            return
        if self.window < 1 or self.window % self.unit:
            self._refuse(
                f"window must be a positive multiple of {self.unit} pixels, got {self.window}"
            )
        if self.kept <= 0:
            self._refuse(f"window {self.window} has no pixel left inside a halo of {self.halo}")
        if self.overlap % self.unit or 2 * self.overlap > self.kept:
            self._refuse(
                f"overlap must be a multiple of {self.unit} and at most half of the "
                f"{self.kept} kept pixels, got {self.overlap}"
            )

    def _refuse(self, why: str) -> None:
        raise ModelError(f"the spec of model {self.name!r} is not consistent: {why}")

    @property
    def unit(self) -> int:
        """Pixels that every window's origin and size are a multiple of."""
        return math.lcm(self.stride, self.align)

    @property
    def margin(self) -> int:
        """The halo in pixels, rounded up to a multiple of ``unit``."""
        return -(-self.halo // self.unit) * self.unit

    @property
    def kept(self) -> int:
        """Side of the square of a fixed window whose output is kept, in pixels."""
        return 0 if self.window is None else self.window - 2 * self.margin

    @property
    def step(self) -> int:
        """Distance from one window's kept square to the next, in pixels; ``unit`` if any size."""
        return self.unit if self.window is None else self.kept - self.overlap

    @property
    def takes_batch(self) -> bool:
        """Whether the model is called with a `Batch` rather than with one array."""
        return len(self.inputs) > 1 or self.time != "each" or bool(self.needs)

    def channels_for(self, bands: int) -> int:
        """Return the length of the output vector for a cube of so many bands."""
        return self.channels + self.channels_per_band * bands


@dataclass(frozen=True)
class Batch(Mapping[str, Any]):
    """What a model of several modalities, or with context, is called with.

    Parameters
    ----------
    arrays : mapping of str to array
        Modality to values, each ``(sample, time, band, y, x)``, on the grid of the first
        modality (a modality without place has y = x = 1). A modality that is absent is
        not in the mapping.
    time : mapping of str to array
        Modality to datetime64 dates, ``(time,)``; for the first modality of a model with
        ``time="each"``, ``(sample, 1)``, since each sample is a date.
    mask : mapping of str to array
        Modality to booleans of the shape of its values, True where bad.
    latlon : array, shape (sample, 2, y, x), optional
        Degrees north and east of each pixel's centre.
    center_wavelength : mapping of str to array, optional
        Modality to micrometres, ``(band,)``.
    gsd : mapping of str to float, optional
        Modality to pixel size in metres.
    at : array of datetime64, optional
        Dates that the output is asked for, ``(date,)``, where they are not those of the first
        modality.
    """

    arrays: Mapping[str, Any]
    time: Mapping[str, Any] = field(default_factory=dict)
    mask: Mapping[str, Any] = field(default_factory=dict)
    latlon: Any = None
    center_wavelength: Mapping[str, Any] = field(default_factory=dict)
    gsd: Mapping[str, float] = field(default_factory=dict)
    at: Any = None

    def __getitem__(self, modality: str) -> Any:
        return self.arrays[modality]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


@runtime_checkable
class Exportable(Protocol):
    """A model that is one torch module: backends may convert it, and run it faster.

    Only for models that are called with one array; others are called as they are.
    """

    def module(self) -> Any:
        """Return the module: on the CPU, for evaluation, ``(sample, band, y, x)`` to vectors."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns pixels into vectors.

    Called with one array ``(sample, band, y, x)`` and returning ``(sample, channel, y / stride,
    x / stride)`` when the spec asks for one image and no context; else with a `Batch`, returning
    ``(sample, [time,] channel, y / stride, x / stride)``. ``[time]`` only for ``time="sequence"``.
    """

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        ...

    def __call__(self, x: Any, /) -> Any:
        """Return the vectors of a batch."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Turns pixels into class scores; called like an `Embedder`, one channel per class.

    The scores are logits: the largest wins, and their softmax are probabilities.
    """

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself; ``classes`` names the channels."""
        ...

    def __call__(self, x: Any, /) -> Any:
        """Return the scores of a batch."""
        ...


@runtime_checkable
class CloudDetector(Protocol):
    """Tells how likely each pixel is to be bad: cloud, shadow, or whatever it looks for.

    Called like an `Embedder` of one channel: the probability that a pixel is bad, 0 to 1.
    A detector may have an attribute ``threshold``, the probability from which on a pixel is
    masked where the user gives none (0.5 without), and an attribute ``shadows``, whether it
    looks for cloud shadows too (False without).
    """

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself; one channel."""
        ...

    def __call__(self, x: Any, /) -> Any:
        """Return the probability of a batch, ``(sample, 1, y, x)``."""
        ...


@runtime_checkable
class GapFiller(Protocol):
    """Estimates the values of a series on dates on which nothing was seen.

    Called with a `Batch` whose first modality has NaN where a pixel is bad; returns
    ``(sample, date, band, y, x)`` in the units of its input, one date for each of ``batch.at``
    or, where that is None, for each date of the first modality. NaN where it has nothing to
    say. Values at clear pixels of the cube's own dates are what the filler believes of them:
    the verb puts the observed ones back unless smoothing is asked for.

    Its spec says ``time="sequence"``, ``missing="nan"``, ``needs=("time",)`` and
    ``channels_per_band=1``; or 2, for the values of all bands followed by their standard
    deviations in the same units.
    """

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        ...

    def __call__(self, batch: Any, /) -> Any:
        """Return the values of a batch."""
        ...
