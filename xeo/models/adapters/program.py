"""Loaded programs in the place of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xeo.models.adapters.calling import in_pieces

if TYPE_CHECKING:
    from torch import Tensor, device


class Program:
    """A program of TorchScript or ``torch.export`` that passes for a module.

    What modules are asked before their first call, these refuse or cannot do; it was settled
    when they were loaded.

    Parameters
    ----------
    module : callable
        On its device, for evaluation.
    samples : int, optional
        How many it takes at once; None for any number.
    """

    def __init__(self, module: Any, samples: int | None = None) -> None:
        self._module = module
        self._samples = samples

    def __call__(self, x: Tensor) -> Any:
        """Run the program, as often as it takes."""
        return in_pieces(self._module, x, self._samples)

    def eval(self) -> Program:
        """Do nothing."""
        return self

    def requires_grad_(self, requires_grad: bool) -> Program:
        """Do nothing: programs run in inference mode."""
        return self

    def to(self, where: device) -> Program:
        """Do nothing."""
        return self

    def parameters(self) -> Iterator[Tensor]:
        """Yield the parameters of the program."""
        return iter(self._module.parameters())

    def buffers(self) -> Iterator[Tensor]:
        """Yield the buffers of the program."""
        return iter(self._module.buffers())
