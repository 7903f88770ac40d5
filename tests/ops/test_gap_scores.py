"""The cubes are made up: the truth has to be known to the last digit."""

from __future__ import annotations

import numpy as np
import pytest

from xeo.ops.gap_scores import KINDS, Scored, score

EDGES = (5.0, 10.0)


def scores_of(truth, made, **changes):
    """Score arrays ``(time, band, y, x)``, all pixels of which are looked at."""
    dates, bands, *size = truth.shape
    options = {
        "bands": [f"b{n}" for n in range(bands)],
        "scored": np.ones((dates, *size), bool),
        "alone": np.zeros((dates, *size), bool),
        "gaps": np.full((dates, *size), 3.0),
        "edges": EDGES,
        "peaks": [1.0] * bands,
        "draws": 200,
        "seed": 0,
        "dates": dates,
    } | changes
    made = {
        name: one if isinstance(one, Scored) else Scored(one, np.full_like(one, np.nan))
        for name, one in made.items()
    }
    return score(truth, made, **options)


def figure(found, name, **at):
    place = {"filler": "a", "band": "b0", "hidden": "all", "gap": "all"} | at
    return float(found[name].sel({k: v for k, v in place.items() if k in found[name].dims}))


@pytest.fixture
def noisy():
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.1, 0.5, (6, 2, 8, 8)).astype("f4")
    return truth, truth + rng.normal(0, 0.05, truth.shape).astype("f4")


def test_errors_worked_by_hand():
    truth = np.zeros((2, 1, 1, 2), np.float32)
    made = truth + np.array([[[[0.3, -0.1]]], [[[0.1, 0.1]]]], "f4")
    spread = np.full_like(made, 0.06)
    found = scores_of(truth, {"a": Scored(made, spread)})
    assert figure(found, "mae") == pytest.approx(0.15)
    assert figure(found, "rmse") == pytest.approx(np.sqrt(0.12 / 4))
    assert figure(found, "bias") == pytest.approx(0.1)
    assert figure(found, "psnr") == pytest.approx(20 * np.log10(1 / np.sqrt(0.03)))
    # 1.96 standard deviations are 0.1176: three of the four errors lie within.
    assert figure(found, "coverage") == 0.75
    assert figure(found, "filled") == 1
    assert figure(found, "count") == 4


def test_peaks_are_those_of_the_band():
    truth = np.zeros((1, 2, 1, 1), np.float32)
    found = scores_of(truth, {"a": truth + np.float32(0.1)}, peaks=[1.0, 100.0])
    assert figure(found, "psnr") == pytest.approx(20)
    assert figure(found, "psnr", band="b1") == pytest.approx(60)


def test_angle_between_spectra_by_hand():
    truth = np.array([1, 0], "f4").reshape(1, 2, 1, 1)
    made = np.array([1, 1], "f4").reshape(1, 2, 1, 1)
    found = scores_of(truth, {"a": made})
    assert found["sam"].dims == ("filler", "hidden", "gap")
    assert figure(found, "sam") == pytest.approx(45)


def test_what_has_no_spread_is_no_part_of_the_spectrum():
    truth = np.array([1, 0, 5], "f4").reshape(1, 3, 1, 1)
    made = np.array([1, 1, 9], "f4").reshape(1, 3, 1, 1)
    found = scores_of(truth, {"a": Scored(made, np.ones((1, 2, 1, 1), "f4"))})
    assert figure(found, "sam") == pytest.approx(45)
    assert np.isnan(figure(found, "coverage", band="b2"))


def test_the_truth_itself_is_perfect(noisy):
    truth, _ = noisy
    found = scores_of(truth, {"a": truth})
    assert figure(found, "rmse") == figure(found, "mae") == figure(found, "bias") == 0
    assert figure(found, "psnr") == np.inf
    assert figure(found, "ssim") == pytest.approx(1)
    assert figure(found, "sam") == pytest.approx(0, abs=0.05)
    assert (figure(found, "rmse_low"), figure(found, "rmse_high")) == (0, 0)


def test_dimensions_labels_and_units(noisy):
    truth, made = noisy
    found = scores_of(truth, {"a": made})
    assert found["rmse"].dims == ("filler", "band", "hidden", "gap")
    assert found["hidden"].values.tolist() == list(KINDS)
    assert found["gap"].values.tolist() == ["all", "0-5 d", "5-10 d", "over 10 d"]
    assert found["psnr"].attrs["units"] == "dB"
    assert found["rmse_low"].attrs["units"] == "units of the cube"


def test_groups_add_up_to_the_whole(noisy):
    truth, made = noisy
    rng = np.random.default_rng(0)
    gaps = rng.choice([1.0, 5.0, 5.5, 10.0, 99.0], truth[:, 0].shape)
    alone = np.zeros(gaps.shape, bool)
    alone[:2] = True
    found = scores_of(truth, {"a": made}, gaps=gaps, alone=alone)
    count, squares = found["count"], found["count"] * found["rmse"] ** 2
    for both in (count, squares):
        parts = both.isel(gap=slice(1, None)).sum("gap")
        np.testing.assert_allclose(parts, both.sel(gap="all"))
        kinds = both.sel(hidden=["clouds", "dates"]).sum("hidden")
        np.testing.assert_allclose(kinds, both.sel(hidden="all"))
    # A gap of exactly an edge is of the shorter class.
    assert figure(found, "count", gap="0-5 d") == (gaps <= 5).sum()
    assert figure(found, "count", gap="over 10 d") == (gaps == 99).sum()
    assert figure(found, "count", hidden="dates") == 2 * 64
    error = (made - truth)[2:, 0][gaps[2:] == 99].astype(float)
    ours = figure(found, "rmse", hidden="clouds", gap="over 10 d")
    assert ours == pytest.approx(np.sqrt((error**2).mean()), rel=1e-6)


def test_groups_without_a_pixel_are_nan(noisy):
    truth, made = noisy
    found = scores_of(truth, {"a": made})
    for name in ("rmse", "mae", "rmse_low", "rmse_high", "ssim", "sam", "psnr"):
        assert np.isnan(figure(found, name, gap="over 10 d")), name
    assert figure(found, "count", gap="over 10 d") == 0


@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_intervals_contain_the_figure_and_grow_with_the_spread_of_dates(noisy, name):
    truth, made = noisy
    uneven = truth + (made - truth) * np.array([0, 0, 1, 1, 3, 5], "f4").reshape(-1, 1, 1, 1)
    found = scores_of(truth, {"a": made, "b": uneven})
    low, middle, high = (found[one].sel(hidden="all", gap="all") for one in
                         (f"{name}_low", name, f"{name}_high"))  # fmt: skip
    assert ((low < middle) & (middle < high)).all()
    wide = ((high - low) / middle).mean("band")
    assert wide.sel(filler="b") > 3 * wide.sel(filler="a")


def test_parts_of_one_date_are_drawn_together(noisy):
    truth, made = noisy
    uneven = truth + (made - truth) * np.array([0, 0, 1, 1, 3, 5], "f4").reshape(-1, 1, 1, 1)
    once = scores_of(truth, {"a": uneven})
    twice = scores_of(np.concatenate([truth] * 2), {"a": np.concatenate([uneven] * 2)}, dates=6)
    for name in ("rmse", "rmse_low", "rmse_high"):
        assert figure(twice, name) == pytest.approx(figure(once, name))


def test_all_methods_are_compared_on_the_same_pixels(noisy):
    truth, made = noisy
    gaps = made.copy()
    gaps[0] = np.nan
    found = scores_of(truth, {"a": made, "b": gaps})
    assert figure(found, "count") == figure(found, "count", filler="b") == 5 * 64
    assert figure(found, "rmse") == figure(found, "rmse", filler="b")
    assert figure(found, "filled") == 1
    assert figure(found, "filled", filler="b") == pytest.approx(5 / 6)


def test_a_method_that_fills_little_does_not_decide_for_others(noisy):
    truth, made = noisy
    little = made.copy()
    little[1:] = np.nan
    found = scores_of(truth, {"a": made, "b": little})
    assert figure(found, "count") == 6 * 64
    assert figure(found, "rmse") == figure(scores_of(truth, {"a": made}), "rmse")
    alone = scores_of(truth[:1], {"a": made[:1]})
    assert figure(found, "rmse", filler="b") == pytest.approx(figure(alone, "rmse"))
    assert figure(found, "filled", filler="b") == pytest.approx(1 / 6)


def test_the_same_seed_gives_the_same_intervals(noisy):
    truth, made = noisy
    first, again, other = (scores_of(truth, {"a": made}, seed=seed) for seed in (1, 1, 2))
    assert first.identical(again)
    assert not first["rmse_low"].equals(other["rmse_low"])
    assert first["rmse"].equals(other["rmse"])


def test_inputs_are_left_alone(noisy):
    truth, made = noisy
    before = truth.copy(), made.copy()
    scores_of(truth, {"a": made})
    np.testing.assert_array_equal(truth, before[0])
    np.testing.assert_array_equal(made, before[1])
