import numpy as np
import pytest
import torch

from xeo.errors import ModelError, WeightsError
from xeo.models import from_exported
from xeo.spec import Exportable, ModelSpec
from xeo.testing import EmbedderTests, make_batch


def export(module, path, size, *, any_number):
    sample = torch.zeros(2, 2, size, size)
    dynamic = {0: torch.export.Dim("sample")} if any_number else None
    program = torch.export.export(module.eval(), (sample,), dynamic_shapes=(dynamic,))
    torch.export.save(program, path)
    return path


class TestFromExported(EmbedderTests):
    array_kinds = ("numpy", "torch")
    any_number = True

    @pytest.fixture
    def model(self, module, tmp_path):
        spec = ModelSpec("small", bands=("red", "nir"), window=16, stride=2, channels=3)
        path = export(module, tmp_path / "model.pt2", 16, any_number=self.any_number)
        return from_exported(path, spec)

    @pytest.mark.parametrize("samples", [1, 2, 5])
    def test_agrees_with_the_module(self, model, module, samples):
        x = make_batch(model.spec, samples)
        want = module.eval()(torch.from_numpy(x)).detach()
        np.testing.assert_allclose(model(x), want, rtol=1e-5, atol=1e-6)


def test_its_module_can_be_exported_again(module, tmp_path):
    spec = ModelSpec("small", bands=("red", "nir"), window=16, stride=2, channels=3)
    model = from_exported(export(module, tmp_path / "m.pt2", 16, any_number=True), spec)
    assert isinstance(model, Exportable)
    x = make_batch(spec, 3)
    sizes = ({0: torch.export.Dim.AUTO},)
    again = torch.export.export(model.module(), (torch.from_numpy(x),), dynamic_shapes=sizes)
    made = again.module()(torch.from_numpy(x[:2])).detach()
    np.testing.assert_allclose(made, model(x[:2]), rtol=1e-5, atol=1e-6)


class TestFixedNumberOfSamples(TestFromExported):
    any_number = False


def test_damaged_files_are_refused(module, spec, tmp_path):
    path = export(module, tmp_path / "model.pt2", 16, any_number=True)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="no zip or is cut off"):
        from_exported(path, spec)


def test_a_zip_of_something_else_is_refused(spec, tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    model = from_exported(tmp_path / "weights.pt", spec)
    with pytest.raises(WeightsError, match=r"expected a program saved by torch\.export"):
        model(make_batch(spec))


def test_programs_of_two_inputs_are_refused(spec, tmp_path):
    class Sum(torch.nn.Module):
        def forward(self, x, y):
            return x + y

    pair = (torch.zeros(2, 2, 8, 8), torch.zeros(2, 2, 8, 8))
    torch.export.save(torch.export.export(Sum(), pair), tmp_path / "sum.pt2")
    model = from_exported(tmp_path / "sum.pt2", spec)
    with pytest.raises(ModelError, match=r"program of one input, got the inputs \['x', 'y'\]"):
        model(make_batch(spec))
