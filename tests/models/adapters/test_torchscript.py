import warnings

import numpy as np
import pytest
import torch

from xeo.errors import ModelError, WeightsError
from xeo.models import from_torchscript
from xeo.spec import ModelSpec
from xeo.testing import EmbedderTests, make_batch


def write(module, path, freeze=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.script(module)
        (torch.jit.freeze(script) if freeze else script).save(path)
    return path


@pytest.fixture
def path(module, tmp_path):
    return write(module, tmp_path / "model.ts")


class TestFromTorchScript(EmbedderTests):
    array_kinds = ("numpy", "torch")

    @pytest.fixture
    def model(self, path, spec):
        return from_torchscript(path, spec)

    def test_agrees_with_the_module(self, model, module):
        x = make_batch(model.spec)
        want = module.eval()(torch.from_numpy(x)).detach()
        np.testing.assert_allclose(model(x), want, rtol=1e-5, atol=1e-6)


class TestFrozenTorchScript(TestFromTorchScript):
    @pytest.fixture
    def path(self, module, tmp_path):
        return write(module.eval(), tmp_path / "model.ts", freeze=True)


def test_a_missing_or_cut_file_is_refused(path, spec):
    with pytest.raises(WeightsError, match=r"expected a file of a model in .*nowhere, got none"):
        from_torchscript(path.with_name("nowhere"), spec)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="one of 1000 bytes that is no zip or is cut off"):
        from_torchscript(path, spec)


def test_a_zip_of_something_else_is_refused(spec, tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    model = from_torchscript(tmp_path / "weights.pt", spec)
    with pytest.raises(WeightsError, match="expected a TorchScript file"):
        model(make_batch(spec))


def test_a_file_that_changed_is_refused(path, spec):
    model = from_torchscript(path, spec)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(WeightsError, match="it changed after the model was made"):
        model(make_batch(spec))


def test_batches_are_refused(path):
    spec = ModelSpec("series", bands=("red",), channels=1, time="series")
    with pytest.raises(ModelError, match=r"one that asks for a Batch\. Try: from_torch"):
        from_torchscript(path, spec)
