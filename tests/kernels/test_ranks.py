import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp

from xeo.kernels.ranks import from_ranks, to_ranks, used_integers


def sparse(shape=(3, 2, 60, 60)):
    draw = np.random.default_rng(0)
    return (draw.integers(0, 40, shape) * np.arange(1, 4)[:, None, None, None]).astype("u8")


def test_numbers_have_no_gaps_and_come_back():
    values = sparse()
    used = used_integers(values, int(values.max()))
    ranks = to_ranks(values, used)
    assert ranks.max() == 39
    np.testing.assert_array_equal(from_ranks(ranks, used), values)


def test_without_gaps_there_is_nothing_to_number():
    values = np.random.default_rng(0).integers(0, 200, (2, 1, 60, 60), "u8")
    assert used_integers(values, 199) is None


def test_lists_that_would_fill_the_memory_are_not_made():
    values = np.zeros((2, 1, 4, 4), "u8")
    values[0] = 2**40
    assert used_integers(values, 2**40) is None


@given(hnp.arrays("u8", (1, 2, 3, 3), elements={"max_value": 20}))
def test_any_integers_come_back(values):
    used = np.zeros((1, 2, 21), bool)
    for plane in np.ndindex(1, 2):
        used[plane][values[plane]] = True
    np.testing.assert_array_equal(from_ranks(to_ranks(values, used), used), values)


def test_numbers_beyond_the_last_stand_for_the_last():
    used = np.zeros((1, 1, 9), bool)
    used[0, 0, [2, 5]] = True
    assert from_ranks(np.full((1, 1, 1, 1), 7, "u8"), used).item() == 5
    assert from_ranks(np.full((1, 1, 1, 1), 7, "u8"), np.zeros((1, 1, 9), bool)).item() == 0
