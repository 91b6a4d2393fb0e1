"""Decoders with rotary positions: Llama and what was made after it, top to bottom.

Shapes: S sequences, T tokens, D hidden, H heads of queries, G of keys and values, K width of a
head, Q rows of a sequence that are scored, P tokens of a prefix. Names are the checkpoint's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pocketllm.runtime import contract

from ..checkpoint.tensor_names import TensorNames
from ..checkpoint.tokenizer import NO_TOKENS
from ..graph import causal
from ..graph import lazy_tensorflow as tf
from ..graph import parameters as of
from ..graph.activations import ACTIVATION_FUNCTIONS
from ..graph.attention import attend
from ..graph.flops import Layer, layers_flops
from ..graph.layers import select, split_heads
from ..graph.parameters import HeadNames, Parameter
from ..graph.rotary import Rotation, rotary_tables, rotate
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView
from .architecture import Architecture
from .decoder_config import DecoderConfig, LayerAttention

WORD_EMBEDDINGS, FINAL_NORM, LM_HEAD = "model.embed_tokens.weight", "model.norm", "lm_head.weight"
NAMES = TensorNames(
    base="model.",
    landmark="embed_tokens.weight",
    head="lm_head",
    old_endings={},
    # Tables that older versions of transformers saved; they follow from config.json.
    derived=("rotary_emb.inv_freq",),
)


@dataclass(frozen=True)
class Design:
    """What the decoders differ in beside the values of their configs.

    Attributes:
      output_bias: whether the output projection has a bias where query, key and value have.
      head_norms: whether queries and keys are normalised over a head, before they rotate.
      norm_offset: added to the weight of every norm.
      output_norms: whether what attention and feed-forward give is normalised too.
      scaled_embeddings: whether the word embeddings enter times the root of their width.
    """

    output_bias: bool = True
    head_norms: bool = False
    norm_offset: float = 0.0
    output_norms: bool = False
    scaled_embeddings: bool = False


class _Attendance(NamedTuple):
    """What a layer's rows see, and where they stand: for all rows, or for the scored ones."""

    biases: list
    rotation: Rotation | None


def decoder(
    model_type: str,
    hf_class: str,
    read_config: Callable[[dict[str, Any], str], DecoderConfig],
    design: Design | None = None,
) -> Architecture:
    """Returns the architecture of a decoder.

    Args:
      model_type: the word of config.json.
      hf_class: transformers' class of the causal model.
      read_config: (parsed config.json, its path) -> config; raises InputError.
      design: what it has beside Llama's.
    """
    design = design or Design()

    def forward_loss(config, target, inputs, weights):
        return _forward_loss(design, config, target, inputs, weights)

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
        forward_loss=forward_loss,
        forward_flops=_forward_flops,
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


def _key_value_layers(config) -> list[str]:
    """Names the key's and value's projection of every layer."""
    return [
        f"model.layers.{index}.self_attn.{which}"
        for index in range(config.num_hidden_layers)
        for which in ("k_proj", "v_proj")
    ]


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
    selector = tf.one_hot(scored, tokens)  # S Q T
    # Layers of one kind share one set of constants.
    all_rows, scored_rows = {}, {}
    for kind in dict.fromkeys(config.attentions):
        all_rows[kind] = _attendance(config, kind, mask, weights.prefix_tokens)
        scored_rows[kind] = _scored_attendance(config, kind, mask, weights.prefix_tokens, selector)

    x = embedded * config.hidden_size**0.5 if design.scaled_embeddings else embedded
    layer = _Layer(design, config, weights, sequences)
    for index, kind in enumerate(config.attentions):
        # Only the scored rows leave the last layer.
        last = index == config.num_hidden_layers - 1
        rows, attending = (select(selector, x), scored_rows) if last else (x, all_rows)
        x = layer.forward(index, rows, x, attending[kind], all_rows[kind].rotation)
    x = weights.rms_norm(FINAL_NORM, x, config.rms_norm_eps, design.norm_offset)
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


def _rotation(config, kind, prefix, tokens):
    """Returns the rotation of all rows of a layer; None where it has no positions."""
    if kind.rope is None:
        return None
    cos, sin = rotary_tables(kind.rope, prefix, tokens, config.head_dim)
    return Rotation(tf.constant(cos), tf.constant(sin))  # T K


def _attendance(config, kind: LayerAttention, mask, prefix) -> _Attendance:
    """Returns what all rows of a sequence see; the causal part is constant."""
    tokens, ratio = mask.shape[1], config.num_attention_heads // config.num_key_value_heads
    biases = []
    for first, last in causal.attention_blocks(tokens):
        seen = causal.causal_bias(range(first, last), last, prefix, kind.window)  # q P+t
        padding = causal.padding_bias(mask, last, prefix)  # S 1 1 P+t
        biases.append(tf.constant(seen)[None, None] + padding)  # S 1 q P+t
    biases = [causal.for_each_head(bias, ratio) for bias in biases]
    return _Attendance(biases, _rotation(config, kind, prefix, tokens))


def _scored_attendance(config, kind: LayerAttention, mask, prefix, selector) -> _Attendance:
    """Returns what the scored rows [S, Q, T] of a sequence see, picked from all rows' constants."""
    tokens, ratio = mask.shape[1], config.num_attention_heads // config.num_key_value_heads

    def picked(table):  # T N -> S 1 Q N
        return tf.matmul(selector, tf.broadcast_to(table, [selector.shape[0], *table.shape]))[
            :, None
        ]

    seen = picked(tf.constant(causal.causal_bias(range(tokens), tokens, prefix, kind.window)))
    bias = causal.for_each_head(seen + causal.padding_bias(mask, tokens, prefix), ratio)
    rotation = _rotation(config, kind, prefix, tokens)
    return _Attendance([bias], rotation and Rotation(*map(picked, rotation)))


class _Layer(NamedTuple):
    """What every layer of one graph shares."""

    design: Design
    config: DecoderConfig
    weights: WeightsView
    sequences: int

    def norm(self, name, x):
        """Normalises the last axis."""
        return self.weights.rms_norm(name, x, self.config.rms_norm_eps, self.design.norm_offset)

    def forward(self, index, rows, x, attending: _Attendance, keys: Rotation | None):
        """One layer for `rows` [1, S * Q, D], attending to x [1, S * T, D]."""
        name, weights, design = f"model.layers.{index}", self.weights, self.design
        seen = self.norm(f"{name}.input_layernorm", x)
        queries = seen if rows is x else self.norm(f"{name}.input_layernorm", rows)
        mixed = self.attention(f"{name}.self_attn", queries, seen, attending, keys)
        mixed = weights.linear(f"{name}.self_attn.o_proj", mixed)
        before_inner = f"{name}.post_attention_layernorm"
        if design.output_norms:  # Gemma's norm of that name stands behind attention
            mixed = self.norm(before_inner, mixed)
            before_inner = f"{name}.pre_feedforward_layernorm"
        rows = rows + mixed
        inner = self.norm(before_inner, rows)
        gate = ACTIVATION_FUNCTIONS[self.config.hidden_act](
            weights.linear(f"{name}.mlp.gate_proj", inner)
        )
        out = weights.linear(
            f"{name}.mlp.down_proj", gate * weights.linear(f"{name}.mlp.up_proj", inner)
        )
        return rows + (
            self.norm(f"{name}.post_feedforward_layernorm", out) if design.output_norms else out
        )

    def attention(self, name, queries, x, attending, keys):
        """Grouped attention before the output projection, [1, S * Q, H * K]."""
        config, weights, batch = self.config, self.weights, self.sequences

        def placed(which, rotation):
            def finish(heads):
                if self.design.head_norms:
                    heads = self.head_norm(f"{name}.{which}_norm", heads)
                return rotate(heads, rotation) if rotation else heads

            return finish

        query = split_heads(
            weights.linear(f"{name}.q_proj", queries), batch, config.num_attention_heads
        )
        query = placed("q", attending.rotation)(query)  # S H Q K
        groups = config.num_key_value_heads
        key = weights.keys_or_values(
            f"{name}.k_proj", x, batch=batch, heads=groups, finish=placed("k", keys)
        )  # S G P+T K
        value = weights.keys_or_values(f"{name}.v_proj", x, batch=batch, heads=groups)
        return attend(query, key, value, attending.biases, config.attention_scale)

    def head_norm(self, name, heads):
        """Normalises [S, H, T, K] over K; as [1, N, K], which the delegate takes."""
        rows = tf.reshape(heads, [1, -1, heads.shape[-1]])
        return tf.reshape(self.norm(name, rows), heads.shape)


def _forward_flops(config: DecoderConfig, tokens: int, words: int) -> int:
    """Counts the operations of one example: the layers, and a head of 2 D C."""
    width = config.head_dim
    layer = Layer(
        hidden=config.hidden_size,
        queries=config.num_attention_heads * width,
        keys=config.num_key_value_heads * width,
        inner=3 * config.intermediate_size,
    )
    layers = layers_flops(tokens, layer, config.num_hidden_layers)
    return layers + 2 * config.hidden_size * words
