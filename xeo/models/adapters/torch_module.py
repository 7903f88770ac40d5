"""Any torch module as a model that travels as a reference.

A model of xeo is pickled into every graph, so it must not hold its weights. `from_torch` takes
a module apart: its tensors go into a safetensors file named by its own hash, in the user's
cache; its structure (classes and settings, no tensors) stays in the model as a few compressed
kilobytes. A worker puts both together at its first call.

The file holds numbers alone and cannot run anything; it is used only if its hash is the one in
the model. The structure is Python code by reference (or by value, for classes of a notebook), as
in any pickle that Dask sends: it is trusted as much as the model's own pickle is, and never read
from disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeo.errors import OptionError
from xeo.lazy import require
from xeo.models.adapters.calling import run_module
from xeo.models.adapters.files import PinnedFile
from xeo.models.adapters.recipe import (
    Factory,
    compressed,
    load_state,
    read_tensors,
    rebuild,
    reference_of,
    take_apart,
    write_tensors,
)
from xeo.models.torch_runtime import module_for
from xeo.progress import quiet_pooch
from xeo.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, device
    from torch.nn import Module

    Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class TorchModule:
    """A torch module and what it says of itself; made by `from_torch`.

    Parameters
    ----------
    spec : ModelSpec
        What the model says of itself.
    recipe : bytes
        The module without its tensors.
    file : PinnedFile
        Its tensors, as safetensors.
    """

    spec: ModelSpec
    recipe: bytes = field(repr=False)
    file: PinnedFile

    def __call__(self, x: Any, /) -> Any:
        """Return what the module makes of an array ``(sample, band, y, x)`` or a `Batch`."""
        return run_module(self.spec, self._module_on, x)

    def module(self) -> Module:
        """Return the module, for backends that convert it."""
        torch = require("torch", purpose="export a model")
        return self._module_on(torch.device("cpu"))

    def _module_on(self, where: device) -> Module:
        live = _LIVE.get(self)
        if live is not None and live.unchanged():
            return module_for(self, lambda: rebuild(self.recipe, live.tensors), where)
        # Another key: what was built from tensors that were trained since is not this model.
        key = self if live is None else (self, "stored")
        return module_for(key, self._stored, where)

    def _stored(self) -> Module:
        return rebuild(self.recipe, read_tensors(self.file.checked()))


def from_torch(
    module: Module | Callable[..., Module] | str,
    spec: ModelSpec,
    *,
    kwargs: Mapping[str, Any] | None = None,
    weights: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> TorchModule:
    """Make a model of any torch module.

    The model is a snapshot: its weights are written once to ``<hash>.safetensors`` in
    ``folder``, and it pickles to a few kilobytes that name that file. In this process it
    shares the memory of ``module`` until that is trained on; ``module`` itself stays as it
    is (mode, gradients, device).

    Parameters
    ----------
    module : Module, callable or str
        A module; or a function or class that makes one and can be imported, as itself or as
        ``"package.module:name"``. Take a function for modules that cannot be pickled.
    spec : ModelSpec
        What the model says of itself. If it asks for one image and no context, the module is
        called with one tensor ``(sample, band, y, x)``. Else it is called with a `Batch`
        of tensors, as models are: ``batch["sentinel2"]`` is ``(sample, time, band, y, x)``,
        ``batch.time`` holds days since 1970-01-01 as float64, ``batch.mask`` booleans,
        ``batch.latlon`` degrees, ``batch.center_wavelength`` micrometres, ``batch.gsd``
        metres. It returns ``(sample, [time,] channel, y / stride, x / stride)``.
    kwargs : mapping, optional
        Arguments of the function; small, and without tensors.
    weights : path, optional
        Safetensors file of the state dict of what the function makes. None takes the
        weights that the function gives, now and once.
    folder : path, optional
        Where weights are written: a folder that all workers see. Default: ``modules`` in the
        user's cache, enough for workers on this machine or with a shared home. Files stay
        there until deleted.

    Returns
    -------
    TorchModule
        Takes numpy, CuPy and torch arrays, runs where they lie, and returns the same kind.
        Values are cast to the type of the module's parameters, and to ``spec.dtype`` after.

    Raises
    ------
    ModelError
        If the module cannot be taken apart, holds its weights outside of tensors, or the
        function cannot be imported. At the call: if the output is not what ``spec`` says.
    WeightsError
        If ``weights`` is missing, is no safetensors file, or does not fit; on a worker, if
        the file cannot be found there or has changed.
    OptionError
        If ``kwargs`` or ``weights`` come with a module rather than with a function.

    Examples
    --------
    >>> import torch
    >>> from xeo.spec import ModelSpec
    >>> spec = ModelSpec("mine", bands=("red", "nir"), stride=2, channels=3)
    >>> model = from_torch(torch.nn.Conv2d(2, 3, 2, stride=2), spec)
    >>> model(np.zeros((1, 2, 8, 8), "f4")).shape
    (1, 3, 4, 4)
    """
    torch = require("torch", purpose="make a model of a torch module")
    place = Path(folder).expanduser() if folder is not None else _cache()
    if not isinstance(module, torch.nn.Module):
        return _from_factory(module, spec, dict(kwargs or {}), weights, place)
    if kwargs or weights:
        raise OptionError(
            "expected 'kwargs' and 'weights' with a function that makes the module, got a module. "
            "Try: from_torch('package.module:function', spec, kwargs=..., weights=...)"
        )
    recipe, tensors = take_apart(module)
    model = TorchModule(spec, recipe, write_tensors(tensors, place))
    # The first module stays: what is built already shares its memory, and knows its writes.
    _LIVE.setdefault(model, _Live(tensors, _versions(tensors)))
    return model


def _from_factory(
    factory: Any,
    spec: ModelSpec,
    kwargs: dict[str, Any],
    weights: str | os.PathLike[str] | None,
    folder: Path,
) -> TorchModule:
    made = Factory(reference_of(factory), kwargs)
    recipe = compressed(made)
    module = made.build()
    if weights is not None:
        file = PinnedFile.of(weights)
        load_state(module, read_tensors(file.path), file.path)
    else:
        file = write_tensors(module.state_dict(), folder)
    model = TorchModule(spec, recipe, file)
    torch = require("torch", purpose="make a model of a torch module")
    module_for(model, lambda: module, torch.device("cpu"))
    return model


def _cache() -> Path:
    return Path(quiet_pooch().os_cache("xeo")) / "modules"


@dataclass(frozen=True)
class _Live:
    """The tensors of a module of this process, and how often each had been written to."""

    tensors: Tensors
    versions: tuple[int, ...]

    def unchanged(self) -> bool:
        return _versions(self.tensors) == self.versions


def _versions(tensors: Tensors) -> tuple[int, ...]:
    # Torch counts in-place writes, those of optimisers and load_state_dict included.
    return tuple(0 if t.is_inference() else t._version for t in tensors.values())


_LIVE: dict[TorchModule, _Live] = {}
