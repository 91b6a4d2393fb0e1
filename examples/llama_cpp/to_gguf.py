#!/usr/bin/env python3
"""A checkpoint of transformers becomes a GGUF file, which llama.cpp runs.

    examples/llama_cpp/to_gguf.py CHECKPOINT OUT.gguf [--type=f16]

CHECKPOINT is a folder with config.json, safetensors and tokenizer.json of a Llama (SmolLM2 is one),
Qwen 2 or Qwen 3 whose tokenizer is a byte-level BPE. Anything else is refused. Matrices are written
as --type says, vectors in float32.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import LlamaFileType
from gguf.quants import quantize
from gguf_tokenizer import Refused, add_tokenizer
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer

ARCHITECTURES = {  # model_type -> llama.cpp's
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
}
TYPES = {  # --type -> how a matrix is kept, and what the file is called then
    "f32": (Kind.F32, LlamaFileType.ALL_F32),
    "f16": (Kind.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (Kind.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
HEAD, FREQUENCIES = "lm_head.weight", "rope_freqs.weight"


def checked_config(folder: Path):
    """Returns the checkpoint's config; raises Refused for a model that would come out another."""
    if not (folder / "config.json").is_file():
        raise Refused(f"{folder}: without config.json; merge an adapter into its base first")
    config = AutoConfig.from_pretrained(folder)
    rope = config.to_dict().get("rope_parameters") or {}
    unlike = {
        "model_type": (config.model_type, tuple(ARCHITECTURES)),
        "hidden_act": (getattr(config, "hidden_act", None), ("silu",)),
        "rope_type": (rope.get("rope_type"), ("default", "linear", "llama3")),
        "use_sliding_window": (getattr(config, "use_sliding_window", False), (False,)),
        "quantization_config": (getattr(config, "quantization_config", None), (None,)),
    }
    for key, (value, known) in unlike.items():
        if value not in known:
            raise Refused(
                f"{folder / 'config.json'}: {key} is {value!r}, implemented: "
                f"{', '.join(map(str, known))}; take llama.cpp's own converter"
            )
    return config


def add_model(writer: gguf.GGUFWriter, config) -> None:
    """Writes the metadata that llama.cpp builds the graph from."""
    width, rope = head_width(config), config.rope_parameters
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def head_width(config) -> int:
    """Returns the width of a head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def tensors(folder: Path, config) -> Iterator[tuple[str, np.ndarray]]:
    """Yields llama.cpp's name and float32 values of each tensor."""
    names = gguf.get_tensor_name_map(ARCHITECTURES[config.model_type], config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    files, seen = sorted(folder.glob("*.safetensors")), set()
    for file in files:
        with safe_open(file, "pt") as values_of:
            for name in values_of.keys():  # noqa: SIM118, safe_open is no mapping
                seen.add(name)
                if name == HEAD and config.tie_word_embeddings:
                    continue
                place = names.get_name(name, try_suffixes=(".weight", ".bias"))
                if place is None:
                    raise Refused(f"{file}: tensor {name} has no place in llama.cpp's model")
                values = values_of.get_tensor(name).float().numpy()
                module = name.split(".")[-2]
                if config.model_type == "llama" and module in heads:
                    values = neighbours(values, heads[module])
                yield place, values
    if not files or (HEAD not in seen and not config.tie_word_embeddings):
        raise Refused(f"{folder}: without {HEAD if files else '*.safetensors'}; save it again")
    if config.rope_parameters["rope_type"] == "llama3":
        yield FREQUENCIES, llama3_factors(config)


def neighbours(values: np.ndarray, heads: int) -> np.ndarray:
    """Reorders the rows of each head: transformers rotates its halves, llama.cpp neighbours."""
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def llama3_factors(config) -> np.ndarray:
    """Returns what Llama 3's rope divides each frequency by, [head width / 2] float32."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled = ROPE_INIT_FUNCTIONS["llama3"](config)[0].double().numpy()
    plain = config.rope_parameters["rope_theta"] ** (-np.arange(len(scaled)) / len(scaled))
    return (plain / scaled).astype(np.float32)


def encoded(values: np.ndarray, kind: Kind) -> tuple[np.ndarray, Kind]:
    """Returns a tensor as the file holds it, and its type."""
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    if values.ndim == 1:
        kind = Kind.F32
    elif values.shape[-1] % block:
        kind = Kind.F16
    return quantize(values, kind), kind


def write_gguf(folder: Path, out: Path, type_name: str) -> None:
    """Writes the file beside its place, then moves it there."""
    kind, file_type = TYPES[type_name]
    config, beside = checked_config(folder), out.with_name(f"{out.name}.partial")
    writer = gguf.GGUFWriter(None, gguf.MODEL_ARCH_NAMES[ARCHITECTURES[config.model_type]])
    writer.add_name(folder.resolve().name)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_model(writer, config)
    add_tokenizer(writer, folder, AutoTokenizer.from_pretrained(folder), config.vocab_size)
    for name, values in tensors(folder, config):
        data, data_kind = encoded(values, kind)
        writer.add_tensor(name, data, raw_dtype=data_kind)
    try:
        writer.write_header_to_file(beside)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--type", choices=TYPES, default="f16", help="of the matrices (f16)")
    options = parser.parse_args()
    try:
        write_gguf(options.checkpoint, options.out, options.type)
    except (Refused, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
