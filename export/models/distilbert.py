"""DistilBERT: BERT without token types, under names of its own."""

from dataclasses import dataclass
from typing import ClassVar

from ..checkpoint.config import check_activation, check_heads, read_fields
from ..families.encoder import Design, LayerNames, encoder
from ..families.encoder_config import REQUIRED_VALUES, EncoderConfig, without_negative_pad

# DistilBertConfig's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 30522,
    "dim": 768,
    "n_layers": 6,
    "n_heads": 12,
    "hidden_dim": 3072,
    "activation": "gelu",
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
}
# DistilBertConfig reads these too, and before its own names.
OTHER_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
}
LAYER_NORM_EPS = 1e-12  # of DistilBERT's code; no config says it


@dataclass(frozen=True)
class _Own:
    """What config.json says. Sinusoidal positions are a table of the checkpoint, as learnt ones."""

    vocab_size: int
    dim: int
    n_layers: int
    n_heads: int
    hidden_dim: int
    activation: str
    max_position_embeddings: int
    pad_token_id: int
    tie_word_embeddings: bool


@dataclass(frozen=True)
class DistilBertConfig(EncoderConfig):
    """Values of config.json that the graph depends on; names are BERT's."""

    model_type: ClassVar[str] = "distilbert"


def read_config(values: dict, source: str) -> DistilBertConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    renamed = {own: values[name] for name, own in OTHER_NAMES.items() if values.get(name)}
    values = without_negative_pad(values) | renamed
    own = read_fields(_Own, values, DEFAULTS, source, REQUIRED_VALUES)
    check_activation(source, "activation", own.activation)
    check_heads(source, own.dim, own.n_heads, names=("dim", "n_heads"))
    return DistilBertConfig(
        vocab_size=own.vocab_size,
        hidden_size=own.dim,
        num_hidden_layers=own.n_layers,
        num_attention_heads=own.n_heads,
        intermediate_size=own.hidden_dim,
        hidden_act=own.activation,
        max_position_embeddings=own.max_position_embeddings,
        type_vocab_size=None,
        layer_norm_eps=LAYER_NORM_EPS,
        pad_token_id=own.pad_token_id,
        tie_word_embeddings=own.tie_word_embeddings,
    )


DESIGN = Design(
    base="distilbert",
    layers="transformer.layer",
    layer=LayerNames(
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        output="attention.out_lin",
        attention_norm="sa_layer_norm",
        inner="ffn.lin1",
        outer="ffn.lin2",
        output_norm="output_layer_norm",
    ),
    head=("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
    transform="vocab_transform",
    transform_norm="vocab_layer_norm",
    decoder="vocab_projector.weight",
    bias="vocab_projector.bias",
)
ARCHITECTURE = encoder(DistilBertConfig, "DistilBertForMaskedLM", read_config, DESIGN)
