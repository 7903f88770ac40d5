import numpy as np
import pytest

from xeo.errors import OptionError
from xeo.models.gap_fillers.whittaker import Whittaker
from xeo.spec import Batch, GapFiller
from xeo.testing import EmbedderTests, make_batch


class TestWhittaker(EmbedderTests):
    model = Whittaker()
    batch = make_batch(Whittaker().spec, dates=9)
    protocol = GapFiller

    def test_known_answer(self):
        # Two clear dates of three: the line through them.
        x = np.array([1.0, np.nan, 3.0], "f4").reshape(1, 3, 1, 1, 1)
        dates = np.array(["2020-01-01", "2020-01-02", "2020-01-05"], "datetime64[ns]")
        batch = Batch({"image": x}, {"image": dates}, {"image": np.isnan(x)})
        made = Whittaker(lmbda=1.0)(batch)
        np.testing.assert_allclose(made.ravel(), [1, 1.5, 3], rtol=1e-6)


class TestChosenWhittaker(EmbedderTests):
    model = Whittaker(lmbda="vcurve", order=1, robust="bisquare", upper_envelope=0.9, iterations=2)
    batch = make_batch(Whittaker().spec, dates=9)
    protocol = GapFiller


@pytest.mark.parametrize(
    "wrong",
    [
        {"lmbda": 0.0},
        {"lmbda": float("nan")},
        {"lmbda": "best"},
        {"order": 4},
        {"upper_envelope": 1.0},
        {"iterations": 0},
        {"robust": True},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(OptionError, match="Try"):
        Whittaker(**wrong)
