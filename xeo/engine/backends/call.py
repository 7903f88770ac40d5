"""What a backend gives, and how it says that it has nothing to give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What stands in the place of the model: called with the same, returning the same.
Call = Callable[[Any], Any]


class UnsuitedError(Exception):
    """A backend cannot run this model, or not on such an array; the message says why."""


@dataclass(frozen=True)
class Request:
    """What a backend is asked to prepare.

    Parameters
    ----------
    model : object
        With ``spec``.
    example : array or Batch
        What it is called with.
    threads : int
        Threads within one call.
    keep : path, optional
        Where a converted program may be kept, without suffix; None keeps none.
    """

    model: Any
    example: Any
    threads: int = 1
    keep: Path | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the example; empty for a `Batch`."""
        return tuple(getattr(self.example, "shape", ()))


@dataclass(frozen=True)
class Backend:
    """One way to call a model.

    Parameters
    ----------
    name : str
        For people.
    prepare : callable
        From a `Request` to what is called in the place of the model; raises `UnsuitedError`.
    precision : {"exact", "fast"}
        What it is meant for.
    seconds : float
        What preparing takes, about.
    packages : tuple of str
        Optional packages that it needs.
    devices : tuple of str
        Where it runs.
    keeps : str
        First word of the files that it keeps converted programs in; empty if it keeps none.
    """

    name: str
    prepare: Callable[[Request], Call]
    precision: str = "exact"
    seconds: float = 0.0
    packages: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    keeps: str = ""
