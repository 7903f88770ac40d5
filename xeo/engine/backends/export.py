"""Models as programs that do not need Python, for those that convert them further.

A program is made by ``torch.export``, which follows every branch that depends on shapes and
refuses those that depend on values: what it returns is the model for all shapes that it names.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo.engine.backends.call import Call, Request, UnsuitedError
from xeo.engine.backends.shapes import Shapes, in_pieces, shapes_of
from xeo.lazy import require
from xeo.spec import Exportable


def plain_module(request: Request) -> Any:
    """Return the module of a model.

    Raises
    ------
    UnsuitedError
        If the model has none, is not in single precision, or not called with a numpy array.
    """
    model, x = request.model, request.example
    if request.model.spec.takes_batch or not isinstance(model, Exportable):
        raise UnsuitedError("the model is not one torch module of one array")
    if not isinstance(x, np.ndarray):
        raise UnsuitedError("the arrays are not on the CPU")
    torch = require("torch", purpose="export a model")
    module = model.module()
    tensors = list(chain(module.parameters(), module.buffers()))
    if any(one.is_floating_point() and one.dtype != torch.float32 for one in tensors):
        raise UnsuitedError("the module is not in single precision")
    # What was loaded while torch ran without gradients cannot be traced.
    return copy.deepcopy(module) if any(one.is_inference() for one in tensors) else module


def exported(request: Request) -> tuple[Any, Shapes]:
    """Return a model as an exported program, and the shapes it takes.

    Raises
    ------
    UnsuitedError
        If it cannot be exported.
    """
    module = plain_module(request)
    x = request.example
    program = _export(module, x, max(2, len(x)), request.model.spec.window is None)
    shapes = shapes_of(program)
    if shapes.batch is not None and shapes.batch != len(x):
        program = _export(module, x, len(x), request.model.spec.window is None)
        shapes = shapes_of(program)
    return program, shapes


def _export(module: Any, x: NDArray[Any], samples: int, any_size: bool) -> Any:
    torch = require("torch", purpose="export a model")
    auto = torch.export.Dim.AUTO
    sizes = {0: auto, 2: auto, 3: auto} if any_size else {0: auto}
    example = torch.from_numpy(np.resize(x, (samples, *x.shape[1:])).astype(np.float32))
    try:
        return torch.export.export(module, (example,), dynamic_shapes=(sizes,), strict=False)
    except Exception as err:  # tracing somebody's code may raise anything
        said = next(iter(str(err).strip().splitlines()), "")[:200]
        raise UnsuitedError(f"torch.export refuses it: {said or type(err).__name__}") from err


def calling(run: Call, shapes: Shapes, request: Request) -> Call:
    """Return what stands in the place of a model, of what runs its program.

    Parameters
    ----------
    run : callable
        From a float32 array of a shape that the program takes to a new array.
    shapes : Shapes
        That it takes.
    request : Request
        What was asked for.
    """
    dtype = np.dtype(request.model.spec.dtype)

    def call(x: Any) -> Any:
        if not isinstance(x, np.ndarray) or not shapes.fit(x.shape):
            raise UnsuitedError("the program was not exported for such arrays")
        single = np.ascontiguousarray(x, np.float32)
        return in_pieces(run, single, shapes.batch).astype(dtype, copy=False)

    return call


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporters say of themselves from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
