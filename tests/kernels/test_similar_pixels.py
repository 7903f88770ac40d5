"""Space-time filling: haze around a cloud goes on under it, tiles agree, odd cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xeo.kernels.kalman import kalman
from xeo.kernels.similar_pixels import _calm, _near, similar_pixels


def scene(seed=0, time=8, band=2, side=24, shared=True):
    rng = np.random.default_rng(seed)
    x = rng.random((1, band, side, side)) + 0.1 * rng.random((time, 1, 1, 1))
    x = x + 0.01 * rng.normal(size=(time, band, side, side))
    bad = np.zeros((time, 1 if shared else band, side, side), bool)
    for date in range(0, time, 2):
        top, left = rng.integers(0, side - 6, 2)
        bad[date, :, top : top + 6, left : left + 6] = True
    return x, bad, np.cumsum(rng.integers(1, 20, time)).astype(float)


def temporal(x, bad, days, at):
    time, band, rows, columns = x.shape
    flat = kalman(x.reshape(time, band, -1), bad.reshape(time, bad.shape[1], -1), days, at)
    return flat.reshape(len(at), band, rows, columns)


def test_sums_around_a_pixel_by_hand():
    x = np.zeros((9, 9))
    x[4, 4] = 1
    one = _near(x, 1)
    np.testing.assert_allclose(
        one[3:6, 3:6], [[1 / 16] * 3, [1 / 16, 17 / 16, 1 / 16], [1 / 16] * 3]
    )
    assert one.sum() == pytest.approx(1 + 9 / 16)
    # Two levels reach 3 pixels, with 9 and 81 terms.
    two = _near(x, 2)
    assert np.count_nonzero(two) == 49
    assert two.sum() == pytest.approx(1 + 9 / 16 + 81 / 256)


def test_a_shift_of_the_date_goes_on_under_the_cloud():
    x = np.broadcast_to(np.linspace(0.1, 0.5, 20)[:, None], (7, 1, 20, 20)).copy()
    days = np.arange(7) * 5.0
    x[3] += 0.05
    bad = np.zeros(x.shape, bool)
    bad[3, :, 8:12, 8:12] = True
    truth = x[bad].copy()
    x[bad] = np.nan
    filled = similar_pixels(x, bad, days, days)
    assert np.abs(filled[bad] - truth).max() < 0.002
    assert np.abs(temporal(x, bad, days, days)[bad] - truth).min() > 0.02


def test_pixels_alike_differ_alike():
    """Two covers in stripes, one of which was mown: the right one changes under the cloud."""
    x = np.zeros((7, 1, 20, 20)) + np.where(np.arange(20) % 4 < 2, 0.2, 0.5)
    days = np.arange(7) * 5.0
    x[3] -= np.where(x[3] > 0.4, 0.1, 0.0)
    bad = np.zeros(x.shape, bool)
    bad[3, :, 8:12, 8:12] = True
    filled = similar_pixels(np.where(bad, 9, x), bad, days, days)
    assert np.abs(filled - x)[bad].max() < 0.03


@settings(max_examples=20)
@given(st.integers(0, 99), st.integers(1, 3), st.booleans())
def test_tiles_with_a_halo_are_the_whole(seed, reach, shared):
    x, bad, days = scene(seed, shared=shared)
    at = np.union1d(days, days[:2] + 0.5)
    whole = similar_pixels(x, bad, days, at, reach=reach)
    halo = 2**reach
    kept = slice(halo, 24 - halo) if halo < 12 else slice(0, 0)
    left = similar_pixels(x[..., : 12 + halo], bad[..., : 12 + halo], days, at, reach=reach)
    np.testing.assert_array_equal(left[..., :12], whole[..., :12])
    low = similar_pixels(x[..., 12 - halo :, :], bad[..., 12 - halo :, :], days, at, reach=reach)
    np.testing.assert_array_equal(low[..., halo:, kept], whole[..., 12:, kept])


def test_whole_dates_and_other_days_are_filled_from_time():
    x, _, days = scene()
    x = x[:1] + np.array([0, 3, 1, 4, 1, 5, 9, 2])[:, None, None, None] / 50
    bad = np.zeros((8, 1, 24, 24), bool)
    bad[2] = True
    at = np.union1d(days, days + 0.5)
    filled = similar_pixels(x, bad, days, at)
    np.testing.assert_allclose(filled, temporal(x, bad, days, at), rtol=1e-9)


def test_changes_are_drawn_halfway_to_those_around():
    usual = np.arange(25.0).reshape(1, 5, 5)
    plane = usual.copy()
    plane[0, 2, 2] += 9
    plane[0, 0, 4] = np.nan
    calm = _calm(plane, usual) - usual
    around = np.zeros((5, 5))
    around[1:4, 1:4] = 0.5
    # One of the nine is unknown here: the mean is that of eight.
    around[1, 3] = 9 / 8 / 2
    around[2, 2] = 5
    around[0, 4] = np.nan
    np.testing.assert_allclose(calm[0], around)


def test_pixels_that_are_always_hidden():
    x, bad, days = scene()
    bad[:, :, 10:13, 10:13] = True
    x[:, :, 10:13, 10:13] = np.nan
    filled = similar_pixels(x, bad, days, np.union1d(days, days + 0.5))
    assert np.isfinite(filled).all()
    assert 0 < filled[:, :, 10:13, 10:13].min() < filled[:, :, 10:13, 10:13].max() < 1.2
    alone = similar_pixels(x, np.ones_like(bad), days, days)
    assert np.isnan(alone).all()


def test_out_of_reach_stays_nan():
    x, bad, days = scene()
    bad[..., 3:] = True
    filled = similar_pixels(x, bad, days, days, reach=2)
    np.testing.assert_array_equal(np.isnan(filled).all((0, 1, 2)), np.arange(24) > 5)


def test_inputs_are_kept_and_bad_values_do_not_matter():
    x, bad, days = scene()
    keep = x.copy()
    filled = similar_pixels(x, bad, days, days)
    np.testing.assert_array_equal(x, keep)
    np.testing.assert_array_equal(similar_pixels(np.where(bad, np.nan, x), bad, days, days), filled)


def test_other_arrays():
    torch = pytest.importorskip("torch")
    x, bad, days = scene()
    ours = similar_pixels(torch.tensor(x), torch.tensor(bad), days, days)
    np.testing.assert_allclose(ours.numpy(), similar_pixels(x, bad, days, days), rtol=1e-9)


def test_one_date_and_one_pixel():
    filled = similar_pixels(
        np.array([[[[0.5]]]], "f4"), np.array([[[[False]]]]), np.zeros(1), np.array([0.0, 9.0])
    )
    np.testing.assert_array_equal(filled.ravel(), np.array([0.5, 0.5], "f4"))
