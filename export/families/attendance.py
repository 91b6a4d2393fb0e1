"""What the rows of a decoder see, and where they stand: constants of each kind of layer.

Shapes: S sequences, T tokens, Q scored rows of a sequence, R heads of queries a head of keys, K
width of a head, P tokens of a prefix.
"""

from typing import NamedTuple

from ..graph import causal
from ..graph import lazy_tensorflow as tf
from ..graph.rotary import Rotation, rotary_tables
from .decoder_config import DecoderConfig, LayerAttention


class Attendance(NamedTuple):
    """Biases of `attention.attend`, and the rotation of the rows; None where they do not rotate."""

    biases: list
    rotation: Rotation | None


def of_all_rows(config: DecoderConfig, kind: LayerAttention, mask, prefix: int) -> Attendance:
    """Returns what all rows of the sequences see; mask [S, T] int32 is 1 for a token."""
    tokens, biases = mask.shape[1], []
    for first, last in causal.attention_blocks(tokens):
        seen = causal.causal_bias(range(first, last), last, prefix, kind.window)  # q P+t
        bias = tf.constant(seen)[None, None] + causal.padding_bias(mask, last, prefix)
        biases.append(_for_each_head(config, bias))  # S 1 R*q P+t
    return Attendance(biases, _rotation(config, kind, prefix, tokens))


def of_scored_rows(
    config: DecoderConfig, kind: LayerAttention, mask, prefix: int, selector
) -> Attendance:
    """Returns what the rows that `selector` [S, Q, T] picks see: rows of the same constants."""
    tokens, selected = mask.shape[1], tf.reshape(selector, [1, -1, mask.shape[1]])

    def picked(table):  # T N -> S 1 Q N
        rows = tf.matmul(selected, table[None])
        return tf.reshape(rows, [selector.shape[0], 1, -1, table.shape[1]])

    seen = picked(tf.constant(causal.causal_bias(range(tokens), tokens, prefix, kind.window)))
    bias = _for_each_head(config, seen + causal.padding_bias(mask, tokens, prefix))
    rotation = _rotation(config, kind, prefix, tokens)
    return Attendance([bias], rotation and Rotation(*map(picked, rotation)))


def of_rows_at(
    config: DecoderConfig, kind: LayerAttention, rows, keys: int, prefix: int
) -> Attendance:
    """Returns what rows at positions [Q] of one sequence see of `keys` positions."""
    bias = _for_each_head(config, causal.bias_at(rows, keys, prefix, kind.window))
    if kind.rope is None:
        return Attendance([bias], None)
    within = tf.minimum(rows, keys - 1)  # padding may stand behind the last position
    tables = rotary_tables(kind.rope, prefix, keys, config.head_dim)
    return Attendance([bias], Rotation(*(tf.gather(tf.constant(t), within) for t in tables)))


def _rotation(config, kind, prefix, tokens):
    if kind.rope is None:
        return None
    cos, sin = rotary_tables(kind.rope, prefix, tokens, config.head_dim)
    return Rotation(tf.constant(cos), tf.constant(sin))  # T K


def _for_each_head(config, bias):
    """Repeats the rows of a bias [S, 1, q, t] for the heads of one group, [S, 1, R * q, t]."""
    ratio = config.num_attention_heads // config.num_key_value_heads
    return bias if ratio == 1 else tf.concat([bias] * ratio, 2)
