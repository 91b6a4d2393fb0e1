"""Batches of fixed shape: which examples a step sees, and how they fill the length buckets.

Shapes: B rows of a bundle's forward signatures, T tokens of a bucket.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import contract
from .encode import Encoded
from .noise import mix

EPOCH_SALT = np.uint32(0x27D4EB2F)
STEP_SALT = np.uint32(0x165667B1)


@dataclass(frozen=True)
class Batch:
    """One call of a forward signature.

    Attributes:
      tokens: T, the bucket.
      inputs: the signature's inputs, [B, T] and [B] arrays.
      rows: number of rows that are examples; the rest are fillers of weight 0.
      members: positions of these examples in the sequence given to `micro_batches`.
    """

    tokens: int
    inputs: dict[str, np.ndarray]
    rows: int
    members: tuple[int, ...]


def micro_batches(
    examples: Sequence[Encoded], batch_size: int, lengths: Sequence[int], pad_id: int
) -> list[Batch]:
    """Packs examples into as few fixed-shape batches as possible, longest first.

    Sorted by length, neighbours share a bucket, and only the last batch has filler rows: their
    losses are then joined by `weight_sum`, exact also for a ragged last one.
    """
    order = sorted(range(len(examples)), key=lambda i: (-len(examples[i].input_ids), i))
    return [
        _batch(examples, order[first : first + batch_size], batch_size, lengths, pad_id)
        for first in range(0, len(order), batch_size)
    ]


def _batch(examples, members, batch_size, lengths, pad_id):
    longest = len(examples[members[0]].input_ids)
    tokens = next(length for length in lengths if length >= longest)
    ids = np.full((batch_size, tokens), pad_id, np.int32)
    mask = np.zeros((batch_size, tokens), np.int32)
    mask[:, 0] = 1  # a filler row attends to itself, so that its softmax is an ordinary one
    mask_position, label = np.zeros(batch_size, np.int32), np.zeros(batch_size, np.int32)
    weight = np.zeros(batch_size, np.float32)
    for row, member in enumerate(members):
        example = examples[member]
        length = len(example.input_ids)
        ids[row, :length], mask[row, :length] = example.input_ids, 1
        mask_position[row], label[row] = example.mask_position, example.label
        weight[row] = 1
    inputs = {
        contract.INPUT_IDS: ids,
        contract.ATTENTION_MASK: mask,
        contract.MASK_POSITION: mask_position,
        contract.LABEL: label,
        contract.WEIGHT: weight,
    }
    return Batch(tokens, inputs, len(members), tuple(members))


def step_seed(seed: int, step: int) -> int:
    """Returns the noise seed of a step, an int32, from the run's seed; no two steps share one."""
    return int(mix(_key(seed, STEP_SALT) ^ mix(_word(step))).view(np.int32)[0])


def step_members(count: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Chooses the examples of a step: epochs of random orders, drawn from the seed alone.

    Args:
      count: number of examples.
      batch_size: examples a step.
      seed: the run's seed.
      step: 1 for the first step.

    Returns:
      `batch_size` positions; every example is seen once an epoch, whichever machine draws.
    """
    first = (step - 1) * batch_size
    places = range(first, first + batch_size)
    orders = {epoch: _order(count, seed, epoch) for epoch in {place // count for place in places}}
    return [int(orders[place // count][place % count]) for place in places]


def _order(count, seed, epoch):
    key = mix(_key(seed, EPOCH_SALT) ^ mix(_word(epoch)))
    # NumPy's generators may change their streams between versions; a sort of hashes does not.
    return np.argsort(mix(np.arange(count, dtype=np.uint32) ^ key), kind="stable")


def _key(seed, salt):
    return mix(_word(seed) ^ salt)


def _word(value):
    return np.array([value], np.int64).astype(np.uint32)
