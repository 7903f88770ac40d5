"""Models as programs of onnxruntime."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from xeo.engine.backends import stored
from xeo.engine.backends.call import Backend, Call, Request
from xeo.engine.backends.export import calling, exported, quiet
from xeo.engine.backends.shapes import Shapes
from xeo.lazy import require

_SUFFIX = ".onnx"


def _prepare(request: Request) -> Call:
    with quiet():
        load = partial(_session, threads=request.threads)
        held = stored.load(request.keep, _SUFFIX, request.shape, load)
        session, shapes = held or _convert(request)
    name = session.get_inputs()[0].name
    return calling(lambda x: session.run(None, {name: x})[0], shapes, request)


def _session(path: Path, *, threads: int) -> Any:
    ort = require("onnxruntime", purpose="run a model by onnxruntime")
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    # Threads that wait for work by spinning take it from the readers.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def _convert(request: Request) -> tuple[Any, Shapes]:
    torch = require("torch", purpose="export a model")
    require("onnxscript", purpose="export a model to ONNX")
    program, shapes = exported(request)

    def write(path: Path) -> None:
        torch.onnx.export(program, (), str(path), dynamo=True, verbose=False)

    with tempfile.TemporaryDirectory(prefix="xeo-") as folder:
        # A session reads all of its file when it is made.
        keep = request.keep or Path(folder) / "model"
        if not stored.save(keep, _SUFFIX, shapes, write):
            keep = Path(folder) / "model"
            write(keep.with_name(keep.name + _SUFFIX))
        return _session(keep.with_name(keep.name + _SUFFIX), threads=request.threads), shapes


ONNXRUNTIME = Backend(
    "onnxruntime",
    _prepare,
    seconds=10.0,
    packages=("torch", "onnx", "onnxscript", "onnxruntime"),
    keeps="onnx",
)
