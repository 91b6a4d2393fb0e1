"""The architectures of GGUF files that are read: llama.cpp's names for what a checkpoint holds.

Sources: llama.cpp's converter and gguf.constants.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError

from .fields import Fields

# Outside the layers: llama.cpp's module -> transformers'.
MODULES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_MODULES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
ATTENTION_BIASES = ("attn_q.bias", "attn_k.bias", "attn_v.bias")
OUTPUT_BIAS = "attn_output.bias"
MLP_BIASES = ("ffn_gate.bias", "ffn_up.bias", "ffn_down.bias")
HEAD = "output.weight"
ROPE_FACTORS = "rope_freqs.weight"
# Tables that follow from the metadata; the first is read for the kind of rope.
DERIVED = re.compile(r"rope_freqs\.weight|blk\.\d+\.attn_rot_embd(\.weight)?")
LAYER_TENSOR = re.compile(r"blk\.(0|[1-9]\d{0,5})\.(\w+)\.(weight|bias)")
# What is no language model of its own: general.type or general.architecture -> what to give.
OTHER_FILES = {
    "adapter": "a LoRA adapter; merge it into its base model (llama-export-lora) and give that",
    "controlvector": "a control vector; give the model that it is for",
    "clip": "the vision part of a model (mmproj); give the file of the language model",
    "mmproj": "the vision part of a model (mmproj); give the file of the language model",
    "imatrix": "an importance matrix; give the model that it is for",
    "vocab": "a vocabulary without weights; give the file of the model",
}


@dataclass(frozen=True)
class GgufArchitecture:
    """How llama.cpp keeps an architecture of transformers.

    Attributes:
      model_type, hf_class: transformers' names.
      layer_modules: llama.cpp's module in a layer -> transformers'.
      paired_heads: whether rows of query and key stand as llama.cpp rotates them, neighbours
        together; transformers rotates the halves of a head.
      norm_offset: what llama.cpp has added to the weight of every norm.
      biases: endings of names that may stand in every layer, beside the weights.
      biased: whether ATTENTION_BIASES must stand there.
    """

    model_type: str
    hf_class: str
    layer_modules: Mapping[str, str]
    paired_heads: bool = False
    norm_offset: float = 0.0
    biases: tuple[str, ...] = ()
    biased: bool = False


ARCHITECTURES = {
    "llama": GgufArchitecture(
        "llama",
        "LlamaForCausalLM",
        LAYER_MODULES,
        paired_heads=True,
        biases=(*ATTENTION_BIASES, OUTPUT_BIAS, *MLP_BIASES),
    ),
    "qwen2": GgufArchitecture(
        "qwen2", "Qwen2ForCausalLM", LAYER_MODULES, biases=ATTENTION_BIASES, biased=True
    ),
    "qwen3": GgufArchitecture(
        "qwen3",
        "Qwen3ForCausalLM",
        LAYER_MODULES | HEAD_NORMS,
        biases=(*ATTENTION_BIASES, OUTPUT_BIAS),
    ),
    "gemma3": GgufArchitecture(
        "gemma3_text",
        "Gemma3ForCausalLM",
        LAYER_MODULES
        | HEAD_NORMS
        | {
            "post_attention_norm": "post_attention_layernorm",
            "ffn_norm": "pre_feedforward_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        },
        norm_offset=1.0,
        biases=(*ATTENTION_BIASES, OUTPUT_BIAS),
    ),
}


def architecture_name(fields: Fields) -> str:
    """Returns the key in ARCHITECTURES of a file.

    Raises:
      InputError: it is of another architecture, or no language model.
    """
    name = fields.text("general.architecture")
    for word in (fields.text("general.type", "model"), name):
        if word in OTHER_FILES:
            raise InputError(f"{fields.path}: {OTHER_FILES[word]}")
    if name not in ARCHITECTURES:
        raise InputError(
            f"{fields.path}: the architecture {name[:80]!r} is not implemented for GGUF files, "
            f"those that are: {', '.join(ARCHITECTURES)}; give a model of one of these"
        )
    return name


def transformers_names(
    names: Iterable[str], architecture: GgufArchitecture, layers: int, path: Path
) -> dict[str, str]:
    """Returns {transformers' name: llama.cpp's} of the tensors of a file.

    Raises:
      InputError: a tensor that the architecture does not have, or one that is missing.
    """
    names = list(names)
    places = {}
    for name in names:
        if not DERIVED.fullmatch(name):
            places[_transformers_name(name, architecture, layers, path)] = name
    needed = [f"{module}.weight" for module in MODULES if f"{module}.weight" != HEAD]
    biases = _biases_present(names, architecture)
    endings = [*(f"{module}.weight" for module in architecture.layer_modules), *biases]
    # A damaged number of layers may be two thousand million: no further than where some must lack.
    needed += [
        f"blk.{index}.{ending}"
        for index in range(min(layers, len(names) + 1))
        for ending in endings
    ]
    present = set(names)
    missing = [name for name in needed if name not in present]
    if missing:
        unlisted = (layers - min(layers, len(names) + 1)) * len(endings)
        count = len(missing) + unlisted
        more = f" and {count - 3} more" if count > 3 else ""
        raise InputError(
            f"{path}: without tensors {', '.join(missing[:3])}{more}, which a model of "
            f"{architecture.hf_class} with {layers} layers has; download it again"
        )
    return places


def _transformers_name(name, architecture, layers, path):
    module, _, ending = name.rpartition(".")
    if module in MODULES and ending == "weight":
        return f"{MODULES[module]}.weight"
    match = LAYER_TENSOR.fullmatch(name)
    if match and int(match[1]) < layers and match[2] in architecture.layer_modules:
        index, module, ending = match.groups()
        if ending == "weight" or f"{module}.bias" in architecture.biases:
            return f"model.layers.{index}.{architecture.layer_modules[module]}.{ending}"
    raise InputError(
        f"{path}: tensor {repr(name)[:80]} is none of a {architecture.hf_class} with {layers} "
        "layers, which would be another model without it; give a plain model of this architecture"
    )


def _biases_present(names, architecture):
    """Returns the endings of biases that every layer must have: those of the first that has one.

    transformers' switches cover query, key, value and output together, and the feed-forward.
    """
    endings = {name.split(".", 2)[-1] for name in names if name.startswith("blk.")}
    groups = (*ATTENTION_BIASES, OUTPUT_BIAS), MLP_BIASES
    present = []
    for group in groups:
        group = [ending for ending in group if ending in architecture.biases]
        if endings & set(group) or (architecture.biased and group):
            present += group
    return present
