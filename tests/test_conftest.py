"""The counter of computes counts."""

from __future__ import annotations

import os

import dask.array
import pytest


def test_max_computes_lets_as_many_pass_as_it_says(max_computes):
    with max_computes(1):
        assert dask.array.ones(4, chunks=2).sum().compute() == 4


def test_max_computes_fails_on_one_too_many(max_computes):
    lazy = dask.array.ones(4, chunks=2)
    with pytest.raises(AssertionError, match="at most 0 computes"), max_computes(0):
        lazy.compute()


def test_hubs_are_never_asked():
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_real_folders_hold_what_the_tests_read(data_dir, weights_dir):
    assert (data_dir / "flanders_a_s2.zarr.zip").is_file()
    assert (weights_dir / "golden").is_dir()
