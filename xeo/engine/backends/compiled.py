"""Models compiled by ``torch.compile``, which needs a C++ compiler on the machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from xeo.engine.backends.call import Backend, Call, Request
from xeo.engine.backends.export import calling, plain_module, quiet
from xeo.engine.backends.shapes import Shapes
from xeo.lazy import require


def _prepare(request: Request) -> Call:
    torch = require("torch", purpose="compile a model")
    inductor = require("torch._inductor.config", purpose="compile a model")
    module, example = plain_module(request), np.asarray(request.example, np.float32)

    def run(x: Any) -> Any:
        # OpenMP keeps this setting per calling thread.
        if torch.get_num_threads() != request.threads:
            torch.set_num_threads(request.threads)
        with torch.inference_mode():
            return compiled(torch.from_numpy(x)).numpy()

    # Its own processes would compile no faster: there is one graph.
    with quiet(), inductor.patch(compile_threads=1):
        # Weights become constants, which may then be laid out for the processor.
        compiled = torch.compile(module, dynamic=False, options={"freezing": True})
        call = calling(run, Shapes(example.shape), request)
        call(example)
    return call


COMPILE = Backend("compile", _prepare, seconds=60.0, packages=("torch",))
