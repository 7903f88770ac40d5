import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.kernels.prediction import (
    CLASSES,
    MOST,
    MOST_ACTIVE,
    MOST_WEIGHT,
    Known,
    activities,
    counts_of_weights,
    expect,
    features,
    fit_activity,
    fit_weights,
    predict,
)
from xeo.kernels.pyramid import steps

PLACES = [(bands, dates) for bands in range(3) for dates in range(3)]


def known(bands, dates, draw, most=5000, shape=(2, 20 * 24)):
    def planes(count):
        return [draw.integers(0, most, shape).astype("f8") for _ in range(count)]

    own = planes(1)[0]
    return Known(own, planes(bands), planes(dates), planes(dates if bands else 0))


@pytest.mark.parametrize(("bands", "dates"), PLACES)
def test_there_are_as_many_weights_as_told(bands, dates):
    values = known(bands, dates, np.random.default_rng(0))
    for step in steps(20, 24):
        anchor, found = features(values, step, 7)
        tell = activities(values, values, step)
        which = int(step.kind > 0)
        assert [len(found), len(tell)] == [c[which] for c in counts_of_weights(values)]
        assert len(anchor) == found.shape[1] == tell.shape[1] == 2 * len(step.at)
        assert tell.min() >= 0


@pytest.mark.parametrize(("bands", "dates"), PLACES)
def test_all_is_exact_for_the_largest_values(bands, dates):
    draw = np.random.default_rng(0)
    values = known(bands, dates, draw, most=MOST)
    for step in steps(20, 24):
        anchor, found = features(values, step, MOST)
        weights = draw.choice([-MOST_WEIGHT, MOST_WEIGHT], len(found))
        by_hand = [
            (sum(int(w) * int(f) for w, f in zip(weights, column, strict=True)) + 128 * int(a) + 32)
            // 64
            for column, a in zip(found.T[:20], anchor, strict=False)
        ]
        assert predict(anchor, found, weights)[:20].tolist() == by_hand


@given(st.integers(1, 2**45))
def test_classes_are_half_octaves(total):
    made = int(expect(np.array([[float(total)]]), np.array([1]))[0])
    assert made < CLASSES
    assert total**2 < 2 ** (made + 1)
    assert made == 0 or total**2 >= 2**made * (1 - 1e-9)


def test_a_plane_is_predicted_between_its_neighbours():
    y, x = np.indices((20, 24))
    plane = (100 + 3 * y + 5 * x).reshape(1, -1).astype("f8")
    values = Known(plane, [], [], [])
    inside = (y > 3) & (y < 16) & (x > 3) & (x < 20)
    for step in steps(20, 24)[1:]:
        anchor, found = features(values, step, 0)
        made = predict(anchor, found, np.zeros(len(found), int))
        here = inside.ravel()[step.at] & (step.kind >= 5)
        np.testing.assert_array_equal(made[here], 8 * plane[0, step.at][here])


def test_weights_that_made_the_values_are_found():
    draw = np.random.default_rng(0)
    found = draw.integers(-500, 500, (4, 3000)).astype("f8")
    anchor = 4.0 * draw.integers(0, 999, 3000)
    weights = np.array([64, -32, 0, 100])
    values = predict(anchor, found, weights) / 8
    np.testing.assert_array_equal(fit_weights(anchor, found, values), weights)
    assert np.abs(fit_weights(anchor, 1e-6 * found, values)).max() <= MOST_WEIGHT


def test_activities_tell_magnitudes():
    draw = np.random.default_rng(0)
    found = np.stack([np.ones(4000), draw.random(4000) * 100, draw.random(4000) * 100])
    errors = np.abs(draw.normal(size=4000)) * (1 + found[1])
    weights = fit_activity(found, errors)
    assert weights[1] > 8 * weights[2]
    assert 0 <= weights.min() <= weights.max() <= MOST_ACTIVE


def test_without_values_there_is_nothing_to_fit():
    empty = np.zeros((3, 0))
    assert fit_weights(np.zeros(0), empty, np.zeros(0)).tolist() == [0, 0, 0]
    assert fit_activity(empty, np.zeros(0)).tolist() == [1, 1, 1]
