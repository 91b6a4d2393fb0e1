"""Llama: Llama 2 and 3, SmolLM2, TinyLlama."""

from ..families.decoder import decoder
from ..families.decoder_config import DecoderConfig, read_decoder_config

# LlamaConfig's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
}
# transformers ignores both, and other runtimes do not.
REQUIRED_VALUES = {"pretraining_tp": 1, "rope_interleaved": False}


def read_config(values: dict, source: str) -> DecoderConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    fixed = {"model_type": "llama"}
    return read_decoder_config(values, source, DEFAULTS, fixed=fixed, required=REQUIRED_VALUES)


ARCHITECTURE = decoder("llama", "LlamaForCausalLM", read_config)
