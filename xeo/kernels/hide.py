"""Which clear pixels to hide, so that a gap filler can be scored on what it did not see."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.errors import OptionError

Mask = NDArray[np.bool_]


def hide(
    bad: Mask,
    seed: int = 0,
    *,
    dates: float = 0.3,
    whole: float = 0.5,
    keep: int = 3,
    cover: tuple[float, float] = (0.05, 0.95),
) -> Mask:
    """Draw the clear pixels to hide: real cloud shapes of other dates, and whole dates.

    Parameters
    ----------
    bad : array of bool, shape (time, y, x)
        True where nothing was seen.
    seed : int
        Of the drawing: the same seed hides the same pixels.
    dates : float
        Share of the dates to hide something on, of those with a clear pixel; 0 to 1, at least
        one date where it is not 0.
    whole : float
        Share of these dates that are hidden wholly, 0 to 1. All of them are where no date of
        the cube has a cloud shape to lend.
    keep : int
        Clear dates that every pixel keeps; one that has no more of them loses none.
    cover : (float, float)
        Dates whose share of bad pixels lies in between lend their shape.

    Returns
    -------
    array of bool, shape (time, y, x)
        True at clear pixels to hide. A pixel close to a true cloud may itself be hazy: score
        only where `far_from` says that it is not.

    Raises
    ------
    OptionError
        If a share is not in 0 to 1, or ``keep`` is negative.

    Examples
    --------
    >>> bad = np.zeros((4, 2, 2), bool)
    >>> bad[0, 0] = True
    >>> hide(bad, dates=0.25, whole=0.0, keep=1).sum(axis=(1, 2))
    array([0, 0, 2, 0])
    """
    _check(dates, whole, keep, cover)
    rng = np.random.default_rng(seed)
    clouded = bad.mean(axis=(1, 2))
    shapes = np.flatnonzero((clouded >= cover[0]) & (clouded <= cover[1]))
    clear = ~bad
    spare = clear.sum(axis=0) - keep
    hidden = np.zeros(bad.shape, np.bool_)
    for date, alone in _targets(clear, shapes, dates, whole, rng):
        # No date is its own lender: it would hide nothing.
        shape = True if alone else bad[rng.choice(shapes[shapes != date])]
        hidden[date] = clear[date] & shape & (spare > 0)
        spare -= hidden[date]
    return hidden


def _check(dates: float, whole: float, keep: int, cover: tuple[float, float]) -> None:
    for name, share in (("dates", dates), ("whole", whole), ("cover", cover[0])):
        if not 0 <= share <= 1:
            raise OptionError(f"{name} is a share of 0 to 1, got {share}. Try: {name}=0.3")
    if not cover[0] <= cover[1] <= 1:
        raise OptionError(f"cover rises from 0 to 1, got {cover}. Try: cover=(0.05, 0.95)")
    if keep < 0:
        raise OptionError(f"keep is a number of dates, got {keep}. Try: keep=3")


def _targets(
    clear: Mask, shapes: NDArray[np.intp], dates: float, whole: float, rng: np.random.Generator
) -> list[tuple[int, bool]]:
    """Return the dates to hide something on, and whether all of it."""
    seen = rng.permutation(np.flatnonzero(clear.any(axis=(1, 2))))
    wanted = 0 if dates == 0 else max(1, round(dates * len(seen)))
    alone = round(whole * min(wanted, len(seen)))
    return [
        (int(date), n < alone or not (shapes != date).any()) for n, date in enumerate(seen[:wanted])
    ]


def far_from(bad: Mask, margin: int = 2) -> Mask:
    """Tell which clear pixels have no bad one within a square around them.

    Parameters
    ----------
    bad : array of bool, shape (..., y, x)
    margin : int
        Pixels from the centre of the square to its side.

    Returns
    -------
    array of bool, shape (..., y, x)
    """
    near = bad.copy()
    for axis in (-2, -1):
        line: Any = np.moveaxis(near, axis, -1)
        grown = line.copy()
        for step in range(1, margin + 1):
            grown[..., step:] |= line[..., :-step]
            grown[..., :-step] |= line[..., step:]
        near = np.moveaxis(grown, -1, axis)
    return ~near
