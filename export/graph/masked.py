"""What all masked language models share: the row of the mask, what is padding, and the loss.

Shapes: B batch, T tokens, D hidden, C label words.
"""

import numpy as np

from pocketllm.runtime import contract

from . import lazy_tensorflow as tf
from .attention import IGNORED_SCORE
from .layers import by_probe, weighted_cross_entropy, word_logits


def padding_bias(mask):
    """Returns [B, 1, 1, T] float32 of a mask [B, T]: 0 for a token, IGNORED_SCORE for padding."""
    return (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * IGNORED_SCORE


def window_bias(rows: range, tokens: int, reach: int | None) -> np.ndarray:
    """Returns the constant [q, tokens] float32 of `rows`: 0 for what a row sees.

    Args:
      rows: of the sequence.
      tokens: of the sequence.
      reach: tokens on each side that a row sees; None for all.
    """
    apart = np.abs(np.arange(rows.start, rows.stop)[:, None] - np.arange(tokens)[None])
    seen = apart <= (tokens if reach is None else reach)
    return np.where(seen, 0, IGNORED_SCORE).astype(np.float32)


def mask_selector(inputs: dict):
    """Returns one-hot rows [B, 1, T]: where the mask stands."""
    tokens = inputs[contract.INPUT_IDS].shape[1]
    return tf.one_hot(inputs[contract.MASK_POSITION], tokens)[:, None, :]


def words_loss(inputs: dict, hidden, decoder, bias) -> dict:
    """Computes the loss and the logits of the label words at the mask.

    Args:
      inputs: the signature's.
      hidden: [1, B, D], the mask's rows as they leave the LM head's transform.
      decoder: [C, D], the LM head's rows of the label words; [P, C, D] of P probes.
      bias: [C], or [P, 1, C]; None for none.

    Returns:
      {loss [1], weight_sum [1], logits [B, C]}.
    """
    logits = word_logits(hidden, decoder)  # B C
    # The bias first: bind schedules in this order, and a look-up in between would cut a partition.
    if bias is not None:
        logits = by_probe(lambda rows, added: added + rows, logits, bias)
    loss, weight_sum = weighted_cross_entropy(
        logits, inputs[contract.LABEL], inputs[contract.WEIGHT]
    )
    return {contract.LOSS: loss, contract.WEIGHT_SUM: weight_sum, contract.LOGITS: logits}
