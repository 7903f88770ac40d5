from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xeo.errors import DimensionError, OptionError, UnitsError
from xeo.models.cloud_detectors.scl import CLASSES, SceneClassification
from xeo.testing import CloudDetectorTests

CODES = np.random.default_rng(0).integers(0, 12, (2, 1, 8, 8)).astype("f4")


class TestSceneClassification(CloudDetectorTests):
    model = SceneClassification()
    batch = CODES
    gain = 1.0
    array_kinds = ("numpy", "torch")


def bad(*classes: int | str) -> list[float]:
    model = SceneClassification(classes) if classes else SceneClassification()
    return model(np.arange(12.0).reshape(1, 1, 3, 4)).ravel().tolist()


def test_known_answer() -> None:
    assert bad() == [1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0]
    assert bad(11) == bad("snow") == [0] * 11 + [1]
    assert bad("cloud_shadows", "thin_cirrus") == bad(3, 10)


def test_names_and_codes_make_equal_models() -> None:
    assert SceneClassification(("snow", 3.0, 3)) == SceneClassification((11, 3))  # type: ignore[arg-type]
    assert SceneClassification("snow").classes == (11,)  # type: ignore[arg-type]
    assert len(CLASSES) == 12


def test_missing_is_bad_whatever_is_asked() -> None:
    x = np.array([[[[np.nan, 4.0]]]], "f4")
    assert SceneClassification(("snow",))(x).ravel().tolist() == [1, 0]


@pytest.mark.parametrize("classes", [("clouds",), (12,), (-1,), (True,), (1.5,)])
def test_unknown_classes_are_refused(classes: tuple[int | str, ...]) -> None:
    with pytest.raises(OptionError, match="codes from 0 to 11 or some of"):
        SceneClassification(classes)


def test_interpolated_codes_are_refused() -> None:
    with pytest.raises(UnitsError, match=r"got 3.5.*nearest"):
        SceneClassification()(CODES[:1] * 0 + 3.5)
    with pytest.raises(UnitsError, match=r"from 0 to 11, got 12"):
        SceneClassification()(CODES[:1] * 0 + 12)


def test_two_layers_are_refused() -> None:
    with pytest.raises(DimensionError, match=r"one layer 'SCL', got shape \(1, 2, 8, 8\)"):
        SceneClassification()(np.zeros((1, 2, 8, 8)))


def test_a_real_layer(data_dir: Path) -> None:
    zarr = pytest.importorskip("zarr")
    with zarr.storage.ZipStore(data_dir / "s2_l2a_bolzano_202206.zarr.zip", mode="r") as store:
        codes = zarr.open_group(store, mode="r")["SCL"][:]
    made = SceneClassification()(codes[:, None].astype("f4"))
    np.testing.assert_array_equal(made[:, 0] == 1, np.isin(codes, (0, 1, 3, 8, 9, 10)))
    assert 0.2 < made.mean() < 0.6
