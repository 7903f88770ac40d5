"""Models called by a backend, whose numbers are checked against the model's own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from xeo.engine.backends import remembered, stored
from xeo.engine.backends.call import Backend, Call, Request, UnsuitedError
from xeo.engine.backends.choice import Choice
from xeo.engine.backends.likeness import compare
from xeo.engine.backends.table import TABLE
from xeo.errors import ModelError, XeoWarning
from xeo.warn import warn

#: What backends say when the memory is full; torch and the others have no class of their own.
_FULL = ("allocate memory", "bad allocation", "bad_alloc", "out of memory")


class Runner:
    """Calls a model by a backend; anything that the backend cannot do, the model does itself.

    The first call on each new shape runs both and compares them. A backend that fails, or whose
    numbers are off, is not asked again.

    Parameters
    ----------
    model : object
        With ``spec``.
    choice : Choice
        The backend, the precision, and what to prepare for.
    """

    def __init__(self, model: Any, choice: Choice) -> None:
        self.model, self.choice = model, choice
        self.backend: Backend = TABLE[choice.backend]
        self.prepared = 0.0
        self._calls: list[Call] = []
        self._shapes: dict[Any, Call | None] = {}
        self._broken = choice.backend == "eager"
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The backend that is used: the model itself once another one failed."""
        return "eager" if self._broken else self.backend.name

    def __call__(self, x: Any, /) -> Any:
        """Return what the model makes of an array or a `Batch`."""
        if self._broken:
            return self.model(x)
        shape = shape_of(x)
        if shape not in self._shapes:
            return self._first(x, shape)
        call = self._shapes[shape]
        if call is None:
            return self.model(x)
        try:
            return call(x)
        except Exception as err:
            return self._instead(x, err)

    def attempt(self, x: Any, *, fresh: bool = False, again: bool = False) -> tuple[Call, Any]:
        """Return what takes the place of the model for such arrays, and what that makes.

        Parameters
        ----------
        x : array or Batch
            To prepare for, and to call with.
        fresh : bool
            Pass over what was prepared before, in this process or on disk.
        again : bool
            Prepare once more where what was prepared before does not fit.

        Raises
        ------
        UnsuitedError
            If the backend cannot.
        """
        with remembered.trying(self.model, self.backend):
            for call in () if fresh else self._calls:
                with contextlib.suppress(UnsuitedError):
                    return call, call(x)
            if self._calls and not fresh and not again:
                raise UnsuitedError("it was prepared for other shapes")
            call = self._prepare(self._like_chosen(x), fresh=fresh)
            return call, call(x)

    def _prepare(self, x: Any, *, fresh: bool) -> Call:
        start = time.perf_counter()
        keep = remembered.program(self.model, self.backend, shape_of(x))
        if fresh and keep is not None:
            stored.discard(keep)
        call = self.backend.prepare(Request(self.model, x, self.choice.threads, keep))
        self.prepared = time.perf_counter() - start
        # The newest is the likeliest to fit what comes next.
        self._calls.insert(0, call)
        return call

    def trust(self, x: Any, call: Call) -> None:
        """Note that a call was compared on arrays of this shape."""
        self._shapes[shape_of(x)] = call

    def _first(self, x: Any, shape: Any) -> Any:
        wanted = self.model(x)
        # One thread prepares and compares; the others have their answer.
        if not self._lock.acquire(blocking=False):
            return wanted
        try:
            if shape not in self._shapes and not self._broken:
                self._shapes[shape] = self._verified(x, wanted)
        finally:
            self._lock.release()
        return wanted

    def _verified(self, x: Any, wanted: Any) -> Call | None:
        """Return what gives the model's numbers on such arrays; None if nothing does."""
        # One shape that cannot be had runs eagerly; what never was right is not asked again.
        once = any(call is not None for call in self._shapes.values())
        try:
            call, made = self.attempt(x)
            found = compare(made, wanted)
            if not found.suits(self.choice.precision) and self.backend.keeps and not once:
                # A program kept on disk may be that of a model that was changed since.
                call, made = self.attempt(x, fresh=True)
                found = compare(made, wanted)
        except UnsuitedError as err:
            if not once and self.choice.shape is not None:
                self._give_up(str(err))
            return None
        except Exception as err:
            if not once:
                self._give_up(_told(err))
            return None
        if found.suits(self.choice.precision):
            return call
        if not once:
            self._give_up(f"its numbers were off on an array {shape_of(x)}: {found}")
        return None

    def _like_chosen(self, x: Any) -> Any:
        """Return an example of the shape that the backend was chosen for."""
        shape = self.choice.shape
        if shape is None or not isinstance(x, np.ndarray) or x.ndim != len(shape):
            return x
        return x if x.shape == shape else np.resize(x, shape)

    def _instead(self, x: Any, err: Exception) -> Any:
        """Run the model after its backend failed; what the model itself raises passes."""
        if isinstance(err, ModelError):
            raise err
        if out_of_memory(err):
            raise err if isinstance(err, MemoryError) else MemoryError(str(err)) from err
        made = self.model(x)
        if not isinstance(err, UnsuitedError):
            self._give_up(_told(err))
        return made

    def _give_up(self, why: str) -> None:
        if self._broken:
            return
        self._broken = True
        warn(
            f"backend {self.backend.name!r} is not used any more for model "
            f"{self.model.spec.name!r}: {why}. The model itself runs instead, with the right "
            "numbers. Try: backend='eager', or `xeo tune --forget` and `xeo tune` again",
            XeoWarning,
        )


def shape_of(x: Any) -> tuple[Any, ...]:
    """Return what tells arrays and batches apart: their shapes, and where they lie."""
    if isinstance(x, Mapping):
        return tuple((name, *shape_of(values)) for name, values in x.items())
    return tuple(x.shape)


def out_of_memory(err: BaseException) -> bool:
    """Whether an error says that there was no room."""
    return isinstance(err, MemoryError) or (
        isinstance(err, RuntimeError) and any(word in str(err) for word in _FULL)
    )


def _told(err: Exception) -> str:
    text = " ".join(str(err).split())[:200]
    return f"{type(err).__name__}: {text}"


_RUNNERS: dict[Any, Runner] = {}
_LOCK = threading.Lock()


def runner(model: Any, choice: Choice) -> Runner:
    """Return what calls a model as was chosen; one for all threads of this process.

    Parameters
    ----------
    model : object
        With ``spec``.
    choice : Choice
        From `choose`.
    """
    key = (identity(model), choice.backend, choice.precision, choice.threads)
    with _LOCK:
        found = _RUNNERS.get(key)
        if found is None:
            plain = replace(choice, trials=())
            found = _RUNNERS[key] = Runner(model, plain)
        return found


def forget() -> None:
    """Let go of all runners, and with them of converted programs in memory."""
    with _LOCK:
        _RUNNERS.clear()


def identity(model: Any) -> Any:
    """Return a key for a model: itself, or what stands for an object that does not hash."""
    return model if getattr(type(model), "__hash__", None) else _Same(model)


class _Same:
    """Stands for one object that does not hash, and keeps it alive."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value
