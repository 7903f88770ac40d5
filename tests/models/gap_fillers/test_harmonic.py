import numpy as np
import pytest

from xeo.errors import OptionError
from xeo.models.gap_fillers.harmonic import Harmonic
from xeo.spec import Batch, GapFiller
from xeo.testing import EmbedderTests, make_batch


class TestHarmonic(EmbedderTests):
    model = Harmonic()
    batch = make_batch(Harmonic().spec, dates=36)
    protocol = GapFiller

    def test_known_answer(self):
        dates = np.arange("2019-01-01", "2022-01-01", 15, dtype="datetime64[D]")
        days = dates.astype(float)
        truth = 2 + np.sin(2 * np.pi * days / 365.25)
        x = truth.astype("f4").reshape(1, -1, 1, 1, 1)
        bad = np.zeros(x.shape, bool)
        bad[:, 20:26] = True
        x[bad] = np.nan
        batch = Batch({"image": x}, {"image": dates.astype("datetime64[ns]")}, {"image": bad})
        made = Harmonic(ridge=0.0)(batch)
        np.testing.assert_allclose(made.ravel(), truth, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frequencies": 11},
        {"period": 0.0},
        {"decay": -1.0},
        {"ridge": -0.1},
        {"outliers": "above"},
        {"residuals": True},
        {"iterations": -1},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(OptionError, match="Try"):
        Harmonic(**wrong)
