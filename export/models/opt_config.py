"""OptConfig: what the graph of an OPT causal language model needs of its config.json."""

from dataclasses import dataclass

from ..checkpoint.config import check_activation, check_heads, read_fields

# OPTConfig's own, for what a config.json leaves out; word_embed_proj_dim is then hidden_size.
DEFAULTS = {
    "do_layer_norm_before": True,
    "_remove_final_layer_norm": False,
    "enable_bias": True,
    "layer_norm_elementwise_affine": True,
    "tie_word_embeddings": True,
    "activation_function": "relu",
    "pad_token_id": 1,
}


@dataclass(frozen=True)
class OptConfig:
    """Architecture of an OPT causal language model; names are Hugging Face's."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    ffn_dim: int
    activation_function: str
    max_position_embeddings: int
    word_embed_proj_dim: int
    do_layer_norm_before: bool
    _remove_final_layer_norm: bool
    enable_bias: bool
    layer_norm_elementwise_affine: bool
    tie_word_embeddings: bool
    pad_token_id: int

    @property
    def max_tokens(self) -> int:
        """Longest sequence."""
        return self.max_position_embeddings

    @property
    def has_projections(self) -> bool:
        """Whether word embeddings are narrower (or wider) than the layers, as in opt-350m."""
        return self.word_embed_proj_dim != self.hidden_size

    @property
    def has_final_layer_norm(self) -> bool:
        """Whether a layer norm follows the last layer."""
        return self.do_layer_norm_before and not self._remove_final_layer_norm


def opt_config(values: dict, source: str) -> OptConfig:
    """Reads the values of a config.json; `source` is its path.

    Raises:
      InputError: a missing value, or one that is not implemented.
    """
    defaults = DEFAULTS | {"word_embed_proj_dim": values.get("hidden_size")}
    config = read_fields(OptConfig, values, defaults, source)
    check_activation(source, "activation_function", config.activation_function)
    check_heads(source, config.hidden_size, config.num_attention_heads)
    return config
