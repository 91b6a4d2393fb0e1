"""What a model gets right: accuracy, loss and metrics on labelled examples, loss on learnt text."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .. import contract
from ..bundle.contents import Bundle
from ..data.batches import Row, each_micro_batch, evaluation_rows
from ..data.dataset import Dataset
from ..engine.model import Model
from ..tasks.metrics import Prediction, accuracy, measured


@dataclass(frozen=True)
class Evaluation:
    """Of a model on a data set.

    Attributes:
      loss: as in training, in nats: of learnt text, the mean over all learnt tokens.
      examples: how many there are.
      accuracy: the share of right answers; None of learnt text, which has none.
      metrics: the task's own.
      tokens: of learnt text, the number of learnt tokens; None of a task with labels.
    """

    loss: float
    examples: int
    accuracy: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    tokens: int | None = None

    def describe(self) -> str:
        """Returns accuracy, loss and metrics, or loss and perplexity, in one line."""
        if self.accuracy is None:
            shown = f"loss {self.loss:.4f}, perplexity {perplexity(self.loss):.4g}"
            return f"{shown}, {self.tokens:,} tokens"
        named = {"accuracy": self.accuracy, "loss": self.loss} | self.metrics
        return ", ".join(f"{name} {value:.4f}" for name, value in named.items())

    def summary(self) -> dict:
        """Returns what was measured, for --json."""
        values = {"loss": self.loss, "metrics": self.metrics, "examples": self.examples}
        if self.accuracy is None:
            return {**values, "perplexity": perplexity(self.loss), "tokens": self.tokens}
        return {"accuracy": self.accuracy, **values}


def perplexity(loss: float) -> float:
    """Returns e to the loss, the largest float where it is beyond any."""
    try:
        return math.exp(loss)
    except OverflowError:
        return sys.float_info.max


def rows_of(data: Dataset, bundle: Bundle) -> list[Row]:
    """Returns all rows that an evaluation runs, in the order of the examples."""
    return [row for example in data.examples for row in evaluation_rows(example, bundle.scoring)]


def evaluate(
    model: Model, data: Dataset, progress: Callable[[int], None] = lambda rows: None
) -> Evaluation:
    """Runs every row once; the prediction is the class or option with the highest logit.

    Learnt text has no prediction: its loss is joined over the tokens of all rows.

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
    if bundle.scoring == contract.TOKEN_LOSS:
        return Evaluation(loss / weight, len(data.examples), tokens=data.learnt_tokens)
    predictions = _predictions(data, logits, bundle.scoring)
    metrics = measured(bundle.task.metrics, predictions)
    return Evaluation(loss / weight, len(predictions), accuracy(predictions), metrics)


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
