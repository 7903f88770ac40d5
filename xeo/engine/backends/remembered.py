"""What is kept between processes: choices, converted programs, and notes of what was tried.

All of it lies in one folder of the user's cache and may be deleted at any time. Files are
written under another name first, so that nobody reads half of one; a file that is damaged, or of
another release, counts as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xeo import options, weights
from xeo.engine.backends.call import Backend
from xeo.engine.backends.choice import Choice, Trial
from xeo.engine.backends.stored import replacing
from xeo.lazy import require
from xeo.progress import quiet_pooch

#: Of the files here; another number is passed over.
_FORMAT = 1
_PACKAGES = ("xarray-eo", "torch", "onnxruntime", "onnxscript", "openvino")


def folder() -> Path:
    """Return where things are kept."""
    told = options.tune_folder()
    return Path(told).expanduser() if told else Path(quiet_pooch().os_cache("xeo")) / "backends"


def forget() -> None:
    """Delete all that is kept."""
    shutil.rmtree(folder(), ignore_errors=True)


def digest(model: Any) -> str | None:
    """Return a hash of a model, its weights included; None for one that does not pickle."""
    cloudpickle = require("cloudpickle", purpose="tell models apart")
    try:
        found = hashlib.sha256(cloudpickle.dumps(model))
    except Exception:  # an object of a user's own may raise anything
        return None
    if model.spec.weights is not None:
        found.update(weights.get(model.spec.weights).sha256.encode())
    return found.hexdigest()[:24]


@cache
def machine() -> str:
    """Return what a measurement depends on beside the model: processor, cores, versions."""
    return "|".join([_processor(), str(options.cores()), *_versions()])


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return f"{platform.machine()} {platform.processor()}"


@cache
def _versions() -> tuple[str, ...]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return tuple(found)


def _hashed(*words: Any) -> str:
    return hashlib.sha256("\n".join(map(str, words)).encode()).hexdigest()[:32]


def key(model: Any, *words: Any) -> str | None:
    """Return the name under which a choice for a model is kept; None if it is not."""
    found = digest(model)
    return None if found is None else _hashed(_FORMAT, machine(), found, *words)


def load(name: str) -> tuple[Choice, bool] | None:
    """Return the choice that was kept under a name, and whether all was tried for it."""
    try:
        held = json.loads((folder() / f"{name}.json").read_text())
        trials = tuple(Trial(**_known(Trial, one)) for one in held.pop("trials"))
        thorough = bool(held.pop("thorough"))
        shape = held.pop("shape")
        choice = Choice(
            **_known(Choice, held),
            trials=trials,
            shape=None if shape is None else tuple(map(int, shape)),
        )
        return (choice, thorough) if isinstance(choice.backend, str) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _known(kind: type[Any], held: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    if not set(held) <= names:
        raise ValueError(f"expected {sorted(names)}, got {sorted(held)}")
    return held


def save(name: str, choice: Choice, *, thorough: bool) -> None:
    """Keep a choice; a folder that cannot be written to is passed over."""
    held = {**asdict(choice), "thorough": thorough}
    del held["remembered"]
    _write(folder() / f"{name}.json", json.dumps(held, indent=1))


def _write(path: Path, text: str) -> None:
    # A cache on a full or read-only disk costs a measurement, not the job.
    with contextlib.suppress(OSError), replacing(path) as part:
        part.write_text(text)


def program(model: Any, backend: Backend, shape: Any) -> Path | None:
    """Return where the converted program of a model is kept, without suffix.

    One for all shapes with as many bands: a program takes those of many sizes.
    """
    found = digest(model) if backend.keeps else None
    if found is None:
        return None
    return folder() / f"{backend.keeps}-{_hashed(_FORMAT, found, shape[1:2], *_versions())}"


@contextlib.contextmanager
def trying(model: Any, backend: Backend) -> Iterator[None]:
    """Leave a note while a backend is tried, which stays if that ends the process."""
    note = None if program(model, backend, ()) is None else _note(model, backend)
    if note is None:
        yield
        return
    _write(note, json.dumps({"pid": os.getpid(), "node": platform.node()}))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink()


def crashed(model: Any, backend: Backend) -> bool:
    """Whether a process on this machine ended while it tried a backend for this model."""
    note = None if program(model, backend, ()) is None else _note(model, backend)
    try:
        held = {} if note is None else json.loads(note.read_text())
        return held["node"] == platform.node() and not _alive(int(held["pid"]))
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _note(model: Any, backend: Backend) -> Path:
    return folder() / f"trying-{backend.name}-{digest(model)}.json"


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # there, asking whether a process lives would interrupt it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
