"""One layer of a decoder with rotary positions.

Shapes: S sequences, T tokens, D hidden, H heads of queries, G of keys and values, K width of a
head, Q rows that attend, P tokens of a prefix.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ..graph import lazy_tensorflow as tf
from ..graph.activations import ACTIVATION_FUNCTIONS
from ..graph.attention import attend
from ..graph.layers import select, split_heads
from ..graph.rotary import Rotation, rotate
from ..graph.weights_view import WeightsView
from .attendance import Attendance
from .decoder_config import DecoderConfig


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


class DecoderLayer(NamedTuple):
    """What every layer of one graph shares."""

    design: Design
    config: DecoderConfig
    weights: WeightsView
    sequences: int

    def forward(self, name: str, x, all_rows: Attendance, chosen=None):
        """Applies one layer.

        Args:
          name: of the layer.
          x: [1, S * T, D].
          all_rows: what the rows of x see, and where they stand.
          chosen: (selector [S, Q, T], Attendance) of the rows that leave the layer; None for all.

        Returns:
          [1, S * Q, D], or [1, S * T, D].
        """
        seen = self.norm(f"{name}.input_layernorm", x)
        queries, attending = seen, all_rows
        if chosen:
            selector, attending = chosen
            x, queries = select(selector, x), select(selector, seen)
        x = x + self.attention(name, queries, seen, attending, all_rows.rotation)
        return x + self.feed_forward(name, x)

    def norm(self, name, x):
        """Normalises the last axis."""
        return self.weights.rms_norm(name, x, self.config.rms_norm_eps, self.design.norm_offset)

    def attention(self, name, queries, x, attending: Attendance, keys_rotation):
        """Returns what attention adds to the rows `queries` [1, S * Q, D], which see x."""
        config, weights, attention = self.config, self.weights, f"{name}.self_attn"
        shape = {"batch": self.sequences, "heads": config.num_key_value_heads}
        query = weights.linear(f"{attention}.q_proj", queries)
        query = split_heads(query, self.sequences, config.num_attention_heads)
        query = self.placed(f"{attention}.q_norm", query, attending.rotation)  # S H Q K
        key = weights.keys_or_values(
            f"{attention}.k_proj",
            x,
            **shape,
            finish=lambda heads: self.placed(f"{attention}.k_norm", heads, keys_rotation),
        )  # S G P+T K
        value = weights.keys_or_values(f"{attention}.v_proj", x, **shape)
        mixed = attend(query, key, value, attending.biases, config.attention_scale)
        out = weights.linear(f"{attention}.o_proj", mixed)
        # Gemma's norm of this name stands behind attention, Llama's before the feed-forward.
        return (
            self.norm(f"{name}.post_attention_layernorm", out) if self.design.output_norms else out
        )

    def placed(self, norm, heads, rotation: Rotation | None):
        """Normalises heads [S, H, T, K] where the design says so, and rotates them."""
        if self.design.head_norms:
            rows = tf.reshape(heads, [1, -1, heads.shape[-1]])  # the delegate's means take 3 axes
            heads = tf.reshape(self.norm(norm, rows), heads.shape)
        return rotate(heads, rotation) if rotation else heads

    def feed_forward(self, name, x):
        """Returns what the gated feed-forward adds to x."""
        weights, activation = self.weights, ACTIVATION_FUNCTIONS[self.config.hidden_act]
        sandwiched = self.design.output_norms
        before = "pre_feedforward_layernorm" if sandwiched else "post_attention_layernorm"
        inner = self.norm(f"{name}.{before}", x)

        def gated(rows):
            gate = activation(weights.linear(f"{name}.mlp.gate_proj", rows))
            product = gate * weights.linear(f"{name}.mlp.up_proj", rows)
            return weights.linear(f"{name}.mlp.down_proj", product)

        out = weights.feed_forward(gated, inner)
        return self.norm(f"{name}.post_feedforward_layernorm", out) if sandwiched else out
