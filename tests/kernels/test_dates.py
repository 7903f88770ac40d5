import numpy as np

from xeo.kernels.dates import days_of


def test_days_since_1970_with_their_hours():
    dates = np.array(["1969-12-31", "1970-01-02T06:00", "2020-01-01"], "datetime64[s]")
    assert days_of(dates).tolist() == [-1.0, 1.25, 18262.0]
