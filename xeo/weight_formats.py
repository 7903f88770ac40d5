"""Bytes of a weights file to named arrays, without ever unpickling code."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from xeo.errors import WeightsError
from xeo.lazy import require

Tensors: TypeAlias = dict[str, np.ndarray[Any, np.dtype[Any]]]
#: Takes the bytes of a file and words that name it in errors.
Reader: TypeAlias = Callable[[bytes, str], Tensors]

_SAFETENSORS_HEADER = 100_000_000
_SAFETENSORS_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip
_KINDS = {
    b"PK\x03\x04": "a zip, such as torch saves",
    b"\x80": "a pickle, which can run any code",
    b"<": "a web page",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer, not the file it stands for",
}
_STATE_KEYS = ("state_dict", "model_state_dict", "model")

# The variables of the Dynamic World graph in the order in which they lie in its data file:
# c conv2d, d depthwise_conv2d, b batch_normalization; its number in the graph; its channels.
_DYNAMIC_WORLD = """
    c0:9>64 b0:64
    c2:64>96 b3:96 d1:96 b4:96 c3:96>96 b5:96 d2:96 b6:96 c4:96>96 b7:96 d3:96
    c5:64>96 b8:96 b9:96
    c6:96>144 b10:144 d4:144 b11:144 c7:144>144 b12:144 d5:144 b13:144 c8:144>144 b14:144
    c1:64>48 b1:48 d6:144 c9:96>144 b15:144 b16:144 d0:48 b2:48
    c10:192>144 b17:144 d7:144 b18:144 c11:144>144 b19:144 d8:144 b20:144 c12:144>144 b21:144
    d9:144 c13:192>144 b22:144 b23:144 c14:144>9
"""


def kind(head: bytes) -> str:
    """Say what a file that is not what it should be looks like, from its first bytes."""
    found = (words for magic, words in _KINDS.items() if head.lstrip().startswith(magic))
    return next(found, "bytes of an unknown format" if head else "an empty file")


def safetensors(data: bytes, what: str) -> Tensors:
    """Read a safetensors file.

    Parameters
    ----------
    data : bytes
        The whole file.
    what : str
        Words that name the file in errors.

    Returns
    -------
    dict of str to array
        Own, writable arrays; bfloat16, which numpy lacks, as float32 of the same value.

    Raises
    ------
    WeightsError
        If the header does not fit the file, or a tensor has a type that numpy cannot hold.
    """
    _check_header(data, what)
    library = require("safetensors", purpose="read weights")
    try:
        entries = library.deserialize(data)
    except library.SafetensorError as err:
        raise WeightsError(f"expected a whole safetensors file in {what}, got: {err}") from err
    return {key: _array(entry, f"{key!r} of {what}") for key, entry in sorted(entries, key=_name)}


def _name(entry: tuple[str, Mapping[str, Any]]) -> str:
    return entry[0]


def _check_header(data: bytes, what: str) -> None:
    length = int.from_bytes(data[:8], "little")
    most = min(_SAFETENSORS_HEADER, len(data) - 8)
    if len(data) < 10 or length > most or data[8:9] != b"{":
        raise WeightsError(
            f"expected a safetensors file (8 bytes of length, at most {max(most, 0)} here, then a "
            f"JSON header) in {what}, got length {length} and {kind(data[:64])}. Try: download "
            "the file again"
        )


def _array(entry: Mapping[str, Any], what: str) -> np.ndarray[Any, np.dtype[Any]]:
    code = entry["dtype"]
    if code == "BF16":
        halves = np.frombuffer(entry["data"], "<u2").astype("u4")
        return (halves << np.uint32(16)).view("f4").reshape(entry["shape"])
    if code not in _SAFETENSORS_TYPES:
        raise WeightsError(
            f"expected one of the types {sorted([*_SAFETENSORS_TYPES, 'BF16'])} in tensor {what}, "
            f"got {code}. Try: convert it to F32"
        )
    values = np.frombuffer(entry["data"], _SAFETENSORS_TYPES[code])
    return values.reshape(entry["shape"]).copy()


def torch_zip(data: bytes, what: str) -> Tensors:
    """Read a state dict that ``torch.save`` wrote, with ``weights_only``.

    Parameters
    ----------
    data : bytes
        The whole file, of the zip format of torch 1.6 and later.
    what : str
        Words that name the file in errors.

    Returns
    -------
    dict of str to array
        The tensors of the state dict, or of the one under ``state_dict``,
        ``model_state_dict`` or ``model``; bfloat16 as float32.

    Raises
    ------
    WeightsError
        If the file is no such zip, is damaged, or holds more than tensors and plain values.
    """
    if not data.startswith(b"PK\x03\x04"):
        raise WeightsError(
            f"expected a zip written by torch.save in {what}, got {kind(data[:64])}. Try: load it "
            "where you trust it and save its state_dict as safetensors"
        )
    torch = require("torch", purpose="read weights saved by torch")
    try:
        saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return _state(saved, torch)
    except Exception as err:  # a damaged file makes the unpickler raise anything at all
        raise WeightsError(
            f"expected a state dict of tensors alone in {what}, got {type(err).__name__}: "
            f"{str(err)[:300]}. Try: save module.state_dict() as safetensors"
        ) from err


def _state(saved: Any, torch: Any) -> Tensors:
    nested = (saved[key] for key in _STATE_KEYS if isinstance(saved.get(key), Mapping))
    state = next(nested, saved)
    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError(f"no tensor under any of the keys {list(state)[:8]}")
    return {
        key: (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy().copy()
        for key, value in tensors.items()
    }


def dynamic_world_variables(data: bytes, what: str) -> Tensors:
    """Read ``variables.data-00000-of-00001`` of the Dynamic World SavedModel.

    The file is the tensors' float32 values one after the other. Its index is not needed,
    since the caller has checked the hash of the only file that has this order.

    Parameters
    ----------
    data : bytes
        The whole file.
    what : str
        Words that name the file in errors.

    Returns
    -------
    dict of str to array
        ``conv2d_3/kernel`` and so on, kernels as (y, x, in, out).

    Raises
    ------
    WeightsError
        If the file is too short.
    """
    out, start = {}, 0
    for key, shape in _dynamic_world_shapes():
        count = math.prod(shape)
        if start + 4 * count > len(data):
            raise WeightsError(
                f"expected {key!r} at byte {start} of {what}, got a file of {len(data)} bytes. "
                "Try: download the file again"
            )
        out[key] = np.frombuffer(data, "<f4", count, start).reshape(shape).copy()
        start += 4 * count
    return out


def _dynamic_world_shapes() -> list[tuple[str, tuple[int, ...]]]:
    shapes: list[tuple[str, tuple[int, ...]]] = []
    for layer in _DYNAMIC_WORLD.split():
        number, _, widths = layer[1:].partition(":")
        first, *more = (int(width) for width in widths.split(">"))
        shapes += _layer_shapes(layer[0], "" if number == "0" else f"_{number}", first, *more)
    return shapes


def _layer_shapes(
    letter: str, tail: str, width: int, out: int = 1
) -> list[tuple[str, tuple[int, ...]]]:
    if letter == "b":
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        return [(f"batch_normalization{tail}/{part}", (width,)) for part in parts]
    if letter == "d":
        name, size, bias = f"depthwise_conv2d{tail}/depthwise_kernel", 3, width
    else:
        # Only the stem looks at neighbours; the other plain convolutions mix channels.
        name, size, bias = f"conv2d{tail}/kernel", 1 if tail else 3, out
    return [(name, (size, size, width, out)), (f"{name.partition('/')[0]}/bias", (bias,))]


def keras_hdf5(data: bytes, what: str) -> Tensors:
    """Read the weights of a model that Keras saved as HDF5.

    Parameters
    ----------
    data : bytes
        The whole file, of ``model.save`` or ``model.save_weights``.
    what : str
        Words that name the file in errors.

    Returns
    -------
    dict of str to array
        ``input_conv_1/bias`` and so on, the layer's name and the variable's, in the layout of
        Keras; the optimizer's state is left out.

    Raises
    ------
    WeightsError
        If the file is damaged, or holds no weights.
    """
    h5py = require("h5py", purpose="read weights saved by Keras")
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            layers = file.get("model_weights", file)
            found = dict(pair for name in layers for pair in _keras_layer(name, layers[name]))
    except (OSError, RuntimeError, KeyError, ValueError) as err:
        raise WeightsError(
            f"expected a whole HDF5 file of Keras in {what}, got {kind(data[:64])}: "
            f"{str(err)[:300]}. Try: download the file again"
        ) from err
    if not found:
        raise WeightsError(f"expected weights in the Keras file {what}, got none")
    return found


def _keras_layer(name: str, group: Any) -> list[tuple[str, np.ndarray[Any, np.dtype[Any]]]]:
    # A variable's name repeats its layer's, with a number that depends on the session.
    paths = [
        path.decode() if isinstance(path, bytes) else path for path in group.attrs["weight_names"]
    ]
    return [
        (f"{name}/{path.rpartition('/')[2].partition(':')[0]}", np.array(group[path]))
        for path in paths
    ]
