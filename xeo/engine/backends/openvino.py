"""Models as programs of OpenVINO."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

from xeo import options
from xeo.engine.backends import stored
from xeo.engine.backends.call import Backend, Call, Request
from xeo.engine.backends.export import calling, exported, quiet
from xeo.engine.backends.shapes import Shapes
from xeo.lazy import require

_SUFFIX = ".xml"


def _prepare(request: Request, *, hint: str) -> Call:
    with quiet():
        ov = require("openvino", purpose="run a model by OpenVINO")
        core = ov.Core()
        held = stored.load(request.keep, _SUFFIX, request.shape, core.read_model)
        program, shapes = held or _convert(request)
        # A call runs in one stream, and as many calls at once as there are streams.
        streams = max(1, options.cores() // request.threads)
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams * request.threads,
            # Pinned threads cannot make room when another program takes their core.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(program, "CPU", settings)
    return calling(partial(_run, compiled, threading.local()), shapes, request)


def _run(compiled: Any, own: threading.local, x: Any) -> Any:
    # A request has buffers of its own, which the next call on it overwrites.
    if not hasattr(own, "request"):
        own.request = compiled.create_infer_request()
    return own.request.infer([x], share_inputs=True, share_outputs=True)[0].copy()


def _convert(request: Request) -> tuple[Any, Shapes]:
    ov = require("openvino", purpose="run a model by OpenVINO")
    program, shapes = exported(request)
    converted = ov.convert_model(program)

    def write(path: Path) -> None:
        ov.save_model(converted, path, compress_to_fp16=False)

    stored.save(request.keep, _SUFFIX, shapes, write)
    return converted, shapes


_PACKAGES = ("torch", "openvino")
OPENVINO = Backend(
    "openvino",
    partial(_prepare, hint="f32"),
    seconds=5.0,
    packages=_PACKAGES,
    keeps="openvino",
)
OPENVINO_BFLOAT16 = Backend(
    "openvino-bfloat16",
    partial(_prepare, hint="bf16"),
    precision="fast",
    seconds=5.0,
    packages=_PACKAGES,
    keeps="openvino",
)
