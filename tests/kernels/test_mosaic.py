import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.mosaic import Mosaic

KINDS = st.lists(
    st.tuples(st.integers(1, 9), st.tuples(st.integers(1, 90), st.integers(1, 90))),
    min_size=1,
    max_size=3,
)


@given(KINDS, st.integers(100, 400))
def test_what_is_joined_comes_apart_again(kinds, side):
    mosaic = Mosaic.of(kinds, side)
    sizes = [size for count, size in kinds for _ in range(count)]
    planes = [np.full(size, n, "u2") for n, size in enumerate(sizes)]
    found = {}
    for picture in range(mosaic.pictures):
        whole = mosaic.join(planes, picture, 999)
        assert whole.shape == mosaic.size
        found |= dict(mosaic.split(whole, picture))
    assert sorted(found) == list(range(len(planes)))
    for number, plane in found.items():
        np.testing.assert_array_equal(plane, planes[number])


@given(KINDS)
def test_pictures_suit_encoders(kinds):
    height, width = Mosaic.of(kinds).size
    assert height % 8 == width % 8 == 0
    # Widths of 33 to 48 kill x265, and one coding unit (64) goes wrong.
    assert height >= 64
    assert width > 64


def test_four_of_a_size_make_a_square():
    mosaic = Mosaic.of([(4, (100, 120))])
    assert mosaic.size == (200, 240)
    assert [(p.y.start, p.x.start) for p in mosaic.places] == [
        (0, 0),
        (0, 120),
        (100, 0),
        (100, 120),
    ]


def test_smaller_ones_share_a_cell():
    mosaic = Mosaic.of([(4, (64, 64)), (5, (32, 32))])
    assert mosaic.size == (128, 192)
    assert mosaic.pictures == 1


def test_blank_cells_and_margins():
    whole = Mosaic.of([(3, (40, 50))]).join(list(np.ones((3, 40, 50), "u2")), 0, 7)
    assert whole.shape == (80, 104)
    assert (whole[40:, 50:100] == 7).all()
    assert (whole[:40, 100:] == 1).all()


def test_a_side_bounds_pictures():
    mosaic = Mosaic.of([(5, (60, 90))], side=128)
    assert mosaic.pictures == 3
    assert max(mosaic.size) <= 128


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_no_row_of_cells_is_empty(count):
    mosaic = Mosaic.of([(count, (64, 64))])
    assert (mosaic.rows - 1) * mosaic.columns < count
