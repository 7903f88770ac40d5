import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels.bins import FloatBins, IntegerBins, LatticeBins, LogBins, TableBins
from xeo.kernels.lattice import Lattice

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "i8", "u8"]


@given(
    st.sampled_from(INTEGERS).flatmap(lambda d: hnp.arrays(d, st.integers(1, 40))),
    st.integers(0, 2**40),
)
def test_integers_stay_within_half_a_bin(values, half):
    low, high = int(values.min()), int(values.max())
    bins = IntegerBins(low, high, half)
    made = bins.values(bins.numbers(values), values.dtype)
    assert made.dtype == values.dtype
    for x, y in zip(values.tolist(), made.tolist(), strict=True):
        assert abs(x - y) <= half
        assert low <= y <= high


@given(
    hnp.arrays("f8", st.integers(1, 40), elements={"min_value": -1e9, "max_value": 1e9}),
    st.floats(1e-3, 1e3),
)
def test_floats_stay_within_half_a_bin(values, step):
    bins = FloatBins(values.min(), values.max(), step)
    made = bins.values(bins.numbers(values), values.dtype)
    assert (np.abs(made - values) <= step / 2 * (1 + 1e-9) + 1e-6).all()
    assert values.min() <= made.min()
    assert made.max() <= values.max()


@given(
    hnp.arrays("f8", st.integers(1, 40), elements={"allow_nan": False, "allow_infinity": False}),
    st.floats(1e-6, 0.9),
)
def test_floats_stay_within_a_ratio(values, ratio):
    size = np.abs(values)
    values[(size < 1e-290)] = 0
    size = np.abs(values[values != 0])
    if not size.size:
        return
    bins = LogBins(size.min(), size.max(), ratio)
    made = bins.values(bins.numbers(values), values.dtype)
    # Logarithms of far apart magnitudes are known to some 1e-13.
    assert (np.abs(made - values) <= (ratio + 1e-12) * np.abs(values)).all()
    assert (np.sign(made) == np.sign(values)).all()


@given(hnp.arrays("i4", st.integers(1, 40)), st.floats(1e-3, 0.9))
def test_integers_stay_within_a_ratio(values, ratio):
    size = np.abs(values.astype("i8"))
    if not size.any():
        return
    bins = TableBins(int(size[size > 0].min()), int(size.max()), ratio)
    assert bins.fits
    made = bins.values(bins.numbers(values), np.dtype("i8"))
    assert (np.abs(made - values) <= ratio * size).all()


def test_small_integers_have_no_empty_bins():
    bins = TableBins(1, 40, 0.1)
    values = np.arange(-40, 41)
    numbers = bins.numbers(values)
    assert set(np.diff(numbers).tolist()) <= {0, 1}
    # The first that differ by a tenth: 9 can stand for 10, no smaller one for its neighbour.
    np.testing.assert_array_equal(numbers[40:50], np.arange(10))
    assert numbers[40 + 10] == numbers[40 + 9]


def test_a_table_has_an_end():
    assert not TableBins(1, 2**40, 1e-9).fits
    assert not TableBins(1, 2**60, 0.5).fits


def test_by_hand():
    bins = IntegerBins(0, 10, 1)
    assert bins.numbers(np.arange(11)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert bins.values(np.arange(4), np.dtype("u1")).tolist() == [1, 4, 7, 10]
    lattice = LatticeBins(Lattice(100.0, 0.5), bins)
    assert lattice.numbers(np.array([100.0, 101.5])).tolist() == [0, 1]
    assert lattice.values(np.arange(2), np.dtype("f4")).tolist() == [100.5, 102.0]


@pytest.mark.parametrize("number", [2**40, 2**63])
def test_bins_beyond_the_last_stay_inside(number):
    far = np.array([number], "u8")
    assert IntegerBins(0, 10, 1).values(far, np.dtype("u1"))[0] == 10
    near = np.array([2**40])
    assert FloatBins(0.0, 10.0, 1.0).values(near, np.dtype("f4"))[0] == 10
    assert LogBins(1.0, 10.0, 0.1).values(near, np.dtype("f4"))[0] == 10
    assert TableBins(1, 10, 0.01).values(near, np.dtype("u1"))[0] == 10
