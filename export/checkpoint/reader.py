"""Hugging Face checkpoints, read one tensor at a time: safetensors or .bin, sharded or not."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pocketllm.runtime.errors import InputError, first_line
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.host.foreign import foreign_kind
from pocketllm.runtime.host.pages import release_file_pages

from .other_files import without_weights
from .pickled import tensors_in

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
FORMATS = (SINGLE, INDEX, PICKLED, PICKLED_INDEX)  # where several lie, transformers reads the first
# bfloat16 is the upper half of a float32; NumPy has no type for it.
SAFETENSORS_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
PICKLED_FLOATS = ("float64", "float32", "float16", "bfloat16")
BLOCK_VALUES = 1 << 22
# What the shards of one set share: the stem, how many they are, and the suffix.
SHARD = re.compile(r"(?P<stem>.+)-\d+(?P<count>-of-\d+)(?P<suffix>\.\w+)")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of a checkpoint by Hugging Face name.

    Attributes:
      source: the file or folder, for error messages.
      shapes: name -> shape.
      read: name -> float32 array; raises InputError for a type that is not a float.
      file_of: name -> the file it stands in.
      beside: other weights in the folder, which are not read.
    """

    source: str
    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]
    file_of: dict[str, Path]
    beside: tuple[Path, ...] = ()


def open_checkpoint(folder: Path) -> Checkpoint:
    """Opens the weights of a checkpoint folder.

    Raises:
      InputError: no weights, or a file that cannot be read.
    """
    folder = Path(folder)
    paths = [folder / name for name in FORMATS if (folder / name).is_file()]
    if not paths:
        raise InputError(f"{folder}: {without_weights(folder)}")
    return replace(_opened(paths[0]), beside=tuple(paths[1:]))


def names_in(path: Path) -> set[str]:
    """Returns the names of the tensors in a file of weights; none where it cannot be read."""
    try:
        return set(_opened(path).shapes)
    except InputError:
        return set()


def _opened(path):
    files = _shards(path) if path.name in (INDEX, PICKLED_INDEX) else [path]
    read = _safetensors if path.name in (SINGLE, INDEX) else _pickled
    return read(path.parent if path.name == SINGLE else path, files)


def _shards(path):
    """Returns the files that an index names; all of them must be there."""
    weight_map = read_json(path, "download the checkpoint again").get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise InputError(f"{path}: no weight_map; download the checkpoint again")
    names = sorted(set(weight_map.values()))
    if not names:
        raise InputError(f"{path}: weight_map is empty; download the index again")
    for name in names:
        if name in ("", "..") or Path(name).name != name:
            raise InputError(f"{path}: shard {name!r} leaves the checkpoint's folder")
        if not (path.parent / name).is_file():
            count = sum(shard == name for shard in weight_map.values())
            raise InputError(
                f"{path.parent / name}: no such file, {path.name} says it holds {count} tensors; "
                "download this shard"
            )
    sets = {_shard_set(name) for name in names} - {None}
    beside = {shard.name for shard in path.parent.glob("*-of-*")} - set(names)
    left_out = sorted(name for name in beside if _shard_set(name) in sets)
    if left_out:
        raise InputError(
            f"{path}: does not name {left_out[0]}, which lies beside it; download the index again, "
            "or remove what is not of this checkpoint"
        )
    return [path.parent / name for name in names]


def _shard_set(name):
    """Returns what tells one set of shards from another beside it; None for any other name."""
    match = SHARD.fullmatch(name)
    return match and match.groups()


def _places(files):
    """Returns {tensor: file} of {file: its tensors}; each may stand in one file."""
    places = {}
    for path, names in files.items():
        for name in names:
            if name in places:
                raise InputError(f"{path}: tensor {name} stands in {places[name].name} too")
            places[name] = path
    return places


def _safetensors(source, paths):
    headers = {path: _header(path) for path in paths}
    places = _places(headers)

    def read(name):
        path, entry = places[name], headers[places[name]][name]
        if entry["dtype"] not in SAFETENSORS_FLOATS:
            raise InputError(
                f"{path}: tensor {name} has dtype {entry['dtype']}, expected one of "
                f"{', '.join(SAFETENSORS_FLOATS)}; save the checkpoint in float32 or float16"
            )
        return _values(path, entry)

    shapes = {name: tuple(headers[path][name]["shape"]) for name, path in places.items()}
    return Checkpoint(str(source), shapes, read, places)


def _header(path):
    """Returns name -> {dtype, shape, data_offsets (from the start of the file)}."""
    from safetensors import SafetensorError, safe_open

    kind = foreign_kind(path)
    if kind:
        raise InputError(f"{path}: not a readable safetensors file: {kind}")
    try:
        with safe_open(path, framework="numpy"):  # checks the header against the file's size
            pass
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable safetensors file ({error}); download it again"
        ) from error
    header.pop("__metadata__", None)
    for entry in header.values():
        entry["data_offsets"] = [8 + length + offset for offset in entry["data_offsets"]]
    return header


def _values(path, entry):
    """Reads a tensor's values as float32, some at a time.

    A mapping's pages, or all values as they are stored, would count beside a table of a gigabyte.
    """
    first, last = entry["data_offsets"]
    stored = np.dtype(SAFETENSORS_FLOATS[entry["dtype"]])
    values = np.empty((last - first) // stored.itemsize, np.float32)
    with open(path, "rb") as file:
        file.seek(first)
        for start in range(0, values.size, BLOCK_VALUES):
            block = values[start : start + BLOCK_VALUES]
            read = np.fromfile(file, stored, block.size)
            if entry["dtype"] == "BF16":
                np.left_shift(read, 16, out=block.view(np.uint32), dtype=np.uint32)
            else:
                block[:] = read
    return values.reshape(entry["shape"])


def _pickled(source, paths):
    loaded = {path: tensors_in(path) for path in paths}
    places = _places(loaded)

    def read(name):
        path = places[name]
        values = _float32(path, name, loaded[path][name])
        release_file_pages(path.resolve())  # a mapping stays, and with it all that was read
        return values

    shapes = {name: tuple(loaded[path][name].shape) for name, path in places.items()}
    return Checkpoint(str(source), shapes, read, places)


def _float32(path, name, tensor):
    """Returns a copy of a tensor: a parameter, a view or a sparse one is its values too."""
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in PICKLED_FLOATS:
        raise InputError(
            f"{path}: tensor {name} has dtype {dtype}, expected one of "
            f"{', '.join(PICKLED_FLOATS)}; save the checkpoint in float32 or float16"
        )
    try:
        plain = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
        plain = plain.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        return plain.resolve_neg().numpy()
    except (RuntimeError, TypeError) as error:  # a tensor without values, of the meta device
        raise InputError(
            f"{path}: tensor {name} has no values that can be read ({first_line(error)}); save "
            "the model with save_pretrained"
        ) from error
