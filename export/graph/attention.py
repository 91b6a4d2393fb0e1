"""Multi-head self-attention.

Shapes: B batch, T tokens attended to, Q rows that attend, H heads of the queries, G of the keys and
values (as many, or fewer: arXiv 2305.13245), R = H / G, K width of a head.
"""

from . import lazy_tensorflow as tf
from .layers import rows_of, split_heads
from .weights_view import WeightsView

# Added to the scores of padding. Never -inf: a row that ignores everything would come out as NaN.
IGNORED_SCORE = -1e9


def self_attention(
    queries, x, biases, weights: WeightsView, projections, *, batch: int, heads: int
):
    """Attends with as many heads of keys as of queries, before the output projection.

    Args:
      queries: [1, B * Q, D], the rows that attend.
      x: [1, B * T, D], the rows attended to.
      biases: of `attend`.
      weights: with a prefix of P tokens t counts it.
      projections: names of the query's, key's and value's.
      batch: B.
      heads: H; divides D.

    Returns:
      [1, B * Q, D] float32, heads concatenated.
    """
    of_query, of_key, of_value = projections
    query = split_heads(weights.linear(of_query, queries), batch, heads)  # B H Q K
    key = weights.keys_or_values(of_key, x, batch=batch, heads=heads)  # B H T K
    value = weights.keys_or_values(of_value, x, batch=batch, heads=heads)
    return attend(query, key, value, biases, query.shape[-1] ** -0.5)


def attend(query, key, value, biases, scale: float):
    """Mixes values by the softmax of scaled and biased scores; no dropout.

    Args:
      query: [B, H, Q, K]; head h attends to the keys of head h // R.
      key, value: [B, G, T, K].
      biases: blocks of queries, together Q: each [B or 1, 1, R * q or 1, t] float32, rows of one
        head after those of another, 0 to attend, IGNORED_SCORE not to. A block attends to the first
        t rows alone.
      scale: factor of the scores.

    Returns:
      [1, B * Q, H * K] float32, heads concatenated.
    """
    batch, heads, count, width = query.shape
    groups, ratio = key.shape[1], heads // key.shape[1]
    mixed, first = [], 0
    for bias in biases:
        rows = count if len(biases) == 1 else bias.shape[2] // ratio
        block = rows_of(query, first, rows)
        if ratio > 1:  # heads of one group follow one another
            block = tf.reshape(block, [batch, groups, ratio * rows, width])
        seen = rows_of(key, 0, bias.shape[3])
        scores = tf.matmul(block, seen, transpose_b=True) * scale + bias  # B G R*q t
        mix = tf.matmul(tf.nn.softmax(scores), rows_of(value, 0, bias.shape[3]))
        mixed.append(tf.reshape(mix, [batch, heads, rows, width]) if ratio > 1 else mix)
        first += rows
    joined = mixed[0] if len(mixed) == 1 else tf.concat(mixed, 2)  # B H Q K
    return tf.reshape(tf.transpose(joined, [0, 2, 1, 3]), [1, batch * count, heads * width])
