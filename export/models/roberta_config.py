"""RobertaConfig: what the graph of a RoBERTa masked language model needs of its config.json."""

from dataclasses import dataclass

from pocketllm.runtime.errors import InputError

from ..checkpoint.config import check_activation, check_heads, read_fields


@dataclass(frozen=True)
class RobertaConfig:
    """Architecture of a RoBERTa masked language model; names are Hugging Face's."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    pad_token_id: int

    @property
    def max_tokens(self) -> int:
        """Longest sequence: positions start after the padding index."""
        return self.max_position_embeddings - self.pad_token_id - 1


def roberta_config(values: dict, source: str) -> RobertaConfig:
    """Reads the values of a config.json; `source` is its path.

    Raises:
      InputError: a missing value, or one that is not implemented.
    """
    config = read_fields(RobertaConfig, values, {}, source)
    check_activation(source, "hidden_act", config.hidden_act)
    check_heads(source, config.hidden_size, config.num_attention_heads)
    if config.max_tokens < 1:
        raise InputError(
            f"{source}: max_position_embeddings {config.max_position_embeddings} leaves no room "
            f"after pad_token_id {config.pad_token_id}"
        )
    return config
