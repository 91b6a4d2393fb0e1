"""Config of the encoders as BERT is one: what of config.json their graph depends on."""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from ..checkpoint.config import check_activation, check_heads, read_fields

# Of keys that would change the graph.
REQUIRED_VALUES = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "pruned_heads": None,
}


@dataclass(frozen=True)
class EncoderConfig:
    """Values of config.json that the graph depends on; names are those of BERT's."""

    model_type: ClassVar[str]

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    max_position_embeddings: int
    type_vocab_size: int | None
    layer_norm_eps: float
    pad_token_id: int
    tie_word_embeddings: bool

    @property
    def max_tokens(self) -> int:
        """Longest row."""
        return self.max_position_embeddings


Config = TypeVar("Config", bound=EncoderConfig)


def read_encoder_config(
    kind: type[Config], values: dict, source: str, defaults: dict[str, Any]
) -> Config:
    """Reads a parsed config.json in BERT's words.

    Args:
      kind: of the config.
      values: the file's.
      source: its path.
      defaults: of transformers' class, for what the file leaves out.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    config = read_fields(kind, values, defaults, source, REQUIRED_VALUES)
    check_activation(source, "hidden_act", config.hidden_act)
    check_heads(source, config.hidden_size, config.num_attention_heads)
    return config


def without_negative_pad(values: dict) -> dict:
    """Returns a parsed config.json whose pad_token_id is none if negative: no graph reads it."""
    pad = values.get("pad_token_id")
    return values | {"pad_token_id": None} if type(pad) is int and pad < 0 else values
