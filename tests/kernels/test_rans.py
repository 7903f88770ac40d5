import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo.errors import CodecError
from xeo.kernels.rans import PRECISION, Decoder, Tables, encode, lanes_for


def frequencies(draw, tables=5, symbols=7):
    made = draw.integers(1, 2000, (tables, symbols))
    made[:, 0] += (1 << PRECISION) - made.sum(axis=1)
    return made


@given(st.lists(st.integers(0, 300), max_size=6), st.sampled_from([4, 32]), st.integers(0, 99))
def test_symbols_come_back(counts, lanes, seed):
    draw = np.random.default_rng(seed)
    every = frequencies(draw)
    begin = np.cumsum(every, axis=1) - every
    tables = [draw.integers(0, len(every), n) for n in counts]
    symbols = [draw.integers(0, every.shape[1], n) for n in counts]
    pairs = list(zip(tables, symbols, strict=True))
    data = encode([begin[p] for p in pairs], [every[p] for p in pairs], lanes)
    decoder = Decoder(memoryview(data), lanes, Tables(every))
    for table, symbol in pairs:
        np.testing.assert_array_equal(decoder.read(table), symbol)


def test_the_size_is_that_of_the_entropy():
    draw = np.random.default_rng(0)
    every = frequencies(draw, 1)
    share = every[0] / every.sum()
    symbols = draw.choice(len(share), 50_000, p=share)
    bits = -np.log2(share[symbols]).sum()
    begin = np.cumsum(every, axis=1) - every
    data = encode([begin[0, symbols]], [every[0, symbols]], lanes_for(bits))
    assert bits <= 8 * len(data) < 1.01 * bits


def test_no_symbol_takes_no_word():
    assert len(encode([], [], 4)) == 16


@pytest.mark.parametrize("cut", [2, 3, 50])
def test_what_is_cut_short_is_an_error(cut):
    draw = np.random.default_rng(0)
    every = frequencies(draw, 1)
    begin = np.cumsum(every, axis=1) - every
    symbols = draw.integers(0, 7, 500)
    data = encode([begin[0, symbols]], [every[0, symbols]], 4)
    with pytest.raises(CodecError, match="cut short"):
        Decoder(memoryview(data[:-cut]), 4, Tables(every)).read(np.zeros(500, int))
    with pytest.raises(CodecError, match="cut short"):
        Decoder(memoryview(data[:8]), 4, Tables(every))


def test_lanes_grow_with_what_there_is_to_code():
    assert lanes_for(0) == 4
    assert lanes_for(1e6) == 256
    assert lanes_for(1e12) == 4096
