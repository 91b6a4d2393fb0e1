"""The reference's draws of training, dev and evaluation examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.causal import TASKS
from pocketllm.runtime.tasks.draws import drawn, split_numbers, split_places
from pocketllm.runtime.tasks.masked import TASKS as ROBERTA_TASKS


@pytest.mark.parametrize("count", [1, 400, 67349])
def test_the_order_is_that_of_numpys_global_generator_with_seed_0(count):
    state = np.random.get_state()
    np.random.seed(0)
    expected = np.random.permutation(count).tolist()
    np.random.set_state(state)

    assert drawn(count, count) == expected
    assert drawn(count, 1500) == expected[:1500]


def test_the_order_of_ten_is_this_one():
    assert drawn(10, 4) == [2, 8, 4, 9]
    assert drawn(10, 1000) == [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]


@pytest.mark.parametrize(
    ("name", "rows", "train", "dev"),
    [
        ("sst2", 67349, 1000, 500),
        ("rte", 2490, 1000, 500),
        ("multirc", 27243, 1000, 500),
        ("cb", 250, 150, 100),
        ("copa", 400, 300, 100),
        ("wsc", 554, 54, 500),
    ],
)
def test_the_reference_split_has_the_references_sizes(name, rows, train, dev):
    parts = split_places(rows, *split_numbers("reference", TASKS[name]))

    assert tuple(map(len, parts)) == (train, dev)


@steady
@given(st.integers(1, 300), st.integers(1, 200), st.integers(1, 200))
def test_the_parts_are_disjoint_and_the_dev_part_is_the_end_of_what_was_drawn(count, train, dev):
    first, last = split_places(count, train, dev)

    assert first + last == drawn(count, train + dev)
    assert len(set(first + last)) == len(first + last) == min(count, train + dev)
    assert len(last) == min(dev, count)
    assert len(first) == max(0, min(train, count - dev))


def test_own_numbers_go_with_every_task():
    assert split_numbers("800/200", TASKS["cb"]) == (800, 200)
    assert split_numbers("8/2", ROBERTA_TASKS["sst2"]) == (8, 2)


@pytest.mark.parametrize("flag", ["", "8", "8/0", "0/8", "8/-2", "a/b", "8/2/1", "8 / 2", "1e3/5"])
def test_anything_else_is_refused(flag):
    with pytest.raises(InputError, match=f"^--split={flag}: expected reference, or training and"):
        split_numbers(flag, TASKS["cb"])


def test_a_task_that_the_reference_does_not_split_needs_numbers():
    with pytest.raises(InputError, match="--split=reference: .* of task sst2; give the numbers"):
        split_numbers("reference", ROBERTA_TASKS["sst2"])
