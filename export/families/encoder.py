"""Encoders as BERT is one: learnt positions, norms behind, a masked-LM head; top to bottom.

Shapes: B batch, T tokens, D hidden, C label words, V vocabulary. Names are the checkpoint's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pocketllm.runtime import contract

from ..checkpoint.tensor_names import TensorNames
from ..checkpoint.tokenizer import BERT_TOKENS, SpecialSpellings
from ..graph import lazy_tensorflow as tf
from ..graph import masked
from ..graph import parameters as of
from ..graph.activations import ACTIVATION_FUNCTIONS
from ..graph.attention import self_attention
from ..graph.flops import layers_flops, plain_layer
from ..graph.layers import select
from ..graph.parameters import HeadNames, Parameter
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView
from .architecture import Architecture
from .encoder_config import EncoderConfig

# Behind a checkpoint's prefix: what every one has, by which the prefix is known.
POSITIONS = "embeddings.position_embeddings.weight"
# TensorFlow's, in checkpoints that were converted before PyTorch had LayerNorm.
OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}


@dataclass(frozen=True)
class LayerNames:
    """Modules of a layer, behind its own name; those of BERT."""

    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    inner: str = "intermediate.dense"
    outer: str = "output.dense"
    output_norm: str = "output.LayerNorm"

    @property
    def projections(self) -> tuple[str, str, str]:
        """Those that attention begins with."""
        return self.query, self.key, self.value


@dataclass(frozen=True)
class Design:
    """What the encoders differ in beside the values of their configs.

    Attributes:
      base: the module of all but the LM head.
      layers: the module of the layers, behind `base`.
      layer: modules of a layer.
      head: the LM head's modules, which follow one another.
      transform, transform_norm: in the LM head, of the row that the decoder multiplies with.
      decoder, bias: the LM head's table and biases.
      decoder_bias: a second name of the biases, under which an untied decoder has its own.
      transform_activation: between transform and its norm; None for the config's.
      positions: (config, ids [B, T], mask [B, T]) -> position ids [B * T]; None where they are the
        tokens' places in the row.
    """

    base: str
    layers: str
    layer: LayerNames
    head: tuple[str, ...]
    transform: str
    transform_norm: str
    decoder: str
    bias: str
    decoder_bias: str | None = None
    transform_activation: str | None = None
    positions: Callable[[Any, Any, Any], Any] | None = None

    @property
    def embeddings(self) -> str:
        """The module of the tables at the bottom."""
        return f"{self.base}.embeddings"

    @property
    def word_embeddings(self) -> str:
        """The table of the tokens."""
        return f"{self.embeddings}.word_embeddings.weight"

    @property
    def token_types(self) -> str:
        """The table of the segments, where a model has them; all text is in the first."""
        return f"{self.embeddings}.token_type_embeddings.weight"

    def layer_of(self, index: int) -> str:
        """Names a layer."""
        return f"{self.base}.{self.layers}.{index}"


def encoder(
    config: type[Any],
    hf_class: str,
    read_config: Callable[[dict[str, Any], str], Any],
    design: Design,
    special_tokens: SpecialSpellings = BERT_TOKENS,
) -> Architecture:
    """Returns the architecture of an encoder.

    Args:
      config: class of its configs, an EncoderConfig.
      hf_class: transformers' class of the masked language model.
      read_config: (parsed config.json, its path) -> config; raises InputError.
      design: names of its tensors, and what is its own.
      special_tokens: how its tokenizer spells them, where the files say nothing.
    """
    second = {design.bias: design.decoder_bias} if design.decoder_bias else {}
    layer = design.layer

    def forward_loss(config, target, inputs, weights):
        return _forward_loss(design, config, target, inputs, weights)

    return Architecture(
        model_type=config.model_type,
        style=contract.MASKED,
        hf_class=hf_class,
        special_tokens=special_tokens,
        config=config,
        read_config=read_config,
        parameters=lambda config, tied: _parameters(design, config, tied),
        names=TensorNames(
            base=f"{design.base}.",
            landmark=POSITIONS,
            head=design.head,
            old_endings=OLD_ENDINGS,
            second=second,
        ),
        head=HeadNames(design.word_embeddings, design.decoder, design.bias),
        lora_targets=(layer.query.rsplit(".", 1)[1], layer.value.rsplit(".", 1)[1]),
        key_value_layers=lambda config: _key_value_layers(design, config),
        prefix_moves_positions=False,
        forward_loss=forward_loss,
        forward_flops=_forward_flops,
    )


def _parameters(design: Design, config: EncoderConfig, tied: bool) -> list[Parameter]:
    """Lists the parameters of the masked-LM loss; a tied LM head has no table of its own."""
    hidden, inner, layer = config.hidden_size, config.intermediate_size, design.layer
    listed = [
        of.table(design.word_embeddings, config.vocab_size, hidden),
        of.table(f"{design.base}.{POSITIONS}", config.max_position_embeddings, hidden),
    ]
    if config.type_vocab_size:
        listed.append(of.table(design.token_types, config.type_vocab_size, hidden))
    listed += of.layer_norm(f"{design.embeddings}.LayerNorm", hidden)
    for index in range(config.num_hidden_layers):
        name = design.layer_of(index)
        for projection in (*layer.projections, layer.output):
            listed += of.linear(f"{name}.{projection}", hidden, hidden)
        listed += of.layer_norm(f"{name}.{layer.attention_norm}", hidden)
        listed += of.linear(f"{name}.{layer.inner}", hidden, inner)
        listed += of.linear(f"{name}.{layer.outer}", inner, hidden)
        listed += of.layer_norm(f"{name}.{layer.output_norm}", hidden)
    listed += of.linear(design.transform, hidden, hidden)
    listed += of.layer_norm(design.transform_norm, hidden)
    listed.append(Parameter(design.bias, (config.vocab_size,), "vector", False))
    return listed if tied else [*listed, of.table(design.decoder, config.vocab_size, hidden)]


def _key_value_layers(design, config) -> dict[str, int]:
    """Returns {the key's and value's projection of every layer: its width}."""
    return {
        f"{design.layer_of(index)}.{which}": config.hidden_size
        for index in range(config.num_hidden_layers)
        for which in (design.layer.key, design.layer.value)
    }


def _forward_loss(
    design: Design, config: EncoderConfig, target: Target, inputs: dict, weights: WeightsView
) -> dict:
    """Computes the loss and the logits of the label words at the mask.

    Returns:
      {loss [1], weight_sum [1], logits [B, C]}.
    """
    ids, mask = inputs[contract.INPUT_IDS], inputs[contract.ATTENTION_MASK]
    batch, eps = ids.shape[0], config.layer_norm_eps

    # Everything outside the delegate comes first: look-ups and integer operations.
    x, words = weights.embed(tf.reshape(ids, [-1]), target.word_ids)  # B*T D
    decoder, decoder_bias = weights.word_rows(words), weights.word_bias(words)  # C D, C
    places = design.positions or _places_in_row
    x = x + weights.lookup(f"{design.base}.{POSITIONS}", places(config, ids, mask))
    token_type = weights.first_row(design.token_types) if config.type_vocab_size else None
    bias = weights.attendable(masked.padding_bias(mask))  # B 1 1 T
    selector = masked.mask_selector(inputs)  # B 1 T

    x = tf.expand_dims(x if token_type is None else x + token_type, 0)
    x = weights.layer_norm(f"{design.embeddings}.LayerNorm", x, eps)  # 1 B*T D
    for index in range(config.num_hidden_layers):
        # Only the mask's row leaves the last layer.
        chosen = selector if index == config.num_hidden_layers - 1 else None
        forward = partial(
            _layer, design, config, index, weights, bias=bias, batch=batch, selector=chosen
        )
        x = weights.layer(forward, x)

    activation = ACTIVATION_FUNCTIONS[design.transform_activation or config.hidden_act]
    x = activation(weights.linear(design.transform, x))
    x = weights.layer_norm(design.transform_norm, x, eps)  # 1 B D
    return masked.words_loss(inputs, x, decoder, decoder_bias)


def _places_in_row(config, ids, mask):
    batch, tokens = ids.shape
    return tf.constant(np.tile(np.arange(tokens, dtype=np.int32), batch))


def _layer(design, config, index, weights, x, *, bias, batch, selector):
    """One post-norm layer for x [1, B * T, D], or its rows that `selector` [B, Q, T] picks."""
    rows = x if selector is None else select(selector, x)
    name, layer, eps = design.layer_of(index), design.layer, config.layer_norm_eps
    activation = ACTIVATION_FUNCTIONS[config.hidden_act]
    projections = [f"{name}.{which}" for which in layer.projections]
    attended = self_attention(
        rows, x, [bias], weights, projections, batch=batch, heads=config.num_attention_heads
    )
    projected = weights.linear(f"{name}.{layer.output}", attended)
    rows = weights.layer_norm(f"{name}.{layer.attention_norm}", rows + projected, eps)
    out = weights.two_linears(f"{name}.{layer.inner}", activation, f"{name}.{layer.outer}", rows)
    return weights.layer_norm(f"{name}.{layer.output_norm}", rows + out, eps)


def _forward_flops(config: EncoderConfig, tokens: int, rows: int, words: int) -> int:
    """Counts the operations of one example: the layers, and a head of 2 D² + 2 D C a scored row."""
    hidden = config.hidden_size
    layers = layers_flops(
        tokens, plain_layer(hidden, config.intermediate_size), config.num_hidden_layers, rows
    )
    return layers + rows * (2 * hidden**2 + 2 * hidden * words)
