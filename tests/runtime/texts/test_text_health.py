"""Warnings about learnt text, and its evaluations as lines and as the best step."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pocketllm.runtime.contract import GOLD, TOKEN_LOSS
from pocketllm.runtime.data.dataset import Dataset
from pocketllm.runtime.data.encoded import Encoded, EncodedExample
from pocketllm.runtime.health.data import data_warnings
from pocketllm.runtime.journal.lines import (
    Evaluated,
    append_evaluation,
    best_evaluation,
    read_evaluations,
)
from pocketllm.runtime.run.evaluate import Evaluation, perplexity

PROMPT, LEARNT = "prompt", "learnt"


def dataset(*rows):
    """Returns a data set of (ids, what was cut: False, PROMPT or LEARNT)."""
    mask = np.array([0, 1, 1], np.int32)
    examples = [
        EncodedExample((Encoded(np.array(ids, np.int32), {}, bool(cut), mask, cut == LEARNT),), ())
        for ids, cut in rows
    ]
    cut = sum(example.truncated for example in examples)
    remedy = "export with longer --lengths, at most 8"
    return Dataset(Path("d.jsonl"), examples, cut, 0, "a" * 64, 1, cut="3 tokens", remedy=remedy)


def test_a_data_set_says_how_much_of_it_is_learnt_and_cut():
    data = dataset(([1, 2, 3], False), ([4, 5, 6], PROMPT))

    assert data.describe() == (
        "d.jsonl: 2 examples, 1 truncated to fit 3 tokens (50.0%), 4 of 6 tokens learnt"
    )
    assert (data.summary()["row_tokens"], data.summary()["learnt_tokens"]) == (6, 4)
    assert data.summary()["learnt_truncated"] == 0
    data = dataset(([1, 2, 3], LEARNT), ([4, 5, 6], PROMPT))
    assert "2 truncated to fit 3 tokens (100.0%), 1 of them in what is learnt" in data.describe()
    assert data.summary()["learnt_truncated"] == 1


def test_rows_that_are_all_cut_and_a_dev_set_of_training_rows_are_warned_of():
    whole = dataset(([1, 2, 3], False), ([4, 5, 6], LEARNT))
    cut = dataset(*[([1, 2, 3], LEARNT)] * 2)

    assert list(data_warnings(whole, None, TOKEN_LOSS)) == []
    (warning,) = data_warnings(cut, None, TOKEN_LOSS)
    assert warning.kind == "all-cut" and "longer --lengths, at most 8" in warning.text
    assert not list(data_warnings(cut, None, GOLD))
    (warning,) = data_warnings(whole, dataset(*[([4, 5, 6], False)] * 2), TOKEN_LOSS)
    assert warning.kind == "dev-in-train"


def test_rows_of_which_prompts_alone_are_cut_are_not_warned_of():
    for rows in ([([1, 2, 3], PROMPT)] * 2, [([1, 2, 3], LEARNT), ([1, 2, 4], PROMPT)]):
        assert list(data_warnings(dataset(*rows), None, TOKEN_LOSS)) == []


def test_the_best_step_is_that_of_the_lowest_loss_and_lines_have_no_accuracy(tmp_path):
    for step, loss in enumerate((2.5, 1.25, 1.25, 1.5)):
        append_evaluation(tmp_path, Evaluated(step, None, loss, 3, "d" * 64, tokens=40))

    records = read_evaluations(tmp_path)

    assert best_evaluation(records) == Evaluated(1, None, 1.25, 3, "d" * 64, tokens=40)
    (first, *_) = (tmp_path / "evaluations.jsonl").read_text().splitlines()
    keys = ["step", "loss", "examples", "data_sha256", "metrics", "tokens", "checksum"]
    assert list(json.loads(first)) == keys


def test_an_evaluation_gives_loss_perplexity_and_tokens_or_accuracy():
    text = Evaluation(2.0, 5, tokens=1234)
    assert text.describe() == "loss 2.0000, perplexity 7.389, 1,234 tokens"
    assert text.summary() == {
        "loss": 2.0, "metrics": {}, "examples": 5, "perplexity": math.exp(2), "tokens": 1234,
    }  # fmt: skip
    labels = Evaluation(2.0, 5, 0.75, {"f1": 0.5})
    assert labels.describe() == "accuracy 0.7500, loss 2.0000, f1 0.5000"
    assert "perplexity" not in labels.summary() and labels.summary()["accuracy"] == 0.75


@pytest.mark.parametrize("loss", [0.0, 700.0, 710.0, 1e9])
def test_a_perplexity_is_a_finite_float(loss):
    assert 1 <= perplexity(loss) < math.inf
