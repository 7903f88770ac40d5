"""Torch modules taken apart into structure and tensors, and put together again."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xeo.errors import ModelError, WeightsError
from xeo.lazy import require
from xeo.models.adapters.files import PinnedFile
from xeo.weights import sha256

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    Tensors = Mapping[str, Tensor]

_LARGEST_RECIPE = 1_000_000


@dataclass(frozen=True)
class Factory:
    """A function that makes a module, by name.

    Parameters
    ----------
    reference : str
        ``"package.module:name"``.
    kwargs : dict
        Its arguments.
    """

    reference: str
    kwargs: dict[str, Any]

    def build(self) -> Module:
        """Call the function."""
        torch = require("torch", purpose="make a torch module")
        module: Module = _resolve(self.reference)(**self.kwargs)
        if not issubclass(type(module), torch.nn.Module):
            raise ModelError(
                f"expected {self.reference} to make a torch.nn.Module, got {type(module).__name__}"
            )
        return module


def reference_of(factory: Any) -> str:
    """Return the ``"package.module:name"`` under which every worker finds a function.

    Raises
    ------
    ModelError
        If there is none.
    """
    if isinstance(factory, str):
        _resolve(factory)
        return factory
    name = f"{getattr(factory, '__module__', None)}:{getattr(factory, '__qualname__', None)}"
    try:
        same = _resolve(name) is factory
    except ModelError:
        same = False
    if not same or name.startswith("__main__:"):
        raise ModelError(
            f"expected a module, or a function that every worker can import, got {factory!r}. "
            "Try: pass the module that it makes"
        )
    return name


def _resolve(reference: str) -> Any:
    package, _, name = reference.partition(":")
    try:
        return reduce(getattr, name.split("."), importlib.import_module(package))
    except (ImportError, AttributeError, ValueError) as err:
        raise ModelError(
            f"expected 'package.module:name' of a function that makes a module, got "
            f"{reference!r}: {err}"
        ) from err


def take_apart(module: Module) -> tuple[bytes, dict[str, Tensor]]:
    """Return a module without its tensors, and these by name.

    Raises
    ------
    ModelError
        If the module cannot be pickled, or is large without its tensors.
    """
    torch = require("torch", purpose="make a model of a torch module")
    names = {id(value): name for name, value in module.named_parameters()}
    names |= {id(value): name for name, value in module.named_buffers()}
    found: dict[str, Tensor] = {}

    def persistent_id(_: Any, value: Any) -> tuple[str, bool] | None:
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            return None
        name = names.setdefault(id(value), f"tensor.{len(found)}")
        found[name] = value
        return name, isinstance(value, torch.nn.Parameter)

    return compressed(module, persistent_id), found


def compressed(value: Any, persistent_id: Any = None) -> bytes:
    """Pickle by cloudpickle, which sends the classes of a notebook too, and compress."""
    cloudpickle = require("cloudpickle", purpose="send a module to workers")
    own = {} if persistent_id is None else {"persistent_id": persistent_id}
    buffer = io.BytesIO()
    try:
        type("Pickler", (cloudpickle.Pickler,), own)(buffer).dump(value)
    except Exception as err:  # what a class raises when it cannot be pickled is its own affair
        raise ModelError(
            f"expected a module that can be pickled, got {type(err).__name__}: {str(err)[:300]}. "
            "Try: from_torch('package.module:function', spec) with a function that makes it, or "
            "from_torchscript or from_exported with a saved file"
        ) from err
    recipe = zlib.compress(buffer.getvalue(), 9)
    if len(recipe) > _LARGEST_RECIPE:
        raise ModelError(
            f"expected a module with its weights in tensors, got {len(recipe)} bytes outside of "
            "them. Try: register_buffer for its numpy arrays"
        )
    return recipe


class _Unpickler(pickle.Unpickler):
    """Puts tensors back where their names are."""

    def __init__(self, data: bytes, tensors: Tensors) -> None:
        super().__init__(io.BytesIO(data))
        self._tensors = tensors
        self._made: dict[str, Tensor] = {}

    def persistent_load(self, pid: tuple[str, bool]) -> Tensor:
        name, is_parameter = pid
        if name not in self._made:
            torch = require("torch", purpose="load a module")
            tensor = self._tensors[name].detach()
            self._made[name] = torch.nn.Parameter(tensor, False) if is_parameter else tensor
        return self._made[name]


def rebuild(recipe: bytes, tensors: Tensors) -> Module:
    """Return a module of a recipe; it shares the memory of the tensors."""
    made = _Unpickler(zlib.decompress(recipe), tensors).load()
    if not isinstance(made, Factory):
        module: Module = made
        return module
    module = made.build()
    load_state(module, tensors, made.reference)
    return module


def load_state(module: Module, tensors: Tensors, what: str) -> None:
    """Copy a state dict into a module.

    Raises
    ------
    WeightsError
        If names or shapes differ.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as err:
        raise WeightsError(f"expected the state dict of the module in {what}, got {err}") from err


def read_tensors(path: str) -> Tensors:
    """Read a safetensors file.

    Raises
    ------
    WeightsError
        If it is none.
    """
    library = require("safetensors.torch", purpose="read weights")
    try:
        tensors: Tensors = library.load_file(path)
    except (OSError, require("safetensors", purpose="read weights").SafetensorError) as err:
        raise WeightsError(
            f"expected a safetensors file in {path}, got {err}. Try: "
            "safetensors.torch.save_file(module.state_dict(), path)"
        ) from err
    return tensors


def write_tensors(tensors: Tensors, folder: Path) -> PinnedFile:
    """Write tensors to a file that is named by its hash, once."""
    library = require("safetensors.torch", purpose="write weights")
    folder.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(".part", dir=folder)
    os.close(handle)
    try:
        library.save_file(_separate(tensors), part)
        digest = sha256(part)
        path = folder / f"{digest}.safetensors"
        os.replace(part, path)
    except (ValueError, KeyError, OSError) as err:
        raise ModelError(f"expected plain tensors and room in {folder}, got: {err}") from err
    finally:
        Path(part).unlink(missing_ok=True)
    return PinnedFile(str(path.absolute()), digest)


def _separate(tensors: Tensors) -> dict[str, Tensor]:
    """Return tensors on the host that share no memory: safetensors refuses those that do."""
    out: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        tensor = value.detach().cpu().contiguous()
        start = tensor.untyped_storage().data_ptr()
        out[name] = tensor.clone() if start in seen else tensor
        seen.add(start)
    return out
