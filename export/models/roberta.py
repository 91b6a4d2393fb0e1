"""RoBERTa: BERT with positions that count on from the padding's, and a byte-level BPE."""

from dataclasses import dataclass
from typing import ClassVar

from pocketllm.runtime.errors import InputError

from ..checkpoint.tokenizer import FAIRSEQ_TOKENS
from ..families.encoder import Design, LayerNames, encoder
from ..families.encoder_config import EncoderConfig, read_encoder_config
from ..graph import lazy_tensorflow as tf

# RobertaConfig's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 50265,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 1,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class RobertaConfig(EncoderConfig):
    """Values of config.json that the graph depends on; names are Hugging Face's."""

    model_type: ClassVar[str] = "roberta"

    @property
    def max_tokens(self) -> int:
        """Longest row: positions start after the padding index."""
        return self.max_position_embeddings - self.pad_token_id - 1


def read_config(values: dict, source: str) -> RobertaConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    pad = values.get("pad_token_id")
    if type(pad) is int and pad < 0:
        raise InputError(
            f"{source}: pad_token_id is {pad}, expected 0 or more: positions of a row count on "
            "from it, so that padding would have none; write the id that the model was trained with"
        )
    config = read_encoder_config(RobertaConfig, values, source, DEFAULTS)
    if config.max_tokens < 1:
        raise InputError(
            f"{source}: max_position_embeddings {config.max_position_embeddings} leaves no room "
            f"after pad_token_id {config.pad_token_id}"
        )
    return config


def positions_after_padding(config: RobertaConfig, ids, mask):
    """Returns the positions [B * T] of ids and mask [B, T].

    Padding stands at pad_token_id, tokens count on from there; a text's own pad token is attended
    to, but stands there too: transformers takes positions from the ids.
    """
    counted = mask * tf.cast(tf.not_equal(ids, config.pad_token_id), tf.int32)
    return tf.reshape(tf.cumsum(counted, 1) * counted + config.pad_token_id, [-1])


DESIGN = Design(
    base="roberta",
    layers="encoder.layer",
    layer=LayerNames(),
    head=("lm_head",),
    transform="lm_head.dense",
    transform_norm="lm_head.layer_norm",
    transform_activation="gelu",
    decoder="lm_head.decoder.weight",
    bias="lm_head.bias",
    # transformers saves the head's bias under this name too; an untied decoder has its own there.
    decoder_bias="lm_head.decoder.bias",
    positions=positions_after_padding,
)
ARCHITECTURE = encoder(
    RobertaConfig, "RobertaForMaskedLM", read_config, DESIGN, special_tokens=FAIRSEQ_TOKENS
)
