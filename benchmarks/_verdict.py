"""What a benchmark must show, and whether it does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """A promise: what, its target, the figure found."""

    what: str
    target: str
    figure: str
    holds: bool


def show(verdicts: Iterable[Verdict]) -> None:
    """Print a table of promises."""
    print("\n| promise | target | figure | met |\n|---|---|---|---|")
    for one in verdicts:
        met = "yes" if one.holds else "**no**"
        print(f"| {one.what} | {one.target} | {one.figure} | {met} |", flush=True)
