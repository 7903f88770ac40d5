"""A TorchScript file as a model."""

from __future__ import annotations

import os
import warnings
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xeo.errors import WeightsError
from xeo.lazy import require
from xeo.models.adapters.calling import one_array, run_module
from xeo.models.adapters.files import PinnedFile
from xeo.models.torch_runtime import module_for
from xeo.spec import ModelSpec

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True)
class TorchScriptModel:
    """A TorchScript file and what it says of itself; made by `from_torchscript`."""

    spec: ModelSpec
    file: PinnedFile

    def __call__(self, x: Any, /) -> Any:
        """Return what the script makes of an array ``(sample, band, y, x)``."""
        return run_module(self.spec, lambda device: module_for(self, self._load, device), x)

    def _load(self) -> Module:
        torch = require("torch", purpose="run a TorchScript file")
        path = self.file.checked()
        with warnings.catch_warnings():
            # Torch advises against writing such files; here someone has one to read.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                module: Module = torch.jit.load(path, map_location="cpu")
            except RuntimeError as err:
                raise WeightsError(
                    f"expected a TorchScript file in {path}, got {str(err)[:300]}"
                ) from err
        return module


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
    return TorchScriptModel(one_array(spec, "a TorchScript file"), pinned_zip(path))


def pinned_zip(path: str | os.PathLike[str]) -> PinnedFile:
    """Pin a file that torch saved, which is a zip with its table at the end.

    Raises
    ------
    WeightsError
        If there is no such file, or it is no whole zip.
    """
    file = PinnedFile.of(path)
    if not zipfile.is_zipfile(file.path):
        raise WeightsError(
            f"expected a whole file saved by torch in {file.path}, got one of "
            f"{os.path.getsize(file.path)} bytes that is no zip or is cut off"
        )
    return file
