import numpy as np

from xeo.models.gap_fillers.previous import Previous
from xeo.spec import Batch
from xeo.testing import EmbedderTests


class TestPrevious(EmbedderTests):
    model = Previous()


def test_asked_dates_repeat_a_clear_one():
    x = np.array([0, np.nan, 8], "f4").reshape(1, 3, 1, 1, 1)
    dates = np.array(["2020-01-01", "2020-01-02", "2020-01-05"], "M8[ns]")
    at = np.array(["2020-01-03", "2020-01-04"], "M8[ns]")
    batch = Batch({"image": x}, time={"image": dates}, mask={"image": np.isnan(x)}, at=at)
    np.testing.assert_array_equal(Previous()(batch).ravel(), [0, 0])
