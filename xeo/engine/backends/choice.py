"""What was tried, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """One line of the table that a backend was chosen from.

    Parameters
    ----------
    backend : str
        Its name.
    side : int, optional
        Kept side of a tile in pixels, for models of any size.
    batch : int
        Windows a call.
    rate : float, optional
        Kept pixels a second for models of any size, else windows a second; None if not timed.
    prepare : float
        Seconds that exporting, converting and compiling took.
    difference : float, optional
        Largest difference to the model's own numbers, over the largest of those.
    cosine : float, optional
        Least cosine similarity of a vector to the model's own.
    why : str
        Why it was not to be had; empty if it was.
    """

    backend: str
    side: int | None = None
    batch: int = 1
    rate: float | None = None
    prepare: float = 0.0
    difference: float | None = None
    cosine: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Choice:
    """How a model is to be called.

    Parameters
    ----------
    backend : str
        Its name.
    side : int, optional
        Kept side of a tile in pixels, for models of any size.
    batch : int
        Windows a call.
    precision : {"exact", "fast"}
        How near it has to come to the model's own numbers.
    threads : int
        Threads within one call.
    shape : tuple of int, optional
        Of an array that the model would be called with, to prepare for.
    difference, cosine : float, optional
        Of the winner; see `Trial`. The cosine only for ``fast``.
    trials : tuple of Trial
        All that was tried.
    remembered : bool
        Whether it was found in the user's cache.
    """

    backend: str = "eager"
    side: int | None = None
    batch: int = 1
    precision: str = "exact"
    threads: int = 1
    shape: tuple[int, ...] | None = None
    difference: float | None = None
    cosine: float | None = None
    trials: tuple[Trial, ...] = ()
    remembered: bool = False
