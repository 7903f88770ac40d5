from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.kernels.picture import principal_components, stretch

ANY = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=4, max_side=5),
    elements=st.floats(-1e4, 1e4, width=32) | st.just(float("nan")),
)


@given(ANY)
def test_stretch_keeps_order_missing_and_bounds(x):
    out = stretch(x, (2, 98))
    np.testing.assert_array_equal(np.isnan(out), np.isnan(x))
    assert np.nanmin(out, initial=0) >= 0
    assert np.nanmax(out, initial=0) <= 1
    for i in range(x.shape[-1]):
        a, b = x[..., i].ravel(), out[..., i].ravel()
        order = np.argsort(a)[: np.isfinite(a).sum()]
        assert np.all(np.diff(b[order]) >= 0)


def test_stretch_by_hand():
    x = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    np.testing.assert_allclose(stretch(x, (0, 100)).ravel(), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(stretch(x, (25, 75)).ravel(), [0, 0, 0.5, 1, 1])
    assert np.all(stretch(np.full((1, 3, 1), 7.0), (2, 98)) == 0)


def test_one_bright_date_does_not_darken_the_others():
    land = np.linspace(0, 1, 50, dtype=np.float32)
    x = np.stack([land, land, land + 100])[..., None]
    np.testing.assert_allclose(stretch(x, (0, 100))[0, :, 0], land, atol=1e-6)
    assert np.all(stretch(x, (0, 100))[2] == 1)


def test_components_are_those_of_the_covariance():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 30, 6)) * [5, 0.1, 3, 0.1, 1, 0.1] + 4
    projected, axes, mean = principal_components(x.astype(np.float32), 3)
    flat = x.reshape(-1, 6)
    values, vectors = np.linalg.eigh(np.cov(flat.T))
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.sum(axes * vectors[:, ::-1][:, :3].T, 1)), 1, rtol=1e-5)
    np.testing.assert_allclose(projected.reshape(-1, 3).var(0, ddof=1), values[::-1][:3], rtol=1e-4)
    assert np.all(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1) > 0)


def test_components_of_missing_and_few_vectors():
    x = np.full((2, 2, 4), np.nan, np.float32)
    assert np.isnan(principal_components(x, 3)[0]).all()
    x[0, 0] = [1, 2, 3, 4]
    out = principal_components(x, 3)[0]
    np.testing.assert_allclose(out[0, 0], 0, atol=1e-6)
    assert np.isnan(out[1]).all()
    assert principal_components(np.ones((9, 9, 2), np.float32), 2, sample=5)[1].shape == (2, 2)
