"""Files that a model refers to instead of carrying them."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from xeo.errors import WeightsError
from xeo.weights import sha256


@dataclass(frozen=True)
class PinnedFile:
    """A file and what must be in it.

    Parameters
    ----------
    path : str
        Absolute.
    sha256 : str
        Of the whole file, in hexadecimal.
    companion : str
        The same of the file of the same name and ``.data``, into which ONNX puts large
        tensors; empty if there was none.
    """

    path: str
    sha256: str
    companion: str = ""

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> PinnedFile:
        """Pin a file as it is now.

        Raises
        ------
        WeightsError
            If there is no such file.
        """
        full = Path(path).expanduser().absolute()
        if not full.is_file():
            raise WeightsError(f"expected a file of a model in {full}, got none")
        return cls(str(full), sha256(full), _companion(full))

    @classmethod
    def of_torch(cls, path: str | os.PathLike[str]) -> PinnedFile:
        """Pin a file that torch saved: a zip, with its table at the end.

        Raises
        ------
        WeightsError
            If there is no such file, or it is no whole zip.
        """
        file = cls.of(path)
        if not _is_whole_zip(file.path):
            raise WeightsError(
                f"expected a whole file saved by torch in {file.path}, got one of "
                f"{os.path.getsize(file.path)} bytes that is no zip or is cut off"
            )
        return file

    def checked(self) -> str:
        """Return the path, if the file is still the pinned one.

        Raises
        ------
        WeightsError
            If the file is not on this machine, or its bytes are others.
        """
        path = Path(self.path)
        if not path.is_file():
            raise WeightsError(
                f"expected the file of this model in {path}, got none on this machine. Try: a "
                "folder that all workers share, and make the model anew"
            )
        for what, want, got in (
            (path, self.sha256, sha256(path)),
            (f"{path}.data", self.companion, _companion(path)),
        ):
            if want != got:
                raise WeightsError(
                    f"expected SHA-256 {want or 'of no file'} in {what}, got {got or 'no file'}: "
                    "it changed after the model was made. Try: make the model anew"
                )
        return self.path


def _is_whole_zip(path: str) -> bool:
    try:
        with zipfile.ZipFile(path) as saved:
            # A cut file may end in the table of a zip within it, which starts further on.
            return min((item.header_offset for item in saved.infolist()), default=1) == 0
    except zipfile.BadZipFile:
        return False


def _companion(path: Path) -> str:
    data = path.with_name(path.name + ".data")
    return sha256(data) if data.is_file() else ""
