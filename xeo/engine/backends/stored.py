"""Converted programs on disk, with the shapes that they take."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xeo.engine.backends.shapes import Shapes


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, in a folder of its own; what is there then moves beside ``path``.

    Files appear whole or not at all, ``path`` itself after those that were written with it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f".{uuid.uuid4().hex}"
    part.mkdir()
    try:
        yield part / path.name
        for made in sorted(part.iterdir(), key=lambda one: one.name == path.name):
            os.replace(made, path.parent / made.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def load(
    keep: Path | None, suffix: str, wanted: tuple[int, ...], read: Callable[[Path], Any]
) -> tuple[Any, Shapes] | None:
    """Return a program and its shapes; None if it is not there, not whole, or not for a shape.

    Parameters
    ----------
    keep : path, optional
        Of its files, without suffix.
    suffix : str
        Of the file to read.
    wanted : tuple of int
        Shape that it is to take, without filling up.
    read : callable
        Reads it.
    """
    if keep is None:
        return None
    try:
        held = json.loads(_beside(keep, ".json").read_text())
        sizes = {one: (keep.parent / one).stat().st_size for one in held["files"]}
        if sizes != held["files"]:
            return None
        shapes = Shapes(tuple(_size(one) for one in held["sizes"]))
        if not shapes.fit(wanted) or shapes.batch not in (None, wanted[0]):
            return None
        return read(_beside(keep, suffix)), shapes
    except Exception:  # readers of programs raise anything on damaged files
        return None


def discard(keep: Path) -> None:
    """Have a program converted anew when it is asked for next."""
    with suppress(OSError):
        _beside(keep, ".json").unlink()


def save(keep: Path | None, suffix: str, shapes: Shapes, write: Callable[[Path], None]) -> bool:
    """Keep a program, if there is a place and room for it, and say whether it was kept.

    Parameters
    ----------
    keep : path, optional
        Of its files, without suffix.
    suffix : str
        Of the file to write.
    shapes : Shapes
        That the program takes.
    write : callable
        Writes it, and perhaps others beside it.
    """
    if keep is None:
        return False
    table = _beside(keep, ".json")
    try:
        with replacing(table) as part:
            write(part.parent / f"{keep.name}{suffix}")
            files = {one.name: one.stat().st_size for one in part.parent.iterdir()}
            part.write_text(json.dumps({"files": files, "sizes": shapes.sizes}))
    except OSError:
        # A cache on a full or read-only disk costs a conversion in each process, not the job.
        return False
    return True


def _beside(keep: Path, suffix: str) -> Path:
    return keep.with_name(keep.name + suffix)


def _size(held: Any) -> Any:
    if isinstance(held, int):
        return held
    name, factor, low, high = held
    return str(name), int(factor), int(low), int(high)
