"""Default buckets and the measured lengths behind them."""

import pytest

from pocketllm.export.tasks.lengths import LENGTHS, default_lengths, row_lengths, share_longer
from pocketllm.runtime.tasks.causal import TASKS


def test_every_task_has_measured_lengths_and_buckets():
    assert set(row_lengths()) == set(LENGTHS) == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_the_default_buckets_are_few_and_truncate_five_percent_at_most(task):
    lengths = default_lengths("causal", task)

    assert list(lengths) == sorted(set(lengths)) and 2 <= len(lengths) <= 4
    assert share_longer("opt", task, lengths[-1]) <= 0.05


def test_roberta_and_the_users_own_data_keep_the_common_buckets():
    for style, task in (("masked", "rte"), ("masked", "text"), ("causal", "text")):
        assert default_lengths(style, task) == (32, 64, 128)
    for model_type, task in (("roberta", "rte"), ("opt", "text"), ("qwen3", "boolq")):
        assert share_longer(model_type, task, 128) is None


def test_shares_count_the_rows_that_were_measured():
    rows = row_lengths()["boolq"]["tokens"]
    assert sum(rows.values()) == row_lengths()["boolq"]["examples"] == 1000
    for tokens in (16, 48, 127, 128, 129, 400):
        longer = sum(count for length, count in rows.items() if int(length) > tokens)
        assert share_longer("opt", "boolq", tokens) == longer / 1000
    assert share_longer("opt", "boolq", 128) == pytest.approx(0.429)
    assert share_longer("opt", "multirc", 4096) == 0 and share_longer("opt", "record", 8) == 1


@pytest.mark.parametrize("task", ["sst2", "copa"])
def test_the_excerpts_rows_are_as_long_as_some_that_were_measured(task):
    """Measured again: a change of template or encoding makes the table stale."""
    from opt_reference import EXCERPTS

    from pocketllm.benchmarks.row_lengths import row_lengths as measure

    path = EXCERPTS / ("sst2.tsv" if task == "sst2" else f"{task}.jsonl")
    lengths, _ = measure(task, path)
    known = {int(length) for length in row_lengths()[task]["tokens"]}
    assert set(lengths.tolist()) <= known
