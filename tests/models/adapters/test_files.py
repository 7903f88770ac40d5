import zipfile

import pytest

from xeo.errors import WeightsError
from xeo.models.adapters.files import PinnedFile


def test_a_file_is_the_pinned_one_until_it_changes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    pinned = PinnedFile.of(path)
    assert pinned.checked() == str(path)
    path.write_bytes(b"other")
    with pytest.raises(WeightsError, match=rf"expected SHA-256 {pinned.sha256} in {path}, got"):
        pinned.checked()


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"one")
    monkeypatch.chdir(tmp_path)
    assert PinnedFile.of("file").path == str(tmp_path / "file")


def test_a_companion_that_appears_is_a_change(tmp_path):
    (tmp_path / "file").write_bytes(b"one")
    pinned = PinnedFile.of(tmp_path / "file")
    (tmp_path / "file.data").write_bytes(b"new")
    with pytest.raises(WeightsError, match=r"expected SHA-256 of no file in .*file\.data"):
        pinned.checked()


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(WeightsError, match="got none"):
        PinnedFile.of(tmp_path)


def test_a_zip_cut_after_a_zip_within_it_is_not_whole(tmp_path):
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    with zipfile.ZipFile(inner, "w") as made:
        made.writestr("a", b"1")
    with zipfile.ZipFile(outer, "w") as made:
        made.write(inner, "inner")
    assert PinnedFile.of_torch(outer).path == str(outer)
    outer.write_bytes(outer.read_bytes()[:-60])
    assert zipfile.is_zipfile(outer)
    with pytest.raises(WeightsError, match="no zip or is cut off"):
        PinnedFile.of_torch(outer)
