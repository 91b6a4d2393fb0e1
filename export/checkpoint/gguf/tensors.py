"""The tensors of a GGUF file under transformers' names, dequantised one at a time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pocketllm.runtime.errors import InputError

from ..reader import Checkpoint
from .architectures import ARCHITECTURES, ROPE_FACTORS, GgufArchitecture
from .header import GgufHeader, TensorPlace

# Those whose values gguf.quants gives as llama.cpp does.
READ = (
    "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
    "Q6_K", "F64",
)  # fmt: skip
# Values dequantised at once: gguf makes several copies of them on the way.
CHUNK = 1 << 20


def check_kinds(header: GgufHeader) -> None:
    """Raises InputError for a tensor whose quantisation is not read, by its name."""
    for name, place in header.tensors.items():
        if _kind(place) not in READ:
            raise InputError(
                f"{header.path}: tensor {name} is of the quantisation {_kind(place)}, implemented "
                f"are {', '.join(READ)}; give the model in one of these, as Q8_0"
            )


def check_shapes(header: GgufHeader, places: Mapping[str, str], config: Mapping) -> None:
    """Raises InputError for a tensor whose shape contradicts the metadata.

    Args:
      header: of the file.
      places: {transformers' name: llama.cpp's}.
      config: contents of config.json.
    """
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    outputs = {
        "q_proj": (queries, hidden),
        "k_proj": (keys, hidden),
        "v_proj": (keys, hidden),
        "o_proj": (hidden, queries),
        "gate_proj": (inner, hidden),
        "up_proj": (inner, hidden),
        "down_proj": (hidden, inner),
        "embed_tokens": (config["vocab_size"], hidden),
        "lm_head": (config["vocab_size"], hidden),
        "q_norm": (config["head_dim"],),
        "k_norm": (config["head_dim"],),
    }
    for name, place in places.items():
        *_, module, ending = name.split(".")
        shape = outputs.get(module, (hidden,))
        expected = shape[:1] if ending == "bias" else shape
        if header.tensors[place].shape != expected:
            raise InputError(
                f"{header.path}: tensor {place} is {list(header.tensors[place].shape)}, expected "
                f"{list(expected)} by the metadata; download the file again"
            )


def rope_factors(header: GgufHeader, width: int) -> np.ndarray | None:
    """Returns rope_freqs.weight, [width / 2]; None without. InputError for another shape."""
    place = header.tensors.get(ROPE_FACTORS)
    if place is None:
        return None
    if place.shape != (width // 2,):
        raise InputError(
            f"{header.path}: tensor {ROPE_FACTORS} is {list(place.shape)}, expected "
            f"{[width // 2]}; download the file again"
        )
    return _values(header.path, place)


def gguf_checkpoint(
    header: GgufHeader, architecture: str, places: Mapping[str, str], config: Mapping
) -> Checkpoint:
    """Returns the file's tensors as a checkpoint.

    Args:
      header: of the file; its kinds and shapes are checked.
      architecture: key of ARCHITECTURES.
      places: {transformers' name: llama.cpp's}.
      config: contents of config.json.
    """
    kept = ARCHITECTURES[architecture]

    def read(name):
        values = _values(header.path, header.tensors[places[name]])
        return transformers_values(name, values, kept, config)

    shapes = {name: header.tensors[place].shape for name, place in places.items()}
    files = dict.fromkeys(shapes, header.path)
    return Checkpoint(str(header.path), shapes, read, files)


def transformers_values(
    name: str, values: np.ndarray, architecture: GgufArchitecture, config: Mapping
) -> np.ndarray:
    """Returns a tensor's values as transformers keeps them.

    llama.cpp rotates neighbours in a row, transformers the halves of a head: [G, K/2, 2, …] there
    is [G, 2, K/2, …] here. Gemma's norms multiply by 1 + w; llama.cpp keeps the sum.
    """
    module = name.rsplit(".", 2)[-2]
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    if architecture.paired_heads and module in heads:
        count, rest = config[heads[module]], values.shape[1:]
        paired = values.reshape(count, -1, 2, *rest)
        return np.ascontiguousarray(paired.swapaxes(1, 2)).reshape(values.shape)
    if module.endswith("norm") and architecture.norm_offset:
        return values - np.float32(architecture.norm_offset)
    return values


def _values(path: Path, place: TensorPlace) -> np.ndarray:
    """Reads and dequantises a tensor: float32 of its shape."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    kind = GGMLQuantizationType(place.kind)
    width, size = GGML_QUANT_SIZES[kind]
    plain = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}.get(kind.name)
    row = place.shape[-1] // width * size  # bytes
    rows = place.size // row
    values = np.empty((rows, place.shape[-1]), np.float32)
    some = max(1, CHUNK // place.shape[-1])
    with open(path, "rb") as file:
        file.seek(place.start)
        for first in range(0, rows, some):
            last = min(first + some, rows)
            data = np.frombuffer(file.read((last - first) * row), np.uint8)
            if data.size != (last - first) * row:
                raise InputError(f"{path}: cut while it was read; download it again")
            if plain:
                values[first:last] = data.view(plain).reshape(last - first, -1)
            else:
                values[first:last] = dequantize(data.reshape(last - first, row), kind)
    return values.reshape(place.shape)


def _kind(place):
    from gguf.constants import GGMLQuantizationType

    return GGMLQuantizationType(place.kind).name
