import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.coarse import area, coarsen, grids_of, refine
from xeo.kernels.upsampling import Repeats

GRIDS = st.tuples(
    *[
        st.integers(1, 5).flatmap(lambda f: st.builds(Repeats, st.just(f), st.integers(0, f - 1)))
        for _ in "yx"
    ]
)


def fine(seed, grid, shape=(3, 2, 23, 31)):
    sizes = [len(r.firsts(n)) for r, n in zip(grid, shape[2:], strict=True)]
    some = np.random.default_rng(seed).integers(0, 9999, (*shape[:2], *sizes)).astype("u2")
    return refine(some, grid, shape[2:])


@given(GRIDS, st.integers(0, 9))
def test_repeated_pixels_are_found_kept_once_and_repeated(grid, seed):
    cube = fine(seed, grid)
    assert grids_of(cube) == {grid: [0, 1]}
    kept, valid = coarsen(cube, grid)
    assert valid is None
    np.testing.assert_array_equal(refine(kept, grid, cube.shape[2:]), cube)


def test_bands_of_several_grids():
    one, two = (Repeats(), Repeats()), (Repeats(2, 0), Repeats(2, 0))
    cube = np.concatenate([fine(0, two), fine(1, one), fine(2, two)], axis=1)
    found = grids_of(cube)
    assert found == {one: [2, 3], two: [0, 1, 4, 5]}
    assert list(found) == [one, two]
    assert [area(grid) for grid in found] == [1, 4]


@given(GRIDS, st.integers(0, 9))
def test_what_means_nothing_is_no_obstacle(grid, seed):
    cube = fine(seed, grid)
    valid = np.random.default_rng(seed).random(cube.shape) < 0.9
    hurt = np.where(valid, cube, np.nan)
    (found,) = grids_of(hurt, valid)
    assert found == grid
    kept, there = coarsen(hurt, grid, valid)
    there = refine(there, grid, cube.shape[2:])
    assert there[valid].all()
    np.testing.assert_array_equal(refine(kept, grid, cube.shape[2:])[there], cube[there])


@pytest.mark.parametrize("dtype", ["i2", "u1", "f8"])
def test_types_are_kept(dtype):
    cube = np.array([[-3, -3, 5, 5]] * 2).astype(dtype)[None, None]
    valid = np.array([[True, False, False, True]] * 2)[None, None]
    kept, there = coarsen(cube, (Repeats(2, 0), Repeats(2, 0)), valid)
    assert kept.dtype == dtype
    assert kept.tolist() == np.array([[[[-3, 5]]]]).astype(dtype).tolist()
    assert there.all()
