"""The order of an epoch is computed once, whatever the number of its steps."""

import numpy as np
import pytest

from pocketllm.runtime.data import order
from pocketllm.runtime.data.order import step_members


@pytest.fixture
def sorts(monkeypatch):
    """The lengths that are sorted."""
    lengths, argsort = [], np.argsort

    def counting(values, **named):
        lengths.append(len(values))
        return argsort(values, **named)

    order._order.cache_clear()
    monkeypatch.setattr(order.np, "argsort", counting)
    return lengths


def test_an_epochs_order_is_sorted_once(sorts):
    members = [step_members(100, 8, seed=5, step=number) for number in range(1, 51)]

    assert sorts == [100] * 4
    seen = np.concatenate(members)
    for epoch in range(4):
        assert sorted(seen[100 * epoch : 100 * (epoch + 1)]) == list(range(100))


def test_orders_of_other_data_and_seeds_are_not_mixed_up(sorts):
    runs = [(100, 8, 5), (100, 8, 6), (99, 8, 5)]
    alone = [[step_members(*run, step=number) for number in range(1, 20)] for run in runs]
    order._order.cache_clear()
    together = [[step_members(*run, step=number) for run in runs] for number in range(1, 20)]

    assert alone == [list(column) for column in zip(*together)]
