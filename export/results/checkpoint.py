"""A Hugging Face checkpoint of a bundle's trained values: weights, config.json, tokenizer."""

import math
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pocketllm.runtime import contract
from pocketllm.runtime.data.tokenizer import load_tokenizer
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import write_json

from ..models import architecture_named
from .safetensors_file import write_tensors
from .trained_tensors import names_of, trained_tensors

CONFIG_FILE, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
INDEX_FILE, PATTERN = "model.safetensors.index.json", "model{suffix}.safetensors"
# Tensors are written in files of this size, one in memory at a time.
SHARD_BYTES = 2_000_000_000
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
# Key of tokenizer_config.json -> the token's role.
ROLES = {
    "bos_token": "bos", "eos_token": "eos", "unk_token": "unk", "pad_token": "pad",
    "cls_token": "bos", "sep_token": "eos", "mask_token": "mask",
}  # fmt: skip


def is_checkpoint_file(name: str) -> bool:
    """Whether a file is one that `write_checkpoint` writes."""
    others = (CONFIG_FILE, TOKENIZER_CONFIG, INDEX_FILE, contract.TOKENIZER_FILE)
    return name in others or (name.startswith("model") and name.endswith(".safetensors"))


def write_checkpoint(
    folder: Path, model: Model, dtype: str, progress: Callable[[int], None] = lambda done: None
) -> None:
    """Writes a checkpoint of a bundle that trains every parameter.

    Args:
      folder: exists, and is empty.
      model: the open bundle.
      dtype: a key of DTYPES; values are rounded to the nearest.
      progress: called with the number of tensors written.

    Raises:
      InputError: a value is too large for the dtype.
    """
    bundle = model.bundle
    write_json(folder / CONFIG_FILE, _config(bundle, DTYPES[dtype]))
    shutil.copyfile(bundle.folder / contract.TOKENIZER_FILE, folder / contract.TOKENIZER_FILE)
    write_json(folder / TOKENIZER_CONFIG, _tokenizer_config(bundle))
    _write_tensors(folder, model, DTYPES[dtype], progress)


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


def _config(bundle, dtype):
    return {
        "architectures": [architecture_named(bundle.architecture, str(bundle.folder)).hf_class],
        **bundle.config,
        "tie_word_embeddings": bundle.tied_decoder,
        "dtype": dtype,
    }


def _tokenizer_config(bundle):
    vocabulary = load_tokenizer(bundle.folder / contract.TOKENIZER_FILE).get_vocab()
    tokens = asdict(architecture_named(bundle.architecture, str(bundle.folder)).special_tokens)
    special = {key: tokens[role] for key, role in ROLES.items() if tokens[role] in vocabulary}
    return {"tokenizer_class": "PreTrainedTokenizerFast", **special}
