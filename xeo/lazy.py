"""Import optional packages where they are used, with an error that names the cure."""

from __future__ import annotations

import importlib
from types import ModuleType

from xeo.errors import MissingDependencyError

#: Which extra of the distribution brings a package that xeo can do without.
EXTRAS = {
    "torch": "torch",
    "safetensors": "torch",
    "onnxruntime": "models",
    "onnx": "models",
    "matplotlib": "viz",
    "cupy": "gpu",
    "distributed": "cluster",
    "av": "video",
    "imagecodecs": "video",
    "ffmpeg": "video",
    "odc": "stac",
    "pystac_client": "stac",
    "s3fs": "cloud",
    "aiohttp": "cloud",
}


def require(name: str, *, purpose: str) -> ModuleType:
    """Import a module, or say which extra brings it.

    Parameters
    ----------
    name : str
        Full module name, ``"torch"`` or ``"torch.nn"``.
    purpose : str
        What it is needed for, as a phrase that follows "to".

    Returns
    -------
    module

    Raises
    ------
    MissingDependencyError
        If the module is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as err:
        top = name.partition(".")[0]
        if err.name is not None and err.name.partition(".")[0] != top:
            # The package is there and misses a part of its own: its message says more.
            raise
        extra = EXTRAS.get(top)
        cure = f'pip install "xarray-eo[{extra}]"' if extra else f"pip install {top}"
        raise MissingDependencyError(
            f"expected the package {top!r} to {purpose}, but it is not installed. Try: {cure}",
            name=top,
        ) from err
