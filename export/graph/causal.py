"""What all causal language models share: which rows are scored, what they see, and their loss.

Shapes: S sequences, T tokens, Q (of options: K) scored rows of a sequence, E width of the word
embeddings, V vocabulary, B labels, C label words or options.
"""

import numpy as np

from pocketllm.runtime import contract

from . import lazy_tensorflow as tf
from .attention import IGNORED_SCORE
from .layers import rows_of, select, weighted_cross_entropy, weighted_mean, word_logits
from .scoring import Target
from .vocabulary import capped, token_log_probs, token_log_probs_by_id
from .weights_view import WeightsView

# Rows that attend together: a block sees the rows up to its own end alone, so that scores are small
# and half of them are never computed.
ATTENTION_BLOCK = 256


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


def all_logits(hidden, head, softcap: float | None = None):
    """Returns the logits [1, V] of one row [1, 1, E], under the chunks [1, rows, E] of the head."""
    logits = tf.concat([tf.matmul(hidden, chunk, transpose_b=True) for chunk in head], -1)
    return capped(tf.reshape(logits, [1, -1]), softcap)


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
    loss, weight_sum = weighted_mean(-scores, weight, count)
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
        loss, weight_sum = weighted_mean(-scores, weight, count)
    return {contract.LOSS: loss, contract.WEIGHT_SUM: weight_sum, contract.LOGITS: logits}
