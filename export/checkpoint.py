"""Hugging Face checkpoints, read one tensor at a time: safetensors, sharded, pytorch_model.bin."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.files import read_json

SINGLE, INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
SAFETENSORS_FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of a checkpoint by Hugging Face name.

    Attributes:
      source: the file or folder, for error messages.
      shapes: name -> shape.
      read: name -> float32 array; raises InputError for a type that is not a float.
    """

    source: str
    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


def read_config(folder: Path) -> dict:
    """Reads a checkpoint folder's config.json."""
    return read_json(Path(folder) / "config.json", "give a Hugging Face checkpoint folder")


def open_checkpoint(folder: Path) -> Checkpoint:
    """Opens the weights of a checkpoint folder.

    Raises:
      InputError: no weights, or a file that cannot be read.
    """
    folder = Path(folder)
    if (folder / SINGLE).exists():
        return _safetensors(folder, {None: folder / SINGLE})
    if (folder / INDEX).exists():
        return _safetensors(folder, _shards(folder))
    if (folder / PICKLED).exists():
        return _pickled(folder / PICKLED)
    raise InputError(
        f"{folder}: no weights; expected {SINGLE}, {INDEX} or {PICKLED}, "
        "or give a preset with --random_init"
    )


def _shards(folder):
    index = read_json(folder / INDEX, "download the checkpoint again")
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise InputError(f"{folder / INDEX}: no weight_map; download the checkpoint again")
    for name in weight_map.values():
        if name in ("", "..") or Path(name).name != name:
            raise InputError(f"{folder / INDEX}: shard {name!r} leaves the checkpoint's folder")
    return {name: folder / name for name in sorted(set(weight_map.values()))}


def _safetensors(folder, files):
    headers = {path: _header(path) for path in files.values()}
    places = {}
    for path, header in headers.items():
        for name in header:
            if name in places:
                raise InputError(f"{path}: tensor {name} stands in {places[name].name} too")
            places[name] = path

    def read(name):
        path, entry = places[name], headers[places[name]][name]
        if entry["dtype"] not in SAFETENSORS_FLOATS:
            raise InputError(
                f"{path}: tensor {name} has dtype {entry['dtype']}, expected one of "
                f"{', '.join(SAFETENSORS_FLOATS)}"
            )
        if entry["dtype"] == "BF16":
            return _bfloat16(path, entry)
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return file.get_tensor(name).astype(np.float32, copy=False)

    shapes = {name: tuple(headers[path][name]["shape"]) for name, path in places.items()}
    return Checkpoint(str(folder), shapes, read)


def _header(path):
    """Returns name -> {dtype, shape, data_offsets (from the start of the file)}."""
    from safetensors import SafetensorError, safe_open

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


def _bfloat16(path, entry):
    """Reads bfloat16 values (the upper half of a float32), which NumPy has no type for."""
    first, last = entry["data_offsets"]
    halves = np.fromfile(path, np.uint16, (last - first) // 2, offset=first)
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def _pickled(path):
    import torch

    try:
        mapped = zipfile.is_zipfile(path)  # not so before PyTorch 1.6
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        tensors = {name: held for name, held in tensors.items() if torch.is_tensor(held)}
    except Exception as error:  # torch raises whatever the file's bytes lead it to
        raise InputError(
            f"{path}: not readable as weights alone ({type(error).__name__}); "
            "save the checkpoint as safetensors"
        ) from error

    def read(name):
        held = tensors[name]
        if not held.is_floating_point():
            raise InputError(f"{path}: tensor {name} has dtype {held.dtype}, expected a float")
        return held.float().numpy()

    return Checkpoint(str(path), {name: tuple(t.shape) for name, t in tensors.items()}, read)
