import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels.gap_quality import gap_days, span, uncertainty
from xeo.kernels.interpolate import linear

MASKS = hnp.arrays(bool, st.tuples(*(st.integers(1, n) for n in (9, 3, 5))))
NAN = np.nan


def test_days_to_the_nearest_clear_date_by_hand():
    bad = np.array([True, False, True, True, False, True])[:, None]
    days = np.array([0.0, 10.0, 12.0, 13.0, 14.0, 20.0])
    made = gap_days(bad, days, days)
    assert made.dtype == np.float32
    assert made.ravel().tolist() == [10, 0, 2, 1, 0, 6]
    assert gap_days(bad, days, np.array([-2.0, 12.5, 30.0])).ravel().tolist() == [12, 1.5, 16]
    assert [float(day[0]) for day in span(bad, days)] == [10, 14]


@given(MASKS)
def test_gap_days_and_span_are_those_of_the_clear_dates(bad):
    days = 17_000.5 + np.cumsum(np.random.default_rng(0).uniform(0.1, 9, len(bad)))
    clear = np.where(bad, np.nan, days[:, None, None])
    at = np.linspace(days[0] - 3, days[-1] + 3, 7)
    expected = np.abs(at[:, None, None, None] - clear)
    never = bad.all(0)
    expected = np.where(never, np.nan, np.where(np.isnan(expected), np.inf, expected).min(1))
    np.testing.assert_allclose(gap_days(bad, days, at), expected, atol=1e-4)
    first, last = span(bad, days)
    day = days[:, None, None]
    np.testing.assert_array_equal(first, np.where(never, NAN, np.where(bad, 1e9, day).min(0)))
    np.testing.assert_array_equal(last, np.where(never, NAN, np.where(bad, -1e9, day).max(0)))


def walk(noise, growth, pixels=4000, dates=120, seed=0):
    """A random walk seen through noise, its truth, and gaps."""
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.uniform(1, 8, dates))
    steps = (
        rng.normal(0, 1, (dates, 1, pixels))
        * np.sqrt(growth * np.diff(days, prepend=0))[:, None, None]
    )
    values = np.cumsum(steps, 0) + rng.normal(0, np.sqrt(noise), steps.shape)
    return values, rng.random(steps.shape) < 0.5, days


@pytest.mark.parametrize(("noise", "growth"), [(1.0, 0.0), (1.0, 0.2), (0.0, 0.5)])
def test_the_error_is_what_it_says_on_series_of_its_kind(noise, growth):
    values, bad, days = walk(noise, growth)
    sigma = uncertainty(values, bad, days, days)
    inside = np.arange(len(days))[:, None, None]
    seen = np.where(~bad, inside, -1)
    between = bad & (inside < seen.max(0)) & (np.cumsum(~bad, 0) > 0)
    z = (linear(values, bad, days, days) - values)[between] / sigma[between]
    assert 0.93 < np.sqrt(np.mean(z**2)) < 1.07
    assert 0.64 < np.mean(np.abs(z) < 1) < 0.72
    assert 0.93 < np.mean(np.abs(z) < 1.96) < 0.97


def test_one_error_by_hand():
    # The date left out is wrong by 3: its neighbours are 1 and 3 days away, at 0 and 4.
    values = np.array([[0.0], [4.0], [4.0], [NAN]])
    days = np.array([0.0, 1.0, 4.0, 6.0])
    made = uncertainty(values, np.isnan(values), days, np.array([0.0, 2.5, 6.0])).ravel()
    # One equation for two: growth a day is a tenth of noise, 9 = n (1 + 10 / 16 + 0.1 * 3 / 4).
    n = 9 / 1.7
    np.testing.assert_allclose(made**2, [n, n * 1.575, n * 2.2])


def test_too_few_clear_dates_give_nan_and_a_perfect_line_gives_nothing():
    values = np.array([[0.0, 1.0], [NAN, 2.0], [3.0, 3.0]])
    days = np.arange(3.0)
    made = uncertainty(values, np.isnan(values), days, days)
    assert np.isnan(made[:, 0]).all()
    assert (made[:, 1] == 0).all()


def test_scale_and_outliers():
    values, bad, days = walk(1.0, 0.2, pixels=50)
    sigma = uncertainty(values, bad, days, days)
    for factor in (1e-6, 1e6):
        scaled = uncertainty((values * factor).astype("f4"), bad, days, days)
        np.testing.assert_allclose(scaled, sigma * factor, rtol=2e-3)
    wild = values.copy()
    wild[60] += 1e3 * ~bad[60]
    # One wild date among sixty would make it 200 times as large if it counted in full.
    assert np.median(uncertainty(wild, bad, days, days)) < 30 * np.median(sigma)


def test_gaps_may_be_shared_and_torch_gives_the_same():
    torch = pytest.importorskip("torch")
    values, bad, days = walk(1.0, 0.2, pixels=20, dates=30)
    values, mask = values.reshape(30, 2, 10), bad[:, :, :10]
    one = uncertainty(values, mask, days, days + 0.5)
    np.testing.assert_array_equal(uncertainty(values, mask.repeat(2, 1), days, days + 0.5), one)
    tensors = torch.asarray(values), torch.asarray(mask)
    made = uncertainty(*tensors, days, days + 0.5)
    np.testing.assert_allclose(np.asarray(made), one, rtol=1e-12)
    away = gap_days(tensors[1], days, days)
    np.testing.assert_array_equal(np.asarray(away), gap_days(mask, days, days))
    for made, expected in zip(span(tensors[1], days), span(mask, days), strict=True):
        np.testing.assert_array_equal(np.asarray(made), expected)


def test_errors_of_hidden_ndvi_are_as_large_as_said(data_dir):
    xr, zarr = pytest.importorskip("xarray"), pytest.importorskip("zarr")
    store = zarr.storage.ZipStore(data_dir / "flanders_a_s2.zarr.zip", mode="r")
    with xr.open_zarr(store) as ds:
        cube = ds.isel(y=slice(None, None, 2), x=slice(None, None, 2)).load()
    red, nir = (cube[band].values.astype("f4").reshape(118, 1, -1) for band in ("B04", "B08"))
    clouds = np.isin(cube["SCL"].values, [0, 1, 3, 8, 9, 10, 11]).reshape(red.shape) | (red == 0)
    ndvi = (nir - red) / np.maximum(nir + red, 1)
    days = cube["time"].values.astype("M8[ns]").astype("i8") / 86400e9
    rng = np.random.default_rng(0)
    hidden = clouds[rng.permutation(118)] & (rng.random((118, 1, 1)) < 0.5) & ~clouds
    filled = linear(ndvi, clouds | hidden, days, days, ends="nan")
    z = np.abs(filled - ndvi)[hidden] / uncertainty(ndvi, clouds | hidden, days, days)[hidden]
    z = z[np.isfinite(z)]
    # Clouds that SCL missed are what the far tail is made of.
    assert 0.62 < np.mean(z < 1) < 0.76
    assert 0.88 < np.mean(z < 1.96) < 0.97
