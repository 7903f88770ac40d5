"""The suites must fail for models that break a promise: each test here breaks one."""

from dataclasses import dataclass

import numpy as np
import pytest

from xeo.models.embedders.band_stats import BandStats
from xeo.spec import Batch, Classifier, Input, ModelSpec
from xeo.testing import ClassifierTests, EmbedderTests, make_batch


@dataclass(frozen=True)
class Good:
    """Sum of a pixel and its neighbour to the right."""

    name: str = "good"

    @property
    def spec(self):
        return ModelSpec("good", bands=("red",), halo=1, channels=1, missing="nan")

    def __call__(self, x):
        return x + np.concatenate([x[..., 1:], x[..., -1:]], -1)


class Liar(Good):
    def __call__(self, x):
        return super().__call__(x)[:, :, 1:]


class Double(Good):
    def __call__(self, x):
        return super().__call__(x).astype("f8")


class Constant(Good):
    def __call__(self, x):
        return np.zeros_like(x)


class Writer(Good):
    def __call__(self, x):
        x += 1
        return super().__call__(x)


class Moody(Good):
    def __call__(self, x):
        return super().__call__(x) + np.random.default_rng().random()


class Fat(Good):
    def __reduce__(self):
        return type(self), ("0" * 200_000,)


@dataclass
class Soft:
    spec: ModelSpec = Good().spec
    __hash__ = None

    def __call__(self, x):
        return Good()(x)


class Leaky(Good):
    def __call__(self, x):
        return super().__call__(x) - x.mean(0, keepdims=True)


class Global(Good):
    def __call__(self, x):
        return super().__call__(x) - x.mean((-2, -1), keepdims=True)


class Fragile(Good):
    def __call__(self, x):
        assert not np.isnan(x).all()
        return super().__call__(x)


class NumpyOnly(Good):
    def __call__(self, x):
        return super().__call__(np.asarray(x))


CHECKS = [name for name in dir(EmbedderTests) if name.startswith("test_")]


def failing(model, request, suite=EmbedderTests, kinds=("numpy",)):
    made = suite()
    made.model, made.array_kinds = model, kinds
    failed = []
    for name in (name for name in dir(suite) if name.startswith("test_")):
        try:
            getattr(made, name)(request)
        except pytest.skip.Exception:
            continue
        except Exception:
            failed.append(name.removeprefix("test_"))
    return failed


class TestGood(EmbedderTests):
    model = Good()


class TestWithFixtures(EmbedderTests):
    @pytest.fixture
    def model(self):
        return BandStats(stride=2)

    @pytest.fixture
    def batch(self):
        return np.random.default_rng(1).random((3, 2, 10, 12), "f4")

    def test_the_fixtures_are_used(self, request):
        model, batch = self._setup(request)
        assert model.stride == 2
        assert batch.shape == (3, 2, 10, 12)


@pytest.mark.parametrize(
    ("model", "check"),
    [
        (Liar(), "declared_shape_and_dtype"),
        (Double(), "declared_shape_and_dtype"),
        (Constant(), "output_is_finite"),
        (Writer(), "is_pure"),
        (Moody(), "is_pure"),
        (Fat(), "pickles_small_and_equal"),
        (Soft(), "is_frozen"),
        (Leaky(), "samples_are_independent"),
        (Global(), "halo_is_true"),
        (Fragile(), "missing_pixels_are_survived"),
        (object(), "has_the_protocol"),
    ],
)
def test_a_broken_promise_is_found(model, check, request):
    assert check in failing(model, request)


def test_kinds_of_arrays_are_checked(request):
    assert failing(NumpyOnly(), request) == []
    assert failing(NumpyOnly(), request, kinds=("torch",)) == ["array_kinds"]


def test_names_of_classes_are_checked(request):
    assert isinstance(Good(), Classifier)
    assert failing(Good(), request, ClassifierTests) == ["every_channel_has_a_name"]


def test_a_suite_without_a_model_says_so(request):
    with pytest.raises(NotImplementedError, match="EmbedderTests needs a model"):
        EmbedderTests().test_is_pure(request)


def test_arrays_fit_the_spec():
    spec = ModelSpec("m", bands=("red", "nir"), units="dn", window=32, stride=4, channels=1)
    x = make_batch(spec, samples=4)
    assert x.shape == (4, 2, 32, 32)
    assert x.dtype == np.float32
    assert 100 <= x.min() < x.max() <= 6000
    np.testing.assert_array_equal(x, make_batch(spec, samples=4))
    assert make_batch(ModelSpec("any", channels=1), bands=5, size=9).shape == (2, 5, 9, 9)


def test_sizes_leave_room_inside_the_halo():
    spec = ModelSpec("m", halo=9, stride=4, align=6, channels=1)
    side = make_batch(spec).shape[-1]
    assert side % 12 == 0
    assert side > 2 * spec.margin


def test_batches_fit_the_spec():
    spec = ModelSpec(
        "m",
        inputs=(Input("sentinel2", ("red", "nir"), "reflectance"), Input("weather", ("t2m",))),
        time="sequence",
        needs=("time", "latlon", "mask", "gsd", "center_wavelength"),
        channels=1,
    )
    batch = make_batch(spec, samples=3, size=6, dates=4)
    assert isinstance(batch, Batch)
    assert {name: x.shape for name, x in batch.items()} == {
        "sentinel2": (3, 4, 2, 6, 6),
        "weather": (3, 4, 1, 1, 1),
    }
    assert batch.time["weather"].shape == (4,)
    assert batch.latlon.shape == (3, 2, 6, 6)
    assert batch.mask["sentinel2"].shape == (3, 4, 2, 6, 6)
    assert batch.gsd == {"sentinel2": 10.0, "weather": 10.0}
    assert batch.center_wavelength["sentinel2"].shape == (2,)


def test_dates_of_single_images_are_a_sample_each():
    spec = ModelSpec("m", needs=("time",), channels=1)
    batch = make_batch(spec, samples=3, size=4)
    assert batch["image"].shape == (3, 1, 3, 4, 4)
    assert batch.time["image"].shape == (3, 1)
    assert batch.latlon is None
