"""Parts of a transformer, as functions of tensors.

Shapes: B batch, T tokens, D hidden, H heads, K = D // H. Activations are [1, N, D] with N = B * T
rows, and matrices [1, out, in]: so every product becomes a BATCH_MATMUL, which XNNPACK runs with
weights that are not constant at nearly the speed of constant ones.
"""

from typing import NamedTuple

from . import lazy_tensorflow as tf


def normalise(x, eps: float):
    """Returns x with mean 0 and variance 1 along the last axis.

    The gradient is written out: it needs less than what TensorFlow keeps, and the derivative of a
    mean would leave the delegate (TILE).
    """

    @tf.custom_gradient
    def normal_of(x):
        centred = x - _mean(x)
        scale = tf.math.rsqrt(_mean(centred * centred) + eps)
        normal = centred * scale

        def gradient(upstream):
            along = normal * _mean(upstream * normal)
            return (upstream - _mean(upstream) - along) * scale

        return normal, gradient

    return normal_of(x)


def normalise_rms(x, eps: float):
    """Returns x with mean square 1 along the last axis (arXiv 1910.07467).

    The gradient is written out as that of `normalise` is.
    """

    @tf.custom_gradient
    def normal_of(x):
        scale = tf.math.rsqrt(_mean(x * x) + eps)
        normal = x * scale

        def gradient(upstream):
            return (upstream - normal * _mean(upstream * normal)) * scale

        return normal, gradient

    return normal_of(x)


def _mean(x):
    return tf.reduce_mean(x, -1, keepdims=True)


class ScaledRows(NamedTuple):
    """A quantised table: values [rows, D] int8, of which row r counts scales[r], [rows, 1].

    Without scales the values are float32 while converting, and bound to integers that have them.
    """

    values: "tf.Tensor"
    scales: "tf.Tensor | None"

    @property
    def shape(self):
        """[rows, D]."""
        return self.values.shape

    def rows(self, ids) -> list:
        """Returns rows `ids` of the values, and of the scales where there are any."""
        parts = [self.values] if self.scales is None else [self.values, self.scales]
        return [tf.gather(part, ids, axis=-2) for part in parts]


def _rows_by_id(table, ids):
    """Returns rows `ids` of a table, quantised or not, as float32."""
    return _scaled(table.rows(ids)) if isinstance(table, ScaledRows) else gather(table, ids)


def _scaled(parts):
    """Returns rows as float32, from those of values and scales, or of values alone."""
    values, *scales = parts
    return tf.cast(values, tf.float32) * scales[0] if scales else values


def lookup(ids, chunks):
    """Gathers rows of a table in chunks.

    GATHER runs outside the delegate, so its table is copied into the arena: chunk by chunk the
    copies share one small piece of it. Ids outside a chunk are clipped, their rows multiplied by 0;
    rows of quantised chunks are selected, because all that the delegate adds up would be alive.

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
    if isinstance(chunks[0][1], ScaledRows):
        return tf.reshape(_selected(ids, chunks), [-1, width])
    total = 0.0
    for first, table in chunks:
        local = ids - first
        clipped = _clipped(local, table)
        inside = tf.cast(tf.equal(local, clipped), tf.float32)[:, None]  # N 1
        total = total + _rows_by_id(table, clipped) * inside
    return tf.reshape(total, [-1, width])


def _selected(ids, chunks):
    """Returns rows `ids` [N] of a quantised table in chunks, [N, D] or [1, N, D] float32."""

    def looked_up(first, table):
        local = ids - first
        clipped = _clipped(local, table)
        return table.rows(clipped), tf.not_equal(local, clipped)[:, None]  # N 1, outside

    rows, _ = looked_up(*chunks[0])
    for chunk in chunks[1:]:
        of_chunk, outside = looked_up(*chunk)
        # What came before is the first operand: so it is done with before the next look-up.
        rows = [tf.where(outside, *pair) for pair in zip(rows, of_chunk)]
    return _scaled(rows)


def _clipped(local, table):
    return tf.minimum(tf.maximum(local, 0), table.shape[-2] - 1)


def gather(table, ids):
    """Gathers rows: table [rows, D] or [1, rows, D] or values [rows]; ids [N] int32.

    The gradient is dense, as Adam's moments are: SCATTER_ND adds up where ids repeat.
    """

    @tf.custom_gradient
    def rows_by_id(table, ids):
        rows = tf.gather(table, ids, axis=max(len(table.shape) - 2, 0))

        def gradient(upstream):
            shape = table.shape[-2:].as_list()
            of_ids = tf.reshape(upstream, [-1, *shape[1:]])
            return tf.reshape(tf.scatter_nd(ids[:, None], of_ids, shape), table.shape), None

        return rows, gradient

    return rows_by_id(table, ids)


def in_row_blocks(function, x, rows: int):
    """Returns function(x), x [1, N, D], computed for `rows` rows at a time."""
    count = x.shape[1]
    blocks = [rows_of(x, first, min(rows, count - first)) for first in range(0, count, rows)]
    return function(x) if len(blocks) == 1 else tf.concat([function(b) for b in blocks], 1)


def rows_of(x, first, count):
    """Returns rows first … first + count of x [.., N, D].

    The gradient of Python's slices does not convert; that of tf.slice does.
    """
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


def split_heads(x, batch: int, heads: int):
    """Returns x, [1, B * N, H * K] or [B * N, H * K], as [B, H, N, K]."""
    x = tf.reshape(x, [batch, -1, heads, x.shape[-1] // heads])  # B N H K
    return tf.transpose(x, [0, 2, 1, 3])


def by_probe(function, x, weight):
    """Returns function(x, weight), or, of P probes, that of each probe's rows and its weight.

    Args:
      function: (rows [P or .., N / P, D], weight) -> rows of any width.
      x: the rows of P probes, one probe's after another's.
      weight: [D], or [P, .., D] of P probes.
    """
    probes = weight.shape[0] if len(weight.shape) == 3 else 1
    if probes == 1:
        return function(x, weight)
    rows = function(tf.reshape(x, [probes, -1, x.shape[-1]]), weight)
    return tf.reshape(rows, [*x.shape[:-1], rows.shape[-1]])


def product(x, matrix):
    """Returns x @ matrixᵀ, x [1, N, in] and matrix [1, out, in], or [P, out, in] of P probes."""
    return by_probe(lambda rows, of_probe: tf.matmul(rows, of_probe, transpose_b=True), x, matrix)


def word_logits(x, words):
    """Returns logits [N, C] of x [1, N, D] under C rows of the LM head, [C, D] or [P, C, D]."""
    logits = product(x, words if len(words.shape) == 3 else tf.expand_dims(words, 0))  # 1 N C
    return tf.reshape(logits, logits.shape[1:])


def weighted_cross_entropy(logits, label, weight):
    """Mean over the batch of the cross-entropy of `label`, weighted.

    Args:
      logits: [B, C] float32.
      label: [B] int32.
      weight: [B] float32, 0 for a filler row; or [P, B / P], of P probes.

    Returns:
      (loss [1], weight_sum [1]), or [P] each; the loss of a batch of fillers alone is 0.
    """
    shifted = logits - tf.stop_gradient(tf.reduce_max(logits, -1, keepdims=True))
    log_normaliser = tf.math.log(tf.reduce_sum(tf.exp(shifted), -1))  # B
    chosen = tf.reduce_sum(tf.one_hot(label, logits.shape[-1]) * shifted, -1)  # B
    return weighted_mean(log_normaliser - chosen, weight)


def weighted_mean(values, weight, count=None):
    """Returns (mean [1], weight_sum [1]) of values [B]; the mean of fillers is 0.

    Args:
      values: [B] float32.
      weight: [B] float32; or [P, B / P], of P probes, whose means and sums are [P].
      count: [B], of what a value is the mean of: the weight is times that.
    """
    single = len(weight.shape) == 1
    if not single:
        values = tf.reshape(values, weight.shape)
    if count is not None:
        weight = weight * (count if single else tf.reshape(count, weight.shape))
    weight_sum = tf.reduce_sum(weight, -1, keepdims=single)
    total = tf.reduce_sum(weight * values, -1, keepdims=single)
    return total / tf.maximum(weight_sum, 1e-30), weight_sum
