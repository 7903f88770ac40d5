from __future__ import annotations

import hashlib
import http.server
import json
import os
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xeo import weight_formats, weights
from xeo.errors import UnknownNameError, WeightsError
from xeo.weights import Upstream, WeightFile


def safetensors_bytes(**tensors: np.ndarray[Any, Any]) -> bytes:
    """Write the format by hand, so that the reader is not tested against its own library."""
    header, body = {}, b""
    for key, value in tensors.items():
        end = len(body) + value.nbytes
        header[key] = {"dtype": "F32", "shape": value.shape, "data_offsets": [len(body), end]}
        body += value.astype("<f4").tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


GOOD = safetensors_bytes(a=np.arange(6, dtype="f4").reshape(2, 3), b=np.ones(300_000, "f4"))


def known(data: bytes, **changes: Any) -> WeightFile:
    file = WeightFile(
        name="toy",
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        license="MIT",
        source="https://example.org/toy",
    )
    return replace(file, **changes)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(weights, "_cache", lambda: folder)
    monkeypatch.delenv("XEO_WEIGHTS", raising=False)
    return folder


@pytest.fixture
def toy(cache: Path, monkeypatch: pytest.MonkeyPatch) -> WeightFile:
    file = known(GOOD)
    monkeypatch.setitem(weights.FILES, "toy", file)
    return file


def put(folder: Path, data: bytes, name: str = "toy.safetensors") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


# --- finding ---------------------------------------------------------------------------------


def test_the_folders_of_the_environment_come_first_and_in_order(
    toy: WeightFile, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("XEO_WEIGHTS", os.pathsep.join(["", str(first), str(second)]))
    assert weights.where("toy") is None
    for folder in (cache, second, first):
        path = put(folder, GOOD)
        assert weights.where("toy") == str(path)
        assert weights.find("toy") == path


def test_load_returns_own_writable_arrays(toy: WeightFile, cache: Path) -> None:
    path = put(cache, GOOD)
    for tensors in (weights.load("toy"), weights.load(path), weights.load(str(path))):
        np.testing.assert_array_equal(tensors["a"], [[0, 1, 2], [3, 4, 5]])
        assert list(tensors) == ["a", "b"]
        tensors["a"][:] = 0


def test_an_unknown_name_is_told_the_nearest(toy: WeightFile) -> None:
    with pytest.raises(UnknownNameError, match=r"got 'toi'\. Did you mean 'toy'\?"):
        weights.find("toi")
    with pytest.raises(UnknownNameError, match="'presto_default'"):
        weights.load("folder/qqq")


def test_weights_that_are_nowhere_say_where_to_put_them(toy: WeightFile, cache: Path) -> None:
    with pytest.raises(WeightsError) as err:
        weights.find("toy")
    for words in ("toy.safetensors", str(cache), "https://example.org/toy", "set XEO_WEIGHTS"):
        assert words in str(err.value)


# --- refusing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (GOOD[:-1], "bytes of an unknown format"),
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><html>404</html>", "a web page"),
        (pickle.dumps({"a": 1}), "a pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
    ],
)
@pytest.mark.parametrize("use", [weights.find, weights.load])
def test_a_known_file_with_another_hash_is_refused_not_skipped(
    data: bytes,
    looks: str,
    use: Any,
    toy: WeightFile,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(cache, GOOD)
    wrong = put(tmp_path / "mine", data)
    monkeypatch.setenv("XEO_WEIGHTS", str(wrong.parent))
    with pytest.raises(WeightsError) as err:
        use("toy")
    for words in (
        f"expected {len(GOOD)} bytes with SHA-256 {toy.sha256}",
        f"got {len(data)} bytes with {hashlib.sha256(data).hexdigest()} in {wrong}",
        looks,
        "Try: delete or replace that file",
    ):
        assert words in str(err.value)


def test_the_hash_is_checked_before_a_byte_is_parsed(
    toy: WeightFile, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(data: bytes, what: str) -> weight_formats.Tensors:
        raise AssertionError("parsed")

    monkeypatch.setitem(weights._READERS, ".safetensors", never)
    put(cache, GOOD[:-4] + b"evil")
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.load("toy")


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.target),))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".safetensors"])
def test_a_plain_pickle_is_refused_and_does_not_run(suffix: str, tmp_path: Path) -> None:
    path = put(tmp_path, pickle.dumps(Bomb(tmp_path / "ran")), f"model{suffix}")
    with pytest.raises(WeightsError, match="a pickle, which can run any code"):
        weights.load(path)
    assert not (tmp_path / "ran").exists()


def test_a_torch_file_with_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pt"
    torch.save({"a": torch.ones(2), "b": Bomb(tmp_path / "ran")}, path)
    with pytest.raises(WeightsError, match="expected a state dict of tensors alone"):
        weights.load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x10",
        GOOD[:-1],
        GOOD[:40],
        GOOD + b"more",
        b"<html><body>rate limit</body></html>",
        (2**63).to_bytes(8, "little") + GOOD[8:],
        (len(GOOD)).to_bytes(8, "little") + GOOD[8:],
        (99_999_999).to_bytes(8, "little") + b"{" + b" " * 100,
        GOOD[:8] + b"[" + GOOD[9:],
        GOOD.replace(b'"shape": [2, 3]', b'"shape": [2, 9]'),
        GOOD.replace(b"[0, 24]", b"[0, 99]"),
    ],
)
def test_a_damaged_or_hostile_safetensors_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = put(tmp_path, data, "mine.safetensors")
    with pytest.raises(WeightsError, match=r"expected a (whole )?safetensors file") as err:
        weights.load(path)
    assert str(path) in str(err.value)


def test_a_type_that_numpy_lacks_is_refused(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
    path = put(tmp_path, len(header).to_bytes(8, "little") + header + b"\0", "f8.safetensors")
    with pytest.raises(WeightsError, match=r"got F8_E4M3\. Try: convert it to F32"):
        weights.load(path)


def test_a_missing_or_unreadable_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"got .*No such file.*none\.safetensors"):
        weights.load(tmp_path / "none.safetensors")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(WeightsError, match="expected a readable file"):
        weights.load(tmp_path / "folder.pt")


# --- reading ---------------------------------------------------------------------------------


def test_bfloat16_is_widened_to_the_same_values() -> None:
    header = b'{"a":{"dtype":"BF16","shape":[1,3],"data_offsets":[0,6]}}'
    data = len(header).to_bytes(8, "little") + header + bytes.fromhex("803f00c0487f")
    out = weight_formats.safetensors(data, "a file")["a"]
    # 0x7f48 is exponent 254, mantissa 0x48: (1 + 72/128) 2^127.
    np.testing.assert_array_equal(out, [[1.0, -2.0, 1.5625 * 2.0**127]])
    assert out.dtype == np.float32


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
def test_a_state_dict_of_torch_is_read(key: str | None, suffix: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {"a": torch.arange(3.0), "b": torch.tensor([1.5], dtype=torch.bfloat16), "note": 1}
    torch.save(state if key is None else {"epoch": 3, key: state}, tmp_path / f"m{suffix}")
    out = weights.load(tmp_path / f"m{suffix}")
    assert sorted(out) == ["a", "b"]
    np.testing.assert_array_equal(out["a"], [0, 1, 2])
    np.testing.assert_array_equal(out["b"], [1.5])
    out["a"][:] = 0


@pytest.mark.parametrize("saved", [[1, 2], {"a": 1}, {}, 3])
def test_a_torch_file_without_tensors_is_refused(saved: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(saved, tmp_path / "m.pt")
    with pytest.raises(WeightsError, match="expected a state dict of tensors alone"):
        weights.load(tmp_path / "m.pt")


def test_a_truncated_torch_file_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(999)}, tmp_path / "m.pt")
    whole = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="expected a state dict of tensors alone"):
        weights.load(tmp_path / "m.pt")


def test_a_short_dynamic_world_file_is_refused() -> None:
    with pytest.raises(WeightsError, match="expected 'conv2d/bias' at byte 20736 of it"):
        weight_formats.dynamic_world_variables(bytes(20737), "it")


def test_the_dynamic_world_table_has_every_layer_once() -> None:
    shapes = dict(weight_formats._dynamic_world_shapes())
    assert len(shapes) == len(weight_formats._dynamic_world_shapes()) == 146
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 231_209
    assert shapes["conv2d/kernel"] == (3, 3, 9, 64)
    assert shapes["conv2d_13/kernel"] == (1, 1, 192, 144)
    assert shapes["depthwise_conv2d_9/depthwise_kernel"] == (3, 3, 144, 1)


def test_sha256_is_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, b"one", "x")
    assert weights.sha256(path) == hashlib.sha256(b"one").hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", None)
        assert weights.sha256(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"two")
    os.utime(path, ns=(0, 0))
    assert weights.sha256(path) == hashlib.sha256(b"two").hexdigest()


# --- downloading -----------------------------------------------------------------------------


@dataclass
class Site:
    """A web server on this machine; ``pages`` are (status, body, declared length)."""

    address: str
    pages: dict[str, tuple[int, bytes, int]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(self.path)
            status, body, length = here.pages.get(self.path, (404, b"<html>no</html>", 15))
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Site(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def remote(site: Site, toy: WeightFile, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setitem(weights.FILES, "toy", replace(toy, url=f"{site.address}/toy"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return site


def test_a_file_is_downloaded_once_with_a_progress_bar(
    remote: Site, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote.pages["/toy"] = (200, GOOD, len(GOOD))
    assert weights.where("toy") is None
    assert weights.find("toy") == cache / "toy.safetensors"
    text = capsys.readouterr()
    assert "toy.safetensors" in text.err
    assert "100%" in text.err
    assert text.out == ""
    np.testing.assert_array_equal(weights.load("toy")["a"], [[0, 1, 2], [3, 4, 5]])
    assert remote.asked == ["/toy"]
    assert weights.where("toy") == str(cache / "toy.safetensors")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ((200, GOOD[:-1] + b"x", len(GOOD)), "does not match"),
        ((200, b"<html>sign in</html>", 20), "does not match"),
        ((200, GOOD[:500], len(GOOD)), "ChunkedEncodingError: .*IncompleteRead"),
        ((200, GOOD + b"x" * 99_999, len(GOOD) + 99_999), f"ValueError: more than {len(GOOD)}"),
        ((404, b"gone", 4), "HTTPError: 404"),
        ((503, b"busy", 4), "HTTPError: 503"),
    ],
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    page: tuple[int, bytes, int], words: str, remote: Site, cache: Path
) -> None:
    remote.pages["/toy"] = page
    for use in (weights.find, weights.load):
        with pytest.raises(WeightsError, match=words) as err:
            use("toy")
        for more in (f"{remote.address}/toy", "toy.safetensors", "set XEO_WEIGHTS"):
            assert more in str(err.value)
        assert list(cache.iterdir()) == []


def test_without_a_network_the_error_names_the_address(
    remote: Site, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = "http://127.0.0.1:9/toy"
    monkeypatch.setitem(weights.FILES, "toy", replace(weights.FILES["toy"], url=closed))
    monkeypatch.setenv("XEO_WEIGHTS", "/no/such/folder")
    with pytest.raises(WeightsError, match=r"ConnectionError.*now '/no/such/folder'") as err:
        weights.find("toy")
    assert closed in str(err.value)


def test_the_makers_own_file_stands_in_for_the_safetensors_file(
    remote: Site, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"raw" + np.arange(4, dtype="<f4").tobytes()
    upstream = Upstream(
        filename="toy.raw",
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
        read=lambda data, what: {"a": np.frombuffer(data[3:], "<f4")},
        url=f"{remote.address}/original",
    )
    monkeypatch.setitem(weights.FILES, "toy", known(GOOD, upstream=upstream))
    remote.pages["/original"] = (200, body, len(body))
    np.testing.assert_array_equal(weights.load("toy")["a"], [0, 1, 2, 3])
    assert weights.where("toy") == str(cache / "toy.raw")
    mine = put(tmp_path / "mine", GOOD)
    monkeypatch.setenv("XEO_WEIGHTS", str(mine.parent))
    assert weights.find("toy") == mine


# --- the table -------------------------------------------------------------------------------


@pytest.mark.parametrize("file", weights.FILES.values(), ids=weights.FILES)
def test_every_known_file_can_be_downloaded_from_a_pinned_commit(file: WeightFile) -> None:
    assert weights.FILES[file.name] is file
    assert file.license
    assert any(copy.url for copy in file.copies)
    assert len({copy.filename for copy in file.copies}) == len(file.copies)
    for copy in file.copies:
        assert len(bytes.fromhex(copy.sha256)) == 32
        assert copy.size > 1000
        if copy.url is not None:
            owner = file.source.removeprefix("https://github.com/")
            assert copy.url.startswith(f"https://raw.githubusercontent.com/{owner}/")


@pytest.mark.parametrize("name", weights.FILES)
def test_the_real_files_pass(
    name: str, weights_dir: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XEO_WEIGHTS", str(weights_dir))
    file = weights.FILES[name]
    assert weights.find(name) == weights_dir / f"{name}.safetensors"
    assert weights.find(name).stat().st_size == file.size
    assert all(np.isfinite(value).all() for value in weights.load(name).values())


@pytest.mark.network
@pytest.mark.parametrize("name", weights.FILES)
def test_the_makers_own_files_hold_the_same_tensors(
    name: str, weights_dir: Path, cache: Path
) -> None:
    downloaded = weights.load(name)
    expected = weights.load(weights_dir / f"{name}.safetensors")
    assert sorted(downloaded) == sorted(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(downloaded[key], value, strict=True)


def test_the_dynamic_world_table_is_the_order_of_the_makers_file(weights_dir: Path) -> None:
    tensors = weights.load(weights_dir / "dynamicworld_forward.safetensors")
    order = [key for key, _ in weight_formats._dynamic_world_shapes()]
    data = b"".join(tensors[key].tobytes() for key in order)
    # Of the first 924,836 bytes of variables.data-00000-of-00001; the rest is the object graph.
    expected = "1257113de77d11adae91a6f9cdaca6bde0ec9886d798eb58a0fca10123474dea"
    assert hashlib.sha256(data).hexdigest() == expected
    again = weight_formats.dynamic_world_variables(data, "the file")
    assert all(np.array_equal(again[key], value) for key, value in tensors.items())
