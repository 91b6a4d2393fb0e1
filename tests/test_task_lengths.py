"""Default buckets and the measured lengths behind them."""

import pytest

from pocketllm.export.task_lengths import LENGTHS, LONGER, TOKENS, default_lengths, share_longer
from pocketllm.runtime.option_tasks import TASKS


def test_every_task_has_measured_lengths_that_fall():
    assert set(LONGER) == set(LENGTHS) == set(TASKS)
    for shares in LONGER.values():
        assert len(shares) == len(TOKENS)
        assert list(shares) == sorted(shares, reverse=True) and 0 <= min(shares) <= max(shares) <= 1


@pytest.mark.parametrize("task", TASKS)
def test_the_default_buckets_are_few_and_truncate_five_percent_at_most(task):
    lengths = default_lengths("opt", task)

    assert list(lengths) == sorted(set(lengths)) and 2 <= len(lengths) <= 4
    assert share_longer("opt", task, lengths[-1]) <= 0.05


def test_roberta_and_the_users_own_data_keep_the_common_buckets():
    for family, task in (("roberta", "rte"), ("roberta", "text"), ("opt", "text")):
        assert default_lengths(family, task) == (32, 64, 128)
        assert share_longer(family, task, 128) is None


def test_shares_are_those_measured_and_interpolated_between():
    assert share_longer("opt", "boolq", 128) == LONGER["boolq"][TOKENS.index(128)]
    between = share_longer("opt", "boolq", 112)
    assert between == pytest.approx((share_longer("opt", "boolq", 96) + 0.4290) / 2)
    assert share_longer("opt", "multirc", 4096) == 0
    assert 0.5 < share_longer("opt", "sst2", 16) < 1
