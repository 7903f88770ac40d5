"""A small network with a halo, and a place for its weights."""

import pytest
import torch

from xeo.spec import ModelSpec


@pytest.fixture
def spec():
    return ModelSpec("small", bands=("red", "nir"), stride=2, halo=2, channels=3)


@pytest.fixture
def module():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.Conv2d(8, 3, 2, stride=2),
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "xeo" / "modules"
