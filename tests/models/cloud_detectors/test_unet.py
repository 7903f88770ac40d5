from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xeo import registry, weight_formats, weights
from xeo.errors import DimensionError, WeightsError
from xeo.models import torch_runtime
from xeo.models.cloud_detectors.unet import UnetRgbi, UnetRgbiSwir
from xeo.spec import Exportable
from xeo.testing import CloudDetectorTests, make_batch

torch = pytest.importorskip("torch")

BOTH = [UnetRgbi(), UnetRgbiSwir()]


@pytest.fixture(autouse=True)
def real_weights(weights_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XEO_WEIGHTS", str(weights_dir))
    return weights_dir


class TestUnetRgbi(CloudDetectorTests):
    model = UnetRgbi()
    array_kinds = ("numpy", "torch")


class TestUnetRgbiSwir(CloudDetectorTests):
    model = UnetRgbiSwir()
    array_kinds = ("numpy", "torch")


def golden(folder: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with np.load(folder / "golden" / "dl_l8s2_uv_rgbi_golden.npz") as file:
        return file["x"][None], file["prob"]


def test_parity_with_the_original(real_weights: Path) -> None:
    image, want = golden(real_weights)
    made = UnetRgbi()(image)
    assert (made.shape, made.dtype) == ((1, 1, 128, 128), np.float32)
    np.testing.assert_allclose(made[0, 0], want, rtol=0, atol=1e-5)
    assert 0.1 < (want > 0.5).mean() < 0.9


def test_windows_with_the_halo_equal_the_whole_image(real_weights: Path) -> None:
    image, margin = golden(real_weights)[0], UnetRgbi.spec.margin
    assert margin == 24
    whole = UnetRgbi()(image)
    for y, x in ((0, 4), (28, 40), (60, 16)):
        made = UnetRgbi()(np.ascontiguousarray(image[..., y : y + 64, x : x + 68]))
        inside = np.s_[..., margin:-margin, margin:-margin]
        want = whole[..., y : y + 64, x : x + 68][inside]
        np.testing.assert_allclose(made[inside], want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", BOTH)
def test_a_program_made_of_it_makes_the_same_numbers(model: Any) -> None:
    assert isinstance(model, Exportable)
    image = make_batch(model.spec)
    example, auto = torch.from_numpy(image[..., :16, :20].copy()), torch.export.Dim.AUTO
    sizes = ({0: auto, 2: auto, 3: auto},)
    program = torch.export.export(model.module(), (example,), dynamic_shapes=sizes, strict=False)
    with torch.inference_mode():
        made = program.module()(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(made, model(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", BOTH)
def test_it_is_registered_and_says_what_it_needs(model: Any) -> None:
    assert registry.get("cloud_mask", model.spec.name) is type(model)
    assert model.spec.units == "reflectance"
    tensors = weights.load(model.spec.weights)
    assert sum(value.size for value in tensors.values()) == model.spec.total_parameters
    assert weights.FILES[model.spec.weights].license == model.spec.license
    assert len(pickle.dumps(model)) < 1000


def test_another_shape_is_refused() -> None:
    with pytest.raises(DimensionError, match=r"the 6 bands .*got shape \(1, 4, 8, 8\)"):
        UnetRgbiSwir()(np.zeros((1, 4, 8, 8), "f4"))


def test_integers_big_endian_and_read_only_arrays_are_taken(real_weights: Path) -> None:
    image = golden(real_weights)[0][..., :16, :16].copy()
    want = UnetRgbi()(image)
    frozen = image.copy()
    frozen.flags.writeable = False
    for other in (frozen, image.astype(">f4"), image.astype("f8"), np.asfortranarray(image)):
        np.testing.assert_allclose(UnetRgbi()(other), want, atol=1e-6)
    assert np.isfinite(UnetRgbi()(np.full((1, 4, 8, 8), 7, "u2"))).all()


def test_nodata_and_blinding_light_stay_finite() -> None:
    for value in (0.0, -0.1, 30.0):
        assert np.isfinite(UnetRgbi()(np.full((1, 4, 8, 8), value, "f4"))).all()


# --- the makers' own file --------------------------------------------------------------------


def keras_file(path: Path, *, whole: bool) -> bytes:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        top = file.create_group("model_weights") if whole else file
        layer = top.create_group("conv")
        layer.attrs["weight_names"] = [b"conv_2/kernel:0", b"conv_2/bias:0"]
        layer["conv_2/kernel:0"] = np.arange(4, dtype="f4").reshape(2, 2)
        layer["conv_2/bias:0"] = np.ones(2, "f4")
        top.create_group("act").attrs["weight_names"] = np.array([], "S1")
        if whole:
            file.create_group("optimizer_weights")["m:0"] = np.zeros(3, "f4")
    return path.read_bytes()


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_of_keras_is_read(whole: bool, tmp_path: Path) -> None:
    tensors = weight_formats.keras_hdf5(keras_file(tmp_path / "a.h5", whole=whole), "a.h5")
    assert sorted(tensors) == ["conv/bias", "conv/kernel"]
    assert tensors["conv/kernel"].tolist() == [[0, 1], [2, 3]]


def test_what_is_no_file_of_keras_is_refused(tmp_path: Path) -> None:
    data = keras_file(tmp_path / "a.h5", whole=True)
    for damaged in (data[:500], b"<html>", b""):
        with pytest.raises(WeightsError, match="a whole HDF5 file of Keras"):
            weight_formats.keras_hdf5(damaged, "a.h5")


def test_both_models_keep_their_own_network() -> None:
    for model in BOTH:
        model(make_batch(model.spec, size=8))
    kept = [net for (key, _), net in torch_runtime._MODULES.items() if key in BOTH]
    assert len({id(net) for net in kept}) == 2
