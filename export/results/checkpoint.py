"""A Hugging Face checkpoint of a bundle's trained values: weights, config.json, tokenizer."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import write_bytes, write_json

from ..checkpoint.source_files import CONFIG_FILE, TEMPLATE_FOLDER, SourceFiles, is_small_file
from .origin import ORIGIN_FILE, Origin, origin_json
from .safetensors_file import write_tensors
from .source_config import config_json
from .trained_tensors import names_of, trained_tensors

INDEX_FILE, PATTERN = "model.safetensors.index.json", "model{suffix}.safetensors"
# Tensors are written in files of this size, one in memory at a time.
SHARD_BYTES = 2_000_000_000
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def is_checkpoint_file(name: str) -> bool:
    """Whether a file is one that `write_checkpoint` writes."""
    others = (INDEX_FILE, ORIGIN_FILE, TEMPLATE_FOLDER)
    return (
        is_small_file(name)
        or name in others
        or (name.startswith("model") and name.endswith(".safetensors"))
    )


def write_checkpoint(
    folder: Path,
    model: Model,
    dtype: str,
    origin: Origin,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Writes a checkpoint of a bundle that trains every parameter.

    Args:
      folder: exists, and is empty.
      model: the open bundle.
      dtype: a key of DTYPES; values are rounded to the nearest.
      origin: of the values.
      progress: called with the number of tensors written.

    Raises:
      InputError: a value is too large for the dtype.
    """
    write_small_files(folder, origin.source, model.bundle, dtype)
    write_json(folder / ORIGIN_FILE, origin_json(origin))
    _write_tensors(folder, model, DTYPES[dtype], progress)


def write_small_files(folder: Path, source: SourceFiles, bundle: Bundle, dtype: str) -> None:
    """Writes config.json, and the tokenizer's and generation's files as they were."""
    config = config_json(source, bundle, DTYPES[dtype])
    for name, data in (source.files | {CONFIG_FILE: config}).items():
        (folder / name).parent.mkdir(exist_ok=True)  # of further chat templates
        write_bytes(folder / name, data)


def _write_tensors(folder, model, dtype, progress):
    import ml_dtypes  # gives NumPy the type bfloat16
    from huggingface_hub import split_state_dict_into_shards_factory

    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    sizes = {
        name: math.prod(parameter.shape) * kind.itemsize
        for parameter in model.bundle.parameters
        for name in names_of(model.bundle, parameter)
    }
    shards = split_state_dict_into_shards_factory(
        sizes, get_storage_size=int, filename_pattern=PATTERN, max_shard_size=SHARD_BYTES
    )
    waiting: dict[str, dict[str, Any]] = {
        file: dict.fromkeys(names) for file, names in shards.filename_to_tensors.items()
    }
    for name, values in trained_tensors(model):
        file = shards.tensor_to_filename[name]
        waiting[file][name] = _rounded(name, values, kind)
        if all(tensor is not None for tensor in waiting[file].values()):
            write_tensors(folder / file, waiting.pop(file))
        progress(1)
    assert not waiting, f"not written: {', '.join(waiting)}"
    if shards.is_sharded:
        index = {"metadata": shards.metadata, "weight_map": shards.tensor_to_filename}
        write_json(folder / INDEX_FILE, index)


def _rounded(name, values, kind):
    with np.errstate(over="ignore"):  # checked below
        rounded = values.astype(kind)
    if not np.isfinite(rounded.astype(np.float32)).all():
        largest = np.abs(values).max()
        raise InputError(f"{name}: holds {largest:g}, too large for {kind}; take --dtype=fp32")
    return rounded
