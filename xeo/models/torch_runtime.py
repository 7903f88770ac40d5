"""What every torch model here shares: arrays in, arrays of the same kind out, once-loaded modules.

Torch is imported inside the functions: this module is imported by the registry's classes, and
asking a model for its spec must not cost two seconds.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from xeo import options
from xeo.lazy import require

if TYPE_CHECKING:
    import torch

_MODULES: dict[tuple[Any, str], torch.nn.Module] = {}
_LOCK = threading.Lock()


def as_tensor(x: Any) -> torch.Tensor:
    """Return a numpy, CuPy or torch array as a tensor on its own device.

    Float arrays share memory where they can. Views with negative strides, big-endian and
    read-only arrays are copied, because DLPack aborts on the first and writes through the last.
    """
    library = require("torch", purpose="run this model")
    if isinstance(x, np.ndarray):
        native = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))
        x = library.from_numpy(native if native.flags.writeable else native.copy())
    tensor: torch.Tensor = x if isinstance(x, library.Tensor) else library.from_dlpack(x)
    return tensor


def like(out: torch.Tensor, x: Any) -> Any:
    """Return a tensor as an array of the kind of ``x``."""
    torch = require("torch", purpose="run this model")
    if isinstance(x, torch.Tensor):
        return out
    if isinstance(x, np.ndarray):
        return out.detach().cpu().numpy()
    return sys.modules["cupy"].from_dlpack(out.detach())


@contextmanager
def inference() -> Iterator[None]:
    """Run without gradients, on the threads that the running task owns."""
    torch = require("torch", purpose="run this model")
    share = options.threads()
    # OpenMP keeps this setting per calling thread, so each worker thread sets its own.
    if torch.get_num_threads() != share:
        torch.set_num_threads(share)
    with torch.inference_mode():
        yield


def module_for(
    model: Any, build: Callable[[], torch.nn.Module], device: torch.device
) -> torch.nn.Module:
    """Return the module of a model on a device, built at the first call of this process.

    Parameters
    ----------
    model : hashable
        The frozen dataclass of settings: the key.
    build : callable
        Makes the module with its weights loaded; called once, even with many threads.
    device : torch.device
        Where it shall live.
    """
    key = (model, str(device))
    if key not in _MODULES:
        with _LOCK:
            if key not in _MODULES:
                _MODULES[key] = build().eval().requires_grad_(False).to(device)
    return _MODULES[key]
