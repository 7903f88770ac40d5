from __future__ import annotations

import os

import pytest

from xeo.errors import StoreError
from xeo.ops.place import check_free, local


def test_the_scheme_of_a_local_path_is_dropped():
    assert local("file:///a/b.zarr") == "/a/b.zarr"
    assert local("~/b.zarr") == os.path.expanduser("~/b.zarr")
    assert local("s3://a/b.zarr") == "s3://a/b.zarr"


def test_nothing_and_an_empty_folder_are_free(tmp_path):
    check_free(tmp_path / "out.zarr")
    check_free(tmp_path)


def test_a_file_is_never_overwritten(tmp_path):
    (tmp_path / "out.zarr").write_text("dear")
    with pytest.raises(StoreError, match="left alone"):
        check_free(tmp_path / "out.zarr", overwrite=True)


@pytest.mark.parametrize("mark", ["zarr.json", ".zgroup", ".zmetadata"])
def test_a_store_needs_to_be_told(tmp_path, mark):
    (tmp_path / mark).touch()
    with pytest.raises(StoreError, match=r"found something. Try: overwrite=True"):
        check_free(tmp_path)
    check_free(tmp_path, overwrite=True)


@pytest.mark.parametrize("name", ["out.nc", "out.TIF", "out.zarr.zip", "s3://bucket/out.nc"])
def test_names_of_other_formats_are_refused(name):
    with pytest.raises(StoreError, match="expected a Zarr store to write"):
        check_free(name)


def test_a_link_to_the_source_is_the_source(tmp_path):
    (tmp_path / "cube.zarr").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "cube.zarr")
    with pytest.raises(StoreError, match="expected another place than the source"):
        check_free(tmp_path / "link.zarr", source=tmp_path / "cube.zarr", overwrite=True)


def test_a_file_system_that_is_unknown(tmp_path):
    with pytest.raises(StoreError, match="looking there failed: ValueError: Protocol not known"):
        check_free("no-such-scheme://out.zarr")
