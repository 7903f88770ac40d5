"""The model with its matrix products in bfloat16, by torch's autocast."""

from __future__ import annotations

from typing import Any

import numpy as np

from xeo.engine.backends.call import Backend, Call, Request, UnsuitedError
from xeo.engine.backends.packed import layers
from xeo.lazy import require
from xeo.spec import Batch


def _prepare(request: Request) -> Call:
    if not layers(request):
        raise UnsuitedError("the model has no linear layer or convolution of torch")
    torch = require("torch", purpose="run a model in bfloat16")
    model = request.model

    def call(x: Any) -> Any:
        first = next(iter(x.arrays.values())) if isinstance(x, Batch) else x
        kind = "cpu" if isinstance(first, np.ndarray) else "cuda"
        with torch.autocast(kind, dtype=torch.bfloat16):
            return model(x)

    return call


BFLOAT16 = Backend(
    "bfloat16", _prepare, precision="fast", packages=("torch",), devices=("cpu", "cuda")
)
