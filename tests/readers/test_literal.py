from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.readers.literal import MOST, parse

LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8)
    | st.floats(allow_nan=False) | st.binary(max_size=4)
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_repr_wrote_is_read_back(value):
    found = parse(repr(value))
    assert found == value
    assert type(found) is type(value)


@given(st.text(max_size=40) | st.text("[](){}'\",:-.0123456789enaif_ip", max_size=40))
def test_any_other_text_is_an_error_and_nothing_worse(text):
    with contextlib.suppress(ValueError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("np.float64(0.5)", 0.5),
        ("{'a': np.False_, 'b': np.True_}", {"a": False, "b": True}),
        ("[np.str_('B02'), np.int16(-3)]", ["B02", -3]),
        ("array([1., 2.])", [1.0, 2.0]),
        ("array([[1, 2],\n       [3, 4]], dtype=int16)", [[1, 2], [3, 4]]),
        ("np.datetime64('2020-01-01')", "2020-01-01"),
        ("-inf", -math.inf),
        ("  (1,)\n", (1,)),
    ],
)
def test_what_numpy_writes(text, value):
    assert parse(text) == value


def test_nan_in_any_place():
    assert math.isnan(parse("nan"))
    assert math.isnan(parse("[[0.0, -nan]]")[0][1])
    assert np.isnan(parse("array([nan, 1.])")[0])
    assert parse("'banana'") == "banana"


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "open('x')",
        "[x for x in (1,)]",
        "np.load('x')",
        "os.path",
        "(1).__class__",
        "array([1], dtype=int16, copy=True)",
        "array(1, 2)",
        "f'{1}'",
        "1 + 1",
        "9**9**9",
        "lambda: 0",
        "{**{}}",
        "[*[1]]",
        "-'a'",
        "not 1",
        "array([0, ..., 9])",
        "<xarray.Dataset>",
        "{[]: 1}",
        "x",
        "",
        "1" * 5000,
        "-" * 3000 + "1",
        "(" * 300 + ")" * 300,
        "\0",
    ],
)
def test_nothing_is_evaluated(text):
    with pytest.raises(ValueError):
        parse(text)


def test_text_of_any_length_is_not_read():
    with pytest.raises(ValueError, match=f"at most {MOST} characters"):
        parse("1" * (MOST + 1))
