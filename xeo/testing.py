"""Suites that prove that a model keeps the promises of its spec; for authors of plugins.

Subclass one in a test file; pytest runs what it inherits::

    class TestMine(EmbedderTests):
        model = Mine()

``model`` may also be a fixture of that name, and so may ``batch``, the input of the checks,
which is random where it is not given.
"""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.kernels.namespace import namespace_of
from xeo.lazy import require
from xeo.models.adapters.calling import output_shape
from xeo.spec import Batch, Classifier, CloudDetector, Embedder, Input, ModelSpec

#: Units to the range of the random values; fractions where a spec names none.
_RANGES = {
    None: (0.0, 1.0),
    "reflectance": (0.01, 0.6),
    "dn": (100.0, 6000.0),
    "db": (-25.0, -5.0),
    "power": (0.003, 0.3),
    "kelvin": (250.0, 310.0),
    "celsius": (-20.0, 35.0),
    "metre": (0.0, 3000.0),
    "degree": (0.0, 45.0),
    "mm": (0.0, 300.0),
}
_LARGEST_PICKLE = 100_000


def make_batch(
    spec: ModelSpec,
    samples: int = 2,
    size: int | None = None,
    dates: int = 3,
    bands: int = 3,
    seed: int = 0,
) -> Any:
    """Make a random input that fits a spec.

    Parameters
    ----------
    spec : ModelSpec
        What the model says of itself.
    samples : int
        Number of samples.
    size : int, optional
        Side of the image, in pixels. Default: the window; or else room for some output pixels
        inside the halo.
    dates : int
        Length of the time axis where the model reads series; 1 otherwise.
    bands : int
        Bands where the spec takes any.
    seed : int
        Of the values.

    Returns
    -------
    array or Batch
        float32 ``(sample, band, y, x)``, uniform in a range that is usual for the units; or a
        `Batch` of all modalities, the optional ones too, on one monthly time axis from
        2020, with what the spec needs: places in Flanders, wavelengths from 0.4 micrometres,
        pixels of 10 metres, masks without a bad pixel. Weather has no place: y = x = 1.
    """
    rng = np.random.default_rng(seed)
    size = size or spec.window or _roomy(spec)
    length = 1 if spec.time == "each" else dates
    arrays = {
        item.modality: _values(rng, item, (samples, length), size, bands) for item in spec.inputs
    }
    if not spec.takes_batch:
        return arrays[spec.inputs[0].modality][:, 0]
    return Batch(arrays, **_context(spec, arrays, rng))


def _roomy(spec: ModelSpec) -> int:
    unit = math.lcm(spec.stride, getattr(spec, "align", 1))
    return max(2 * spec.margin + 3 * unit, -(-8 // unit) * unit)


def _values(
    rng: np.random.Generator, item: Input, lead: tuple[int, int], size: int, bands: int
) -> NDArray[np.float32]:
    count = bands if item.bands is None else len(item.bands)
    side = 1 if item.modality == "weather" else size
    ranges = np.array([_RANGES[item.units_of(i) if item.bands else None] for i in range(count)])
    low, high = ranges.T[:, None, None, :, None, None]
    return rng.uniform(low, high, (*lead, count, side, side)).astype(np.float32)


def _context(
    spec: ModelSpec, arrays: dict[str, NDArray[np.float32]], rng: np.random.Generator
) -> dict[str, Any]:
    first = next(iter(arrays.values()))
    samples, length, *_, ny, nx = first.shape
    dates = np.datetime64("2020-01", "M") + np.arange(length)
    stamps = dates.astype("datetime64[ns]")
    made: dict[str, Any] = {
        "time": dict.fromkeys(arrays, stamps),
        "mask": {name: np.zeros(x.shape, bool) for name, x in arrays.items()},
        "latlon": np.array([51.0, 4.0])[:, None, None] + rng.uniform(0, 0.1, (samples, 2, ny, nx)),
        "center_wavelength": {
            name: np.linspace(0.4, 2.4, x.shape[2]) for name, x in arrays.items()
        },
        "gsd": dict.fromkeys(arrays, 10.0),
    }
    if spec.time == "each":
        # Each sample is a date of its own.
        own = np.datetime64("2020-01", "M") + np.arange(samples)[:, None]
        made["time"][next(iter(arrays))] = own.astype("datetime64[ns]")
    return {word: made[word] for word in spec.needs}


class EmbedderTests:
    """Checks of an `Embedder`.

    Attributes
    ----------
    model : Embedder
        What is checked; or leave it out and define a fixture ``model``.
    batch : array or Batch, optional
        What it is called with; or a fixture ``batch``; random values by default. Two or more
        samples, in numpy.
    array_kinds : tuple of str
        Libraries whose arrays the model takes and returns: of ``"numpy"``, ``"torch"`` and
        ``"cupy"``. Only for models of one array.
    gain : float
        By what the pixels beyond the halo are multiplied, beside being mirrored, to see that
        they change nothing; 1 for codes, which other numbers are not.
    rtol, atol : float
        How far outputs of equal inputs may be apart.
    """

    model: Any = None
    batch: Any = None
    protocol: Any = Embedder
    array_kinds: tuple[str, ...] = ("numpy",)
    gain: float = 0.9
    rtol: float = 1e-5
    atol: float = 1e-5

    def test_has_the_protocol(self, request: Any) -> None:
        """It has a spec, and can be called."""
        model, _ = self._setup(request)
        assert isinstance(model, self.protocol)
        assert isinstance(model.spec, ModelSpec)
        assert model.spec == model.spec

    def test_declared_shape_and_dtype(self, request: Any) -> None:
        """Outputs have the shape, type and kind that the spec declares."""
        model, batch = self._setup(request)
        out = model(batch)
        assert out.shape == output_shape(model.spec, batch)
        assert out.dtype == np.dtype(model.spec.dtype)
        assert isinstance(out, np.ndarray)

    def test_output_is_finite(self, request: Any) -> None:
        """Complete inputs give complete outputs, which are not all the same."""
        model, batch = self._setup(request)
        out = model(batch)
        assert np.isfinite(out).all()
        assert out.std() > 0

    def test_is_pure(self, request: Any) -> None:
        """Inputs stay as they are, even if read-only, and give the same output twice."""
        model, batch = self._setup(request)
        before = copy.deepcopy(batch)
        for array in _arrays(batch):
            array.flags.writeable = False
        first, second = model(batch), model(batch)
        np.testing.assert_array_equal(first, second)
        for left, right in zip(_arrays(before), _arrays(batch), strict=True):
            np.testing.assert_array_equal(left, right)

    def test_pickles_small_and_equal(self, request: Any) -> None:
        """It travels in less than 100 kB, after a call too, and is the same on arrival."""
        model, batch = self._setup(request)
        out = model(batch)
        sent = pickle.dumps(model)
        assert len(sent) < _LARGEST_PICKLE
        back = pickle.loads(sent)
        assert back == model
        assert hash(back) == hash(model)
        np.testing.assert_allclose(back(batch), out, self.rtol, self.atol)

    def test_is_frozen(self, request: Any) -> None:
        """It is a key of the modules of a process, so it must not change."""
        model, _ = self._setup(request)
        assert {model: 1}[copy.copy(model)] == 1
        with require("pytest", purpose="test a model").raises(AttributeError):
            model.spec = None

    def test_samples_are_independent(self, request: Any) -> None:
        """A sample gives the same vector alone and among others."""
        model, batch = self._setup(request)
        together = model(batch)
        alone = [model(_pick(batch, number)) for number in range(len(together))]
        np.testing.assert_allclose(np.concatenate(alone), together, self.rtol, self.atol)

    def test_halo_is_true(self, request: Any) -> None:
        """Pixels beyond the halo of an output pixel do not change it."""
        model, batch = self._setup(request)
        spec, first = model.spec, _first(model.spec, batch)
        if spec.window is not None:
            require("pytest", purpose="test a model").skip("every window is read whole")
        unit = math.lcm(spec.stride, getattr(spec, "align", 1))
        middle = first.shape[-1] // unit // 2 * unit
        near = slice(max(0, middle - spec.halo), middle + unit + spec.halo)
        cells = slice(middle // spec.stride, (middle + unit) // spec.stride)
        changed = _change_outside(batch, near, first.shape[-2:], self.gain)
        before, after = model(batch), model(changed)
        assert not np.array_equal(before, after), "the input has no pixel beyond the halo"
        np.testing.assert_allclose(
            after[..., cells, cells], before[..., cells, cells], self.rtol, self.atol
        )

    def test_missing_pixels_are_survived(self, request: Any) -> None:
        """Where the spec takes NaN, an input of nothing but NaN raises and warns of nothing."""
        model, batch = self._setup(request)
        if model.spec.missing != "nan":
            require("pytest", purpose="test a model").skip("bad pixels are filled beforehand")
        out = model(_map(batch, lambda x: np.full_like(x, np.nan)))
        assert out.shape == output_shape(model.spec, batch)

    def test_array_kinds(self, request: Any) -> None:
        """Arrays of other libraries give the same numbers in their own kind."""
        model, batch = self._setup(request)
        kinds = self.array_kinds if not model.spec.takes_batch else ()
        out = model(batch)
        for kind in kinds:
            library = require(kind, purpose="test a model")
            given = library.asarray(batch.copy())
            made = model(given)
            assert namespace_of(made) is library
            assert made.device == given.device
            host = made.get() if kind == "cupy" else made
            np.testing.assert_allclose(np.asarray(host), out, self.rtol, self.atol)

    def _setup(self, request: Any) -> tuple[Any, Any]:
        """Return the model and its own copy of the input."""
        model = self._given(request, "model")
        if model is None:
            raise NotImplementedError(f"{type(self).__name__} needs a model, or a fixture model")
        batch = self._given(request, "batch")
        return model, make_batch(model.spec) if batch is None else copy.deepcopy(batch)

    def _given(self, request: Any, name: str) -> Any:
        # A fixture in the class hides the attribute behind an object of pytest's.
        value = getattr(self, name)
        if value is None or type(value).__module__.partition(".")[0] == "_pytest":
            return _fixture(request, name)
        return value


class ClassifierTests(EmbedderTests):
    """Checks of a `Classifier`: those of an embedder, and a name for each channel."""

    protocol: Any = Classifier

    def test_every_channel_has_a_name(self, request: Any) -> None:
        """The spec names as many classes as there are channels, each once."""
        model, batch = self._setup(request)
        bands = _first(model.spec, batch).shape[-3]
        assert len(set(model.spec.classes)) == len(model.spec.classes)
        assert len(model.spec.classes) == model.spec.channels_for(bands)


class CloudDetectorTests(EmbedderTests):
    """Checks of a `CloudDetector`: those of an embedder, and that it gives a probability.

    A detector of codes needs a ``batch`` of codes and a ``gain`` of 1.
    """

    protocol: Any = CloudDetector

    def test_gives_a_probability(self, request: Any) -> None:
        """One channel from 0 to 1."""
        model, batch = self._setup(request)
        out = model(batch)
        assert out.shape[-3] == 1
        assert out.min() >= 0
        assert out.max() <= 1

    def test_says_where_it_masks(self, request: Any) -> None:
        """The threshold lies between 0 and 1, and whether it finds shadows is a yes or a no."""
        model, _ = self._setup(request)
        assert 0 < getattr(model, "threshold", 0.5) < 1
        assert getattr(model, "shadows", False) in (True, False)
        assert "cloud-detection" in model.spec.tasks

    def test_reads_bands_or_one_layer_of_codes(self, request: Any) -> None:
        """It names its bands, or the labels of the quality layer it reads, and not both."""
        model, _ = self._setup(request)
        named = getattr(model, "quality", ())
        assert isinstance(named, tuple)
        assert bool(named) != bool(model.spec.inputs[0].bands)


def _fixture(request: Any, name: str) -> Any:
    pytest = require("pytest", purpose="test a model")
    try:
        return request.getfixturevalue(name)
    except pytest.FixtureLookupError:
        return None


def _first(spec: ModelSpec, batch: Any) -> Any:
    return batch[spec.inputs[0].modality] if spec.takes_batch else batch


def _arrays(batch: Any) -> list[Any]:
    """Return all arrays of an input, with those of its context."""
    if not isinstance(batch, Batch):
        return [batch]
    parts = (batch.arrays, batch.time, batch.mask, batch.center_wavelength)
    context = [] if batch.latlon is None else [batch.latlon]
    return [array for part in parts for array in part.values()] + context


def _map(batch: Any, change: Any) -> Any:
    """Change the values of all modalities."""
    if not isinstance(batch, Batch):
        return change(batch)
    arrays = {name: change(x) for name, x in batch.items()}
    return Batch(arrays, batch.time, batch.mask, batch.latlon, batch.center_wavelength, batch.gsd)


def _pick(batch: Any, number: int) -> Any:
    """Return one sample."""
    one = slice(number, number + 1)
    if not isinstance(batch, Batch):
        return batch[one]
    picked = _map(batch, lambda x: x[one])
    time = {name: t[one] if t.ndim == 2 else t for name, t in batch.time.items()}
    mask = {name: m[one] for name, m in batch.mask.items()}
    latlon = None if batch.latlon is None else batch.latlon[one]
    return Batch(picked.arrays, time, mask, latlon, batch.center_wavelength, batch.gsd)


def _change_outside(batch: Any, near: slice, size: tuple[int, int], gain: float) -> Any:
    """Mirror and scale all pixels but those of a square; arrays of other sizes stay."""

    def change(x: Any) -> Any:
        if x.shape[-2:] != size:
            return x
        out = x[..., ::-1, ::-1] * np.float32(gain)
        out[..., near, near] = x[..., near, near]
        return out

    return _map(batch, change)
