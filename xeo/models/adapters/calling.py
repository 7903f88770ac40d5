"""What all adapters share: arrays and batches to tensors, and the check of what comes back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from xeo.errors import ModelError
from xeo.kernels.namespace import namespace_of
from xeo.lazy import require
from xeo.models.torch_runtime import as_tensor, inference, like
from xeo.spec import Batch, ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, device, dtype
    from torch.nn import Module


def output_shape(spec: ModelSpec, x: Any) -> tuple[int, ...]:
    """Return the shape that a model promises for an input.

    Parameters
    ----------
    spec : ModelSpec
        What the model says of itself.
    x : array or Batch
        What it is called with.
    """
    first = x[spec.inputs[0].modality] if spec.takes_batch else x
    *_, bands, ny, nx = first.shape
    time = (first.shape[1],) if spec.time == "sequence" else ()
    channels = spec.channels_for(bands)
    return (first.shape[0], *time, channels, ny // spec.stride, nx // spec.stride)


def check_output(spec: ModelSpec, x: Any, out: Any) -> None:
    """Refuse an output that is not what the spec promises.

    Raises
    ------
    ModelError
        If ``out`` is no array, or has another shape.
    """
    want = output_shape(spec, x)
    if not hasattr(out, "shape"):
        got = f"{type(out).__name__} of {len(out)}" if hasattr(out, "__len__") else type(out)
        raise ModelError(
            f"model {spec.name!r}: expected one array {want}, got {got}. Try: wrap the module in "
            "one that returns the array alone"
        )
    if tuple(out.shape) != want:
        time = "time, " if spec.time == "sequence" else ""
        raise ModelError(
            f"model {spec.name!r}: expected an output (sample, {time}channel, y, x) of {want}, got "
            f"{tuple(out.shape)}. Try: wrap the module in one that returns such maps, or correct "
            "'channels' and 'stride' of the spec"
        )


def run_module(spec: ModelSpec, module_on: Callable[[device], Module], x: Any) -> Any:
    """Call a module with arrays of any kind, on their device.

    Parameters
    ----------
    spec : ModelSpec
        What the model says of itself.
    module_on : callable
        Gives the module on a device.
    x : array or Batch
        The call's argument. Values are cast to the type of the module's parameters.

    Returns
    -------
    array
        Of the kind of ``x`` (or of its first modality), in the type of the spec.

    Raises
    ------
    ModelError
        If the module does not return what the spec promises.
    """
    torch = require("torch", purpose="run this model")
    first = x[spec.inputs[0].modality] if spec.takes_batch else x
    with inference():
        where = as_tensor(first).device
        module = module_on(where)
        kind = _dtype(module)
        given = _batch(x, kind, where) if spec.takes_batch else _floats(x, kind)
        out = module(given)
        check_output(spec, x, out)
        return like(out.to(getattr(torch, spec.dtype)), first)


def in_pieces(call: Callable[[Any], Any], x: Any, size: int | None) -> Any:
    """Call a function that takes a fixed number of samples, as often as it needs.

    Parameters
    ----------
    call : callable
        One array to one array.
    x : array, shape (sample, ...)
        Of any number of samples.
    size : int, optional
        How many it takes at once; the last call is filled up by repeating a sample. None
        if it takes any number.
    """
    if size is None or len(x) == size:
        return call(x)
    xp = namespace_of(x)
    pieces = [x[i : i + size] for i in range(0, len(x), size)]
    short = size - len(pieces[-1])
    pieces[-1] = xp.concatenate([pieces[-1], *[x[-1:]] * short])
    return xp.concatenate([call(piece) for piece in pieces])[: len(x)]


def one_array(spec: ModelSpec, what: str) -> ModelSpec:
    """Return a spec that asks for one array.

    Raises
    ------
    ModelError
        If the spec asks for a `Batch`.
    """
    if spec.takes_batch:
        raise ModelError(
            f"model {spec.name!r}: expected a spec of one image and no context for {what}, got "
            "one that asks for a Batch. Try: from_torch with a module that takes a Batch"
        )
    return spec


def _dtype(module: Module) -> dtype:
    torch = require("torch", purpose="run this model")
    tensors = chain(module.parameters(), module.buffers())
    found = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
    first: dtype = next(found, torch.float32)
    return first


def _floats(x: Any, kind: dtype) -> Tensor:
    return as_tensor(x).to(kind)


def _batch(batch: Batch, kind: dtype, where: device) -> Batch:
    def each(values: Any) -> dict[str, Tensor]:
        return {name: _floats(value, kind).to(where) for name, value in values.items()}

    return Batch(
        arrays=each(batch),
        time={name: as_tensor(_days(dates)).to(where) for name, dates in batch.time.items()},
        mask={name: as_tensor(mask).to(where) for name, mask in batch.mask.items()},
        latlon=None if batch.latlon is None else _floats(batch.latlon, kind).to(where),
        center_wavelength=each(batch.center_wavelength),
        gsd=batch.gsd,
    )


def _days(dates: Any) -> Any:
    return np.asarray(dates).astype("datetime64[ns]").astype(np.int64) / 86_400e9
