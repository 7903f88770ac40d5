"""The verbs: one file each, plain functions on xarray objects."""

from xeo.ops.classify import classify
from xeo.ops.cloud_mask import cloud_mask
from xeo.ops.composite import composite
from xeo.ops.compress import compress
from xeo.ops.embed import dequantize, embed
from xeo.ops.encoding import encoding
from xeo.ops.estimate import estimate
from xeo.ops.evaluate_gap_filling import evaluate_gap_filling
from xeo.ops.film import to_video
from xeo.ops.index import index
from xeo.ops.inspect import inspect
from xeo.ops.models import list_models
from xeo.ops.open import open_cube
from xeo.ops.patches import draw_patches
from xeo.ops.plan import plan
from xeo.ops.remove_clouds import remove_clouds
from xeo.ops.stack import open_zarr, unstack_bands
from xeo.ops.tune import tune
from xeo.ops.verify import decompress, verify
from xeo.ops.write import write
from xeo.ops.xarrayvideo import to_xarrayvideo

__all__ = [
    "classify",
    "cloud_mask",
    "composite",
    "compress",
    "decompress",
    "dequantize",
    "draw_patches",
    "embed",
    "encoding",
    "estimate",
    "evaluate_gap_filling",
    "index",
    "inspect",
    "list_models",
    "open_cube",
    "open_zarr",
    "plan",
    "remove_clouds",
    "to_video",
    "to_xarrayvideo",
    "tune",
    "unstack_bands",
    "verify",
    "write",
]
