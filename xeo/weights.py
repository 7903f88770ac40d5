"""Files of weights: where they are, whether they are the right ones, and what is in them.

A file is looked for by name in the folders of ``$XEO_WEIGHTS``, then in the user's cache, and
else downloaded from the address of its makers into the cache. A known file is used only if its
SHA-256 is the pinned one; no file is ever unpickled.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from xeo import weight_formats
from xeo.errors import UnknownNameError, WeightsError
from xeo.lazy import require
from xeo.progress import bar, quiet_pooch
from xeo.weight_formats import Reader, Tensors

_READERS: dict[str, Reader] = {
    ".safetensors": weight_formats.safetensors,
    ".pt": weight_formats.torch_zip,
    ".pth": weight_formats.torch_zip,
    ".ckpt": weight_formats.torch_zip,
}


@dataclass(frozen=True)
class Upstream:
    """One file that holds the tensors, of any format.

    Parameters
    ----------
    filename : str
        What it is called in a folder of weights.
    sha256 : str
        Of the whole file, in hexadecimal.
    size : int
        In bytes.
    read : callable
        Bytes, and words that name the file, to tensors.
    url : str, optional
        Where it can be downloaded.
    """

    filename: str
    sha256: str
    size: int
    read: Reader
    url: str | None = None


@dataclass(frozen=True)
class WeightFile:
    """The weights of one model.

    Parameters
    ----------
    name : str
        What models call it; its file is ``name.safetensors``.
    sha256, size :
        Of the safetensors file; size in bytes.
    license : str
        SPDX identifier.
    source : str
        Address of the makers' repository.
    url : str, optional
        Where the safetensors file can be downloaded.
    upstream : Upstream, optional
        The makers' own file, with the same tensors.
    """

    name: str
    sha256: str
    size: int
    license: str
    source: str
    url: str | None = None
    upstream: Upstream | None = None

    @property
    def copies(self) -> tuple[Upstream, ...]:
        """The files that hold these tensors, the preferred one first."""
        read = _READERS[".safetensors"]
        own = Upstream(f"{self.name}.safetensors", self.sha256, self.size, read, self.url)
        return (own,) if self.upstream is None else (own, self.upstream)


def _github(repository: str, commit: str, path: str) -> str:
    return f"https://raw.githubusercontent.com/{repository}/{commit}/{path}"


_TABLE = (
    WeightFile(
        name="dl_l8s2_uv_rgbi",
        sha256="210637bcdcf48b3369b4410dcc722bdffa3300639433a997d6008b9c9970f954",
        size=394_964,
        license="MIT",
        source="https://github.com/IPL-UV/DL-L8S2-UV",
        upstream=Upstream(
            filename="landsatbiomeRGBI6.hdf5",
            sha256="6ca3a18f5d8e916a41853961beb74de860af6ca369e0a824f68d63c745a4bf16",
            size=1_418_400,
            read=weight_formats.keras_hdf5,
            url=_github(
                "IPL-UV/DL-L8S2-UV",
                "05c91ab118e5f3289db1cf172cf847322f2e3424",
                "dl_l8s2_uv/weights/landsatbiomeRGBI6.hdf5",
            ),
        ),
    ),
    WeightFile(
        name="dl_l8s2_uv_rgbiswir",
        sha256="8ce217d695563dd024827a8887997fcd9ef1ac22656973db417c6d51b0f359d0",
        size=395_380,
        license="MIT",
        source="https://github.com/IPL-UV/DL-L8S2-UV",
        upstream=Upstream(
            filename="landsatbiomeRGBISWIR7.hdf5",
            sha256="ed8cf5ea52353fd4712010e2c0af3bf638b35b7dfd3b4d9297a76f85b43d97a1",
            size=1_418_160,
            read=weight_formats.keras_hdf5,
            url=_github(
                "IPL-UV/DL-L8S2-UV",
                "05c91ab118e5f3289db1cf172cf847322f2e3424",
                "dl_l8s2_uv/weights/landsatbiomeRGBISWIR7.hdf5",
            ),
        ),
    ),
    WeightFile(
        name="dynamicworld_forward",
        sha256="12612c95095460ac2b38c4b506b432010ba1ee85195e41e93a6cd5ccbc15315d",
        size=938_220,
        license="Apache-2.0",
        source="https://github.com/google/dynamicworld",
        upstream=Upstream(
            filename="dynamicworld_forward.data-00000-of-00001",
            sha256="c4a38299f2c0a741682cbe48810d55afdc832ff451e3d3708082751fe655fcb1",
            size=964_710,
            read=weight_formats.dynamic_world_variables,
            url=_github(
                "google/dynamicworld",
                "0dd288fae5fb5291d988e5ea3c12eb91df481ec5",
                "model/forward/variables/variables.data-00000-of-00001",
            ),
        ),
    ),
    WeightFile(
        name="galileo_nano_encoder",
        sha256="a728850d5ac81844be6d2a4d0c6a858521354326b2e4434b260b2238d98de3e2",
        size=4_161_136,
        license="MIT",
        source="https://github.com/nasaharvest/galileo",
        upstream=Upstream(
            filename="galileo_nano_encoder.pt",
            sha256="eab6acacf527886a508a555bc24efe4b4a2cf91b162e84cd1c4a1807e942180c",
            size=4_189_406,
            read=weight_formats.torch_zip,
            url=_github(
                "nasaharvest/galileo",
                "0f0b5b95ac81acef4b74cf4686dc877202f4541b",
                "data/models/nano/encoder.pt",
            ),
        ),
    ),
    WeightFile(
        name="presto_default",
        sha256="e0844387054da2ec39ca7277b4b80f891d17820910715ace01a9a61b789db2e6",
        size=3_302_296,
        license="MIT",
        source="https://github.com/nasaharvest/presto",
        upstream=Upstream(
            filename="presto_default.pt",
            sha256="559c9d76f525bdf2dd3774da8b1e7f1510769b73baacac12e9e4d8d5c67fbe65",
            size=3_321_716,
            read=weight_formats.torch_zip,
            url=_github(
                "nasaharvest/presto",
                "13173d028f035abcbcc3b13829314323a5c15d02",
                "data/default_model.pt",
            ),
        ),
    ),
    WeightFile(
        name="presto_worldcereal_finetuned",
        sha256="21b023699617ea4d7ae7743aafbd3166d57292a4f937dc47473da27388f29d1f",
        size=1_633_944,
        license="MIT",
        source="https://github.com/WorldCereal/prometheo",
        upstream=Upstream(
            filename="presto_worldcereal_finetuned.pt",
            sha256="5c11407d84b7f622e415796d13e9790eb6d7c2545510041a64abf60bd4f138fc",
            size=1_647_786,
            read=weight_formats.torch_zip,
            url=_github(
                "WorldCereal/prometheo",
                "5fb39695c4a897c5a97fda782b88e139180b5793",
                "prometheo/data/finetuned_presto_model.pt",
            ),
        ),
    ),
)
#: The known files by name.
FILES: dict[str, WeightFile] = {file.name: file for file in _TABLE}


def get(name: str) -> WeightFile:
    """Return what is known of a file of weights.

    Raises
    ------
    UnknownNameError
        If the name is in no table.
    """
    if name not in FILES:
        near = difflib.get_close_matches(name, FILES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownNameError(
            f"expected the name of a file of weights, one of {sorted(FILES)}, or a path that ends "
            f"in one of {sorted(_READERS)}, got {name!r}.{hint}"
        )
    return FILES[name]


def find(name: str) -> Path:
    """Return the path of a known file of weights, downloaded if it is nowhere yet.

    Parameters
    ----------
    name : str
        Key of `FILES`.

    Returns
    -------
    Path
        A file whose SHA-256 has been checked: the safetensors file, or the makers' own.

    Raises
    ------
    UnknownNameError
        If the name is in no table.
    WeightsError
        If the file found first is not the right one, or it has to be downloaded and cannot.
    """
    path, copy = _locate(get(name))
    _check(name, path, copy, sha256(path))
    return path


def load(name_or_path: str | os.PathLike[str]) -> Tensors:
    """Return the tensors of a file of weights.

    Parameters
    ----------
    name_or_path : str or path
        Key of `FILES`, or a path ending in ``.safetensors``, ``.pt``, ``.pth`` or ``.ckpt``.

    Returns
    -------
    dict of str to array
        Own, writable numpy arrays in the layout of the file.

    Raises
    ------
    UnknownNameError
        If a name is in no table.
    WeightsError
        If the file is missing, is not the pinned one, or is not of a safe format. A path
        of the user's own has no pinned hash: only its format is checked.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix in _READERS:
        return _READERS[path.suffix](_bytes(path), str(path))
    name = os.fspath(name_or_path)
    path, copy = _locate(get(name))
    # Hash and parse the same bytes: the file may change between two reads.
    data = _bytes(path)
    _check(name, path, copy, hashlib.sha256(data).hexdigest())
    return copy.read(data, str(path))


def where(name: str) -> str | None:
    """Return where a known file of weights lies now, or None; neither downloads nor checks it.

    Raises
    ------
    UnknownNameError
        If the name is in no table.
    """
    return next((str(path) for path, _ in _present(get(name))), None)


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hexadecimal, remembered until the file changes."""
    stat = os.stat(path)
    return _digest(os.fspath(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _digest(path: str, mtime: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise WeightsError(f"expected a readable file of weights, got {err}") from err


def _folders() -> list[Path]:
    listed = [part for part in os.environ.get("XEO_WEIGHTS", "").split(os.pathsep) if part]
    return [Path(part).expanduser() for part in listed]


def _cache() -> Path:
    return Path(quiet_pooch().os_cache("xeo"))


def _searched() -> Iterator[Path]:
    yield from _folders()
    # After the folders, because it imports pooch.
    yield _cache()


def _present(file: WeightFile) -> Iterator[tuple[Path, Upstream]]:
    for folder in _searched():
        for copy in file.copies:
            if (folder / copy.filename).is_file():
                yield folder / copy.filename, copy


def _locate(file: WeightFile) -> tuple[Path, Upstream]:
    found = next(_present(file), None)
    if found is not None:
        return found
    for copy in file.copies:
        if copy.url is not None:
            return _download(file, copy, copy.url), copy
    raise WeightsError(
        f"expected the weights {file.name!r} as {file.copies[0].filename} in one of "
        f"{[str(folder) for folder in _searched()]}, got none, and they cannot be "
        f"downloaded as such. {_cure(file, file.source)}"
    )


def _download(file: WeightFile, copy: Upstream, url: str) -> Path:
    pooch = quiet_pooch()
    try:
        with _quiet(pooch.get_logger()):
            # Writes beside the target, checks the hash, then renames: never a partial file.
            path = pooch.retrieve(
                url, f"sha256:{copy.sha256}", copy.filename, _cache(), downloader=_Fetch(copy)
            )
    except (OSError, ValueError) as err:
        raise WeightsError(
            f"expected to download the weights {file.name!r} ({copy.size} bytes, SHA-256 "
            f"{copy.sha256}) from {url}, got {type(err).__name__}: {err}. {_cure(file, url)}"
        ) from err
    return Path(path)


@dataclass(frozen=True)
class _Fetch:
    """A downloader for pooch that closes its connection, and stops at the pinned size."""

    copy: Upstream

    def __call__(self, url: str, output: str, pooch: Any, /) -> None:
        requests = require("requests", purpose="download weights")
        name, size = self.copy.filename, self.copy.size
        with (
            requests.get(url, stream=True, timeout=30) as response,
            open(output, "wb") as target,
            bar(total=size, desc=name, unit="B", unit_scale=True) as shown,
        ):
            response.raise_for_status()
            for block in response.iter_content(1 << 16):
                shown.update(target.write(block))
                if shown.n > size:
                    raise ValueError(f"more than {size} bytes")


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    # Its lines about the download would tear the progress bar apart.
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _cure(file: WeightFile, address: str) -> str:
    names = " or ".join(copy.filename for copy in file.copies)
    return (
        f"Try: bring the file of {address} here as {names} and set XEO_WEIGHTS to its folder "
        f"(now {os.environ.get('XEO_WEIGHTS', '')!r})"
    )


def _check(name: str, path: Path, copy: Upstream, got: str) -> None:
    if got == copy.sha256:
        return
    with path.open("rb") as file:
        looks = weight_formats.kind(file.read(64))
    raise WeightsError(
        f"expected {copy.size} bytes with SHA-256 {copy.sha256} as weights {name!r}, got "
        f"{path.stat().st_size} bytes with {got} in {path} ({looks}). "
        "Try: delete or replace that file"
    )
