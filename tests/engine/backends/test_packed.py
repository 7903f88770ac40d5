"""Packed layers: the numbers of the model, whatever it hands to torch."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from xeo.engine.backends import packed  # noqa: E402
from xeo.engine.backends.call import Request, UnsuitedError  # noqa: E402
from xeo.engine.backends.likeness import compare  # noqa: E402

F = torch.nn.functional


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def twice(call):
    """Run under the mode: once to meet the weights, once with them packed."""
    with packed._mode()():
        call()
    with packed._mode()():
        return call()


def packings(monkeypatch):
    """Count how often weights are packed."""
    found = []
    plain = packed._Shelf.get

    def get(self, weight, how, pack):
        return plain(self, weight, how, lambda: found.append(how) or pack())

    monkeypatch.setattr(packed._Shelf, "get", get)
    return found


def near(made, wanted):
    scale = max(float(wanted.abs().max()), 1e-3)
    assert made.shape == wanted.shape
    assert float((made - wanted).abs().max()) <= 1e-5 * scale


@settings(max_examples=40, deadline=None)
@given(
    lead=st.lists(st.integers(1, 5), max_size=3),
    given=st.integers(1, 33),
    made=st.integers(1, 33),
    bias=st.booleans(),
    layout=st.sampled_from(["plain", "strided", "expanded"]),
    seed=st.integers(0, 99),
)
def test_linear_layers_are_as_they_are(lead, given, made, bias, layout, seed):
    torch.manual_seed(seed)
    weight = torch.randn(made, given)
    shift = torch.randn(made) if bias else None
    x = (
        torch.randn(*lead, 2 * given)[..., ::2]
        if layout == "strided"
        else torch.randn(*lead, given)
    )
    if layout == "expanded":
        x = x.expand(3, *x.shape)
    near(twice(lambda: F.linear(x, weight, shift)), F.linear(x, weight, shift))


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(1, 3),
    size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    side=st.sampled_from([1, 3, (1, 3)]),
    stride=st.sampled_from([1, 2, (2, 1)]),
    padding=st.sampled_from([0, 1, (0, 1), "same"]),
    groups=st.sampled_from([1, 2, 4]),
    dilation=st.sampled_from([1, 2]),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_convolutions_are_as_they_are(
    samples, size, side, stride, padding, groups, dilation, last, seed
):
    torch.manual_seed(seed)
    stride = 1 if padding == "same" else stride
    layer = torch.nn.Conv2d(4, 8, side, stride, padding, dilation, groups)
    x = torch.randn(samples, 4, *size)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    near(twice(lambda: layer(x)), layer(x))


def test_weights_are_packed_once_for_all_threads(monkeypatch):
    found = packings(monkeypatch)
    layer, x = torch.nn.Linear(8, 8), torch.randn(2, 8)

    def work():
        with torch.inference_mode():
            twice(lambda: layer(x))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [("linear", False)]


def test_a_write_to_the_weights_is_noticed():
    with torch.inference_mode(False), torch.no_grad():
        weight = torch.nn.Parameter(torch.randn(5, 4))
        x = torch.randn(3, 4)
        twice(lambda: F.linear(x, weight))
        weight.mul_(3)
        near(twice(lambda: F.linear(x, weight)), x @ weight.T)
        weight.data = torch.randn(5, 4)
        near(twice(lambda: F.linear(x, weight)), x @ weight.T)


def test_weights_that_are_made_anew_are_never_packed(monkeypatch):
    found = packings(monkeypatch)
    weight, x = torch.randn(5, 4), torch.randn(3, 4)
    for _ in range(3):
        near(twice(lambda: F.linear(x, weight * 2)), x @ weight.T * 2)
    assert found == []


def test_packed_weights_go_with_the_tensor():
    held = len(packed._SHELF._found)

    def run():
        weight = torch.randn(7, 7)
        twice(lambda: F.linear(torch.randn(2, 7), weight))
        assert len(packed._SHELF._found) == held + 1

    run()
    gc.collect()
    assert len(packed._SHELF._found) == held


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_pass_through(dtype, monkeypatch):
    found = packings(monkeypatch)
    weight, x = torch.randn(5, 4, dtype=dtype), torch.randn(3, 4, dtype=dtype)
    assert torch.equal(twice(lambda: F.linear(x, weight)), F.linear(x, weight))
    assert found == []


def test_gradients_pass_through():
    with torch.inference_mode(False):
        layer, x = torch.nn.Linear(3, 2), torch.randn(4, 3)
        twice(lambda: layer(x)).sum().backward()
        assert layer.weight.grad is not None


def test_a_model_is_run_with_what_it_is_called_with():
    layer = torch.nn.Linear(4, 3)
    seen = []

    def model(x):
        seen.append(x)
        return layer(torch.from_numpy(x)).numpy()

    x = np.random.default_rng(0).normal(size=(2, 4)).astype("f4")
    call = packed.PACKED.prepare(Request(model, x))
    assert compare(call(x)[..., None, None], model(x)[..., None, None]).difference <= 1e-5
    assert all(one is x for one in seen)


@pytest.mark.parametrize(
    "build", [lambda: torch.nn.Linear(64, 32), lambda: torch.nn.Conv2d(8, 8, 3)]
)
def test_half_precision_is_near_and_of_the_same_type(build):
    torch.manual_seed(0)
    layer, x = build(), torch.randn(2, 8, 64, 64)
    twice(lambda: layer(x))
    for _ in range(2):
        with packed._mode()(half=True):
            made = layer(x)
    assert made.dtype == torch.float32
    far = float((made - layer(x)).abs().max() / layer(x).abs().max())
    assert 1e-5 < far < 2e-2


def test_torch_without_onednn_says_so(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(UnsuitedError, match="oneDNN"):
        packed.PACKED.prepare(Request(abs, 1.0))
