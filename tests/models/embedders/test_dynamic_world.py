from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xeo import options, registry, weight_formats, weights
from xeo.errors import DimensionError
from xeo.models import torch_runtime
from xeo.models.embedders import dynamic_world
from xeo.models.embedders.dynamic_world import DynamicWorld, DynamicWorldClasses
from xeo.spec import Classifier, Embedder, Exportable

torch = pytest.importorskip("torch")

HALO = DynamicWorld.spec.halo


def random_tensors(seed: int = 0) -> weight_formats.Tensors:
    rng = np.random.default_rng(seed)
    out = {}
    for key, shape in weight_formats._dynamic_world_shapes():
        # Of the size that keeps the signal about as large from layer to layer.
        scale = 1.5 / np.sqrt(math.prod(shape[:-1]))
        out[key] = rng.normal(0, scale, shape).astype("f4")
        if key.endswith(("gamma", "variance")):
            out[key] = rng.uniform(0.5, 1.5, shape).astype("f4")
    return out


@pytest.fixture
def random_weights(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Both models on random weights; the names that were loaded."""
    loaded: list[str] = []

    def load(name: str) -> weight_formats.Tensors:
        loaded.append(name)
        return random_tensors()

    monkeypatch.setattr(weights, "load", load)
    monkeypatch.setattr(torch_runtime, "_MODULES", {})
    return loaded


@pytest.fixture
def real_weights(weights_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XEO_WEIGHTS", str(weights_dir))
    return weights_dir


@pytest.fixture
def image() -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.gamma(2.0, 800.0, (2, 9, 20, 24)).astype("f4")


@pytest.mark.parametrize("model", [DynamicWorld(), DynamicWorldClasses()])
def test_a_program_made_of_it_makes_the_same_numbers(
    model: Any, random_weights: list[str], image: np.ndarray[Any, Any]
) -> None:
    assert isinstance(model, Exportable)
    example, auto = torch.from_numpy(image[..., :16, :18].copy()), torch.export.Dim.AUTO
    sizes = ({0: auto, 2: auto, 3: auto},)
    program = torch.export.export(model.module(), (example,), dynamic_shapes=sizes, strict=False)
    want = model(image)
    with torch.inference_mode():
        made = program.module()(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(made, want, rtol=0, atol=1e-5 * np.abs(want).max())


# --- what it says of itself ------------------------------------------------------------------


def test_the_spec_names_bands_units_and_classes() -> None:
    spec = DynamicWorldClasses.spec
    assert spec.inputs[0].bands == (
        *("blue", "green", "red", "rededge071", "rededge075", "rededge078"),
        *("nir", "swir16", "swir22"),
    )
    assert spec.inputs[0].units == "dn"
    assert (spec.stride, spec.align, spec.window) == (1, 2, None)
    assert len(spec.classes) == spec.channels == 9
    assert DynamicWorld.spec.channels == 144
    assert DynamicWorld.spec.weights in weights.FILES
    assert weights.FILES["dynamicworld_forward"].license == spec.license


def test_it_is_registered_for_both_verbs() -> None:
    assert registry.get("embed", "dynamic_world") is DynamicWorld
    assert registry.get("classify", "dynamic_world") is DynamicWorldClasses
    assert isinstance(DynamicWorld(), Embedder)
    assert isinstance(DynamicWorldClasses(), Classifier)


@pytest.mark.parametrize("model", [DynamicWorld(), DynamicWorldClasses()])
def test_it_pickles_small_even_after_a_call(
    model: Any, image: np.ndarray[Any, Any], random_weights: list[str]
) -> None:
    model(image)
    data = pickle.dumps(model)
    assert len(data) < 1000
    assert pickle.loads(data) == model


# --- what it returns -------------------------------------------------------------------------


def test_both_models_load_one_module_at_the_first_call(
    image: np.ndarray[Any, Any], random_weights: list[str]
) -> None:
    embed, classify = DynamicWorld(), DynamicWorldClasses()
    assert random_weights == []
    vectors, scores = embed(image), classify(image)
    embed(image)
    assert random_weights == ["dynamicworld_forward"]
    assert (vectors.shape, vectors.dtype) == ((2, 144, 20, 24), np.float32)
    assert (scores.shape, scores.dtype) == ((2, 9, 20, 24), np.float32)
    np.testing.assert_allclose((vectors**2).sum(axis=1), 1, rtol=1e-5)


def test_the_scores_are_the_last_layer_over_the_vectors(
    image: np.ndarray[Any, Any], random_weights: list[str]
) -> None:
    tensors = random_tensors()
    expected = np.einsum("nkyx,kc->ncyx", DynamicWorld()(image), tensors["conv2d_14/kernel"][0, 0])
    expected += tensors["conv2d_14/bias"][:, None, None]
    np.testing.assert_allclose(DynamicWorldClasses()(image), expected, atol=1e-5)


def test_the_input_is_untouched_and_its_kind_is_kept(
    image: np.ndarray[Any, Any], random_weights: list[str]
) -> None:
    before = image.copy()
    expected = DynamicWorld()(image)
    np.testing.assert_array_equal(image, before)
    tensor = torch.from_numpy(image)
    out = DynamicWorld()(tensor)
    assert isinstance(out, torch.Tensor)
    np.testing.assert_array_equal(out.numpy(), expected)
    np.testing.assert_array_equal(tensor.numpy(), before)


def test_layout_and_type_of_the_input_do_not_matter(
    image: np.ndarray[Any, Any], random_weights: list[str]
) -> None:
    image = np.round(image)
    expected = DynamicWorld()(image)
    frozen = image.copy()
    frozen.flags.writeable = False
    for other in (
        frozen,
        image.astype(">f4"),
        image.astype("u2"),
        image.astype("f8"),
        np.asfortranarray(image),
        image[..., ::-1].copy()[..., ::-1],
    ):
        np.testing.assert_allclose(DynamicWorld()(other), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(9, 8, 8), (1, 8, 8, 8), (1, 10, 8, 8)])
def test_another_shape_is_refused(shape: tuple[int, ...], random_weights: list[str]) -> None:
    with pytest.raises(DimensionError) as err:
        DynamicWorld()(np.zeros(shape, "f4"))
    assert f"got shape {shape}. Try: select these bands" in str(err.value)
    assert random_weights == []


def test_values_of_zero_and_less_count_as_zero(random_weights: list[str]) -> None:
    zero = DynamicWorld()(np.zeros((1, 9, 8, 8), "f4"))
    less = DynamicWorld()(np.full((1, 9, 8, 8), -900, "f4"))
    assert np.isfinite(zero).all()
    np.testing.assert_array_equal(less, zero)


def test_the_largest_numbers_of_the_sensor_stay_finite(random_weights: list[str]) -> None:
    image = np.full((1, 9, 8, 8), 65535, "u2")
    assert np.isfinite(DynamicWorld()(image)).all()
    assert np.isfinite(DynamicWorldClasses()(image.astype("f4") * 1e6)).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 8), (7, 9), (8, 7)])
def test_odd_sizes_are_continued_by_their_edge(
    height: int, width: int, random_weights: list[str]
) -> None:
    image = np.random.default_rng(2).uniform(0, 4000, (1, 9, height, width)).astype("f4")
    pad = ((0, 0), (0, 0), (0, height % 2), (0, width % 2))
    expected = DynamicWorld()(np.pad(image, pad, mode="edge"))[..., :height, :width]
    out = DynamicWorld()(image)
    assert out.shape == (1, 144, height, width)
    np.testing.assert_array_equal(out, expected)


def test_samples_do_not_see_each_other(
    image: np.ndarray[Any, Any], random_weights: list[str]
) -> None:
    together = DynamicWorldClasses()(image)
    alone = np.concatenate([DynamicWorldClasses()(image[i : i + 1]) for i in range(2)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", ["channels_last", "contiguous_format"])
def test_mish_is_that_of_torch(layout: str, threads: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 144, 40, 64) * 8
    x.flatten()[:8] = torch.tensor([0.0, -1e-6, 19.9, 20.1, 90.0, 1e30, -90.0, -200.0])
    expected = torch.nn.functional.mish(x.double())
    with options.thread_share(threads):
        out = dynamic_world._mish(x.to(memory_format=getattr(torch, layout)))
    torch.testing.assert_close(out.double(), expected, rtol=1e-6, atol=1e-30)


def test_folding_the_normalisation_changes_nothing() -> None:
    tensors = random_tensors(3)
    kernel, bias = dynamic_world._fold(tensors, "c2", 3)
    x = np.random.default_rng(0).normal(size=64)
    plain = x @ tensors["conv2d_2/kernel"][0, 0].astype("f8") + tensors["conv2d_2/bias"]
    gamma, beta, mean, variance = (
        tensors[f"batch_normalization_3/{part}"].astype("f8")
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    expected = (plain - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(kernel[:, :, 0, 0] @ x + bias, expected, rtol=1e-12)


# --- how far it sees -------------------------------------------------------------------------


def reached(axis: int, pixel: int) -> list[int]:
    """Return which output pixels along an axis one input pixel reaches, in float64."""
    net = dynamic_world.build(random_tensors()).double().requires_grad_(False)
    size = [1, 9, 2, 2]
    size[axis] = 128
    image = torch.full(size, 1000.0, dtype=torch.float64)
    changed = image.clone()
    changed.select(axis, pixel).fill_(9000.0)
    with torch_runtime.inference():
        difference = dynamic_world.vectors(net, image) - dynamic_world.vectors(net, changed)
    other = tuple(i for i in range(4) if i != axis)
    return [int(i) for i in torch.nonzero(difference.abs().amax(dim=other)).flatten()]


@pytest.mark.parametrize("axis", [2, 3])
def test_the_halo_is_the_receptive_field_and_not_a_pixel_more(axis: int) -> None:
    distances = []
    for pixel in (64, 65):
        output = reached(axis, pixel)
        assert output == list(range(output[0], output[-1] + 1))
        distances += [pixel - output[0], output[-1] - pixel]
    assert max(distances) == HALO
    assert HALO % DynamicWorld.spec.align == 0


def check_windows(model: Any, image: np.ndarray[Any, Any], tolerance: float) -> None:
    """Compare windows with a halo, and windows in other surroundings, to the whole image."""
    whole = model(image)
    kept = slice(HALO, -HALO)
    for y, x in ((0, 0), (2, 8), (10, 4)):
        window = image[..., y : y + 54, x : x + 60]
        out = model(window)[..., kept, kept]
        expected = whole[..., y : y + 54, x : x + 60][..., kept, kept]
        np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance)
    inside = np.s_[..., HALO + 8 : -HALO - 8, HALO + 8 : -HALO - 8]
    other = np.full_like(image, 12000.0)
    other[..., 8:-8, 8:-8] = image[..., 8:-8, 8:-8]
    np.testing.assert_array_equal(model(other)[inside], whole[inside])


def test_windows_with_the_halo_equal_the_whole_image(random_weights: list[str]) -> None:
    image = np.random.default_rng(4).gamma(2.0, 800.0, (1, 9, 64, 68)).astype("f4")
    check_windows(DynamicWorld(), image, 1e-6)


# --- the real weights ------------------------------------------------------------------------


def golden(folder: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with np.load(folder / "golden" / "dynamicworld_golden.npz") as file:
        image = file["raw_dn"].transpose(2, 0, 1)[None]
        np.testing.assert_allclose(
            file["norm_percentiles"].T,
            [dynamic_world._OFFSETS, dynamic_world._SCALES],
            rtol=0,
        )
        return image, file["logits"], file["embedding_every4"]


def test_parity_with_the_original(real_weights: Path) -> None:
    image, logits, vectors = golden(real_weights)
    scores = DynamicWorldClasses()(image)[0].transpose(1, 2, 0)
    np.testing.assert_allclose(scores, logits, rtol=0, atol=2e-5)
    assert (scores.argmax(axis=-1) == logits.argmax(axis=-1)).all()
    out = DynamicWorld()(image)[0, :, ::4, ::4].transpose(1, 2, 0)
    np.testing.assert_allclose(out, vectors, rtol=0, atol=1e-5)


def test_real_windows_equal_the_whole_image(real_weights: Path) -> None:
    image = golden(real_weights)[0]
    wide = np.concatenate([image, image[..., ::-1]], axis=-1)[..., :68].copy()
    check_windows(DynamicWorld(), wide, 1e-6)
