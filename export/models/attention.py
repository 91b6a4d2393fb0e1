"""Multi-head self-attention.

Shapes: B batch, T tokens attended to, Q rows that attend, D hidden, H heads, K = D // H.
"""

from . import lazy_tensorflow as tf
from .layers import rows_of, split_heads
from .weights_view import WeightsView

# Added to the scores of padding. Never -inf: a row that ignores everything would come out as NaN.
IGNORED_SCORE = -1e9


def self_attention(
    queries, x, biases, weights: WeightsView, projections, *, batch: int, heads: int
):
    """Attends, without dropout and before the output projection.

    Args:
      queries: [1, B * Q, D], the rows that attend.
      x: [1, B * T, D], the rows attended to.
      biases: blocks of queries, together Q: each [B, 1, q or 1, t] float32, 0 to attend,
        IGNORED_SCORE not to. A block attends to the first t rows alone.
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
    mixed, first = [], 0
    for bias in biases:
        rows = query.shape[2] if len(biases) == 1 else bias.shape[2]
        scores = tf.matmul(
            rows_of(query, first, rows), rows_of(key, 0, bias.shape[3]), transpose_b=True
        )  # B H q t
        scores = scores * query.shape[-1] ** -0.5 + bias
        mixed.append(tf.matmul(tf.nn.softmax(scores), rows_of(value, 0, bias.shape[3])))
        first += rows
    joined = mixed[0] if len(mixed) == 1 else tf.concat(mixed, 2)  # B H Q K
    return tf.reshape(tf.transpose(joined, [0, 2, 1, 3]), queries.shape)  # 1 B*Q D
