"""A TorchScript file as a model."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xeo.errors import WeightsError
from xeo.lazy import require
from xeo.models.adapters.calling import one_array, run_module
from xeo.models.adapters.files import PinnedFile
from xeo.models.adapters.program import Program
from xeo.models.torch_runtime import module_for
from xeo.spec import ModelSpec

if TYPE_CHECKING:
    from torch import device
    from torch.nn import Module


@dataclass(frozen=True)
class TorchScriptModel:
    """A TorchScript file and what it says of itself; made by `from_torchscript`."""

    spec: ModelSpec
    file: PinnedFile

    def __call__(self, x: Any, /) -> Any:
        """Return what the script makes of an array ``(sample, band, y, x)``."""
        return run_module(self.spec, self._module_on, x)

    def _module_on(self, where: device) -> Module:
        return module_for(self, lambda: self._load(where), where)

    def _load(self, where: device) -> Any:
        torch = require("torch", purpose="run a TorchScript file")
        path = self.file.checked()
        with warnings.catch_warnings():
            # Torch advises against writing such files; here someone has one to read.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                module = torch.jit.load(path, map_location=where)
            except RuntimeError as err:
                raise WeightsError(
                    f"expected a TorchScript file in {path}, got {str(err)[:300]}"
                ) from err
        return Program(module.eval())


def from_torchscript(path: str | os.PathLike[str], spec: ModelSpec) -> TorchScriptModel:
    """Make a model of a TorchScript file.

    Parameters
    ----------
    path : path
        Written by ``torch.jit.save``, in a place that all workers see. Its code runs: use
        files that you trust. The model pins the file's SHA-256.
    spec : ModelSpec
        What the model says of itself: one image, no context.

    Returns
    -------
    TorchScriptModel
        Called with ``(sample, band, y, x)``, in any number of samples.

    Raises
    ------
    WeightsError
        If there is no such file, or it is cut off; at the first call in a process, if it has
        changed or is no TorchScript.
    ModelError
        If ``spec`` asks for a `Batch`; at the call, if the output is not what it says.
    """
    return TorchScriptModel(one_array(spec, "a TorchScript file"), PinnedFile.of_torch(path))
