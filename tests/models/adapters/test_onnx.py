import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from xeo import options
from xeo.errors import ModelError, OptionError, WeightsError
from xeo.models import from_onnx
from xeo.models.adapters import onnx as adapter
from xeo.spec import ModelSpec
from xeo.testing import EmbedderTests, make_batch

KERNEL = np.random.default_rng(0).normal(size=(3, 2, 2, 2)).astype("f4")


def write(path, shape=("n", 2, "y", "x"), kind=TensorProto.FLOAT, inputs=1, **saving):
    """Write a network of one convolution by 2 x 2 pixels."""
    given = [helper.make_tensor_value_info(f"x{i}", kind, shape) for i in range(inputs)]
    out = helper.make_tensor_value_info("out", kind, [None] * 4)
    kernel = numpy_helper.from_array(KERNEL.astype(helper.tensor_dtype_to_np_dtype(kind)), "k")
    node = helper.make_node("Conv", ["x0", "k"], ["out"], kernel_shape=[2, 2], strides=[2, 2])
    graph = helper.make_graph([node], "net", given, [out], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, **saving)
    return path


def reference(x):
    n, _, ny, nx = x.shape
    squares = x.reshape(n, 2, ny // 2, 2, nx // 2, 2)
    return np.einsum("nbyixj,kbij->nkyx", squares, KERNEL)


class TestFromOnnx(EmbedderTests):
    array_kinds = ("numpy", "torch")
    shape: tuple = ("n", 2, "y", "x")

    @pytest.fixture
    def model(self, spec, tmp_path):
        return from_onnx(write(tmp_path / "net.onnx", self.shape), spec)

    @pytest.mark.parametrize("samples", [1, 3, 4])
    def test_agrees_with_numpy(self, model, samples):
        x = make_batch(model.spec, samples)
        np.testing.assert_allclose(model(x), reference(x), rtol=1e-4, atol=1e-5)


class TestOneSampleAtATime(TestFromOnnx):
    shape = (1, 2, "y", "x")


class TestThreeSamplesAtATime(TestFromOnnx):
    shape = (3, 2, "y", "x")


def test_half_precision_networks_get_halves(spec, tmp_path):
    model, x = (
        from_onnx(write(tmp_path / "n.onnx", kind=TensorProto.FLOAT16), spec),
        make_batch(spec),
    )
    made = model(x)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, reference(x), atol=0.02)


def test_one_session_a_process_with_the_threads_of_the_task(spec, tmp_path):
    model = from_onnx(write(tmp_path / "net.onnx"), spec)
    with options.thread_share(1):
        model(make_batch(spec))
    session = model._session()
    assert session.get_session_options().intra_op_num_threads == 1
    assert from_onnx(tmp_path / "net.onnx", spec)._session() is session


def test_tensors_beside_the_file_are_pinned_too(spec, tmp_path):
    saving = {"save_as_external_data": True, "location": "net.onnx.data", "size_threshold": 0}
    model = from_onnx(write(tmp_path / "net.onnx", **saving), spec)
    x = make_batch(spec)
    np.testing.assert_allclose(model(x), reference(x), rtol=1e-4, atol=1e-5)
    adapter._SESSIONS.clear()
    (tmp_path / "net.onnx.data").write_bytes(b"0" * KERNEL.nbytes * 2)
    with pytest.raises(WeightsError, match=r"in .*net\.onnx\.data, got \w{64}: it changed"):
        model(x)
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(WeightsError, match="got no file"):
        model(x)


def test_damaged_files_are_refused(spec, tmp_path):
    path = write(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(WeightsError, match="expected a whole ONNX file"):
        from_onnx(path, spec)(make_batch(spec))


def test_a_size_that_does_not_fit_says_what_does(spec, tmp_path):
    model = from_onnx(write(tmp_path / "net.onnx", ("n", 2, 16, 16)), spec)
    with pytest.raises(ModelError, match=r"\['n', 2, 16, 16\], got \(2, 2, 8, 8\).*window"):
        model(make_batch(spec, size=8))


def test_networks_of_two_inputs_are_refused(spec, tmp_path):
    model = from_onnx(write(tmp_path / "net.onnx", inputs=2), spec)
    with pytest.raises(ModelError, match=r"the inputs \['x0', 'x1'\]"):
        model(make_batch(spec))


def test_providers_must_be_there(spec, tmp_path):
    path = write(tmp_path / "net.onnx")
    with pytest.raises(OptionError, match=r"expected providers among .*, got \['NoSuch'\]"):
        from_onnx(path, spec, ["NoSuch"])


def test_output_must_be_what_the_spec_says(tmp_path):
    spec = ModelSpec("small", bands=("red", "nir"), stride=2, channels=4)
    with pytest.raises(ModelError, match=r"\(2, 4, 4, 4\), got \(2, 3, 4, 4\)"):
        from_onnx(write(tmp_path / "net.onnx"), spec)(make_batch(spec, size=8))
