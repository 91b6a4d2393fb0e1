"""Accuracy and loss of a model on labelled examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import contract
from .batching import Batch
from .model import Model


@dataclass(frozen=True)
class Evaluation:
    """Means over examples: share of right labels, cross-entropy in nats."""

    accuracy: float
    loss: float
    examples: int


def evaluate(
    model: Model, batches: Sequence[Batch], progress: Callable[[int], None] = lambda rows: None
) -> Evaluation:
    """Runs every batch once; the prediction is the label word with the highest logit."""
    right = total = 0
    loss = 0.0
    for batch in batches:
        outputs = model.forward(batch)
        predicted = np.argmax(outputs[contract.LOGITS][: batch.rows], axis=1)
        right += int(np.sum(predicted == batch.inputs[contract.LABEL][: batch.rows]))
        loss += float(outputs[contract.LOSS][0]) * batch.rows
        total += batch.rows
        progress(batch.rows)
    return Evaluation(right / total, loss / total, total)
