"""Decoders with rotary positions: Llama and what was made after it, top to bottom.

Shapes: S sequences, T tokens, D hidden, H heads of queries, G of keys and values, K width of a
head, Q rows of a sequence that are scored, P tokens of a prefix. Names are the checkpoint's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from pocketllm.runtime import contract

from ..checkpoint.tensor_names import TensorNames
from ..checkpoint.tokenizer import NO_TOKENS
from ..graph import causal
from ..graph import lazy_tensorflow as tf
from ..graph import parameters as of
from ..graph.flops import Layer, layers_flops
from ..graph.parameters import HeadNames, Parameter
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView
from .architecture import Architecture
from .attendance import of_all_rows, of_rows_at, of_scored_rows
from .decoder_config import DecoderConfig
from .decoder_layer import DecoderLayer, Design

WORD_EMBEDDINGS, FINAL_NORM, LM_HEAD = "model.embed_tokens.weight", "model.norm", "lm_head.weight"
NAMES = TensorNames(
    base="model.",
    landmark="embed_tokens.weight",
    head=("lm_head",),
    old_endings={},
    # Tables that older versions of transformers saved; they follow from config.json.
    derived=("rotary_emb.inv_freq",),
)


def decoder(
    model_type: str,
    hf_class: str,
    read_config: Callable[[dict[str, Any], str], DecoderConfig],
    design: Design | None = None,
    whole: str | None = None,
) -> Architecture:
    """Returns the architecture of a decoder.

    Args:
      model_type: the word of config.json.
      hf_class: transformers' class of the causal model.
      read_config: (parsed config.json, its path) -> config; raises InputError.
      design: what it has beside Llama's.
      whole: model_type of the model of text and images whose text part it is.
    """
    design = design or Design()

    def forward_loss(config, target, inputs, weights):
        return _forward_loss(design, config, target, inputs, weights)

    def next_logits(config, inputs, weights):
        return _next_logits(design, config, inputs, weights)

    return Architecture(
        model_type=model_type,
        style=contract.CAUSAL,
        hf_class=hf_class,
        special_tokens=NO_TOKENS,
        config=DecoderConfig,
        read_config=read_config,
        parameters=lambda config, tied: _parameters(design, config, tied),
        names=NAMES,
        head=HeadNames(WORD_EMBEDDINGS, LM_HEAD, None),
        lora_targets=("q_proj", "v_proj"),
        key_value_layers=_key_value_layers,
        prefix_moves_positions=True,
        forward_loss=forward_loss,
        next_logits=next_logits,
        forward_flops=_forward_flops,
        whole=whole,
    )


def _parameters(design, config, tied) -> list[Parameter]:
    """Lists the parameters of the causal-LM loss in the checkpoint's order."""
    hidden, inner, width = config.hidden_size, config.intermediate_size, config.head_dim
    of_queries, of_keys = config.num_attention_heads * width, config.num_key_value_heads * width
    bias, mlp_bias = config.attention_bias, config.mlp_bias

    def norm(name, size=hidden):
        return of.rms_norm(name, size, design.norm_offset)

    listed = [of.table(WORD_EMBEDDINGS, config.vocab_size, hidden)]
    for index in range(config.num_hidden_layers):
        layer = f"model.layers.{index}"
        attention = f"{layer}.self_attn"
        listed += of.linear(f"{attention}.q_proj", hidden, of_queries, bias)
        listed += of.linear(f"{attention}.k_proj", hidden, of_keys, bias)
        listed += of.linear(f"{attention}.v_proj", hidden, of_keys, bias)
        listed += of.linear(f"{attention}.o_proj", of_queries, hidden, bias and design.output_bias)
        if design.head_norms:
            listed += [norm(f"{attention}.{which}_norm", width) for which in "qk"]
        listed += of.linear(f"{layer}.mlp.gate_proj", hidden, inner, mlp_bias)
        listed += of.linear(f"{layer}.mlp.up_proj", hidden, inner, mlp_bias)
        listed += of.linear(f"{layer}.mlp.down_proj", inner, hidden, mlp_bias)
        listed += [norm(f"{layer}.{which}") for which in _norms(design)]
    listed.append(norm(FINAL_NORM))
    return listed if tied else [*listed, of.table(LM_HEAD, config.vocab_size, hidden)]


def _norms(design):
    """Names a layer's norms: before and, with `output_norms`, behind attention and feed-forward."""
    if not design.output_norms:
        return "input_layernorm", "post_attention_layernorm"
    names = "input_layernorm post_attention_layernorm pre_feedforward_layernorm"
    return *names.split(), "post_feedforward_layernorm"


def _key_value_layers(config) -> dict[str, int]:
    """Returns {the key's and value's projection of every layer: its width}."""
    return {
        f"model.layers.{index}.self_attn.{which}": config.num_key_value_heads * config.head_dim
        for index in range(config.num_hidden_layers)
        for which in ("k_proj", "v_proj")
    }


def _forward_loss(design, config, target: Target, inputs: dict, weights: WeightsView) -> dict:
    """Computes the loss and the scores of the label words or options.

    Positions are those of the row, as in transformers' own forward pass: padding stands behind the
    text, where no row of the text sees it.

    Returns:
      {loss [1], weight_sum [1], logits [B, C]}.
    """
    ids, mask = inputs[contract.INPUT_IDS], inputs[contract.ATTENTION_MASK]
    sequences, tokens = ids.shape

    # Everything outside the delegate comes first: look-ups and integer operations.
    embedded, words = weights.embed(tf.reshape(ids, [-1]), target.word_ids)
    embedded = tf.expand_dims(embedded, 0)  # 1 S*T D
    scored = causal.scored_rows(target, inputs, tokens)  # S Q
    # Layers of one kind share one set of constants.
    kinds, prefix = dict.fromkeys(config.attentions), weights.prefix_tokens
    all_rows = {kind: of_all_rows(config, kind, mask, prefix) for kind in kinds}
    chosen = None
    if scored is not None:
        selector = tf.one_hot(scored, tokens)  # S Q T
        last_kind = config.attentions[-1]
        chosen = selector, of_scored_rows(config, last_kind, mask, prefix, selector)

    layer = DecoderLayer(design, config, weights, sequences)
    x = _through_layers(layer, embedded, all_rows, chosen)
    return causal.scored_loss(
        target,
        inputs,
        weights,
        x,
        scored=scored,
        embedded=embedded,
        words=words,
        softcap=config.final_logit_softcapping,
    )


def _next_logits(design, config, inputs: dict, weights: WeightsView):
    """Computes the logits [1, V] of the token behind those that come in, which join the cache.

    Args:
      inputs: input_ids [1, T], position [1], tokens [1].
      weights: with a cache of C positions.
    """
    assert weights.cache is not None, "a graph that generates has a cache"
    ids, context = inputs[contract.INPUT_IDS], weights.cache.context
    tokens = ids.shape[1]
    embedded, _ = weights.embed(tf.reshape(ids, [-1]), ())
    embedded = tf.expand_dims(embedded, 0)  # 1 T D
    rows = inputs[contract.POSITION] + tf.range(tokens)  # T
    kinds, prefix = dict.fromkeys(config.attentions), weights.prefix_tokens
    all_rows = {kind: of_rows_at(config, kind, rows, context, prefix) for kind in kinds}
    chosen = None
    if tokens > 1:
        selector = tf.one_hot(inputs[contract.TOKENS] - 1, tokens)[None]  # 1 1 T
        last = tf.gather(rows, inputs[contract.TOKENS] - 1)
        chosen = selector, of_rows_at(config, config.attentions[-1], last, context, prefix)
    x = _through_layers(DecoderLayer(design, config, weights, 1), embedded, all_rows, chosen)
    return causal.all_logits(x, weights.head, config.final_logit_softcapping)


def _through_layers(layer: DecoderLayer, embedded, all_rows, chosen):
    """Returns the rows that leave the model, [1, S * Q, D]: of the last layer the chosen ones."""
    config, design = layer.config, layer.design
    x = embedded * config.hidden_size**0.5 if design.scaled_embeddings else embedded
    last = config.num_hidden_layers - 1
    for index, kind in enumerate(config.attentions):
        leaving = chosen if index == last else None
        name = f"model.layers.{index}"
        forward = partial(layer.forward, name, all_rows=all_rows[kind], chosen=leaving)
        x = layer.weights.layer(forward, x)
    return layer.weights.rms_norm(FINAL_NORM, x, config.rms_norm_eps, design.norm_offset)


def _forward_flops(config: DecoderConfig, tokens: int, rows: int, words: int) -> int:
    """Counts the operations of one example: the layers, and a head of 2 D C a scored row."""
    width = config.head_dim
    layer = Layer(
        hidden=config.hidden_size,
        queries=config.num_attention_heads * width,
        keys=config.num_key_value_heads * width,
        inner=3 * config.intermediate_size,
    )
    layers = layers_flops(tokens, layer, config.num_hidden_layers, rows)
    return layers + rows * 2 * config.hidden_size * words
