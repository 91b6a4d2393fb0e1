"""config.json of a GGUF file: its metadata, and what its tensors say, in transformers' words."""

from collections.abc import Mapping

import numpy as np

from pocketllm.runtime.errors import InputError

from ..rope import FULL, SLIDING
from .architectures import ARCHITECTURES, ATTENTION_BIASES, HEAD, MLP_BIASES
from .fields import Fields
from .rope import rope_scaling

# llama.cpp's own, for what a file leaves out.
ROPE_THETA, GEMMA_LOCAL_THETA, GEMMA_PATTERN = 10_000.0, 10_000.0, 6
# Gemma 3 27B scales its scores by the width of a hidden row a head; the file does not say so.
GEMMA_27B_LAYERS = 62
# Metadata that would change the graph in a way that it does not implement -> the value that is.
NEUTRAL = {
    ".expert_count": 0,
    ".attention.causal": True,
    ".attention.clamp_kqv": 0.0,
    ".attention.max_alibi_bias": 0.0,
    ".attention.temperature_scale": 0.0,
    ".attn_logit_softcapping": 0.0,
    ".embedding_scale": 0.0,
    ".residual_scale": 0.0,
    ".logit_scale": 0.0,
    ".use_parallel_residual": False,
}


def config_values(
    fields: Fields,
    shapes: Mapping[str, tuple[int, ...]],
    tokens: Mapping[str, int | None],
    factors: np.ndarray | None,
) -> dict:
    """Returns the contents of config.json.

    Args:
      fields: metadata, of an architecture in ARCHITECTURES.
      shapes: llama.cpp's name -> shape, of every tensor that the architecture needs.
      tokens: "bos", "eos", "pad" -> id, None where the file has none.
      factors: of frequencies, `rope_freqs.weight`; None without.

    Raises:
      InputError: metadata is missing, of another type, not implemented, or contradicts the shapes.
    """
    architecture = ARCHITECTURES[fields.architecture]
    heads = fields.size(".attention.head_count")
    theta = fields.number(".rope.freq_base", ROPE_THETA)
    if theta <= 0:
        raise fields.refused(".rope.freq_base", "a positive number")
    width = _head_dim(fields, shapes, heads)
    _check_neutral(fields, width)
    values = {
        "architectures": [architecture.hf_class],
        "model_type": architecture.model_type,
        "vocab_size": shapes["token_embd.weight"][0],
        "hidden_size": fields.size(".embedding_length"),
        "intermediate_size": fields.size(".feed_forward_length"),
        "num_hidden_layers": fields.size(".block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": fields.size(".attention.head_count_kv", heads),
        "head_dim": width,
        "max_position_embeddings": fields.size(".context_length"),
        "rms_norm_eps": fields.number(".attention.layer_norm_rms_epsilon"),
        "rope_theta": theta,
        "rope_scaling": rope_scaling(fields, factors, theta),
        "tie_word_embeddings": HEAD not in shapes,
        **{f"{role}_token_id": tokens[role] for role in ("bos", "eos", "pad")},
        "torch_dtype": "float32",
    }
    return values | OWN[fields.architecture](fields, shapes, values)


def _head_dim(fields, shapes, heads):
    """Returns the width of a head, which the file says up to three times."""
    rows = shapes["blk.0.attn_q.weight"][0]
    width = rows // heads
    if rows % heads:
        raise InputError(
            f"{fields.path}: blk.0.attn_q.weight has {rows} rows for {heads} heads, expected a "
            "multiple; download the file again"
        )
    stated = {
        key: fields.size(key, width)
        for key in (".attention.key_length", ".attention.value_length", ".rope.dimension_count")
    }
    for key, value in stated.items():
        if value != width:
            raise InputError(
                f"{fields.path}: blk.0.attn_q.weight has {rows} rows for {heads} heads, and "
                f"{fields.place(key)} is {value}; expected heads of one width that rotate whole, "
                "give a model that has them"
            )
    return width


def _check_neutral(fields, width):
    neutral = dict(NEUTRAL)
    if fields.architecture != "gemma3":
        neutral |= {".final_logit_softcapping": 0.0}
        if fields.has(".attention.scale"):
            scale = fields.number(".attention.scale")
            if scale and abs(scale * width**0.5 - 1) > 1e-5:
                raise _refused(fields, ".attention.scale", f"{width}**-0.5")
    for key, only in neutral.items():
        # One entry a layer, or a list of any length, may stand there: an array.
        if np.any(np.asarray(fields.values.get(fields.place(key), only)) != only):
            raise _refused(fields, key, only)


def _refused(fields, key, only):
    value = " ".join(repr(fields.values[fields.place(key)]).split())[:80]
    return InputError(
        f"{fields.path}: metadata {fields.place(key)} is {value}, only {only} is implemented; give "
        "a plain model of this architecture"
    )


def _llama(fields, shapes, values):
    return {
        "hidden_act": "silu",
        "attention_bias": f"blk.0.{ATTENTION_BIASES[0]}" in shapes,
        "mlp_bias": f"blk.0.{MLP_BIASES[0]}" in shapes,
    }


def _qwen2(fields, shapes, values):
    return {"hidden_act": "silu", "use_sliding_window": False}


def _qwen3(fields, shapes, values):
    biased = f"blk.0.{ATTENTION_BIASES[0]}" in shapes
    return {"hidden_act": "silu", "use_sliding_window": False, "attention_bias": biased}


def _gemma3(fields, shapes, values):
    layers, width = values["num_hidden_layers"], values["head_dim"]
    scalar = values["hidden_size"] / values["num_attention_heads"]
    scalar = scalar if layers == GEMMA_27B_LAYERS else width
    if fields.has(".attention.scale") and fields.number(".attention.scale") > 0:
        scalar = fields.number(".attention.scale") ** -2
    softcap = fields.number(".final_logit_softcapping", 0.0)
    own = {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": int(scalar) if scalar == int(scalar) else scalar,
        "rope_local_base_freq": fields.number(".rope.freq_base_swa", GEMMA_LOCAL_THETA),
        "attention_bias": f"blk.0.{ATTENTION_BIASES[0]}" in shapes,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": softcap or None,
        "layer_types": [FULL] * layers,
    }
    if not fields.has(".attention.sliding_window"):
        return own
    slides = _sliding_layers(fields, layers)
    return own | {
        "sliding_window": fields.size(".attention.sliding_window"),
        "layer_types": [SLIDING if layer else FULL for layer in slides],
    }


def _sliding_layers(fields, layers):
    """Returns whether each layer slides: said as a list, or as every how many one does not."""
    key = ".attention.sliding_window_pattern"
    listed = fields.values.get(fields.place(key))
    if isinstance(listed, np.ndarray):
        if len(listed) != layers:
            raise fields.refused(key, f"an entry for each of {layers} layers")
        return [bool(entry) for entry in listed]
    every = fields.size(key, GEMMA_PATTERN)
    return [(index + 1) % every != 0 for index in range(layers)]


OWN = {"llama": _llama, "qwen2": _qwen2, "qwen3": _qwen3, "gemma3": _gemma3}
