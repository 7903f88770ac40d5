"""Which shapes an exported program takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A size that is fixed; or the name of a symbol, what it is multiplied by, and its least and
#: largest value.
Size = int | tuple[str, int, int, int]
#: Stands for no limit.
_FAR = 2**62


@dataclass(frozen=True)
class Shapes:
    """The shapes ``(sample, band, y, x)`` that a program was exported for.

    Parameters
    ----------
    sizes : tuple
        Of each dimension: a number, or what is known of a symbol.
    """

    sizes: tuple[Size, ...]

    @property
    def batch(self) -> int | None:
        """How many samples the program takes at once; None for any number."""
        first = self.sizes[0]
        return first if isinstance(first, int) else None

    def fit(self, shape: Sequence[int]) -> bool:
        """Whether arrays of a shape can be given to it, in pieces if need be."""
        if len(shape) != len(self.sizes) or not shape[0]:
            return False
        known: dict[str, int] = {}
        start = 0 if self.batch is None else 1
        pairs = list(zip(self.sizes, shape, strict=True))[start:]
        return all(_fits(size, count, known) for size, count in pairs)


def _fits(size: Size, count: int, known: dict[str, int]) -> bool:
    if isinstance(size, int):
        return size == count
    name, factor, low, high = size
    value, rest = divmod(count, factor)
    # Torch exports with two samples, so that one is not taken for a constant, and says 2 or more.
    least = 1 if low <= 2 else low
    return not rest and least <= value <= high and known.setdefault(name, value) == value


def shapes_of(program: Any) -> Shapes:
    """Return the shapes that a ``torch.export`` program of one input takes."""
    (name,) = program.graph_signature.user_inputs
    node = next(one for one in program.graph.nodes if one.name == name)
    return Shapes(tuple(_size(one, program.range_constraints) for one in node.meta["val"].shape))


def _size(size: Any, ranges: Any) -> Size:
    if isinstance(size, int):
        return size
    factor, symbol = size.node.expr.as_coeff_Mul()
    if symbol not in ranges:
        return int(size.node.hint)  # more involved than a multiple: only what it was exported for
    known = ranges[symbol]
    return str(symbol), int(factor), _bound(known.lower, 0), _bound(known.upper, _FAR)


def _bound(value: Any, otherwise: int) -> int:
    return int(value) if getattr(value, "is_Integer", False) else otherwise


def in_pieces(
    call: Callable[[NDArray[Any]], NDArray[Any]], x: NDArray[Any], size: int | None
) -> NDArray[Any]:
    """Call what takes a fixed number of samples as often as it needs, the last call filled up."""
    if size is None or len(x) == size:
        return call(x)
    made = [call(np.resize(part, (size, *x.shape[1:]))) for part in _parts(x, size)]
    return np.concatenate(made)[: len(x)]


def _parts(x: NDArray[Any], size: int) -> list[NDArray[Any]]:
    return [x[start : start + size] for start in range(0, len(x), size)]
