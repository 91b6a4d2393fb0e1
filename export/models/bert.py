"""BERT, as it was published and in whatever size."""

from dataclasses import dataclass
from typing import ClassVar

from ..families.encoder import Design, LayerNames, encoder
from ..families.encoder_config import EncoderConfig, read_encoder_config, without_negative_pad

# BertConfig's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class BertConfig(EncoderConfig):
    """Values of config.json that the graph depends on; names are Hugging Face's."""

    model_type: ClassVar[str] = "bert"


def read_config(values: dict, source: str) -> BertConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    return read_encoder_config(BertConfig, without_negative_pad(values), source, DEFAULTS)


HEAD = "cls.predictions"
DESIGN = Design(
    base="bert",
    layers="encoder.layer",
    layer=LayerNames(),
    head=(HEAD,),
    transform=f"{HEAD}.transform.dense",
    transform_norm=f"{HEAD}.transform.LayerNorm",
    decoder=f"{HEAD}.decoder.weight",
    bias=f"{HEAD}.bias",
    # transformers saves the head's bias under this name too; an untied decoder has its own there.
    decoder_bias=f"{HEAD}.decoder.bias",
)
ARCHITECTURE = encoder(BertConfig, "BertForMaskedLM", read_config, DESIGN)
