"""Gemma 3's text models: 270M, 1B, and the text part of the larger ones."""

from dataclasses import dataclass
from typing import Any

from ..checkpoint.config import check_activation, read_fields
from ..checkpoint.rope import FULL, SLIDING, Rope, check_whole, rope_of_layers
from ..families.decoder import Design, decoder
from ..families.decoder_config import DecoderConfig, read_decoder_config

# Gemma3TextConfig's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 262208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "sliding_window": 4096,
    "final_logit_softcapping": None,
}
OWN_DEFAULTS = {
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 256,
    "num_hidden_layers": DEFAULTS["num_hidden_layers"],
    "max_position_embeddings": DEFAULTS["max_position_embeddings"],
    "rope_theta": 1_000_000.0,
    "rope_local_base_freq": 10_000.0,
    "sliding_window_pattern": 6,
}
# transformers reads the first and does not use it; with the second it is no causal model.
REQUIRED_VALUES = {"attn_logit_softcapping": None, "use_bidirectional_attention": False}


@dataclass(frozen=True)
class _Own:
    """What Gemma's config.json says in words of its own, in both spellings."""

    hidden_activation: str
    query_pre_attn_scalar: float
    num_hidden_layers: int
    max_position_embeddings: int
    rope_theta: float
    rope_local_base_freq: float
    sliding_window_pattern: int
    layer_types: tuple[str, ...] = ()
    rope_scaling: dict | None = None
    rope_parameters: dict | None = None


def read_config(values: dict, source: str) -> DecoderConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    own = read_fields(_Own, values, OWN_DEFAULTS, source)
    check_activation(source, "hidden_activation", own.hidden_activation)
    every = own.sliding_window_pattern
    kinds = [FULL if (i + 1) % every == 0 else SLIDING for i in range(own.num_hidden_layers)]
    fixed = {
        "model_type": "gemma3_text",
        "hidden_act": own.hidden_activation,
        "attention_scale": own.query_pre_attn_scalar**-0.5,
        "layer_types": list(own.layer_types) or kinds,
    }
    check_whole(values, source)
    ropes = _ropes(own, source)
    return read_decoder_config(
        values, source, DEFAULTS, fixed=fixed, ropes=ropes, required=REQUIRED_VALUES
    )


def _ropes(own: _Own, source: str) -> dict[str, Rope]:
    """Returns the rope of each layer type; rope_scaling is that of full attention alone."""
    spelled: dict[str, Any] = own.rope_parameters or {}
    thetas = {FULL: own.rope_theta, SLIDING: own.rope_local_base_freq}
    scaling = {FULL: own.rope_scaling or {}, SLIDING: {}}
    return {
        kind: rope_of_layers(
            _object(spelled.get(kind)) | scaling[kind], theta, own.max_position_embeddings, source
        )
        for kind, theta in thetas.items()
    }


def _object(value):
    return value if isinstance(value, dict) else {}


ARCHITECTURE = decoder(
    "gemma3_text",
    "Gemma3ForCausalLM",
    read_config,
    Design(head_norms=True, norm_offset=1.0, output_norms=True, scaled_embeddings=True),
    whole="gemma3",
)
