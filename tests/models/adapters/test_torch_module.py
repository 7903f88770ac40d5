import copy
import pickle
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from xeo.errors import ModelError, OptionError, WeightsError
from xeo.models import from_torch
from xeo.models.adapters import torch_module
from xeo.spec import Batch, Exportable, Input, ModelSpec
from xeo.testing import ClassifierTests, EmbedderTests, make_batch


class Pair(torch.nn.Module):
    """Reads two sensors, dates and a mask; one vector a pixel."""

    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Linear(4, 5)
        self.register_buffer("origin", torch.tensor(18_262.0), persistent=False)

    def forward(self, batch):
        assert isinstance(batch, Batch)
        optical = torch.where(batch.mask["sentinel2"], 0.0, batch["sentinel2"]).mean(1)
        radar = batch["sentinel1"].mean(1)
        days = (batch.time["sentinel2"].mean() - self.origin) / 365 + 0 * batch.latlon[:, :1]
        stacked = torch.cat([optical, radar, days.to(optical)], 1)
        return self.mix(stacked.movedim(1, -1)).movedim(-1, 1)


PAIR = ModelSpec(
    "pair",
    inputs=(
        Input("sentinel2", ("red", "nir"), "reflectance"),
        Input("sentinel1", ("vv",), "db"),
    ),
    time="series",
    needs=("time", "mask", "latlon"),
    channels=5,
)


class TestFromTorch(EmbedderTests):
    array_kinds = ("numpy", "torch")

    @pytest.fixture
    def model(self, module, spec):
        return from_torch(module, spec)


class TestClassesFromTorch(ClassifierTests):
    array_kinds = ("numpy", "torch")

    @pytest.fixture
    def model(self):
        spec = ModelSpec("two", bands=("red",), channels=2, classes=("water", "land"))
        return from_torch(torch.nn.Conv2d(1, 2, 1), spec)


class TestBatchesFromTorch(EmbedderTests):
    @pytest.fixture
    def model(self):
        return from_torch(Pair(), PAIR)


class TestFactory(EmbedderTests):
    array_kinds = ("numpy", "torch")

    @pytest.fixture
    def model(self):
        spec = ModelSpec("made", bands=("red", "nir"), channels=3)
        settings = {"in_channels": 2, "out_channels": 3, "kernel_size": 1}
        return from_torch("torch.nn:Conv2d", spec, kwargs=settings)


def fresh_process(code, *arguments):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


RUN = """
    import pickle, sys
    import numpy as np
    model = pickle.load(open(sys.argv[1], "rb"))
    assert "torch" not in sys.modules, "unpickling must not load anything heavy"
    x = np.load(sys.argv[2])
    np.save(sys.argv[3], model(x))
"""


def elsewhere(model, x, folder):
    """Return what a model gives in a fresh process."""
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    np.save(folder / "x.npy", x)
    fresh_process(RUN, folder / "model.pkl", folder / "x.npy", folder / "out.npy")
    return np.load(folder / "out.npy")


def test_a_fresh_process_gives_the_same(module, spec, tmp_path):
    model, x = from_torch(module, spec), make_batch(spec)
    np.testing.assert_array_equal(elsewhere(model, x, tmp_path), model(x))


def test_a_factory_gives_its_first_weights_everywhere(tmp_path):
    spec = ModelSpec("made", bands=("red", "nir"), channels=3)
    settings = {"in_channels": 2, "out_channels": 3, "kernel_size": 1}
    model, x = from_torch(torch.nn.Conv2d, spec, kwargs=settings), make_batch(spec)
    np.testing.assert_array_equal(elsewhere(model, x, tmp_path), model(x))


def test_a_class_of_a_notebook_travels(tmp_path):
    made = fresh_process(
        """
        import pickle, sys
        import numpy as np, torch
        from xeo.models import from_torch
        from xeo.spec import ModelSpec, Batch
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Conv2d(1, 2, 1)
            def forward(self, x):
                return self.layer(x) * 2
        model = from_torch(Net(), ModelSpec("net", bands=("red",), channels=2))
        x = np.ones((1, 1, 4, 4), "f4")
        pickle.dump((pickle.dumps(model), x, model(x)), open(sys.argv[1], "wb"))
        """,
        tmp_path / "sent",
    )
    assert made == ""
    sent, x, want = pickle.loads((tmp_path / "sent").read_bytes())
    np.testing.assert_array_equal(pickle.loads(sent)(x), want)


def test_large_modules_pickle_in_kilobytes(spec):
    layers = [torch.nn.TransformerEncoderLayer(384, 6, 1536, batch_first=True) for _ in range(12)]
    module = torch.nn.Sequential(*layers)
    assert sum(p.nbytes for p in module.parameters()) > 80e6
    assert len(pickle.dumps(from_torch(module, spec))) < 10_000


def test_weights_are_shared_in_this_process_and_the_module_stays_as_it_is(module, spec):
    module.train()
    model = from_torch(module, spec)
    model(make_batch(spec))
    inside = model._module_on(torch.device("cpu"))
    assert inside[0].weight.data_ptr() == module[0].weight.data_ptr()
    assert pickle.loads(pickle.dumps(model))._module_on(torch.device("cpu")) is inside
    assert module.training
    assert not inside.training
    assert module[0].weight.requires_grad


def test_a_model_is_a_snapshot(module, spec):
    model, x = from_torch(module, spec), make_batch(spec)
    before = model(x)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(torch.from_numpy(x)).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(model(x), before, rtol=1e-6)
    trained = from_torch(module, spec)
    assert trained != model
    assert not np.allclose(trained(x), before)


def test_equal_modules_of_which_one_was_trained(module, spec):
    twin, x = copy.deepcopy(module), make_batch(spec)
    model = from_torch(module, spec)
    before = model(x)
    with torch.no_grad():
        module[0].weight.zero_()
    again = from_torch(twin, spec)
    assert again == model
    np.testing.assert_allclose(again(x), before, rtol=1e-6)


def test_tied_and_overlapping_tensors_keep_their_values(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 2, 1), torch.nn.Conv2d(2, 2, 1))
    module[1].weight = module[0].weight
    module.both = torch.arange(4.0)
    module.register_buffer("tail", module.both[2:])
    spec = ModelSpec("tied", bands=("red", "nir"), channels=2)
    model, x = from_torch(module, spec), make_batch(spec)
    loaded = model._stored()
    assert loaded[0].weight is loaded[1].weight
    assert loaded.tail.tolist() == [2, 3]
    np.testing.assert_array_equal(elsewhere(model, x, tmp_path), model(x))


def test_modules_of_half_precision_get_halves(spec, module):
    model = from_torch(module.to(torch.bfloat16), spec)
    made = model(make_batch(spec))
    assert made.dtype == np.float32
    exact = from_torch(module.float(), spec)(make_batch(spec))
    assert 0 < np.abs(made - exact).max() < 0.05


@pytest.mark.parametrize("dtype", ["f2", "f8", "u2", "i4", ">f4"])
def test_values_of_any_type_are_taken(module, spec, dtype):
    x = np.arange(2 * 2 * 8 * 8).reshape(2, 2, 8, 8)
    model = from_torch(module, spec)
    np.testing.assert_allclose(model(x.astype(dtype)), model(x.astype("f4")))


def test_flipped_views_are_taken(module, spec):
    model, x = from_torch(module, spec), make_batch(spec)
    np.testing.assert_array_equal(model(x[:, :, ::-1]), model(x[:, :, ::-1].copy()))


def test_weights_lie_once_in_the_cache_or_in_a_folder(module, spec, cache, tmp_path):
    first, second = from_torch(module, spec), from_torch(module, spec)
    assert first == second
    assert [path.name for path in cache.iterdir()] == [f"{first.file.sha256}.safetensors"]
    shared = from_torch(module, spec, folder=tmp_path / "shared")
    assert shared.file.path == str(tmp_path / "shared" / f"{first.file.sha256}.safetensors")


def test_a_state_dict_of_ones_own_is_used_where_it_lies(spec, module, tmp_path, cache):
    source = torch.nn.Conv2d(2, 3, 2, stride=2)
    save_file(source.state_dict(), tmp_path / "own.safetensors")
    settings = {"in_channels": 2, "out_channels": 3, "kernel_size": 2, "stride": 2}
    model = from_torch(torch.nn.Conv2d, spec, kwargs=settings, weights=tmp_path / "own.safetensors")
    x = make_batch(spec)
    np.testing.assert_allclose(model(x), source(torch.from_numpy(x)).detach(), rtol=1e-5, atol=1e-6)
    assert not cache.exists()


def test_a_lost_or_changed_file_is_noticed_by_a_worker(module, spec, monkeypatch):
    model = from_torch(module, spec)
    monkeypatch.setattr(torch_module, "_LIVE", {})
    with open(model.file.path, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    with pytest.raises(
        WeightsError, match=r"expected SHA-256 \w{64} in .*Try: make the model anew"
    ):
        model(make_batch(spec))
    torch_module.Path(model.file.path).unlink()
    with pytest.raises(WeightsError, match=r"got none on this machine\. Try: a folder that all"):
        model(make_batch(spec))


def test_weights_must_fit_and_be_safe(spec, tmp_path):
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    settings = {"in_channels": 2, "out_channels": 3, "kernel_size": 1}
    with pytest.raises(WeightsError, match="state dict of the module"):
        from_torch(torch.nn.Conv2d, spec, kwargs=settings, weights=tmp_path / "other.safetensors")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "pickle.pt")
    with pytest.raises(WeightsError, match="expected a safetensors file"):
        from_torch(torch.nn.Conv2d, spec, kwargs=settings, weights=tmp_path / "pickle.pt")
    with pytest.raises(WeightsError, match="got none"):
        from_torch(torch.nn.Conv2d, spec, kwargs=settings, weights=tmp_path / "missing")


def test_output_must_be_what_the_spec_says(spec):
    tokens = from_torch(torch.nn.Conv2d(2, 4, 1), spec)
    with pytest.raises(ModelError, match=r"\(2, 3, 4, 4\), got \(2, 4, 8, 8\). Try: wrap"):
        tokens(make_batch(spec, size=8))


def test_output_must_be_one_array():
    class Two(torch.nn.Module):
        def forward(self, x):
            return x, x

    model = from_torch(Two(), ModelSpec("two", bands=("red",), channels=1))
    with pytest.raises(ModelError, match=r"expected one array \(1, 1, 4, 4\), got tuple of 2"):
        model(np.zeros((1, 1, 4, 4), "f4"))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: torch.nn.ReLU(), "every worker can import"),
        ("torch.nn:NoSuchLayer", "'package.module:name'.*NoSuchLayer"),
        ("torch.nn", "'package.module:name'"),
        ("no_such_package:make", "No module named"),
        ("builtins:int", "expected builtins:int to make a torch.nn.Module, got int"),
    ],
)
def test_factories_must_be_importable(spec, factory, message):
    with pytest.raises(ModelError, match=message):
        from_torch(factory, spec)


def test_settings_of_a_factory_do_not_go_with_a_module(module, spec):
    with pytest.raises(OptionError, match="got a module"):
        from_torch(module, spec, kwargs={"a": 1})


def test_what_cannot_be_pickled_is_refused_with_a_cure(spec, module):
    module.lock = threading.Lock()
    with pytest.raises(ModelError, match=r"can be pickled.*from_torch"):
        from_torch(module, spec)


def test_weights_outside_of_tensors_are_refused(spec, module):
    module.table = np.random.default_rng(0).random(300_000)
    with pytest.raises(ModelError, match="Try: register_buffer"):
        from_torch(module, spec)


def test_naming_models_loads_nothing_heavy():
    fresh_process(
        """
        import sys
        from xeo.models import from_exported, from_onnx, from_torch, from_torchscript
        from xeo.models.embedders.mosaiks import Mosaiks
        Mosaiks().spec
        assert not {"torch", "onnxruntime", "dask"} & set(sys.modules)
        """
    )


def test_equal_models_have_equal_names_in_a_graph(module, spec):
    from dask.base import tokenize

    model = from_torch(module, spec)
    assert tokenize(model) == tokenize(pickle.loads(pickle.dumps(model)))
    assert tokenize(model) == tokenize(from_torch(copy.deepcopy(module), spec))


def test_its_module_is_the_one_that_runs(tmp_path):
    spec = ModelSpec("small", bands=("red", "nir"), channels=3)
    model = from_torch(torch.nn.Conv2d(2, 3, 3, padding=1), spec, folder=tmp_path)
    assert isinstance(model, Exportable)
    module, x = model.module(), torch.rand(2, 2, 8, 8)
    assert not module.training
    assert torch.equal(module(x), model(x))
