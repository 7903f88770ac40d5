"""Composites of groups of dates: the same as flox, numpy and scipy, and answers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeo.kernels.composites import (
    count_clear,
    likeness_score,
    mean_of,
    median_of,
    medoid_score,
    reduce_groups,
    select,
    spans,
)

NAN = np.nan


@st.composite
def series(draw):
    """Values, what is bad in all bands or apart, and rising groups, some of them empty."""
    dates, bands, pixels = (
        draw(st.integers(1, 12)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 9)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    values = rng.normal(0.3, 0.2, (dates, bands, pixels)).astype("f4")
    shared = draw(st.booleans())
    bad = rng.random((dates, 1 if shared else bands, pixels)) < draw(st.sampled_from([0, 0.4, 1]))
    count = draw(st.integers(1, 5))
    return values, bad, np.sort(rng.integers(0, count, dates)), count


# flox asks for a time without a unit when it is imported.
@pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning")
@settings(deadline=None)
@given(series())
def test_group_reductions_are_those_of_flox(found):
    from flox import groupby_reduce

    values, bad, groups, count = found
    holes = np.where(bad, np.float32(NAN), values)
    for reduce, name in ((median_of, "nanmedian"), (mean_of, "nanmean")):
        made = reduce_groups(values, bad, groups, count, reduce)
        assert made.dtype == np.float32
        last = np.ascontiguousarray(np.moveaxis(holes, 0, -1))
        expected, _ = groupby_reduce(
            last, groups, func=name, engine="flox", expected_groups=np.arange(count)
        )
        np.testing.assert_allclose(made, np.moveaxis(expected, -1, 0), rtol=1e-5, atol=1e-6)
    seen = count_clear(bad, groups, count)
    hidden = bad.any(axis=1)
    assert (seen == [(~hidden[groups == k]).sum(axis=0) for k in range(count)]).all()


@settings(deadline=None)
@given(series())
def test_bad_values_do_not_matter_and_inputs_stay(found):
    values, bad, groups, count = found
    wild = np.where(bad, np.float32(NAN), values)
    before = wild.copy()
    for reduce in (median_of, mean_of):
        np.testing.assert_array_equal(
            reduce_groups(wild, bad, groups, count, reduce),
            reduce_groups(values, bad, groups, count, reduce),
        )
    for mine, other in zip(
        select(wild, bad, groups, count, medoid_score),
        select(values, bad, groups, count, medoid_score),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(wild, before)


@settings(deadline=None)
@given(series())
def test_what_is_selected_is_a_whole_observation(found):
    values, bad, groups, count = found
    made, chosen = select(values, bad, groups, count, medoid_score)
    hidden = bad.any(axis=1)
    for group, pixel in np.ndindex(chosen.shape):
        date = chosen[group, pixel]
        if date < 0:
            assert hidden[groups == group, pixel].all()
            assert np.isnan(made[group, :, pixel]).all()
        else:
            assert groups[date] == group
            assert not hidden[date, pixel]
            np.testing.assert_array_equal(made[group, :, pixel], values[date, :, pixel])


@settings(deadline=None)
@given(series())
def test_the_medoid_is_nearest_to_all_others(found):
    values, bad, groups, count = found
    _, chosen = select(values, bad, groups, count, medoid_score)
    hidden = bad.any(axis=1)
    for group, pixel in np.ndindex(chosen.shape):
        good = np.flatnonzero((groups == group) & ~hidden[:, pixel])
        if len(good):
            x = values[good, :, pixel].astype(float)
            sums = np.linalg.norm(x[:, None] - x[None], axis=2).sum(axis=1)
            mine = sums[list(good).index(chosen[group, pixel])]
            assert mine <= sums.min() + 1e-5


@given(st.integers(0, 40), st.integers(0, 1 << 16))
def test_median_of_any_length_is_numpys(more, seed):
    x = np.random.default_rng(seed).integers(0, 9, (more + 1, 1, 5)).astype("f4")
    bad = np.zeros(x.shape, bool)
    np.testing.assert_array_equal(median_of(x, bad), np.median(x, axis=0))


def test_by_hand():
    values = np.array([1, 9, 3, 100, 4, 8], "f4")[:, None, None]
    bad = np.array([0, 0, 0, 1, 0, 0], bool)[:, None, None]
    groups = np.array([0, 0, 0, 0, 2, 2])
    assert spans(groups, 3) == [slice(0, 4), slice(4, 4), slice(4, 6)]
    median = reduce_groups(values, bad, groups, 3, median_of)[:, 0, 0]
    np.testing.assert_array_equal(median, [3, NAN, 6])
    mean = reduce_groups(values, bad, groups, 3, mean_of)[:, 0, 0]
    np.testing.assert_allclose(mean, [13 / 3, NAN, 6])
    np.testing.assert_array_equal(count_clear(bad, groups, 3)[:, 0], [3, 0, 2])
    made, chosen = select(values, bad, groups, 3, medoid_score)
    # Of 1, 9 and 3 the sums of distances are 10, 14 and 8; of two the first is taken.
    np.testing.assert_array_equal(made[:, 0, 0], [3, NAN, 4])
    np.testing.assert_array_equal(chosen[:, 0], [2, -1, 4])


def test_dates_of_no_group_do_not_count():
    values, bad = np.array([1, 2, 3], "f4")[:, None, None], np.zeros((3, 1, 1), bool)
    made = reduce_groups(values, bad, np.array([-1, 0, 0]), 1, median_of)
    np.testing.assert_array_equal(made, [[[2.5]]])


def test_a_missed_cloud_is_unlike_the_median():
    values = np.array([[0.1, 0.3], [0.12, 0.33], [0.7, 0.8], [0.09, 0.31], [9, 9]], "f4")[
        :, :, None
    ]
    bad = np.array([0, 0, 0, 0, 1], bool)[:, None, None]
    score = likeness_score(values, bad, np.zeros(5, int), 1)[:, 0]
    # The median is (0.11, 0.32); distances in hundredths: sqrt(5), sqrt(2), 76.06, sqrt(5).
    np.testing.assert_allclose(score[[0, 1, 3]], [0.9, 1 / (1 + 2 / 45), 0.9], rtol=1e-5)
    assert score[2] < 0.01
    assert score[4] == 0


def test_blocks_of_pixels_do_not_show():
    rng = np.random.default_rng(0)
    values = rng.random((40, 3, 5000)).astype("f4")
    bad = rng.random((40, 1, 5000)) < 0.5
    groups = np.repeat([0, 1], 20)
    made = reduce_groups(values, bad, groups, 2, median_of)
    holes = np.where(bad, np.float32(NAN), values)
    np.testing.assert_allclose(made[1], np.nanmedian(holes[20:], axis=0), rtol=1e-6)


@pytest.mark.parametrize("reduce", [median_of, mean_of, "medoid"])
def test_other_libraries_give_the_same(reduce):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    values = rng.random((7, 2, 30)).astype("f4")
    bad = rng.random((7, 1, 30)) < 0.5
    groups = np.array([0, 0, 0, 0, 1, 1, 1])

    def make(x, gone):
        if reduce == "medoid":
            return select(x, gone, groups, 3, medoid_score)[0]
        return reduce_groups(x, gone, groups, 3, reduce)

    mine, other = make(values, bad), make(torch.asarray(values), torch.asarray(bad))
    assert isinstance(other, torch.Tensor)
    assert other.dtype == torch.float32
    np.testing.assert_allclose(other.numpy(), mine, rtol=1e-6)
