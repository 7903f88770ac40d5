"""Exported programs: only what is the model for all shapes it says it takes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.engine.backends.nets import Net, convolutions, fickle, flat, pixels  # noqa: E402
from xeo.engine.backends.call import Request, UnsuitedError  # noqa: E402
from xeo.engine.backends.export import calling, exported, plain_module  # noqa: E402
from xeo.engine.backends.shapes import Shapes, in_pieces  # noqa: E402


def test_sizes_stay_open():
    _, shapes = exported(Request(Net("open", convolutions), pixels(1, 3, 16, 24)))
    assert shapes.batch is None
    assert shapes.fit((1, 3, 40, 8))
    assert shapes.fit((7, 3, 16, 24))
    assert not shapes.fit((1, 2, 16, 24))
    assert not shapes.fit((1, 3, 16))
    assert not shapes.fit((0, 3, 16, 24))


def test_a_fixed_window_stays_fixed():
    _, shapes = exported(Request(Net("window", convolutions, 16), pixels(1, 3, 16, 16)))
    assert shapes.fit((5, 3, 16, 16))
    assert not shapes.fit((5, 3, 16, 32))


def test_a_fixed_number_of_samples_is_seen():
    _, shapes = exported(Request(Net("flat", lambda: flat(4)), pixels(4, 3, 16, 16)))
    assert shapes.batch == 4
    assert shapes.fit((3, 3, 16, 16))


def test_looking_at_values_is_refused():
    with pytest.raises(UnsuitedError, match="export refuses"):
        exported(Request(Net("fickle", fickle), pixels(2, 3, 16, 16)))


def test_looking_at_shapes_is_followed():
    class Even(torch.nn.Module):
        def forward(self, x):
            return x if x.shape[2] > 20 else -x

    _, shapes = exported(Request(Net("even", Even, channels=3), pixels(2, 3, 32, 32)))
    assert shapes.fit((2, 3, 48, 48))
    assert not shapes.fit((2, 3, 16, 48))


def test_only_single_precision_on_the_cpu():
    net = Net("double", lambda: convolutions().double())
    with pytest.raises(UnsuitedError, match="single precision"):
        plain_module(Request(net, pixels(1, 3, 8, 8)))
    with pytest.raises(UnsuitedError, match="CPU"):
        plain_module(Request(Net("tensor", convolutions), torch.zeros(1, 3, 8, 8)))
    with pytest.raises(UnsuitedError, match="one torch module"):
        plain_module(Request(type("Plain", (), {"spec": net.spec})(), pixels(1, 3, 8, 8)))


def test_modules_that_were_loaded_without_gradients_can_be_exported():
    net = Net("late", convolutions)
    with torch.inference_mode():
        assert next(net.module().parameters()).is_inference()
    _, shapes = exported(Request(net, pixels(1, 3, 16, 16)))
    assert shapes.batch is None


def test_pieces_are_filled_up_and_cut():
    x = np.arange(5.0)[:, None]
    sizes = []

    def call(part):
        sizes.append(len(part))
        return part * 2

    assert in_pieces(call, x, 3).tolist() == (x * 2).tolist()
    assert sizes == [3, 3]
    assert in_pieces(call, x, None).tolist() == (x * 2).tolist()


def test_sizes_that_belong_together():
    square = Shapes((("n", 1, 2, 99), 3, ("s", 4, 2, 8), ("s", 4, 2, 8)))
    assert square.fit((1, 3, 16, 16))
    assert not square.fit((1, 3, 16, 20))
    assert not square.fit((1, 3, 18, 18))
    assert not square.fit((1, 3, 36, 36))


def test_what_does_not_fit_is_not_run():
    request = Request(Net("never", convolutions), pixels(1, 3, 8, 8))
    call = calling(pytest.fail, Shapes((1, 3, 8, 8)), request)
    with pytest.raises(UnsuitedError):
        call(pixels(1, 3, 8, 9))
    with pytest.raises(UnsuitedError):
        call(torch.zeros(1, 3, 8, 8))
