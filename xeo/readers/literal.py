"""Text that Python wrote with ``repr``, read back without evaluating anything."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

#: Longer text is refused: a tag of real archives has a few thousand characters.
MOST = 16_000_000

#: Names that stand for a value, also behind ``np.`` or ``numpy.``.
_NAMES = {
    "nan": float("nan"),
    "NaN": float("nan"),
    "inf": float("inf"),
    "Infinity": float("inf"),
    "True_": True,
    "False_": False,
    "null": None,
    "true": True,
    "false": False,
}


def parse(text: str) -> Any:
    """Return the value that a literal spells.

    Knows what `ast.literal_eval` knows but sets and complex numbers, and besides ``nan``,
    ``inf``, and what NumPy writes: ``np.float64(0.5)``, ``np.False_``, ``np.str_('B02')``,
    ``array([1, 2], dtype=int16)``. Nothing is called and no name is looked up.

    Parameters
    ----------
    text : str
        Of one expression.

    Returns
    -------
    object
        Of None, booleans, numbers, text, bytes, tuples, lists and dicts. Arrays become lists.

    Raises
    ------
    ValueError
        If the text is anything else.
    """
    if len(text) > MOST:
        raise ValueError(f"expected at most {MOST} characters, got {len(text)}")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError, TypeError) as err:
        raise ValueError(f"expected a literal, got {text[:80]!r}: {err}") from err


def _value(node: ast.expr) -> Any:
    known = _KINDS.get(type(node))
    if known is None:
        raise ValueError(f"expected a literal, got {type(node).__name__}")
    return known(node)


def _constant(node: ast.Constant) -> Any:
    if node.value is Ellipsis or isinstance(node.value, complex):
        raise ValueError(f"expected a literal, got {node.value!r}")
    return node.value


def _sign(node: ast.UnaryOp) -> Any:
    inner = _value(node.operand)
    if not isinstance(node.op, ast.USub | ast.UAdd) or not isinstance(inner, int | float):
        raise ValueError("expected a number after a sign")
    return -inner if isinstance(node.op, ast.USub) else inner


def _dict(node: ast.Dict) -> dict[Any, Any]:
    if None in node.keys:
        raise ValueError("expected a literal, got a ** in a dict")
    keys = [_value(key) for key in node.keys if key is not None]
    return dict(zip(keys, map(_value, node.values), strict=True))


def _name(node: ast.expr) -> Any:
    name = _spelled(node)
    if name not in _NAMES:
        raise ValueError(f"expected a literal, got the name {name!r}")
    return _NAMES[name]


def _spelled(node: ast.expr) -> str:
    """Return a name without the module of NumPy before it."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id in ("np", "numpy"):
            return node.attr
    elif isinstance(node, ast.Name):
        return node.id
    return ast.unparse(node)[:80]


def _call(node: ast.Call) -> Any:
    """Read the arguments of a constructor of NumPy; its dtype does not matter here."""
    name = _spelled(node.func)
    options: Sequence[ast.keyword] = node.keywords
    if name not in _CALLS or len(node.args) != 1 or any(o.arg != "dtype" for o in options):
        raise ValueError(f"expected a literal, got a call of {name!r}")
    return _CALLS[name](_value(node.args[0]))


def _same(value: Any) -> Any:
    return value


_CALLS: dict[str, Callable[[Any], Any]] = {
    "array": _same,
    "bool_": bool,
    "str_": str,
    **{f"{kind}{bits}": _same for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": float for bits in (16, 32, 64)},
    "longlong": _same,
    "datetime64": str,
    "Timestamp": str,
}

_KINDS: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.Constant: _constant,
    ast.UnaryOp: _sign,
    ast.Dict: _dict,
    ast.Tuple: lambda node: tuple(map(_value, node.elts)),
    ast.List: lambda node: list(map(_value, node.elts)),
    ast.Name: _name,
    ast.Attribute: _name,
    ast.Call: _call,
}
