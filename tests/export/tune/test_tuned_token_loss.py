"""Log-probabilities of tokens under a head in chunks: NumPy's, whichever way a logit is taken."""

import numpy as np
import pytest

from pocketllm.export.graph import lazy_tensorflow as tf
from pocketllm.export.graph import vocabulary
from pocketllm.export.graph.parameters import HeadNames
from pocketllm.export.graph.recompute import Recomputation
from pocketllm.export.graph.weights_view import WeightsView

pytestmark = pytest.mark.desktop

CHUNKS = (3, 5, 1, 4)  # rows of the head's chunks
ROWS, WIDTH, SOFTCAP = 7, 6, 2.5
TOLERANCE = 1e-6  # nats


@pytest.fixture(scope="module")
def tensors():
    """Rows [1, N, E], a head [V, E], and a token for each row, in every chunk."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(1, ROWS, WIDTH)).astype(np.float32)
    head = rng.normal(size=(sum(CHUNKS), WIDTH)).astype(np.float32)
    return hidden, head, np.array([0, 2, 3, 7, 8, 9, 12], np.int32)


def by_row(hidden, head, ids, softcap):
    rows = tf.constant(head[ids][None])
    return vocabulary.token_log_probs(view(head), hidden, rows, softcap)


def by_id(hidden, head, ids, softcap):
    return vocabulary.token_log_probs_by_id(view(head), hidden, tf.constant(ids), softcap)


def by_id_again(hidden, head, ids, softcap):
    """As a backward pass that takes the logits of every chunk again."""
    weights = view(head, Recomputation(tf.constant([0.0]), []))
    return vocabulary.token_log_probs_by_id(weights, hidden, tf.constant(ids), softcap)


def view(head, recomputation=None):
    """Returns weights with the chunks [1, rows, E] of a head."""
    chunks = [tf.constant(part[None]) for part in np.split(head, np.cumsum(CHUNKS)[:-1])]
    weights = WeightsView({}, {}, HeadNames("words", "decoder", None), tied=True, head=chunks)
    weights.recomputation = recomputation
    return weights


@pytest.mark.parametrize("softcap", [None, SOFTCAP])
@pytest.mark.parametrize("log_probs", [by_row, by_id, by_id_again])
def test_they_and_their_gradients_are_those_of_the_whole_softmax(log_probs, softcap, tensors):
    hidden, head, ids = tensors
    x = tf.constant(hidden)
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = log_probs(x, head, ids, softcap)
        total = tf.reduce_sum(values)
    gradient = tape.gradient(total, x)

    raw = hidden[0].astype(np.float64) @ head.astype(np.float64).T
    logits = raw if softcap is None else softcap * np.tanh(raw / softcap)
    shifted = logits - logits.max(1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    of_logits = np.eye(len(head))[ids] - probabilities
    of_raw = of_logits if softcap is None else of_logits * (1 - np.tanh(raw / softcap) ** 2)
    assert np.abs(values - np.log(probabilities)[np.arange(ROWS), ids]).max() <= TOLERANCE
    assert np.abs(gradient[0] - of_raw @ head).max() <= 4 * TOLERANCE
