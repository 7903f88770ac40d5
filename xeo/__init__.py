"""Earth-observation models on xarray data cubes, chunk by chunk."""

import importlib
from typing import TYPE_CHECKING, Any

from xeo import accessors, errors
from xeo.ops import (
    classify,
    cloud_mask,
    composite,
    compress,
    decompress,
    dequantize,
    draw_patches,
    embed,
    encoding,
    estimate,
    evaluate_gap_filling,
    index,
    inspect,
    list_models,
    open_cube,
    open_zarr,
    plan,
    remove_clouds,
    to_video,
    to_xarrayvideo,
    tune,
    unstack_bands,
    verify,
    write,
)
from xeo.spec import Batch, Input, ModelSpec

if TYPE_CHECKING:
    from xeo import models, weights
    from xeo.simulate import simulate_cube

__all__ = [
    "Batch",
    "Input",
    "ModelSpec",
    "accessors",
    "classify",
    "cloud_mask",
    "composite",
    "compress",
    "decompress",
    "dequantize",
    "draw_patches",
    "embed",
    "encoding",
    "errors",
    "estimate",
    "evaluate_gap_filling",
    "index",
    "inspect",
    "list_models",
    "models",
    "open_cube",
    "open_zarr",
    "plan",
    "remove_clouds",
    "simulate_cube",
    "to_video",
    "to_xarrayvideo",
    "tune",
    "unstack_bands",
    "verify",
    "weights",
    "write",
]

#: What few programs need, loaded when first asked for: `import xeo` is on everybody's path.
_LATER = {"models": "xeo.models", "weights": "xeo.weights", "simulate_cube": "xeo.simulate"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'xeo' has no attribute {name!r}")
    module = importlib.import_module(_LATER[name])
    found = getattr(module, name) if name == "simulate_cube" else module
    globals()[name] = found
    return found
