"""Transformer layers as functions over a flat dict of weights.

Shapes: B batch, T tokens, D hidden, H heads, K = D // H. Activations are [1, N, D] with N = B * T
rows, and matrices [1, in, out]: so every product becomes a BATCH_MATMUL, which XNNPACK runs with
weights that are not constant at the speed of constant ones.
"""

import tensorflow as tf

ACTIVATION_FUNCTIONS = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
    "silu": lambda x: x * tf.sigmoid(x),
    "swish": lambda x: x * tf.sigmoid(x),
    "tanh": tf.tanh,
}

# Added to the scores of padding. Never -inf: a row that ignores everything would come out as NaN.
IGNORED_SCORE = -1e9


def linear(x, weights, name):
    """Returns x @ weight + bias; x [1, N, in], weight [1, in, out]."""
    return tf.matmul(x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]


def layer_norm(x, weights, name, eps):
    """Normalises the last axis of x and applies the named weight and bias."""
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, -1, keepdims=True)
    return (
        centred * tf.math.rsqrt(variance + eps) * weights[f"{name}.weight"]
        + weights[f"{name}.bias"]
    )


def lookup(ids, chunks):
    """Gathers rows of a table that is held in chunks.

    GATHER runs outside the delegate, so its table is copied into the arena: chunk by chunk the
    copies share one small piece of it. Ids outside a chunk are clipped, their rows multiplied by 0.

    Args:
      ids: [N] int32.
      chunks: [(first row, [rows, D] tensor)], in row order.

    Returns:
      [N, D] float32.
    """
    if len(chunks) == 1:
        first, table = chunks[0]
        return tf.gather(table, ids - first if first else ids)
    total = 0.0
    for first, table in chunks:
        local = ids - first
        clipped = tf.minimum(tf.maximum(local, 0), table.shape[0] - 1)
        inside = tf.cast(tf.equal(local, clipped), tf.float32)[:, None]  # N 1
        total = total + tf.gather(table, clipped) * inside  # N D
    return total


def self_attention(queries, x, bias, weights, name, batch, heads):
    """Multi-head self-attention, without dropout and before the output projection.

    Args:
      queries: [1, B * Q, D], the rows that attend.
      x: [1, B * T, D], the rows attended to.
      bias: [B, 1, 1, T] float32, 0 to attend, IGNORED_SCORE for padding.
      weights: must hold `{name}.{query,key,value}.{weight,bias}`.
      batch: B.
      heads: H; divides D.

    Returns:
      [1, B * Q, D] float32, heads concatenated.
    """

    def split(y):
        y = tf.reshape(y, [batch, -1, heads, x.shape[-1] // heads])  # B N H K
        return tf.transpose(y, [0, 2, 1, 3])  # B H N K

    query = split(linear(queries, weights, f"{name}.query"))
    key = split(linear(x, weights, f"{name}.key"))
    value = split(linear(x, weights, f"{name}.value"))
    scores = tf.matmul(query, key, transpose_b=True) * query.shape[-1] ** -0.5  # B H Q T
    mixed = tf.matmul(tf.nn.softmax(scores + bias), value)  # B H Q K
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), queries.shape)  # 1 B*Q D


def weighted_cross_entropy(logits, label, weight):
    """Mean over the batch of the cross-entropy of `label`, weighted.

    Args:
      logits: [B, C] float32.
      label: [B] int32.
      weight: [B] float32, 0 for a filler row.

    Returns:
      (loss [1], weight_sum [1]); the loss of a batch of fillers alone is 0.
    """
    shifted = logits - tf.reduce_max(logits, -1, keepdims=True)
    log_normaliser = tf.math.log(tf.reduce_sum(tf.exp(shifted), -1))  # B
    chosen = tf.reduce_sum(tf.one_hot(label, logits.shape[-1]) * shifted, -1)  # B
    weight_sum = tf.reduce_sum(weight, keepdims=True)  # 1
    total = tf.reduce_sum(weight * (log_normaliser - chosen), keepdims=True)
    return total / tf.maximum(weight_sum, 1e-30), weight_sum
