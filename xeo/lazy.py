"""Import optional packages where they are used, with an error that names the cure."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from xeo.errors import MissingDependencyError

#: Which extra of the distribution brings a package that xeo can do without.
EXTRAS = {
    "torch": "torch",
    "safetensors": "torch",
    "onnxruntime": "models",
    "onnx": "models",
    "onnxscript": "speed",
    "openvino": "speed",
    "zarrs": "speed",
    "matplotlib": "viz",
    "cupy": "gpu",
    "distributed": "cluster",
    "av": "video",
    "imagecodecs": "video",
    "ffmpeg": "video",
    "s2cloudless": "clouds",
    "omnicloudmask": "omnicloudmask",
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
        raise _missing(top, purpose) from err


def check(name: str, *, purpose: str) -> None:
    """Say that a package is not installed, without the time that importing it takes.

    Parameters
    ----------
    name : str
        Of the package, ``"torch"``.
    purpose : str
        What it is needed for, as a phrase that follows "to".

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    if importlib.util.find_spec(name) is None:
        raise _missing(name, purpose)


def _missing(name: str, purpose: str) -> MissingDependencyError:
    extra = EXTRAS.get(name)
    cure = f'pip install "xarray-eo[{extra}]"' if extra else f"pip install {name}"
    return MissingDependencyError(
        f"expected the package {name!r} to {purpose}, but it is not installed. Try: {cure}",
        name=name,
    )
