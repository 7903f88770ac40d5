"""All backends on the same small nets."""

from __future__ import annotations

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from tests.engine.backends.nets import Net, convolutions, flat, pixels  # noqa: E402
from xeo.engine.backends.call import Request  # noqa: E402
from xeo.engine.backends.likeness import compare  # noqa: E402
from xeo.engine.backends.table import TABLE, check, suitable  # noqa: E402
from xeo.errors import MissingDependencyError, OptionError  # noqa: E402

CONVERTING = ["openvino", "onnxruntime"]


def prepared(name, net, x, keep=None):
    return TABLE[name].prepare(Request(net, x, 1, keep))


@pytest.mark.parametrize("name", [*CONVERTING, "packed", "eager"])
def test_the_numbers_are_those_of_the_model(name):
    net = Net("same", convolutions)
    call = prepared(name, net, pixels(1, 3, 32, 32))
    for shape in ((1, 3, 32, 32), (3, 3, 32, 32), (2, 3, 24, 40)):
        x = pixels(*shape)
        assert compare(call(x), net(x)).suits("exact")
        assert compare(call(x[..., ::-1]), net(x[..., ::-1])).suits("exact")


@pytest.mark.parametrize("name", CONVERTING)
def test_a_fixed_number_of_samples_is_fed_in_pieces(name):
    net = Net("pieces", lambda: flat(2))
    call = prepared(name, net, pixels(2, 3, 16, 16))
    x = pixels(5, 3, 16, 16)
    wanted = np.concatenate([net(x[i : i + 2]) for i in (0, 2)] + [net(x[[4, 4]])[:1]])
    assert compare(call(x), wanted).suits("exact")


@pytest.mark.parametrize("name", ["bfloat16", "packed-bfloat16", "openvino-bfloat16"])
def test_half_precision_is_near(name):
    net = Net("half", lambda: torch.nn.Conv2d(3, 64, 3, padding=1), channels=64)
    x = pixels(1, 3, 32, 32)

    def model(x):
        with torch.inference_mode():
            return net.module()(torch.from_numpy(x)).float().numpy()

    made = prepared(name, net if name == "openvino-bfloat16" else model, x)(x)
    assert compare(made, model(x)).suits("fast")


@pytest.mark.slow
def test_compiled_numbers_are_those_of_the_model():
    net, x = Net("compiled", convolutions), pixels(2, 3, 16, 16)
    call = prepared("compile", net, x)
    assert compare(call(x), net(x)).suits("exact")
    assert compare(call(x[:1]), net(x[:1])).suits("exact")


@pytest.mark.parametrize("name", CONVERTING)
def test_threads_share_a_program(name):
    net = Net("threads", convolutions)
    call = prepared(name, net, pixels(1, 3, 32, 32))
    inputs = [pixels(1, 3, 32, 32) * k for k in range(1, 9)]
    wanted = [net(x) for x in inputs]
    right = []

    def work(k):
        made = [call(inputs[k]) for _ in range(20)]
        right.append(all(compare(one, wanted[k]).suits("exact") for one in made))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 8


@pytest.mark.parametrize("name", CONVERTING)
def test_programs_are_kept_and_mended(name, tmp_path, monkeypatch):
    net, x, keep = Net("kept", convolutions), pixels(1, 3, 32, 32), tmp_path / "program"
    first = prepared(name, net, x, keep)(x)
    refuse = f"xeo.engine.backends.{'onnx' if name == 'onnxruntime' else name}.exported"
    with monkeypatch.context() as patch:
        patch.setattr(refuse, pytest.fail)
        assert np.array_equal(prepared(name, net, x, keep)(x), first)
    for path in tmp_path.iterdir():
        path.write_bytes(b"damaged")
        assert np.array_equal(prepared(name, net, x, keep)(x), first)
    with monkeypatch.context() as patch:
        patch.setattr(refuse, pytest.fail)
        assert np.array_equal(prepared(name, net, x, keep)(x), first)


@pytest.mark.parametrize("name", CONVERTING)
def test_a_folder_that_cannot_be_written_to_is_done_without(name, tmp_path):
    net, x = Net("unkept", convolutions), pixels(1, 3, 32, 32)
    (tmp_path / "file").write_text("")
    call = prepared(name, net, x, tmp_path / "file" / "program")
    assert compare(call(x), net(x)).suits("exact")


def test_unknown_and_missing_backends_are_said(monkeypatch):
    with pytest.raises(OptionError, match="expected backend to be one of"):
        check("warp")
    check("packed")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"xarray-eo\[speed\]|xarray-eo\[torch\]"):
        check("openvino")


def test_fast_takes_more_than_exact_and_a_gpu_less():
    exact = {one.name for one in suitable("exact", None)}
    assert exact < {one.name for one in suitable("fast", "cpu")}
    assert {one.name for one in suitable("fast", "cuda:1")} == {"eager", "bfloat16"}
