import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels.lattice import Lattice, find_lattice

FLOATS = ["f2", "f4", "f8"]


def packed(offset, step, dtype="f4", most=5000):
    numbers = np.random.default_rng(0).integers(0, most, 2000)
    return numbers, (offset + numbers * step).astype(dtype)


@pytest.mark.parametrize("offset", [0.0, 276.7568359375, -31.337, 1e4 / 3])
@pytest.mark.parametrize("exponent", [-9, -3, 0, 4])
def test_a_packed_field_gives_its_integers_back(offset, exponent):
    numbers, values = packed(offset, 2.0**exponent)
    lattice = find_lattice(values)
    assert lattice.spacing == 2.0**exponent
    made = lattice.numbers(values)
    assert len(set((made - numbers).tolist())) == 1
    np.testing.assert_array_equal(lattice.values(made, values.dtype), values)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("scale", [0.1, 0.001, 0.0001])
def test_scaled_integers_are_found(dtype, scale):
    numbers = np.random.default_rng(0).integers(-3000, 9000, 500)
    for values in (numbers * scale, numbers / round(1 / scale)):
        lattice = find_lattice(values.astype(dtype))
        np.testing.assert_array_equal(lattice.numbers(values.astype(dtype)), numbers)


def test_values_on_both_sides_of_a_power_of_two():
    # Above 256 the offset loses a digit, so that differences are no multiples of the step.
    _, values = packed(225.92199707, 2.0**-9, most=30000)
    assert values.min() < 256 < values.max()
    assert find_lattice(values).spacing == 2.0**-9


@given(
    st.sampled_from(FLOATS).flatmap(
        lambda d: hnp.arrays(
            d, st.integers(1, 30), elements={"allow_nan": False, "allow_infinity": False}
        )
    )
)
def test_what_is_found_is_exact(values):
    lattice = find_lattice(values)
    if lattice is not None:
        made = lattice.values(lattice.numbers(values), values.dtype)
        assert made.tobytes() == values.tobytes()


def test_noise_has_no_lattice():
    draw = np.random.default_rng(0)
    assert find_lattice(draw.normal(size=1000).astype("f4")) is None
    assert find_lattice(draw.normal(size=1000)) is None


def test_negative_zero_has_no_lattice():
    assert find_lattice(np.array([0.0, -0.0, 1.0])) is None


def test_values_too_far_apart_have_no_lattice():
    assert find_lattice(np.array([-1.7e308, 1.7e308])) is None


def test_by_hand():
    assert Lattice(1.0, 0.5).values(np.array([0, 3]), np.dtype("f4")).tolist() == [1.0, 2.5]
    assert Lattice(0.0, 10.0, divide=True).numbers(np.array([0.3])).tolist() == [3]
