import subprocess
import sys

import numpy as np
import pytest

from xeo.errors import BandError, OptionError
from xeo.kernels.whitening import draw_patches
from xeo.models.embedders.mosaiks import Filters, Mosaiks
from xeo.testing import EmbedderTests

IMAGE = np.random.default_rng(0).random((2, 3, 40, 48), "f4")


class TestMosaiks(EmbedderTests):
    model = Mosaiks()
    array_kinds = ("numpy", "torch")

    def test_vectors_scale_with_the_units(self):
        np.testing.assert_allclose(
            self.model(IMAGE * 10_000), self.model(IMAGE) * 10_000, rtol=1e-4, atol=0.1
        )

    def test_seeds_differ_and_repeat(self):
        one, same, other = (Mosaiks(seed=seed)(IMAGE) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert not np.allclose(one, other)

    def test_filters_are_those_of_every_release(self):
        # The first values of numpy.random.RandomState(0), over the root of 4 values.
        first = Mosaiks(features=2, patch=2)._filters(1)
        want = np.array([1.76405235, 0.40015721, 0.97873798, 2.2408932]) / 2
        np.testing.assert_allclose(first.ravel(), want, rtol=1e-6)

    def test_halves_are_the_two_signs(self):
        made = self.model(IMAGE)
        negated = self.model(-IMAGE)
        np.testing.assert_allclose(made[:, :128], negated[:, 128:], atol=1e-5)

    def test_runs_without_torch(self):
        code = (
            "import sys; sys.modules['torch'] = None; import numpy as np; "
            "from xeo.models.embedders.mosaiks import Mosaiks; "
            "assert Mosaiks()(np.ones((1, 2, 8, 8), 'f4')).shape == (1, 256, 1, 1)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestMosaiksWithBias(EmbedderTests):
    model = Mosaiks(features=6, patch=6, stride=4, bias=0.05)
    array_kinds = ("numpy", "torch")


class TestMosaiksFromPatches(EmbedderTests):
    model = Mosaiks.from_patches(draw_patches(IMAGE, 500, 5), features=64, stride=4)
    array_kinds = ("numpy", "torch")

    def test_settings_follow_the_patches(self):
        assert (self.model.features, self.model.patch, self.model.stride) == (64, 5, 4)
        assert self.model.patches.shape == (32, 3, 5, 5)

    def test_brightness_is_left_out(self):
        made, brighter = self.model(IMAGE), self.model(IMAGE + 1)
        np.testing.assert_allclose(made, brighter, atol=2e-3 * made.max())

    def test_another_number_of_bands_is_refused(self):
        with pytest.raises(BandError, match="the 3 bands that the patches were drawn from, got 4"):
            self.model(np.zeros((1, 4, 8, 8), "f4"))


def test_all_patches_are_taken_by_default():
    assert Mosaiks.from_patches(draw_patches(IMAGE, 10, 3)).features == 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": 7}, "even number of features, two for each filter, got 7"),
        ({"features": 0}, "even number"),
        ({"patch": 0}, "patch of 1 pixel or more, got 0"),
        ({"stride": -1}, "stride of 1 pixel or more, got -1"),
        ({"seed": -1}, "seed from 0 to 4294967295, got -1"),
        ({"patches": Filters(b"", (2, 1, 3, 3))}, "expected 128 filters of 3 pixels a side"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(OptionError, match=message):
        Mosaiks(**settings)


def test_patches_must_be_complete_and_enough():
    patches = draw_patches(IMAGE, 10, 3)
    with pytest.raises(OptionError, match="expected 11 patches for 22 features, got 10"):
        Mosaiks.from_patches(patches, features=22)
    patches[3, 0, 0, 0] = np.nan
    with pytest.raises(OptionError, match="complete patches"):
        Mosaiks.from_patches(patches)
