"""Arrays to the device where a model runs, and back."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.errors import OptionError
from xeo.lazy import require


def check_device(device: str | None) -> None:
    """Say before any work that a device cannot be used.

    Raises
    ------
    OptionError
        If ``device`` is neither ``"cpu"`` nor a CUDA device that is there.
    """
    if device in (None, "cpu"):
        return
    kind, _, number = str(device).partition(":")
    if kind != "cuda" or not (number.isdecimal() or number == ""):
        raise OptionError(f"expected device 'cpu', 'cuda' or 'cuda:1', got {device!r}")
    torch = require("torch", purpose="run on a GPU")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise OptionError(
            f"expected one of {count} CUDA devices, got {device!r}. Try: device='cpu'"
        )


def to_device(array: Any, device: str | None) -> Any:
    """Return a numpy array on a device: as it is, or as a CuPy array or torch tensor."""
    if device in (None, "cpu"):
        return array
    number = int(str(device).partition(":")[2] or 0)
    if importlib.util.find_spec("cupy") is not None:
        cupy = require("cupy", purpose="run on a GPU")
        with cupy.cuda.Device(number):
            return cupy.asarray(array)
    torch = require("torch", purpose="run on a GPU")
    return torch.as_tensor(array, device=f"cuda:{number}")


def to_host(array: Any) -> NDArray[Any]:
    """Return a numpy, CuPy or torch array as numpy; half precision as float32."""
    if isinstance(array, np.ndarray):
        return array
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        tensor = array.detach().cpu()
        return np.asarray((tensor.float() if tensor.is_floating_point() else tensor).numpy())
    if hasattr(array, "get"):
        return np.asarray(array.get())
    return np.asarray(array)
