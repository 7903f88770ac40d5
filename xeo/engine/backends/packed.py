"""Linear layers and convolutions with their weights laid out for the processor, by oneDNN.

Torch hands a linear layer in float32 to MKL, which on some processors reaches half of what
oneDNN does, and a convolution lays its weights out anew at every call. Here each call of
``linear`` and ``conv2d`` that a model makes is caught, whatever kind of model it is, and run
with a copy of the weights that was laid out once in this process.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from xeo.engine.backends.call import Backend, Call, Request, UnsuitedError
from xeo.lazy import require

if TYPE_CHECKING:
    from torch import Tensor


class _Shelf:
    """Packed weights, by the tensor they were made of.

    A tensor is packed when it is met for the second time: one that a model makes anew for each
    call is gone by then.
    """

    def __init__(self) -> None:
        self._found: dict[Any, tuple[weakref.ref[Tensor], Any, Any]] = {}
        self._lock = threading.Lock()

    def get(self, weight: Tensor, how: Any, pack: Callable[[], Any]) -> Any:
        """Return the packed weight, or None for one that is met for the first time."""
        key, state = (id(weight), how), _state(weight)
        found = self._found.get(key)
        if found is not None and found[0]() is weight and found[1] == state:
            if found[2] is not None:
                return found[2]
        else:
            found = None
        with self._lock:
            if found is None:
                self._found[key] = (weakref.ref(weight, lambda _: self._drop(key)), state, None)
                return None
            kept = self._found.get(key, found)
            if kept[2] is None:
                kept = self._found[key] = (found[0], state, pack())
            return kept[2]

    def _drop(self, key: Any) -> None:
        # No lock: a weak reference may die in the middle of any line, that with the lock too.
        found = self._found.get(key)
        if found is not None and found[0]() is None:
            self._found.pop(key, None)


def _state(weight: Tensor) -> tuple[int, int]:
    # Torch counts writes in place, but not those to tensors made for inference.
    return (-1 if weight.is_inference() else weight._version, weight.data_ptr())


_SHELF = _Shelf()


def _prepare(request: Request, *, half: bool) -> Call:
    torch = sys.modules.get("torch")
    if torch is not None and not torch.backends.mkldnn.is_available():
        raise UnsuitedError("torch was built without oneDNN")
    # Weights are packed when they are met again: what is compared next is what runs later.
    if not layers(request, half=half):
        raise UnsuitedError("the model has no linear layer or convolution of torch")
    mode, model = _mode(), request.model

    def call(x: Any) -> Any:
        with mode(half):
            return model(x)

    return call


def layers(request: Request, *, half: bool = False) -> int:
    """Call a model once, and return how many linear layers and convolutions it ran."""
    if "torch" not in sys.modules:
        return 0
    with _mode()(half) as seen:
        request.model(request.example)
    return int(seen.met)


@cache
def _mode() -> Any:
    """Return the class that catches calls of torch; made late, since its parent is torch's."""
    torch = require("torch", purpose="pack the layers of a model")
    functional = torch.nn.functional
    instead = {functional.linear: _linear, functional.conv2d: _convolution}

    class Packed(torch.overrides.TorchFunctionMode):  # type: ignore[misc, name-defined]
        def __init__(self, half: bool = False) -> None:
            super().__init__()
            self.half, self.met = half, 0

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            packed = instead.get(func)
            self.met += packed is not None
            made = None if packed is None else packed(self.half, *args, **(kwargs or {}))
            return func(*args, **(kwargs or {})) if made is None else made

    return Packed


def _plain(*tensors: Any) -> bool:
    """Whether all tensors are what oneDNN's packed layers take: float32, dense, on the CPU."""
    torch = sys.modules["torch"]
    return (
        not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and all(
            isinstance(one, torch.Tensor)
            and one.dtype == torch.float32
            and one.device.type == "cpu"
            and one.layout == torch.strided
            and one.numel() > 0
            for one in tensors
            if one is not None
        )
    )


def _linear(half: bool, x: Any, weight: Any, bias: Any = None) -> Any:
    if not _plain(x, weight, bias) or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        return None
    ops = sys.modules["torch"].ops.mkldnn

    def pack() -> Any:
        return ops._reorder_linear_weight(_as(weight.detach(), half), None)

    packed = _SHELF.get(weight, ("linear", half), pack)
    if packed is None:
        return None
    return ops._linear_pointwise(_as(x, half), packed, _as(bias, half), "none", [], "").float()


def _convolution(
    half: bool,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    if not _plain(x, weight, bias) or x.ndim != 4 or isinstance(padding, str):
        return None
    torch = sys.modules["torch"]
    ops = torch.ops.mkldnn
    steps = [_pair(one) for one in (padding, stride, dilation)]

    def pack() -> Any:
        plain = _as(weight.detach(), half)
        return ops._reorder_convolution_weight(plain, *steps, groups, list(x.shape))

    packed = _SHELF.get(weight, (str(steps), groups, half), pack)
    if packed is None:
        return None
    # The output has the layout of the input: one conversion does for a chain of layers.
    x = _as(x, half).contiguous(memory_format=torch.channels_last)
    return ops._convolution_pointwise(
        x, packed, _as(bias, half), *steps, groups, "none", [], ""
    ).float()


def _as(tensor: Any, half: bool) -> Any:
    return tensor.bfloat16() if half and tensor is not None else tensor


def _pair(value: Any) -> list[int]:
    both = [value, value] if isinstance(value, int) else list(value)
    return both * 2 if len(both) == 1 else both


PACKED = Backend("packed", partial(_prepare, half=False), packages=("torch",))
#: Only these layers in half precision: what lies between them stays as it is.
PACKED_BFLOAT16 = Backend(
    "packed-bfloat16", partial(_prepare, half=True), precision="fast", packages=("torch",)
)
