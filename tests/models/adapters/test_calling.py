import numpy as np
import pytest

from xeo.errors import ModelError
from xeo.models.adapters.calling import check_output, in_pieces, output_shape
from xeo.spec import ModelSpec
from xeo.testing import make_batch


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        ({}, (2, 7, 4, 4)),
        ({"time": "series"}, (2, 7, 4, 4)),
        ({"time": "sequence"}, (2, 3, 7, 4, 4)),
        ({"needs": ("latlon",)}, (2, 7, 4, 4)),
    ],
)
def test_promised_shapes(words, shape):
    spec = ModelSpec("m", channels=1, channels_per_band=2, stride=2, **words)
    assert output_shape(spec, make_batch(spec, size=8)) == shape


def test_a_wrong_axis_of_time_is_named():
    spec = ModelSpec("m", channels=1, time="sequence")
    with pytest.raises(ModelError, match=r"\(sample, time, channel, y, x\) of \(2, 3, 1, 8, 8\)"):
        check_output(spec, make_batch(spec, size=8), np.zeros((2, 1, 8, 8)))


@pytest.mark.parametrize("samples", [1, 3, 4, 7])
def test_pieces_are_of_one_size_and_lose_nothing(samples):
    x, sizes = np.arange(samples * 2).reshape(samples, 2), []

    def double(piece):
        sizes.append(len(piece))
        return piece * 2

    np.testing.assert_array_equal(in_pieces(double, x, 3), x * 2)
    assert set(sizes) == {3}
