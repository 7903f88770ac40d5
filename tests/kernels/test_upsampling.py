import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.upsampling import (
    Repeats,
    find_near_repeats,
    find_period,
    find_repeats,
    keep_once,
    keep_usual,
    repeat,
)

SIDES = st.integers(1, 7)


@given(SIDES, SIDES, st.data())
def test_repeated_pixels_are_found_and_restored(fy, fx, data):
    phase = (data.draw(st.integers(0, fy - 1)), data.draw(st.integers(0, fx - 1)))
    coarse = np.arange(2 * 6 * 5).reshape(2, 6, 5)
    fine = coarse.repeat(fy, 1).repeat(fx, 2)
    cut = (-phase[0]) % fy, (-phase[1]) % fx
    fine = fine[:, cut[0] :, cut[1] :]
    rows, columns = find_repeats(fine)
    assert (rows, columns) == (Repeats(fy, phase[0]), Repeats(fx, phase[1]))
    kept = keep_once(fine, rows, columns)
    np.testing.assert_array_equal(kept, coarse)
    np.testing.assert_array_equal(repeat(kept, rows, columns, fine.shape[-2:]), fine)


@given(st.lists(st.booleans(), max_size=40))
def test_what_is_found_is_true(same):
    same = np.array(same, bool)
    found = find_period(same)
    groups = found.source(len(same) + 1)
    assert groups[0] == 0
    assert same[groups[1:] == groups[:-1]].all()
    firsts = found.firsts(len(same) + 1)
    np.testing.assert_array_equal(np.unique(groups, return_index=True)[1], firsts)


def test_a_date_that_repeats_less_decides():
    x = np.arange(16).reshape(4, 4).repeat(4, 0).repeat(4, 1)
    finer = np.arange(64).reshape(8, 8).repeat(2, 0).repeat(2, 1)
    assert find_repeats(np.stack([x, finer])) == (Repeats(2), Repeats(2))


def test_a_last_row_of_its_own_counts():
    x = np.ones((4, 4), int)
    x[3, 0] = 0
    rows, columns = find_repeats(x)
    made = repeat(keep_once(x, rows, columns), rows, columns, x.shape)
    np.testing.assert_array_equal(made, x)


def test_by_hand():
    rows, columns = find_repeats(np.array([[1, 2, 2, 3, 3, 4], [1, 2, 2, 3, 3, 4]]))
    assert rows == Repeats(1, 0)
    assert columns == Repeats(2, 1)
    assert columns.firsts(6).tolist() == [0, 1, 3, 5]
    assert columns.source(6).tolist() == [0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (3, 2, 2)])
def test_small_arrays_have_no_repetition_to_speak_of(shape):
    x = np.arange(np.prod(shape)).reshape(shape)
    assert find_repeats(x) == (Repeats(), Repeats())


@pytest.mark.parametrize("phase", [0, 1])
def test_repetition_with_exceptions_is_found(phase):
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 9000, (3, 20, 20))
    fine = coarse.repeat(2, 1).repeat(2, 2)[:, phase:, phase:]
    spoilt = fine.copy()
    spoilt[draw.random(fine.shape) < 0.02] = 12345
    rows, columns = find_near_repeats(spoilt)
    assert (rows, columns) == (Repeats(2, phase), Repeats(2, phase))
    usual = repeat(keep_usual(spoilt, rows, columns), rows, columns, fine.shape[1:])
    assert (usual == fine).mean() > 0.99
    assert find_repeats(spoilt) == (Repeats(), Repeats())


def test_flat_fields_and_noise_do_not_repeat():
    draw = np.random.default_rng(0)
    assert find_near_repeats(np.zeros((2, 20, 20))) == (Repeats(), Repeats())
    assert find_near_repeats(draw.random((2, 20, 20))) == (Repeats(), Repeats())
    assert find_near_repeats(np.zeros((1, 1))) == (Repeats(), Repeats())
