from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xeo.errors import DimensionError, MissingDependencyError, OptionError
from xeo.models.cloud_detectors.omnicloudmask import CLASSES, OmniCloudMask
from xeo.testing import CloudDetectorTests, make_batch

torch = pytest.importorskip("torch")

SETTINGS = (
    "patch_size", "patch_overlap", "inference_device", "export_confidence", "no_data_value",
    "apply_no_data_mask", "destination_model_dir",
)  # fmt: skip


class FakePackage:
    """Answers as the package does: clipped probabilities of four classes, by brightness."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def predict_from_array(self, image: np.ndarray[Any, Any], **settings: Any) -> Any:
        self.asked.append({"shape": image.shape, "dtype": image.dtype, **settings})
        thick, thin, shadow = 0.5 * np.clip(image, 0, 1)
        scores = np.stack([1 - thick - thin - shadow, thick, thin, shadow])
        scores = np.clip(scores + 0.001, 0.001, 0.999)
        return np.where((image == 0).all(axis=0), 0, scores).astype("f4")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> FakePackage:
    fake = FakePackage()
    module = SimpleNamespace(predict_from_array=fake.predict_from_array)
    monkeypatch.setitem(sys.modules, "omnicloudmask", module)  # type: ignore[arg-type]
    return fake


@pytest.mark.usefixtures("package")
class TestOmniCloudMask(CloudDetectorTests):
    model = OmniCloudMask(window=64)
    array_kinds = ("numpy", "torch")


def one(model: OmniCloudMask, thick: float, thin: float, shadow: float) -> float:
    """Ask for a pixel of these probabilities."""
    x = np.array([thick, thin, shadow], "f4").reshape(1, 3, 1, 1) * 2
    return float(model(np.broadcast_to(x, (1, 3, 64, 64)).copy()).mean())


@pytest.mark.usefixtures("package")
def test_known_answers() -> None:
    assert one(OmniCloudMask(), 0.3, 0.2, 0.1) == pytest.approx(0.6, abs=2e-3)
    assert one(OmniCloudMask(thin=False), 0.3, 0.2, 0.1) == pytest.approx(0.4, abs=2e-3)
    assert one(OmniCloudMask(shadow=False), 0.3, 0.2, 0.1) == pytest.approx(0.5, abs=2e-3)
    assert one(OmniCloudMask(), 0, 0, 0) == 0


def test_what_the_package_is_asked(package: FakePackage) -> None:
    OmniCloudMask(model_folder="/some/where")(np.ones((2, 3, 96, 64), "f8"))
    assert len(package.asked) == 2
    assert package.asked[0] == {
        "shape": (3, 96, 64),
        "dtype": np.float32,
        "patch_size": 64,
        "patch_overlap": 0,
        "inference_device": "cpu",
        "export_confidence": True,
        "no_data_value": 0,
        "apply_no_data_mask": False,
        "destination_model_dir": "/some/where",
    }
    assert set(SETTINGS) <= set(package.asked[0])


def test_what_it_says_of_itself() -> None:
    model = OmniCloudMask(shadow=False, nir="nir", window=256)
    assert model.spec.bands == ("red", "green", "nir")
    assert (model.spec.window, model.spec.halo, model.spec.overlap) == (256, 16, 32)
    assert not model.shadows
    assert OmniCloudMask().shadows
    assert OmniCloudMask().spec.bands == ("red", "green", "nir08")


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="expected nir: 'nir08' or 'nir', got 'B8A'"):
        OmniCloudMask(nir="B8A")
    for window in (32, 500):
        with pytest.raises(OptionError, match="64 pixels or more, a multiple of 32"):
            OmniCloudMask(window=window)
    with pytest.raises(DimensionError, match=r"got shape \(1, 4, 64, 64\)"):
        OmniCloudMask()(np.zeros((1, 4, 64, 64), "f4"))


@pytest.mark.usefixtures("package")
def test_no_sample_gives_none() -> None:
    assert OmniCloudMask()(np.zeros((0, 3, 64, 64), "f4")).shape == (0, 1, 64, 64)


def test_its_absence_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "omnicloudmask", None)  # type: ignore[arg-type]
    with pytest.raises(MissingDependencyError, match=r"xarray-eo\[omnicloudmask\]"):
        OmniCloudMask()(np.ones((1, 3, 64, 64), "f4"))


# --- the package itself, with untrained networks ---------------------------------------------


def untrained(folder: Path) -> list[Any]:
    """Lay networks of the latest version, with random weights, where the package looks."""
    networks = pytest.importorskip("segmentation_models_pytorch")
    save = pytest.importorskip("safetensors.torch").save_file
    from omnicloudmask import download_models

    rows = [line.split(",") for line in download_models.model_index_path.read_text().splitlines()]
    latest = [
        row for row in rows[1:] if float(row[3]) == download_models.get_latest_model_version()
    ]
    made = []
    for file_name, timm_name, *_ in latest:
        torch.manual_seed(len(made))
        made.append(networks.Unet(timm_name, encoder_weights=None, in_channels=3, classes=4).eval())
        save(made[-1].state_dict(), folder / file_name)
    return made


@pytest.mark.filterwarnings("ignore")
def test_the_package_runs_networks_from_a_folder(tmp_path: Path) -> None:
    package = pytest.importorskip("omnicloudmask")
    assert set(SETTINGS) <= set(inspect.signature(package.predict_from_array).parameters)
    assert tuple(package.CLASS_NAMES.values()) == tuple(name.upper() for name in CLASSES)
    made = untrained(tmp_path)
    model = OmniCloudMask(model_folder=str(tmp_path), window=64)
    x = make_batch(model.spec)
    mean, std = (getattr(x, word)(axis=(2, 3), keepdims=True) for word in ("mean", "std"))
    with torch.no_grad():
        scores = sum(net(torch.from_numpy((x - mean) / std)) for net in made) / len(made)
    want = 1 - torch.softmax(scores, 1)[:, :1].numpy()
    np.testing.assert_allclose(model(x), want, rtol=0, atol=5e-3)
