from __future__ import annotations

import inspect
import pickle

import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xeo.accessors.bind import bind, without_parameter
from xeo.accessors.plot import PlotAccessor
from xeo.ops import plot


def scale(obj: int, factor: float, *more: int, shift: int = 1, **rest: int) -> float:
    """Scale a thing.

    Parameters
    ----------
    obj : int
        What.

        Two paragraphs of it.
    factor : float
        By how much.

    Returns
    -------
    float
        The thing.
    """
    return obj * factor + shift + sum(more) + sum(rest.values())


class Holder:
    def __init__(self, obj):
        self._obj = obj

    scale = bind(xr.DataArray, scale)


def test_method_is_the_function():
    assert Holder(3).scale(2.0, 5, shift=4, z=7) == scale(3, 2.0, 5, shift=4, z=7)
    assert Holder.scale.__name__ == "scale"
    assert Holder.scale.__qualname__ == "DataArray.eo.scale"
    assert Holder.scale.__module__ == __name__


def test_signature_and_annotations_lose_the_first():
    assert str(inspect.signature(Holder(1).scale)) == (
        "(factor: 'float', *more: 'int', shift: 'int' = 1, **rest: 'int') -> 'float'"
    )
    assert next(iter(inspect.signature(Holder.scale).parameters)) == "self"
    assert "obj" not in Holder.scale.__annotations__


def test_docstring_loses_the_first_parameter_alone():
    doc = Holder.scale.__doc__
    assert doc == inspect.cleandoc(
        """Scale a thing.

        Parameters
        ----------
        factor : float
            By how much.

        Returns
        -------
        float
            The thing.
        """
    )


def test_an_empty_section_goes():
    text = "Do.\n\nParameters\n----------\nobj : int\n    What.\n\nReturns\n-------\nint"
    assert without_parameter(text, "obj") == "Do.\n\nReturns\n-------\nint"
    assert without_parameter("Do.\n\nParameters\n----------\nobj : int", "obj") == "Do."
    assert without_parameter("Do.", "obj") == "Do."


NAMES = st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=5, unique=True)


@given(NAMES, st.data())
def test_any_docstring(names, data):
    entries = {name: data.draw(st.sampled_from([f"{name} : int\n    About.\n", f"{name} : str\n"]))
               for name in names}  # fmt: skip
    drop = data.draw(st.sampled_from(names))
    head, tail = "Title.\n\nParameters\n----------\n", "\n\nReturns\n-------\nint\n    It."
    text = head + "".join(entries.values()).rstrip("\n") + tail
    kept = "".join(entry for name, entry in entries.items() if name != drop).rstrip("\n")
    expected = head + kept + tail if kept else "Title." + tail
    assert without_parameter(text, drop) == inspect.cleandoc(expected)
    shared = f"{head}{', '.join(names)} : int\n    All."
    left = ", ".join(name for name in names if name != drop)
    assert without_parameter(shared, drop) == (
        f"{head}{left} : int\n    All." if left else "Title."
    )


def test_a_function_without_text_is_refused():
    with pytest.raises(TypeError, match="with a docstring"):
        bind(None, lambda obj: obj)


@pytest.mark.parametrize("name", ["rgb", "embedding", "classes"])
def test_plot_binds_the_ops(name):
    method, op = getattr(PlotAccessor, name), getattr(plot, name)
    assert method.__doc__ == without_parameter(op.__doc__, "obj")
    assert "\nobj :" not in method.__doc__
    assert (
        list(inspect.signature(method).parameters)[1:] == list(inspect.signature(op).parameters)[1:]
    )
    assert vars(pickle.loads(pickle.dumps(PlotAccessor(1)))) == {"_obj": 1}
