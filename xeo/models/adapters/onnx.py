"""An ONNX file as a model."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xeo import options
from xeo.errors import ModelError, OptionError, WeightsError
from xeo.kernels.namespace import namespace_of
from xeo.lazy import require
from xeo.models.adapters.calling import check_output, in_pieces, one_array
from xeo.models.adapters.files import PinnedFile
from xeo.spec import ModelSpec

_TYPES = {
    "tensor(float)": "f4",
    "tensor(float16)": "f2",
    "tensor(double)": "f8",
    "tensor(uint8)": "u1",
    "tensor(uint16)": "u2",
    "tensor(int16)": "i2",
    "tensor(int32)": "i4",
}
_SESSIONS: dict[OnnxModel, Any] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX file and what it says of itself; made by `from_onnx`."""

    spec: ModelSpec
    file: PinnedFile
    providers: tuple[str, ...] = ("CPUExecutionProvider",)

    def __call__(self, x: Any, /) -> Any:
        """Return what the network makes of an array ``(sample, band, y, x)``."""
        session = self._session()
        given = session.get_inputs()[0]
        samples = given.shape[0] if isinstance(given.shape[0], int) else None
        values = np.ascontiguousarray(_host(x), dtype=_TYPES[given.type])
        out = in_pieces(lambda piece: self._run(session, given.name, piece), values, samples)
        check_output(self.spec, x, out)
        return _like(out.astype(self.spec.dtype, copy=False), x)

    def _run(self, session: Any, name: str, x: NDArray[Any]) -> NDArray[Any]:
        state = require("onnxruntime.capi.onnxruntime_pybind11_state", purpose="run ONNX files")
        try:
            out: NDArray[Any] = session.run(None, {name: x})[0]
        except state.InvalidArgument as err:
            raise ModelError(
                f"model {self.spec.name!r}: expected an input {session.get_inputs()[0].shape}, "
                f"got {x.shape}. Try: give the fixed size as 'window' of the spec"
            ) from err
        return out

    def _session(self) -> Any:
        if self not in _SESSIONS:
            with _LOCK:
                if self not in _SESSIONS:
                    _SESSIONS[self] = self._load()
        return _SESSIONS[self]

    def _load(self) -> Any:
        onnxruntime = require("onnxruntime", purpose="run ONNX files")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads()
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        # Idle threads of a session would spin on the cores of the other tasks.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = self.file.checked()
        try:
            session = onnxruntime.InferenceSession(path, settings, providers=list(self.providers))
        except Exception as err:  # each kind of damage has its class, with no common base
            raise WeightsError(
                f"expected a whole ONNX file in {path}, got {str(err)[:300]}"
            ) from err
        _check_ports(session, path)
        return session


def from_onnx(
    path: str | os.PathLike[str], spec: ModelSpec, providers: Sequence[str] | None = None
) -> OnnxModel:
    """Make a model of an ONNX file, run by onnxruntime.

    Parameters
    ----------
    path : path
        In a place that all workers see, a file ``<path>.data`` of large tensors beside it.
        The model pins the SHA-256 of both.
    spec : ModelSpec
        What the model says of itself: one image, no context. If the network has a fixed
        size, give it as ``window``.
    providers : sequence of str, optional
        Execution providers, the preferred one first, such as ``("CUDAExecutionProvider",
        "CPUExecutionProvider")``. Default: the CPU.

    Returns
    -------
    OnnxModel
        Called with ``(sample, band, y, x)``, in any number of samples: a network with a
        fixed number is called as often as it takes. Arrays pass through the host's memory.

    Raises
    ------
    WeightsError
        If there is no such file; at the first call in a process, if it is damaged or has
        changed.
    OptionError
        If a provider is not installed.
    ModelError
        If ``spec`` asks for a `Batch`; at the call, if the network takes more than one
        input, or its output is not what the spec says.
    """
    onnxruntime = require("onnxruntime", purpose="run ONNX files")
    there = onnxruntime.get_available_providers()
    wanted = tuple(providers or ("CPUExecutionProvider",))
    if set(wanted) - set(there):
        raise OptionError(f"expected providers among {there}, got {list(wanted)}")
    return OnnxModel(one_array(spec, "an ONNX file"), PinnedFile.of(path), wanted)


def _check_ports(session: Any, path: str) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"expected a network of one input and one output in {path}, got the inputs "
            f"{[port.name for port in inputs]} and outputs {[port.name for port in outputs]}"
        )
    if inputs[0].type not in _TYPES:
        raise ModelError(f"expected an input of {sorted(_TYPES)} in {path}, got {inputs[0].type}")


def _host(x: Any) -> NDArray[Any]:
    kind = namespace_of(x).__name__
    if kind == "torch":
        tensor = x.detach().cpu()
        return np.asarray((tensor.float() if tensor.is_floating_point() else tensor).numpy())
    return np.asarray(x.get() if kind == "cupy" else x)


def _like(out: NDArray[Any], x: Any) -> Any:
    xp = namespace_of(x)
    return xp.asarray(out, device=x.device) if xp.__name__ == "torch" else xp.asarray(out)
