"""Batches of fixed shape: how rows fill the length buckets.

Shapes: B rows of a bundle's forward signatures, C sequences a row, S = B * C, T tokens of a bucket.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .. import contract
from .encoded import Encoded, EncodedExample

# Targets of a filler row, so that its one token makes an ordinary row; 0 for the others.
FILLER_TARGET = {contract.OPTION_START: 1, contract.OPTION_TOKENS: 1}


@dataclass(frozen=True)
class Row:
    """One row of a forward signature: C sequences, its weight, and its label where it has one."""

    sequences: tuple[Encoded, ...]
    label: int | None
    weight: float = 1.0

    @property
    def tokens(self) -> int:
        """Tokens of the longest sequence."""
        return max(len(sequence.input_ids) for sequence in self.sequences)


@dataclass(frozen=True)
class Batch:
    """One call of a forward signature.

    Attributes:
      tokens: T, the bucket.
      inputs: the signature's inputs, [S, T], [S] and [B] arrays.
      rows: number of rows with an example; the others are fillers of weight 0.
      members: positions of these rows in the sequence given to `micro_batches`.
    """

    tokens: int
    inputs: dict[str, np.ndarray]
    rows: int
    members: tuple[int, ...]


def bucket_of(tokens: int, lengths: Iterable[int]) -> int:
    """Returns the shortest of a bundle's lengths, ascending, that holds so many tokens."""
    return next(length for length in lengths if length >= tokens)


def training_row(example: EncodedExample, scoring: str) -> Row:
    """Returns the row that an example is trained on; for "gold", the first gold option's."""
    if scoring == contract.TOKEN_LOSS:
        return Row(example.sequences, None)
    gold = example.golds[0]
    if scoring == contract.GOLD:
        return Row((example.sequences[gold],), None)
    return Row(example.sequences, gold)


def evaluation_rows(example: EncodedExample, scoring: str) -> list[Row]:
    """Returns the rows that give an example's scores and loss; for "gold", a row an option.

    Only the option that is trained on has a weight there, so that the loss is that of training.
    """
    if scoring != contract.GOLD:
        return [training_row(example, scoring)]
    return [
        Row((sequence,), None, weight=float(index == example.golds[0]))
        for index, sequence in enumerate(example.sequences)
    ]


def micro_batches(
    rows: Sequence[Row], batch_size: int, lengths: Sequence[int], pad_id: int
) -> list[Batch]:
    """Packs rows into as few fixed-shape batches as possible, longest first.

    Sorted by length, neighbours share a bucket, and only the last batch has filler rows: their
    losses are then joined by `weight_sum`, exact also for a ragged last one.
    """
    return list(each_micro_batch(rows, batch_size, lengths, pad_id))


def each_micro_batch(
    rows: Sequence[Row], batch_size: int, lengths: Sequence[int], pad_id: int
) -> Iterator[Batch]:
    """Yields the batches of `micro_batches`: those of a large data set need not be kept."""
    order = sorted(range(len(rows)), key=lambda i: (-rows[i].tokens, i))
    for first in range(0, len(order), batch_size):
        yield _batch(rows, order[first : first + batch_size], batch_size, lengths, pad_id)


def _batch(rows, members, batch_size, lengths, pad_id):
    chosen = [rows[member] for member in members]
    sequences = [sequence for row in chosen for sequence in row.sequences]
    slots = batch_size * len(chosen[0].sequences)
    tokens = bucket_of(chosen[0].tokens, lengths)
    ids = np.full((slots, tokens), pad_id, np.int32)
    mask = np.zeros((slots, tokens), np.int32)
    mask[:, 0] = 1  # a filler row attends to itself, so that its softmax is an ordinary one
    inputs: dict[str, np.ndarray] = {contract.INPUT_IDS: ids, contract.ATTENTION_MASK: mask}
    if sequences[0].loss_mask is not None:
        inputs[contract.LOSS_MASK] = np.zeros((slots, tokens), np.int32)
    for name in sequences[0].target:
        inputs[name] = np.full(slots, FILLER_TARGET.get(name, 0), np.int32)
    for slot, sequence in enumerate(sequences):
        length = len(sequence.input_ids)
        ids[slot, :length], mask[slot, :length] = sequence.input_ids, 1
        if sequence.loss_mask is not None:
            inputs[contract.LOSS_MASK][slot, :length] = sequence.loss_mask
        for name, value in sequence.target.items():
            inputs[name][slot] = value
    if chosen[0].label is not None:
        inputs[contract.LABEL] = np.zeros(batch_size, np.int32)
        inputs[contract.LABEL][: len(chosen)] = [row.label for row in chosen]
    inputs[contract.WEIGHT] = np.zeros(batch_size, np.float32)
    inputs[contract.WEIGHT][: len(chosen)] = [row.weight for row in chosen]
    return Batch(tokens, inputs, len(members), tuple(members))
