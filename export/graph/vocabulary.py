"""Log-probabilities of tokens under an LM head, chunk by chunk of the vocabulary.

Shapes: N tokens, E width of the word embeddings, V vocabulary.
"""

from functools import partial

import numpy as np

from . import lazy_tensorflow as tf
from .weights_view import WeightsView


def capped(logits, softcap: float | None):
    """Returns c tanh(logits / c) for a softcap c, else the logits (arXiv 2408.00118, section 2)."""
    return logits if softcap is None else tf.tanh(logits * (1.0 / softcap)) * softcap


def token_log_probs(weights: WeightsView, hidden, rows, softcap: float | None = None):
    """Returns the log-probabilities [N] of N tokens under the LM head.

    The logits are taken chunk by chunk of the vocabulary, so that only those of one chunk are
    alive, and never a tensor [tokens, V].

    Args:
      weights: with the chunks [1, rows, E] of the head, together V rows.
      hidden: [1, N, E], of the rows before the tokens.
      rows: [1, N, E], the head's rows of the tokens.
      softcap: of `capped`.
    """
    normaliser = _over_the_vocabulary(weights, hidden, softcap)
    logit = capped(tf.reduce_sum(hidden * rows, -1, keepdims=True), softcap)
    # The sum first: that way round (bind schedules in this order) each chunk is done with before
    # the next one's logits are computed.
    return tf.reshape(logit + normaliser, [-1])


def token_log_probs_by_id(weights: WeightsView, hidden, ids, softcap: float | None = None):
    """As `token_log_probs`, with the tokens' logits taken from the products: ids [N] int32.

    A quantised head rounds the rows that come in: a token's logit without that rounding would not
    go with the sum over all tokens, and a token that is certain would have a loss below 0.
    """
    return tf.reshape(_over_the_vocabulary(weights, hidden, softcap, ids), [-1])


def _over_the_vocabulary(weights, hidden, softcap, ids=None):
    """Returns [1, N, 1]: -log of the sum of exponentials of all logits, plus the logits of `ids`.

    A backward pass that recomputes takes the logits of every chunk again.
    """
    head = weights.head
    places = None if ids is None else tf.cast(ids, tf.float32)[None, :, None]  # 1 N 1

    def chunk_logits(x, number):
        return capped(tf.matmul(x, head[number], transpose_b=True), softcap)  # 1 N rows

    def own_logit(logits, columns):
        return tf.reduce_sum(logits * _is_at(*columns), -1, keepdims=True)

    def whole(x):
        columns = [] if places is None else _columns(places, head)
        highest, total, logit = None, None, tf.zeros([1, x.shape[1], 1])
        for number in range(len(head)):
            logits = chunk_logits(x, number)
            highest, total = _added(highest, total, logits)
            if columns:
                # In one tensor: a chunk is done with before the next one's logits are computed.
                logit += own_logit(logits, columns[number])
                highest, total, logit = tf.split(tf.concat([highest, total, logit], -1), 3, -1)
        normaliser = tf.math.log(total) + highest
        return (logit if columns else 0.0) - normaliser, normaliser

    def parts(normaliser, behind_barrier):
        columns = [] if places is None else _columns(behind_barrier(places), head)

        def part(number, x):
            logits = chunk_logits(x, number)
            # its slope is that of the logarithm: the exponentials add up to 1
            share = tf.reduce_sum(tf.exp(logits - normaliser), -1, keepdims=True)
            return own_logit(logits, columns[number]) - share if columns else -share

        return [partial(part, number) for number in range(len(head))]

    if weights.recomputation:
        return weights.recomputation.run_in_parts(whole, hidden, parts)
    return whole(hidden)[0]


def _columns(places, head):
    """Returns, for each chunk of the head, (places [1, N, 1] from its first row, [1, 1, rows])."""
    # As numbers: a comparison, or a one-hot row, would be outside the delegate, all chunks at once.
    first, columns, ranges = 0, [], {}
    for chunk in head:
        rows = chunk.shape[1]
        if rows not in ranges:
            ranges[rows] = tf.constant(np.arange(rows, dtype=np.float32)[None, None])
        columns.append((places - float(first), ranges[rows]))
        first += rows
    return columns


def _is_at(place, places):
    """Returns [1, N, rows] float32, 1 where a whole number of `places` is `place`."""
    return tf.nn.relu(1.0 - tf.abs(place - places))


def _added(highest, total, logits):
    """Adds a chunk's logits to a sum of exponentials; returns (the logit that is 1 in it, sum)."""
    peak = tf.stop_gradient(tf.reduce_max(logits, -1, keepdims=True))
    above = peak if highest is None else tf.maximum(highest, peak)
    here = tf.reduce_sum(tf.exp(logits - above), -1, keepdims=True)
    return above, here if total is None else total * tf.exp(highest - above) + here
