"""Which examples a step sees, and how they fill the fixed shapes of a bundle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime import contract
from pocketllm.runtime.data.batches import Row, micro_batches
from pocketllm.runtime.data.dataset import batches_of
from pocketllm.runtime.data.encoded import Encoded
from pocketllm.runtime.data.order import step_members, step_seed
from pocketllm.runtime.engine.model import Model

pytest_plugins = ["runtime_fixtures"]

LENGTHS, PAD = (4, 8, 16), 99
lengths_of_examples = st.lists(st.integers(1, 16), min_size=1, max_size=40)
batch_sizes = st.integers(1, 9)


def encoded(lengths):
    """Rows whose ids tell them apart: row 3 of 5 tokens is 300, 301, … 304."""
    return [
        Row((sequence(100 * i, length, {contract.MASK_POSITION: length // 2}),), i % 3)
        for i, length in enumerate(lengths)
    ]


def sequence(first, length, target):
    return Encoded(np.arange(first, first + length, dtype=np.int32), target, False)


@steady
@given(lengths_of_examples, batch_sizes)
def test_every_example_stands_whole_in_exactly_one_row(lengths, batch_size):
    examples = encoded(lengths)

    batches = micro_batches(examples, batch_size, LENGTHS, PAD)

    members = [member for batch in batches for member in batch.members]
    assert sorted(members) == list(range(len(examples)))
    for batch in batches:
        assert batch.rows == len(batch.members)
        for row, member in enumerate(batch.members):
            example, inputs = examples[member], {n: v[row] for n, v in batch.inputs.items()}
            (held_ids,) = example.sequences
            size = len(held_ids.input_ids)
            assert inputs[contract.INPUT_IDS][:size].tolist() == held_ids.input_ids.tolist()
            assert (inputs[contract.INPUT_IDS][size:] == PAD).all()
            filled = np.arange(batch.tokens) < size
            assert inputs[contract.ATTENTION_MASK].tolist() == filled.astype(int).tolist()
            assert inputs[contract.MASK_POSITION] == held_ids.target[contract.MASK_POSITION]
            assert inputs[contract.LABEL] == example.label
            assert inputs[contract.WEIGHT] == 1


@steady
@given(lengths_of_examples, batch_sizes)
def test_batches_are_few_and_use_the_smallest_bucket_that_fits(lengths, batch_size):
    batches = micro_batches(encoded(lengths), batch_size, LENGTHS, PAD)

    assert len(batches) == -(-len(lengths) // batch_size)
    for batch in batches:
        longest = max(lengths[member] for member in batch.members)
        assert batch.tokens == min(length for length in LENGTHS if length >= longest)


@steady
@given(lengths_of_examples, batch_sizes)
def test_only_the_last_batch_has_fillers_and_they_weigh_nothing(lengths, batch_size):
    batches = micro_batches(encoded(lengths), batch_size, LENGTHS, PAD)

    assert all(batch.rows == batch_size for batch in batches[:-1])
    for batch in batches:
        weight = batch.inputs[contract.WEIGHT]
        assert weight.tolist() == [1.0] * batch.rows + [0.0] * (batch_size - batch.rows)
        fillers = {name: values[batch.rows :] for name, values in batch.inputs.items()}
        assert (fillers[contract.INPUT_IDS] == PAD).all()
        assert (fillers[contract.ATTENTION_MASK].sum(axis=1) == 1).all()


def test_inputs_have_the_shapes_and_types_of_the_signature(golden_bundle, train_data):
    for batch in batches_of(train_data, golden_bundle):
        described = golden_bundle.signatures[contract.forward_loss_for(batch.tokens)]["inputs"]
        given_ = {name: [str(v.dtype), list(v.shape)] for name, v in batch.inputs.items()}
        assert given_ == described


class WeightedMean:
    """An engine whose loss is the weighted mean of a number that each row has, fillers too."""

    def run(self, signature, **inputs):
        mask, weight = inputs[contract.ATTENTION_MASK], inputs[contract.WEIGHT]
        values = (inputs[contract.INPUT_IDS] * mask).sum(1) / 7 + inputs[contract.LABEL]
        total = weight.sum()
        mean = (values * weight).sum() / total
        return {contract.LOSS: np.array([mean]), contract.WEIGHT_SUM: np.array([total])}


@steady
@given(lengths_of_examples, batch_sizes)
def test_the_joined_loss_is_the_mean_over_examples_whatever_the_batch_size(lengths, batch_size):
    examples = encoded(lengths)
    model = Model(None, WeightedMean())

    joined = model.loss(micro_batches(examples, batch_size, LENGTHS, PAD))

    mean = np.mean([row.sequences[0].input_ids.sum() / 7 + row.label for row in examples])
    assert joined == pytest.approx(mean, rel=1e-12)


def test_the_joined_loss_of_a_bundle_is_the_mean_of_its_examples(
    golden_bundle, train_data, open_ready, engine
):
    model = open_ready(golden_bundle, engine)
    count = len(train_data.examples)
    assert count % golden_bundle.batch_size, "the last batch must be ragged"

    alone = [model.loss(batches_of(train_data, golden_bundle, [i])) for i in range(count)]
    joined = model.loss(batches_of(train_data, golden_bundle))

    assert np.ptp(alone) > 0.1
    assert joined == pytest.approx(np.mean(alone), rel=1e-6)


@steady
@given(st.integers(1, 30), st.integers(1, 70), st.integers(-(2**40), 2**40), st.integers(1, 5))
def test_every_example_is_seen_once_an_epoch(count, batch_size, seed, epochs):
    steps = -(-count * epochs // batch_size)
    seen = [
        member
        for step in range(1, steps + 1)
        for member in step_members(count, batch_size, seed, step)
    ]

    assert len(seen) == steps * batch_size
    for epoch in range(epochs):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [tuple(step_members(50, 50, seed, step)) for seed in (0, 1, 2) for step in (1, 2, 3)]

    assert len(set(orders)) == len(orders)
    assert tuple(range(50)) not in orders


def test_the_stream_of_members_is_the_documented_one():
    drawn = [step_members(10, 4, 0, step) for step in (1, 2, 3, 1000)]

    # Worked out once with Python's own integers: a change here changes every run ever recorded.
    assert drawn == [[3, 8, 4, 6], [2, 7, 0, 9], [1, 5, 7, 6], [4, 9, 8, 7]]
    assert step_members(10, 4, 0, 2) == drawn[1]


def test_the_stream_of_seeds_is_the_documented_one():
    assert [step_seed(0, step) for step in (1, 2, 3, 4)] == [
        -1726181601, -780266067, 1021387291, -1625403264,
    ]  # fmt: skip
    assert [step_seed(seed, 1) for seed in (1, -1, 2**31)] == [254248010, -818221289, 428324877]


@steady
@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 10**9))
def test_a_step_seed_is_an_int32(seed, step):
    assert -(2**31) <= step_seed(seed, step) < 2**31


def test_step_seeds_never_repeat_within_a_run_and_hardly_between_runs():
    streams = [[step_seed(seed, step) for step in range(1, 100_001)] for seed in (0, 1)]

    for stream in streams:
        assert len(set(stream)) == 100_000
    # 10^10 pairs and 2^32 values: two or three by chance.
    assert len(set(streams[0]) & set(streams[1])) < 20
