"""The verbs: one file each, plain functions on xarray objects."""

from xeo.ops.classify import classify
from xeo.ops.embed import dequantize, embed
from xeo.ops.film import to_video
from xeo.ops.models import list_models
from xeo.ops.open import open_cube
from xeo.ops.patches import draw_patches
from xeo.ops.write import write
from xeo.ops.xarrayvideo import to_xarrayvideo

__all__ = [
    "classify",
    "dequantize",
    "draw_patches",
    "embed",
    "list_models",
    "open_cube",
    "to_video",
    "to_xarrayvideo",
    "write",
]
