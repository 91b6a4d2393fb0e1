"""Evaluations put rows back together: predictions, losses and metrics with canned logits."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pocketllm.runtime.data.dataset import Dataset
from pocketllm.runtime.data.encoded import Encoded, EncodedExample
from pocketllm.runtime.run.evaluate import evaluate, rows_of
from pocketllm.runtime.tasks.causal import TASKS

PAD = 99


def sequence(score, tokens, option_tokens=1):
    """A sequence that carries the score the model gives it, in thousandths, as its first id."""
    ids = np.zeros(tokens, np.int32)
    ids[0] = round(1000 * score)
    target = {"option_start": tokens - option_tokens, "option_tokens": option_tokens}
    return Encoded(ids, target, False)


class Canned:
    """A model whose option scores are the sequences' first ids."""

    def __init__(self, scoring, task, batch_size):
        self.bundle = SimpleNamespace(
            scoring=scoring, task=task, batch_size=batch_size, lengths=(4, 8)
        )
        self.batches = []

    def forward(self, batch):
        self.batches.append(batch)
        rows = len(batch.inputs["weight"])
        logits = batch.inputs["input_ids"][:, 0].reshape(rows, -1) / 1000  # B C
        weight = batch.inputs["weight"].astype(np.float64)
        if self.bundle.scoring == "gold":
            weight = weight * batch.inputs["option_tokens"]
            losses = -logits[:, 0]
        else:
            scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            losses = -scores[np.arange(rows), batch.inputs["label"]]
        total = weight.sum()
        loss = (losses * weight).sum() / total if total else 0.0
        return {
            "logits": logits,
            "loss": np.array([loss], np.float32),
            "weight_sum": np.array([total], np.float32),
        }


def dataset(*examples):
    return Dataset(Path("f"), list(examples), 0, 0, "", PAD)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_the_option_of_highest_mean_log_probability_is_chosen_whatever_the_batches(batch_size):
    data = dataset(
        EncodedExample(
            (sequence(-1, 5, 2), sequence(-2, 3), sequence(-0.5, 8)), (2, 0), None, ("x", "y", "z")
        ),
        EncodedExample((sequence(-3, 4, 3), sequence(-1.5, 6)), (0,), None, ("a b", "b c")),
        EncodedExample((sequence(-2, 7),), (0,), None, ("k",)),
    )
    model = Canned("gold", TASKS["record"], batch_size)
    seen = []

    evaluation = evaluate(model, data, seen.append)

    assert len(rows_of(data, model.bundle)) == sum(seen) == 6
    assert len(model.batches) == -(-6 // batch_size)
    assert evaluation.examples == 3
    assert evaluation.accuracy == pytest.approx(2 / 3)
    # Over the tokens of the first gold options: one of 0.5, three of 3, one of 2.
    assert evaluation.loss == pytest.approx((0.5 + 9 + 2) / 5)
    # Of the example that went wrong, "b c" was chosen for "a b": the article goes, 2/3.
    assert evaluation.metrics == {
        "exact_match": pytest.approx(2 / 3),
        "f1": pytest.approx((1 + 2 / 3 + 1) / 3),
    }
    assert evaluation.describe() == "accuracy 0.6667, loss 2.3000, exact_match 0.6667, f1 0.8889"


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_classes_of_options_are_compared_within_their_example(batch_size):
    scores = [((-1, -2, -3), 0), ((-1, -2, -3), 1), ((-9, -7, -8), 1), ((-4, -4, -4), 0)]
    data = dataset(
        *(
            EncodedExample(tuple(sequence(s, 3 + i + k) for k, s in enumerate(row)), (gold,))
            for i, (row, gold) in enumerate(scores)
        )
    )
    model = Canned("options", TASKS["cb"], batch_size)

    evaluation = evaluate(model, data)

    losses = [np.log(np.exp(np.array(row) - row[gold]).sum()) for row, gold in scores]
    assert evaluation.loss == pytest.approx(np.mean(losses), rel=1e-6)
    assert evaluation.accuracy == 3 / 4
    # Chosen 0 0 1 0 for 0 1 1 0: class 0 has F1 0.8, class 1 2/3.
    assert evaluation.metrics == {"macro_f1": pytest.approx((0.8 + 2 / 3) / 2)}


def test_groups_reach_the_metrics():
    rows = [("q", 1, 1), ("q", 0, 0), ("r", 1, 0)]
    data = dataset(
        *(
            EncodedExample((sequence(-1 - chosen, 4), sequence(chosen - 2, 4)), (gold,), group)
            for group, chosen, gold in rows
        )
    )

    evaluation = evaluate(Canned("options", TASKS["multirc"], 2), data)

    assert evaluation.metrics == {"f1_a": pytest.approx(2 / 3), "exact_match": 0.5}
