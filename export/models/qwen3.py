"""Qwen3, without its mixtures of experts."""

from ..families.decoder import Design, decoder
from ..families.decoder_config import DecoderConfig, read_decoder_config, read_windows

# Qwen3Config's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "head_dim": 128,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "attention_bias": False,
}
WINDOWS = {
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
    "num_hidden_layers": DEFAULTS["num_hidden_layers"],
}


def read_config(values: dict, source: str) -> DecoderConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    fixed = {"model_type": "qwen3"} | read_windows(values, source, WINDOWS)
    return read_decoder_config(values, source, DEFAULTS, fixed=fixed, whole_heads=False)


ARCHITECTURE = decoder("qwen3", "Qwen3ForCausalLM", read_config, Design(head_norms=True))
