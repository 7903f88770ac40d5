import numpy as np
import pytest

from xeo.errors import OptionError
from xeo.models.gap_fillers.kalman import Kalman
from xeo.spec import Batch
from xeo.testing import EmbedderTests


class TestKalman(EmbedderTests):
    model = Kalman()
    array_kinds = ("numpy", "torch")


def test_opposite_values_on_both_sides_meet_in_the_middle():
    x = np.array([0.2, np.nan, 0.4], "f4").reshape(1, 3, 1, 1, 1)
    dates = np.array(["2020-01-01", "2020-01-03", "2020-01-05"], "M8[ns]")
    batch = Batch({"image": x}, time={"image": dates}, mask={"image": np.isnan(x)})
    assert Kalman()(batch)[0, 1, 0, 0, 0] == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("options", [{"length": 0}, {"ratio": -1}, {"freedom": 0}, {"rounds": -1}])
def test_refused(options):
    with pytest.raises(OptionError, match="Try: "):
        Kalman(**options)
