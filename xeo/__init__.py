"""Earth-observation models on xarray data cubes, chunk by chunk."""

from xeo import accessors, errors, models, weights
from xeo.ops import classify, dequantize, embed, list_models, open_cube, write
from xeo.simulate import simulate_cube
from xeo.spec import Batch, Input, ModelSpec

__all__ = [
    "Batch",
    "Input",
    "ModelSpec",
    "accessors",
    "classify",
    "dequantize",
    "embed",
    "errors",
    "list_models",
    "models",
    "open_cube",
    "simulate_cube",
    "weights",
    "write",
]
