import numpy as np

from xeo.models.embedders.band_stats import BandStats
from xeo.testing import EmbedderTests


class TestBandStats(EmbedderTests):
    model = BandStats()
    array_kinds = ("numpy", "torch")

    def test_known_answer(self):
        x = np.array([[[[1, 3], [5, 7]], [[0, 0], [0, np.nan]]]], "f4")
        made = BandStats(stride=2)(x)
        np.testing.assert_allclose(made.ravel(), [4, 0, np.sqrt(5), 0], rtol=1e-6)

    def test_digital_numbers_are_taken(self):
        x = np.full((1, 2, 4, 4), 60_000, "u2")
        np.testing.assert_array_equal(BandStats()(x).ravel(), [60_000, 60_000, 0, 0])


class TestCoarseBandStats(EmbedderTests):
    model = BandStats(stride=7)
