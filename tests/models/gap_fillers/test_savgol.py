import numpy as np
import pytest

from xeo.errors import OptionError
from xeo.models.gap_fillers.savgol import SavitzkyGolay
from xeo.spec import Batch
from xeo.testing import EmbedderTests


class TestSavitzkyGolay(EmbedderTests):
    model = SavitzkyGolay(window=70, upper_envelope=1)


def test_a_parabola_is_filled_without_error():
    day = np.array([0, 3, 4, 8, 9, 13, 15, 20])
    x = (0.01 * day**2 - 0.1 * day).astype("f4").reshape(1, 8, 1, 1, 1)
    mask = np.isin(day, [8, 13]).reshape(x.shape)
    dates = np.datetime64("2020-01-01", "ns") + day * np.timedelta64(1, "D")
    batch = Batch({"image": np.where(mask, np.nan, x)}, {"image": dates}, {"image": mask})
    np.testing.assert_allclose(SavitzkyGolay()(batch), x, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 0}, "window must be a positive number of days, got 0"),
        ({"degree": 7}, "degree must be 0 to 6, got 7"),
        ({"upper_envelope": -1}, "upper_envelope must be 0 to 100 rounds, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(OptionError, match=message):
        SavitzkyGolay(**settings)
