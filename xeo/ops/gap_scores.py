"""Scores of gap fillers by band, kind of hiding and length of gap, from the errors of all."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xeo.kernels.scores import angles, similarities

#: What was hidden: the shapes of other dates' clouds, or whole dates.
KINDS = ("all", "clouds", "dates")
#: A method that fills less of what is hidden has no say in which pixels are compared.
MOST = 0.5
#: Standard deviations on each side that hold 95 % of a normal distribution.
_WIDE = 1.96
_UNITS = {
    "mae": "units of the cube",
    "rmse": "units of the cube",
    "bias": "units of the cube",
    "psnr": "dB",
    "ssim": "1",
    "sam": "degrees",
    "coverage": "1",
    "filled": "1",
    "count": "1",
}


@dataclass(frozen=True)
class Scored:
    """What a method made: values ``(time, band, y, x)``, and their standard deviations.

    ``spread`` may have fewer bands: those without one come last.
    """

    values: NDArray[Any]
    spread: NDArray[Any]


@dataclass(frozen=True)
class _Groups:
    """Where pixels are scored: one entry each, in the order of ``numpy.nonzero``."""

    at: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    date: NDArray[np.int64]
    gap: NDArray[np.int64]
    alone: NDArray[np.int64]
    dates: int
    gaps: int

    def sums(self, values: NDArray[Any], use: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return sums of what is used, ``(date, gap, kind)``, ready to be added up."""
        places = (self.date * self.gaps + self.gap) * 2 + self.alone
        found = np.bincount(
            places[use], np.asarray(values, np.float64)[use], self.dates * self.gaps * 2
        )
        return self.totals(found.reshape(self.dates, self.gaps, 2).astype(np.float64))

    @staticmethod
    def totals(parts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Put the sum over all kinds, and over all gaps, in front of the single ones."""
        kinds = np.concatenate([parts.sum(axis=2, keepdims=True), parts], axis=2)
        return np.concatenate([kinds.sum(axis=1, keepdims=True), kinds], axis=1)


def score(
    truth: NDArray[Any],
    made: Mapping[str, Scored],
    bands: Sequence[str],
    scored: NDArray[np.bool_],
    alone: NDArray[np.bool_],
    gaps: NDArray[Any],
    edges: Sequence[float],
    peaks: Sequence[float],
    draws: int,
    seed: int,
    dates: int,
) -> xr.Dataset:
    """Return the scores of all methods.

    Parameters
    ----------
    truth : array, shape (time, band, y, x)
    made : mapping of str to Scored
        By the label of the method.
    bands : sequence of str
    scored, alone : array of bool, shape (time, y, x)
        Pixels to look at, and which of them are on dates that were hidden wholly.
    gaps : array, shape (time, y, x)
        Days to the nearest clear date.
    edges, peaks : sequence of float
        Between classes of gaps, in days; range of each band.
    draws, seed : int
        Of the bootstrap over dates.
    dates : int
        How many dates a part of the cube has: parts follow each other along time, and what
        they have at the same date is drawn together.

    Returns
    -------
    Dataset
        Dims ``(filler, band, hidden, gap)``; ``sam`` without ``band``.
    """
    groups = _groups(scored, alone, gaps, edges, dates)
    use = _comparable(made, groups)
    weights = _weights(groups, draws, seed)
    found = [_method(truth, one, groups, use, peaks, weights) for one in made.values()]
    coords = {
        "filler": list(made),
        "band": list(bands),
        "hidden": list(KINDS),
        "gap": _labels(edges),
    }
    dims = ("filler", "band", "hidden", "gap")
    variables: dict[str, Any] = {}
    for name in found[0]:
        values = np.stack([one[name] for one in found])
        own = [dim for dim in dims if values.ndim == 4 or dim != "band"]
        units = _UNITS.get(name.removesuffix("_low").removesuffix("_high"), "1")
        variables[name] = (own, values, {"units": units})
    return xr.Dataset(variables, coords)


def _labels(edges: Sequence[float]) -> list[str]:
    bounds = ["0", *(f"{edge:g}" for edge in edges)]
    inner = [f"{low}-{high} d" for low, high in itertools.pairwise(bounds)]
    return ["all", *inner, f"over {bounds[-1]} d"]


def _groups(
    scored: NDArray[np.bool_],
    alone: NDArray[np.bool_],
    gaps: NDArray[Any],
    edges: Sequence[float],
    dates: int,
) -> _Groups:
    time, y, x = np.nonzero(scored)
    days, date = np.unique(time % dates, return_inverse=True)
    length = np.digitize(gaps[scored], list(edges), right=True)
    return _Groups(
        (time, y, x), date, length, alone[scored].astype(np.int64), len(days), len(edges) + 1
    )


def _comparable(made: Mapping[str, Scored], groups: _Groups) -> NDArray[np.bool_]:
    """Return the pixels that every method filled, those apart that fill little."""
    time, y, x = groups.at
    finite = {k: np.isfinite(one.values[time, :, y, x]).all(axis=1) for k, one in made.items()}
    use = np.ones(len(time), np.bool_)
    for one in finite.values():
        if one.mean() >= MOST:
            use &= one
    return use


def _weights(groups: _Groups, draws: int, seed: int) -> NDArray[np.float64]:
    """Return how often each date is drawn, ``(draw, date)``."""
    rng = np.random.default_rng(seed)
    count = groups.dates
    return rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)


def _method(
    truth: NDArray[Any],
    one: Scored,
    groups: _Groups,
    use: NDArray[np.bool_],
    peaks: Sequence[float],
    weights: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Return the scores of one method, ``(band, hidden, gap)``."""
    bands = [
        _band(truth[:, band], one, band, groups, use, peak, weights)
        for band, peak in enumerate(peaks)
    ]
    found = {name: np.stack([b[name] for b in bands]) for name in bands[0]}
    time, y, x = groups.at
    scored = np.zeros(truth[:, 0].shape, np.bool_)
    scored[groups.at] = use
    spectra = one.spread.shape[1]
    angle = angles(truth[:, :spectra], one.values[:, :spectra], scored)[time, y, x]
    return found | {"sam": _mean(angle, use & ~np.isnan(angle), groups)}


def _band(
    truth: NDArray[Any],
    one: Scored,
    band: int,
    groups: _Groups,
    use: NDArray[np.bool_],
    peak: float,
    weights: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    time, y, x = groups.at
    values = one.values[:, band]
    error = values[groups.at].astype(np.float64) - truth[groups.at]
    fine = np.isfinite(error)
    counted = fine & use
    count = groups.sums(np.ones(len(error)), counted)
    absolute = groups.sums(np.abs(np.where(fine, error, 0)), counted)
    squares = groups.sums(np.where(fine, error, 0) ** 2, counted)
    every = np.ones(len(error), np.bool_)
    hidden = np.zeros(truth.shape, np.bool_)
    hidden[groups.at] = counted
    alike = similarities(truth, values, hidden, peak)[time, y, x]
    within = np.zeros(len(error), np.bool_)
    known = np.zeros(len(error), np.bool_)
    if band < one.spread.shape[1]:
        spread = one.spread[:, band][groups.at]
        known = counted & np.isfinite(spread)
        within = np.abs(np.where(fine, error, np.inf)) <= _WIDE * spread
    made = {
        "mae": _ratio(absolute, count),
        "rmse": np.sqrt(_ratio(squares, count)),
        "bias": _mean(error, counted, groups),
        "ssim": _mean(alike, counted & ~np.isnan(alike), groups),
        "coverage": _mean(within, known, groups),
        "filled": _mean(fine, every, groups),
        "count": count.sum(axis=0).T,
    }
    with np.errstate(divide="ignore"):
        made["psnr"] = 20 * np.log10(peak / made["rmse"])
    for name, sums, root in (("mae", absolute, False), ("rmse", squares, True)):
        low, high = _interval(sums, count, weights, root)
        made |= {f"{name}_low": low, f"{name}_high": high}
    return made


def _ratio(sums: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means over all dates, ``(hidden, gap)``; NaN where nothing counts."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((sums.sum(axis=0) / count.sum(axis=0)).T)


def _mean(values: NDArray[Any], use: NDArray[np.bool_], groups: _Groups) -> NDArray[np.float64]:
    count = groups.sums(np.ones(len(values)), use)
    return _ratio(groups.sums(np.where(use, values, 0), use), count)


def _interval(
    sums: NDArray[np.float64], count: NDArray[np.float64], weights: NDArray[np.float64], root: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 95 % confidence bounds by drawing dates: pixels of one date depend on each other."""
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.tensordot(weights, sums, 1) / np.tensordot(weights, count, 1)
    drawn = np.sqrt(drawn) if root else drawn
    nothing = np.isnan(drawn).all(axis=0)
    # Where no draw has a pixel there is no bound; a filler keeps numpy from warning of it.
    low, high = np.nanquantile(np.where(nothing, 0.0, drawn), [0.025, 0.975], axis=0)
    low[nothing] = high[nothing] = np.nan
    return low.T, high.T
