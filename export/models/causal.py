"""Log-probabilities of options of several tokens, without a [tokens, vocabulary] tensor.

Shapes: S sequences, K scored tokens of each, E width of the word embeddings, V vocabulary.
"""

import tensorflow as tf

from pocketllm.runtime import contract

from .layers import weighted_cross_entropy, weighted_mean


def token_log_probs(hidden, embeddings, head):
    """Returns the log-probabilities [N] of N tokens under the LM head.

    The logits are taken chunk by chunk of the vocabulary, so that only one chunk's are alive.

    Args:
      hidden: [1, N, E], of the rows before the tokens.
      embeddings: [1, N, E], the head's rows of the tokens.
      head: [1, rows, E] chunks of the head, together V rows.
    """
    highest, total = None, None
    for chunk in head:
        logits = tf.matmul(hidden, chunk, transpose_b=True)  # 1 N rows
        peak = tf.stop_gradient(tf.reduce_max(logits, -1, keepdims=True))
        above = peak if highest is None else tf.maximum(highest, peak)
        here = tf.reduce_sum(tf.exp(logits - above), -1, keepdims=True)
        total = here if total is None else total * tf.exp(highest - above) + here
        highest = above
    logit = tf.reduce_sum(hidden * embeddings, -1, keepdims=True)
    # The sum first: that way round (bind schedules in this order) each chunk is done with before
    # the next one's logits are computed.
    return tf.reshape(logit - (tf.math.log(total) + highest), [-1])


def option_loss(log_probs, tensors, target):
    """From the log-probabilities [S * K] of the options' tokens to loss, weight_sum and logits.

    Classification (OPTIONS) is cross-entropy over the options' mean log-probabilities; GOLD is the
    mean negative log-probability over all tokens.

    Args:
      log_probs: [S * K], of K tokens a sequence; those past the option count for nothing.
      tensors: the signature's inputs.
      target: Target.
    """
    sequences = tensors[contract.OPTION_TOKENS].shape[0]
    log_probs = tf.reshape(log_probs, [sequences, -1])
    places = tf.range(log_probs.shape[1])[None]  # 1 K
    inside = tf.cast(places < tensors[contract.OPTION_TOKENS][:, None], tf.float32)  # S K
    count = tf.reduce_sum(inside, -1)
    scores = tf.reduce_sum(log_probs * inside, -1) / tf.maximum(count, 1.0)  # S
    weight = tensors[contract.WEIGHT]
    logits = tf.reshape(scores, [-1, target.classes])  # B C
    if target.has_label:
        loss, weight_sum = weighted_cross_entropy(logits, tensors[contract.LABEL], weight)
    else:
        loss, weight_sum = weighted_mean(-scores, weight * count)
    return {contract.LOSS: loss, contract.WEIGHT_SUM: weight_sum, contract.LOGITS: logits}
