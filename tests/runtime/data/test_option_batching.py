"""Options in fixed shapes: neighbours for a class, a row each for an evaluation, weighed losses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.data.batches import evaluation_rows, micro_batches, training_row
from pocketllm.runtime.data.encoded import Encoded, EncodedExample

LENGTHS, PAD = (4, 8, 16), 99
sizes = st.tuples(st.integers(2, 16), st.integers(1, 15)).map(lambda t: (t[0], min(t[1], t[0] - 1)))


def option(number, tokens, option_tokens):
    target = {"option_start": tokens - option_tokens, "option_tokens": option_tokens}
    return Encoded(np.arange(number, number + tokens, dtype=np.int32), target, False)


def examples_of(options_of_examples):
    """Examples whose options' ids tell them apart; the gold is the number modulo the options."""
    return [
        EncodedExample(
            tuple(option(1000 * i + 100 * k, *size) for k, size in enumerate(options)),
            (i % len(options),),
        )
        for i, options in enumerate(options_of_examples)
    ]


@steady
@given(
    options=st.lists(st.tuples(sizes, sizes, sizes), min_size=1, max_size=12),
    batch_size=st.integers(1, 5),
)
def test_the_options_of_an_example_are_neighbours_in_label_order(options, batch_size):
    examples = examples_of(options)
    rows = [training_row(example, "options") for example in examples]

    batches = micro_batches(rows, batch_size, LENGTHS, PAD)

    assert sorted(m for batch in batches for m in batch.members) == list(range(len(examples)))
    for batch in batches:
        assert {n: (v.shape, v.dtype.name) for n, v in batch.inputs.items()} == {
            "input_ids": ((batch_size * 3, batch.tokens), "int32"),
            "attention_mask": ((batch_size * 3, batch.tokens), "int32"),
            "option_start": ((batch_size * 3,), "int32"),
            "option_tokens": ((batch_size * 3,), "int32"),
            "label": ((batch_size,), "int32"),
            "weight": ((batch_size,), "float32"),
        }
        longest = max(rows[member].tokens for member in batch.members)
        assert batch.tokens == min(length for length in LENGTHS if length >= longest)
        for row, member in enumerate(batch.members):
            assert batch.inputs["label"][row] == examples[member].golds[0]
            assert batch.inputs["weight"][row] == 1
            for k, sequence in enumerate(examples[member].sequences):
                _is_held(batch, row * 3 + k, sequence)
        _are_fillers(batch, batch.rows * 3, batch.rows)


@steady
@given(
    options=st.lists(st.lists(sizes, min_size=1, max_size=4), min_size=1, max_size=10),
    batch_size=st.integers(1, 5),
)
def test_an_evaluation_of_gold_options_has_a_row_for_every_option(options, batch_size):
    examples = examples_of(options)
    rows = [row for example in examples for row in evaluation_rows(example, "gold")]

    batches = micro_batches(rows, batch_size, LENGTHS, PAD)

    assert len(rows) == sum(map(len, options))
    assert sum(row.weight for row in rows) == len(examples)
    for batch in batches:
        assert set(batch.inputs) == {
            "input_ids", "attention_mask", "option_start", "option_tokens", "weight",
        }  # fmt: skip
        for row, member in enumerate(batch.members):
            _is_held(batch, row, rows[member].sequences[0])
            assert batch.inputs["weight"][row] == rows[member].weight
        _are_fillers(batch, batch.rows, batch.rows)


def test_a_gold_option_is_trained_on_alone_and_weighs_one():
    (example,) = examples_of([[(5, 2), (6, 3)]])
    example = EncodedExample(example.sequences, (1, 0))

    row = training_row(example, "gold")

    assert row.sequences == (example.sequences[1],)
    assert (row.label, row.weight, row.tokens) == (None, 1.0, 6)
    weights = [row.weight for row in evaluation_rows(example, "gold")]
    assert weights == [0.0, 1.0]  # the other right option does not count in the loss


def test_classes_are_evaluated_as_they_are_trained():
    (example,) = examples_of([[(5, 2), (6, 3)]])

    assert evaluation_rows(example, "options") == [training_row(example, "options")]
    assert evaluation_rows(example, "words") == [training_row(example, "words")]


def _is_held(batch, slot, sequence):
    ids, size = batch.inputs["input_ids"][slot], len(sequence.input_ids)
    assert ids[:size].tolist() == sequence.input_ids.tolist() and (ids[size:] == PAD).all()
    mask = (np.arange(batch.tokens) < size).astype(int)
    assert batch.inputs["attention_mask"][slot].tolist() == mask.tolist()
    for name, value in sequence.target.items():
        assert batch.inputs[name][slot] == value


def _are_fillers(batch, slot, row):
    inputs = batch.inputs
    assert (inputs["weight"][row:] == 0).all()
    assert (inputs["input_ids"][slot:] == PAD).all()
    assert (inputs["attention_mask"][slot:].sum(axis=1) == 1).all()
    assert (inputs["attention_mask"][slot:, 0] == 1).all()
    assert (inputs["option_start"][slot:] == 1).all()
    assert (inputs["option_tokens"][slot:] == 1).all()


@pytest.mark.parametrize("tokens", [4, 5])
def test_a_row_is_as_long_as_its_longest_option(tokens):
    (example,) = examples_of([[(3, 1), (tokens, 1)]])

    (batch,) = micro_batches([training_row(example, "options")], 2, LENGTHS, PAD)

    assert batch.tokens == (4 if tokens == 4 else 8)
