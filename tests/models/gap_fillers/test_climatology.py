import numpy as np
import pytest

from xeo.errors import OptionError
from xeo.models.gap_fillers.climatology import Climatology
from xeo.spec import Batch
from xeo.testing import EmbedderTests


class TestClimatology(EmbedderTests):
    model = Climatology()


def test_a_summer_that_clouds_hid_is_that_of_the_year_before():
    dates = np.arange("2020-01-01", "2022-01-01", 8, dtype="M8[D]").astype("M8[ns]")
    day = (dates - dates[0]) / np.timedelta64(1, "D")
    x = (0.5 - 0.3 * np.cos(2 * np.pi * day / 365.25)).astype("f4").reshape(1, -1, 1, 1, 1)
    mask = (dates > np.datetime64("2021-05-01")) & (dates < np.datetime64("2021-09-15"))
    mask = mask.reshape(x.shape)
    batch = Batch({"image": np.where(mask, np.nan, x)}, {"image": dates}, {"image": mask})
    np.testing.assert_allclose(Climatology(sigma=10)(batch), x, atol=0.02)


@pytest.mark.parametrize("word", ["sigma", "decay"])
def test_days_must_be_positive(word):
    with pytest.raises(OptionError, match=f"{word} must be a positive number of days, got 0"):
        Climatology(**{word: 0})
