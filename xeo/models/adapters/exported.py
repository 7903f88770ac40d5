"""A ``torch.export`` file as a model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xeo.errors import ModelError, WeightsError
from xeo.lazy import require
from xeo.models.adapters.calling import one_array, run_module
from xeo.models.adapters.files import PinnedFile
from xeo.models.adapters.program import Program
from xeo.models.torch_runtime import module_for
from xeo.spec import ModelSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ExportedModel:
    """A ``torch.export`` file and what it says of itself; made by `from_exported`."""

    spec: ModelSpec
    file: PinnedFile

    def __call__(self, x: Any, /) -> Any:
        """Return what the program makes of an array ``(sample, band, y, x)``."""
        return run_module(self.spec, self._module_on, x)

    def module(self) -> torch.nn.Module:
        """Return the program as a module, for backends that convert it."""
        module: torch.nn.Module = self._program().module()
        return module

    def _module_on(self, device: torch.device) -> torch.nn.Module:
        return module_for(self, lambda: self._load(device), device)

    def _program(self) -> Any:
        export = require("torch.export", purpose="run an exported program")
        path = self.file.checked()
        try:
            return export.load(path)
        except Exception as err:  # a zip of something else makes the loader raise anything
            raise WeightsError(
                f"expected a program saved by torch.export in {path}, got {type(err).__name__}: "
                f"{str(err)[:300]}"
            ) from err

    def _load(self, device: torch.device) -> Any:
        program = self._program()
        if device.type != "cpu":
            passes = require("torch.export.passes", purpose="move an exported program")
            program = passes.move_to_device_pass(program, str(device))
        return Program(program.module(), _samples(program))


def _samples(program: Any) -> int | None:
    """Return the number of samples that a program of one input was exported for, if fixed."""
    inputs = program.graph_signature.user_inputs
    if len(inputs) != 1:
        raise ModelError(f"expected a program of one input, got the inputs {list(inputs)}")
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    samples = nodes[inputs[0]].meta["val"].shape[0]
    return samples if type(samples) is int else None


def from_exported(path: str | os.PathLike[str], spec: ModelSpec) -> ExportedModel:
    """Make a model of a ``torch.export`` file.

    Parameters
    ----------
    path : path
        A ``.pt2`` file written by ``torch.export.save``, in a place that all workers see.
        Its code runs: use files that you trust. The model pins the file's SHA-256.
    spec : ModelSpec
        What the model says of itself: one image, no context. Export the module in evaluation
        mode; if sizes were not exported as dynamic, give them as ``window``.

    Returns
    -------
    ExportedModel
        Called with ``(sample, band, y, x)``, in any number of samples: a program that was
        exported for a fixed number is called as often as it takes.

    Raises
    ------
    WeightsError
        If there is no such file, or it is cut off; at the first call in a process, if it has
        changed or is no exported program.
    ModelError
        If ``spec`` asks for a `Batch`; at the call, if the program takes more than one input
        or its output is not what the spec says.
    """
    return ExportedModel(one_array(spec, "an exported program"), PinnedFile.of_torch(path))
