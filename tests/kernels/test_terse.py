import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xeo.errors import CodecError
from xeo.kernels.terse import order_size, pack_order, pack_rows, unpack_order, unpack_rows

ROWS = hnp.arrays(
    "i8",
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.integers(-3, 3) | st.integers(-(2**40), 2**40),
)


@given(ROWS, st.binary(max_size=3))
def test_rows_come_back_and_tell_where_they_end(rows, more):
    data = pack_rows(rows)
    made, used = unpack_rows(data + more, *rows.shape)
    np.testing.assert_array_equal(made, rows)
    assert used == len(data)


def test_small_numbers_take_few_bits():
    rows = np.random.default_rng(0).integers(-4, 5, (2, 1000))
    assert len(pack_rows(rows)) < 2 * 1000 * 4.5 / 8
    assert pack_rows(np.zeros((1, 16), "i8")) == b"\0\0\0"


@given(ROWS)
def test_rows_that_are_cut_are_refused(rows):
    data = pack_rows(rows)
    for size in range(len(data)):
        with pytest.raises(CodecError, match="cut short"):
            unpack_rows(data[:size], *rows.shape)


@given(st.binary(max_size=40), st.integers(1, 5), st.integers(1, 9))
def test_any_bytes_are_numbers_or_refused(data, rows, columns):
    try:
        made, used = unpack_rows(data, rows, columns)
    except CodecError:
        return
    assert made.shape == (rows, columns)
    assert used <= len(data)


@given(st.integers(1, 300).flatmap(lambda n: st.permutations(range(n))))
def test_orders_come_back(order):
    data = pack_order(order)
    assert len(data) == order_size(len(order))
    assert unpack_order(data, len(order)).tolist() == order


def test_an_order_takes_no_more_than_it_must():
    assert [order_size(n) for n in (1, 2, 5, 6, 118)] == [1, 1, 1, 2, 81]


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.binary(max_size=20))))
def test_any_bytes_are_an_order(some):
    count, data = some
    assert sorted(unpack_order(data, count)) == list(range(count))
