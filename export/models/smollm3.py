"""SmolLM3: Llama with some layers that do not rotate."""

from dataclasses import dataclass

from ..checkpoint.config import read_fields
from ..checkpoint.rope import FULL, SLIDING
from ..families.decoder import decoder
from ..families.decoder_config import DecoderConfig, read_decoder_config

# SmolLM3Config's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 128256,
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
}
OWN_DEFAULTS = {
    "num_hidden_layers": DEFAULTS["num_hidden_layers"],
    "no_rope_layer_interval": 4,
    "use_sliding_window": False,
}
ROPE_THETA = 2_000_000.0


@dataclass(frozen=True)
class _Own:
    """What says which layers rotate, and which slide."""

    num_hidden_layers: int
    no_rope_layer_interval: int
    use_sliding_window: bool
    sliding_window: int | None = None
    no_rope_layers: tuple[int, ...] = ()
    layer_types: tuple[str, ...] = ()


def read_config(values: dict, source: str) -> DecoderConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    own = read_fields(_Own, values, OWN_DEFAULTS, source)
    every, layers = own.no_rope_layer_interval, range(own.num_hidden_layers)
    # transformers takes a list that is too long.
    rotate = list(own.no_rope_layers[: len(layers)]) or [int((i + 1) % every != 0) for i in layers]
    window = own.sliding_window if own.use_sliding_window else None
    # Only layers without rope slide.
    kinds = [SLIDING if window and not rotates else FULL for rotates in rotate]
    fixed = {
        "model_type": "smollm3",
        "no_rope_layers": rotate,
        "layer_types": list(own.layer_types) or kinds,
        "sliding_window": own.sliding_window,
    }
    return read_decoder_config(
        values, source, DEFAULTS, fixed=fixed, theta=ROPE_THETA, whole_heads=False
    )


ARCHITECTURE = decoder("smollm3", "SmolLM3ForCausalLM", read_config)
