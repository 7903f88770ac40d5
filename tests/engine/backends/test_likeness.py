"""What counts as the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from xeo.engine.backends.likeness import compare


def picture(*values):
    return np.array(values, "f4").reshape(1, -1, 1, 1)


def test_the_same_is_the_same():
    found = compare(picture(1, 2, 3), picture(1, 2, 3))
    assert (found.difference, found.cosine) == (0.0, pytest.approx(1.0))
    assert found.suits("exact")


def test_the_difference_is_relative_to_the_largest_number():
    assert compare(picture(1, 99), picture(0, 100)).difference == pytest.approx(0.01)


def test_the_cosine_is_that_of_the_worst_vector():
    wanted = np.zeros((1, 2, 1, 2), "f4")
    wanted[0, 0] = 1
    made = wanted.copy()
    made[0, :, 0, 1] = (0.6, 0.8)
    assert compare(made, wanted).cosine == pytest.approx(0.6)


def test_missing_values_have_to_agree():
    wanted = picture(np.nan, 1, np.inf)
    assert compare(wanted.copy(), wanted).difference == 0
    assert compare(picture(0, 1, np.inf), wanted).difference == np.inf
    assert compare(picture(np.nan, np.nan, np.inf), wanted).difference == np.inf
    assert compare(picture(np.nan, 1, -np.inf), wanted).difference == np.inf


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_another_shape_or_type_never_suits(precision):
    wanted = picture(1, 2)
    assert not compare(picture(1, 2, 3), wanted).suits(precision)
    assert not compare(wanted.astype("f8"), wanted).suits(precision)


def test_fast_minds_length_as_well_as_direction():
    assert not compare(picture(2, 4), picture(1, 2)).suits("fast")
    assert compare(picture(1.01, 2), picture(1, 2)).suits("fast")
    assert not compare(picture(1.01, 2), picture(1, 2)).suits("exact")


def test_a_vector_of_one_number_is_not_always_alike():
    wanted = np.array([1, 2, 3, 4], "f4").reshape(1, 1, 2, 2)
    assert compare(wanted[..., ::-1, ::-1].copy(), wanted).cosine < 0.9


def test_nothing_but_zeros():
    zeros = np.zeros((1, 2, 2, 2), "f4")
    assert compare(zeros, zeros).difference == 0
    assert compare(zeros + 1e-20, zeros).difference == np.inf
