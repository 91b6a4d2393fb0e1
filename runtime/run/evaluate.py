"""Accuracy, loss and the task's metrics of a model on labelled examples."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import contract
from ..bundle.contents import Bundle
from ..data.batches import Row, each_micro_batch, evaluation_rows
from ..data.dataset import Dataset
from ..engine.model import Model
from ..tasks.metrics import Prediction, accuracy, measured


@dataclass(frozen=True)
class Evaluation:
    """Over examples: share of right answers, loss as in training in nats, the task's metrics."""

    accuracy: float
    loss: float
    examples: int
    metrics: dict[str, float]

    def describe(self) -> str:
        """Returns accuracy, loss and metrics in one line."""
        named = {"accuracy": self.accuracy, "loss": self.loss} | self.metrics
        return ", ".join(f"{name} {value:.4f}" for name, value in named.items())


def rows_of(data: Dataset, bundle: Bundle) -> list[Row]:
    """Returns all rows that an evaluation runs, in the order of the examples."""
    return [row for example in data.examples for row in evaluation_rows(example, bundle.scoring)]


def evaluate(
    model: Model, data: Dataset, progress: Callable[[int], None] = lambda rows: None
) -> Evaluation:
    """Runs every row once; the prediction is the class or option with the highest logit.

    Args:
      model: holds the parameters.
      data: all options encoded.
      progress: told the rows done, of those of `rows_of`.
    """
    bundle = model.bundle
    rows = rows_of(data, bundle)
    logits: list[np.ndarray] = [np.empty(0)] * len(rows)  # [C] each
    loss = weight = 0.0
    for batch in each_micro_batch(rows, bundle.batch_size, bundle.lengths, data.pad_id):
        outputs = model.forward(batch)
        for member, values in zip(batch.members, outputs[contract.LOGITS]):
            logits[member] = values
        weight_sum = float(outputs[contract.WEIGHT_SUM][0])
        loss += float(outputs[contract.LOSS][0]) * weight_sum
        weight += weight_sum
        progress(batch.rows)
    predictions = _predictions(data, logits, bundle.scoring)
    metrics = measured(bundle.task.metrics, predictions)
    return Evaluation(accuracy(predictions), loss / weight, len(predictions), metrics)


def _predictions(data, logits, scoring):
    """Puts the logits of an example's rows together: one of [C], or [1] for each option."""
    following = iter(logits)
    predictions = []
    for example in data.examples:
        count = len(example.sequences) if scoring == contract.GOLD else 1
        scores = np.concatenate([next(following) for _ in range(count)])
        chosen = int(np.argmax(scores))
        predictions.append(Prediction(chosen, example.golds, example.group, example.answers))
    return predictions
