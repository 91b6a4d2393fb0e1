"""What all causal language models share: which rows are scored, what they see, and their loss.

Shapes: S sequences, T tokens, Q (of options: K) scored rows of a sequence, E width of the word
embeddings, V vocabulary, B labels, C label words or options.
"""

from functools import partial

import numpy as np

from pocketllm.runtime import contract

from . import lazy_tensorflow as tf
from .attention import IGNORED_SCORE
from .layers import rows_of, select, weighted_cross_entropy, weighted_mean, word_logits
from .scoring import Target
from .weights_view import WeightsView

# Rows that attend together: a block sees the rows up to its own end alone, so that scores are small
# and half of them are never computed.
ATTENTION_BLOCK = 128


def scored_rows(target: Target, inputs: dict, tokens: int):
    """Returns the rows [S, Q] whose next token is scored; None for all rows."""
    if target.scoring == contract.TOKEN_LOSS:
        return None
    if target.scoring == contract.WORDS:
        return inputs[contract.LAST_POSITION][:, None]
    rows = inputs[contract.OPTION_START][:, None] - 1 + tf.range(target.option_rows(tokens))[None]
    return tf.minimum(tf.maximum(rows, 0), tokens - 1)


def attention_bias(rows, mask, keys: int):
    """Returns [S, 1, Q, keys] float32 for `rows` [S or 1, Q]: 0 for tokens up to the row itself."""
    seen = tf.cast(tf.range(keys)[None, None] <= rows[:, :, None], tf.int32)  # S Q keys
    allowed = tf.cast(seen * mask[:, None, :keys], tf.float32)
    return ((1.0 - allowed) * IGNORED_SCORE)[:, None]


def causal_bias(rows: range, keys: int, prefix: int = 0, window: int | None = None) -> np.ndarray:
    """Returns the constant [q, P + keys] float32 of `rows`: 0 for what a row sees.

    Args:
      rows: of the sequence.
      keys: of the sequence, from its first token on.
      prefix: P, tokens before the sequence, which count as the first positions.
      window: keys that a row sees, its own included; None for all before it.
    """
    places = np.arange(rows.start, rows.stop)[:, None] + prefix
    others = np.arange(prefix + keys)[None]
    seen = others <= places
    if window is not None:
        seen &= others > places - window
    return np.where(seen, 0, IGNORED_SCORE).astype(np.float32)


def bias_at(rows, keys: int, prefix: int = 0, window: int | None = None):
    """Returns [1, 1, q, P + keys] float32 of rows at positions [q]: 0 for what a row sees.

    As `causal_bias`, for positions that are known only when the graph runs.
    """
    places = tf.range(-prefix, keys)[None]
    hidden = tf.cast(places > rows[:, None], tf.float32)
    if window is not None:
        hidden += tf.cast(places <= rows[:, None] - window, tf.float32)
    return (hidden * IGNORED_SCORE)[None, None]


def padding_bias(mask, keys: int, prefix: int = 0):
    """Returns [S, 1, 1, P + keys] float32: 0 for a prefix and tokens, IGNORED_SCORE for padding."""
    bias = (1.0 - tf.cast(mask[:, :keys], tf.float32)) * IGNORED_SCORE
    if prefix:
        bias = tf.concat([tf.zeros([bias.shape[0], prefix]), bias], 1)
    return bias[:, None, None]


def attention_blocks(tokens: int) -> list[tuple[int, int]]:
    """Returns (first, last + 1) row of every block of rows that attend together."""
    starts = range(0, tokens, ATTENTION_BLOCK)
    return [(first, min(first + ATTENTION_BLOCK, tokens)) for first in starts]


def scored_loss(
    target: Target,
    inputs: dict,
    weights: WeightsView,
    hidden,
    *,
    scored,
    embedded,
    words,
    softcap: float | None = None,
):
    """Computes the loss and the scores of the label words or options.

    Args:
      target: what is scored.
      inputs: the signature's.
      weights: of the LM head.
      hidden: [1, S * Q, E], the scored rows as they leave the model.
      scored: [S, Q], which rows of a sequence they are; None for all.
      embedded: [1, S * T, E], the word embeddings of all tokens.
      words: the label words; none for options.
      softcap: bound of the logits' size, softly; None for none.

    Returns:
      {loss [1], weight_sum [1], logits [B, C]}.
    """
    if target.scoring == contract.WORDS:
        logits = capped(word_logits(hidden, weights.word_rows(words)), softcap)
        loss, weight_sum = weighted_cross_entropy(
            logits, inputs[contract.LABEL], inputs[contract.WEIGHT]
        )
        return {contract.LOSS: loss, contract.WEIGHT_SUM: weight_sum, contract.LOGITS: logits}
    log_probs = _log_probs(
        weights, hidden, inputs[contract.INPUT_IDS], scored, embedded=embedded, softcap=softcap
    )
    return (
        token_loss(log_probs, inputs) if scored is None else option_loss(log_probs, inputs, target)
    )


def _log_probs(weights, hidden, ids, scored, *, embedded, softcap):
    """Returns the log-probabilities of the tokens behind the scored rows; see `scored_loss`."""
    tokens = ids.shape[1]
    if weights.tied and not weights.head_is_quantised:
        if scored is None:
            rows = next_rows(embedded, ids.shape[0])
        else:
            rows = select(tf.one_hot(scored + 1, tokens), embedded)
        return token_log_probs(weights, hidden, rows, softcap)
    if scored is None:
        expected = tf.concat([ids[:, 1:], ids[:, :1]], 1)  # S T; behind the last one, the first
    else:
        at = tf.one_hot(scored + 1, tokens, dtype=tf.int32)
        expected = tf.reduce_sum(at * ids[:, None], -1)  # S K, the option's own tokens
    expected = tf.reshape(expected, [-1])
    if weights.head_is_quantised:
        return token_log_probs_by_id(weights, hidden, expected, softcap)
    rows = tf.expand_dims(weights.lookup(weights.names.decoder, expected), 0)
    return token_log_probs(weights, hidden, rows, softcap)


def capped(logits, softcap: float | None):
    """Returns c tanh(logits / c) for a softcap c, else the logits (arXiv 2408.00118, section 2)."""
    return logits if softcap is None else tf.tanh(logits * (1.0 / softcap)) * softcap


def all_logits(hidden, head, softcap: float | None = None):
    """Returns the logits [1, V] of one row [1, 1, E], under the chunks [1, rows, E] of the head."""
    logits = tf.concat([tf.matmul(hidden, chunk, transpose_b=True) for chunk in head], -1)
    return capped(tf.reshape(logits, [1, -1]), softcap)


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
    columns = [] if ids is None else _columns(ids, weights.head)

    def chunk_logits(x, number):
        """Returns (logits [1, N, rows], those of `ids` that stand in the chunk [1, N, 1])."""
        logits = capped(tf.matmul(x, weights.head[number], transpose_b=True), softcap)
        own = (
            tf.reduce_sum(logits * _is_at(*columns[number]), -1, keepdims=True) if columns else 0.0
        )
        return logits, own

    def whole(x):
        highest, total, logit = None, None, 0.0
        for number in range(len(weights.head)):
            logits, own = chunk_logits(x, number)
            highest, total = _added(highest, total, logits)
            logit += own
        normaliser = tf.math.log(total) + highest
        return logit - normaliser, normaliser

    def parts(normaliser):
        def part(number, x):
            logits, own = chunk_logits(x, number)
            # its slope is that of the logarithm: the exponentials add up to 1
            return own - tf.reduce_sum(tf.exp(logits - normaliser), -1, keepdims=True)

        return [partial(part, number) for number in range(len(weights.head))]

    if weights.recomputation:
        return weights.recomputation.run_in_parts(whole, hidden, parts)
    return whole(hidden)[0]


def _columns(ids, head):
    """Returns, for every chunk of the head, (ids [1, N, 1] from its first row on, [1, 1, rows])."""
    # As numbers: a comparison, or a one-hot row, would be outside the delegate, all chunks at once.
    ids, first, columns, ranges = tf.cast(ids, tf.float32)[None, :, None], 0, [], {}
    for chunk in head:
        rows = chunk.shape[1]
        if rows not in ranges:
            ranges[rows] = tf.constant(np.arange(rows, dtype=np.float32)[None, None])
        columns.append((ids - float(first), ranges[rows]))
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


def next_rows(rows, sequences: int):
    """Returns the row behind each of x [1, S * T, E]; behind the last of T, the first."""
    x = tf.reshape(rows, [sequences, -1, rows.shape[-1]])
    moved = tf.concat([rows_of(x, 1, x.shape[1] - 1), rows_of(x, 0, 1)], 1)
    return tf.reshape(moved, rows.shape)


def token_loss(log_probs, inputs: dict):
    """From the log-probabilities [S * T] of every next token to loss, weight_sum and logits.

    The loss is the mean over the learnt tokens of all rows, each row's times its weight.
    """
    learnt, weight = inputs[contract.LOSS_MASK], inputs[contract.WEIGHT]
    sequences, tokens = learnt.shape
    # Row t has the log-probability of token t + 1; nothing comes behind the last one.
    behind = tf.concat([learnt[:, 1:], tf.zeros([sequences, 1], tf.int32)], 1)
    counted = tf.cast(behind, tf.float32)
    count = tf.reduce_sum(counted, -1)  # S
    total = tf.reduce_sum(tf.reshape(log_probs, [sequences, tokens]) * counted, -1)
    scores = total / tf.maximum(count, 1.0)
    loss, weight_sum = weighted_mean(-scores, weight * count)
    return {
        contract.LOSS: loss,
        contract.WEIGHT_SUM: weight_sum,
        contract.LOGITS: tf.reshape(scores, [-1, 1]),
    }


def option_loss(log_probs, inputs: dict, target: Target):
    """From the log-probabilities of the options' tokens to loss, weight_sum and logits.

    Classification (OPTIONS) is cross-entropy over the options' mean log-probabilities; GOLD is the
    mean negative log-probability over all tokens.

    Args:
      log_probs: [S * K], of K tokens a sequence; those past the option count for nothing.
      inputs: the signature's.
      target: what is scored.
    """
    sequences = inputs[contract.OPTION_TOKENS].shape[0]
    log_probs = tf.reshape(log_probs, [sequences, -1])
    places = tf.range(log_probs.shape[1])[None]  # 1 K
    inside = tf.cast(places < inputs[contract.OPTION_TOKENS][:, None], tf.float32)  # S K
    count = tf.reduce_sum(inside, -1)
    scores = tf.reduce_sum(log_probs * inside, -1) / tf.maximum(count, 1.0)  # S
    weight = inputs[contract.WEIGHT]
    logits = tf.reshape(scores, [-1, target.classes])  # B C
    if target.has_label:
        loss, weight_sum = weighted_cross_entropy(logits, inputs[contract.LABEL], weight)
    else:
        loss, weight_sum = weighted_mean(-scores, weight * count)
    return {contract.LOSS: loss, contract.WEIGHT_SUM: weight_sum, contract.LOGITS: logits}
