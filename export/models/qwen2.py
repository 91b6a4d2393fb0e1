"""Qwen2: Qwen2 and Qwen2.5, and what was distilled into them."""

from ..families.decoder import Design, decoder
from ..families.decoder_config import DecoderConfig, read_decoder_config, read_windows

# Qwen2Config's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
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
    # Query, key and value always have biases, whatever the file says.
    fixed = {"model_type": "qwen2", "attention_bias": True}
    fixed |= read_windows(values, source, WINDOWS)
    return read_decoder_config(values, source, DEFAULTS, fixed=fixed, whole_heads=False)


ARCHITECTURE = decoder("qwen2", "Qwen2ForCausalLM", read_config, Design(output_bias=False))
