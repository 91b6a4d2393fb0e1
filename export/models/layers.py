"""Transformer layers as functions over a flat dict of weights.

Shapes: B batch, T tokens, D hidden, H heads, K = D // H. Activations are [1, N, D] with N = B * T
rows, and matrices [1, in, out]: so every product becomes a BATCH_MATMUL, which XNNPACK runs with
weights that are not constant at the speed of constant ones.
"""

from typing import NamedTuple

import tensorflow as tf

from ..tune import lora

# What a tuning adds, by the names of its weights: the label words' rows of the LM head.
WORDS_WEIGHT, WORDS_BIAS = "lm_head.words.weight", "lm_head.words.bias"
# Where a dict stands under this name, the keys and values of every layer are put in it.
RECORD = "prefix/record"

# Added to the scores of padding. Never -inf: a row that ignores everything would come out as NaN.
IGNORED_SCORE = -1e9


def linear(x, weights, name):
    """Returns x @ weight, + bias where there is one, + the layer's LoRA where it has one.

    Args:
      x: [1, N, in].
      weights: must hold `{name}.weight`, a list of chunks [1, in, …] of the outputs.
      name: of the layer.
    """
    products = [tf.matmul(x, chunk) for chunk in weights[f"{name}.weight"]]
    product = products[0] if len(products) == 1 else tf.concat(products, -1)
    if f"{name}.bias" in weights:
        product = product + weights[f"{name}.bias"]
    if f"{lora.a_of(name)}.weight" in weights:
        inner = linear(x, weights, lora.a_of(name)) * weights[lora.SCALING]  # 1 N rank
        product = product + linear(inner, weights, lora.b_of(name))
    return product


def layer_norm(x, weights, name, eps):
    """Normalises the last axis of x and applies the named weight and bias, if there are any."""
    normal = _normalise(x, eps)
    if f"{name}.weight" not in weights:
        return normal
    return normal * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _normalise(x, eps):
    """Mean 0 and variance 1 along the last axis.

    The gradient is written out: it needs less than what TensorFlow keeps, and the derivative of a
    mean would leave the delegate (TILE).
    """

    @tf.custom_gradient
    def normalise(x):
        centred = x - _mean(x)
        scale = tf.math.rsqrt(_mean(centred * centred) + eps)
        normal = centred * scale

        def gradient(upstream):
            along = normal * _mean(upstream * normal)
            return (upstream - _mean(upstream) - along) * scale

        return normal, gradient

    return normalise(x)


def _mean(x):
    return tf.reduce_mean(x, -1, keepdims=True)


class ScaledRows(NamedTuple):
    """A quantised table: values [rows, D] int8, of which row r counts scales[r], [rows, 1]."""

    values: tf.Tensor
    scales: tf.Tensor

    @property
    def shape(self):
        """[rows, D]."""
        return self.values.shape


def _rows_by_id(table, ids):
    """Returns rows `ids` of a table, quantised or not, as float32."""
    if isinstance(table, ScaledRows):
        rows = tf.cast(tf.gather(table.values, ids, axis=-2), tf.float32)
        return rows * tf.gather(table.scales, ids, axis=-2)
    return gather(table, ids)


def lookup(ids, chunks):
    """Gathers rows of a table that is held in chunks.

    GATHER runs outside the delegate, so its table is copied into the arena: chunk by chunk the
    copies share one small piece of it. Ids outside a chunk are clipped, their rows multiplied by 0.

    Args:
      ids: [N] int32.
      chunks: [(first row, [rows, D] or [1, rows, D] tensor or ScaledRows)], in row order.

    Returns:
      [N, D] float32.
    """
    width = chunks[0][1].shape[-1]
    if len(chunks) == 1:
        first, table = chunks[0]
        return tf.reshape(_rows_by_id(table, ids - first if first else ids), [-1, width])
    total = 0.0
    for first, table in chunks:
        local = ids - first
        clipped = tf.minimum(tf.maximum(local, 0), table.shape[-2] - 1)
        inside = tf.cast(tf.equal(local, clipped), tf.float32)[:, None]  # N 1
        total = total + _rows_by_id(table, clipped) * inside
    return tf.reshape(total, [-1, width])


@tf.custom_gradient
def gather(table, ids):
    """Gathers rows: table [rows, D] or [1, rows, D] or values [rows]; ids [N] int32.

    The gradient is dense, as Adam's moments are: SCATTER_ND adds up where ids repeat.
    """
    values = tf.gather(table, ids, axis=max(len(table.shape) - 2, 0))

    def gradient(upstream):
        rows = table.shape[-2:].as_list()
        of_ids = tf.reshape(upstream, [-1, *rows[1:]])
        return tf.reshape(tf.scatter_nd(ids[:, None], of_ids, rows), table.shape), None

    return values, gradient


def rows_of(x, first, count):
    """Returns rows first … first + count of x [.., N, D]; a slice in Python's words would have a
    gradient that does not convert."""
    if (first, count) == (0, x.shape[-2]):
        return x
    begin, size = [0] * len(x.shape), x.shape.as_list()
    begin[-2], size[-2] = first, count
    return tf.slice(x, begin, size)


def select(selector, x):
    """Picks rows of every sequence: selector [S, Q, T] of one-hot rows, x [1, S * T, D].

    A product with 0s and one 1 is exact.

    Returns:
      [1, S * Q, D].
    """
    sequences, _, tokens = selector.shape
    picked = tf.matmul(selector, tf.reshape(x, [sequences, tokens, x.shape[-1]]))  # S Q D
    return tf.reshape(picked, [1, -1, x.shape[-1]])


def prefix_of(name):
    """Names the keys or values [P, D] that stand before those of a layer's projection."""
    return f"{name}.prefix"


def seeing_prefix(bias, weights):
    """Lets all of a bias [B, 1, q, t] attend to the P tokens of the prefix, if there is one."""
    tokens = [held.shape[0] for name, held in weights.items() if name.endswith(prefix_of(""))]
    if not tokens:
        return bias
    return tf.concat([tf.zeros([*bias.shape[:3], tokens[0]]), bias], 3)


def self_attention(queries, x, biases, weights, projections, batch, heads):
    """Multi-head self-attention, without dropout and before the output projection.

    Args:
      queries: [1, B * Q, D], the rows that attend.
      x: [1, B * T, D], the rows attended to.
      biases: blocks of queries, together Q: each [B, 1, q or 1, t] float32, 0 to attend,
        IGNORED_SCORE not to. A block attends to the first t rows alone.
      weights: must hold the projections' weights, and may hold a prefix of P tokens: t counts it.
      projections: names of the query's, key's and value's.
      batch: B.
      heads: H; divides D.

    Returns:
      [1, B * Q, D] float32, heads concatenated.
    """

    def split(y):
        y = tf.reshape(y, [batch, -1, heads, x.shape[-1] // heads])  # B N H K
        return tf.transpose(y, [0, 2, 1, 3])  # B H N K

    def prefixed(name):
        y = linear(x, weights, name)
        if RECORD in weights:
            weights[RECORD][name] = y
        if prefix_of(name) not in weights:
            return split(y)
        prefix = tf.reshape(weights[prefix_of(name)], [1, -1, heads, x.shape[-1] // heads])
        prefix = tf.transpose(prefix, [0, 2, 1, 3])  # 1 H P K
        # TILE would leave the delegate; adding zeros that broadcast does not.
        prefix = prefix + tf.zeros([batch, 1, 1, 1])
        return tf.concat([prefix, split(y)], 2)  # B H P+T K

    query = split(linear(queries, weights, projections[0]))
    key, value = prefixed(projections[1]), prefixed(projections[2])
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


def word_logits(x, words):
    """Returns logits [N, C] of x [1, N, D] under C rows [C, D] of the LM head."""
    logits = tf.matmul(x, tf.expand_dims(words, 0), transpose_b=True)  # 1 N C
    return tf.reshape(logits, logits.shape[1:])


def weighted_cross_entropy(logits, label, weight):
    """Mean over the batch of the cross-entropy of `label`, weighted.

    Args:
      logits: [B, C] float32.
      label: [B] int32.
      weight: [B] float32, 0 for a filler row.

    Returns:
      (loss [1], weight_sum [1]); the loss of a batch of fillers alone is 0.
    """
    shifted = logits - tf.stop_gradient(tf.reduce_max(logits, -1, keepdims=True))
    log_normaliser = tf.math.log(tf.reduce_sum(tf.exp(shifted), -1))  # B
    chosen = tf.reduce_sum(tf.one_hot(label, logits.shape[-1]) * shifted, -1)  # B
    return weighted_mean(log_normaliser - chosen, weight)


def weighted_mean(values, weight):
    """Returns (mean [1], weight_sum [1]) of values and weight [B]; the mean of fillers is 0."""
    weight_sum = tf.reduce_sum(weight, keepdims=True)  # 1
    total = tf.reduce_sum(weight * values, keepdims=True)
    return total / tf.maximum(weight_sum, 1e-30), weight_sum
