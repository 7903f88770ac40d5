"""Models: one file each, registered by entry points; adapters for those of others."""

from xeo.models.adapters.exported import from_exported
from xeo.models.adapters.onnx import from_onnx
from xeo.models.adapters.torch_module import from_torch
from xeo.models.adapters.torchscript import from_torchscript

__all__ = ["from_exported", "from_onnx", "from_torch", "from_torchscript"]
