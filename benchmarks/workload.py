"""Workload: what every measured process does, and the inputs that all of them see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime.encode import Encoded

LR = 1e-6
EPS = 1e-3
# Inputs of step 0 give the first loss, before anything is perturbed; step 1 warms up, untimed.
FIRST, WARM_UP = 0, 1


@dataclass(frozen=True)
class Workload:
    """One worker's task.

    Attributes:
      bundle: its folder.
      engine: "litert" or "tflite".
      threads: of the kernels.
      batch_size: examples a step.
      seq_len: tokens of every example.
      steps: timed steps.
      seed: of inputs and directions.
      second_len: tokens of one more untimed step, in another bucket; None for no such step.
    """

    bundle: str
    engine: str
    threads: int
    batch_size: int
    seq_len: int
    steps: int
    seed: int
    second_len: int | None

    @property
    def schedule(self) -> list[tuple[int, int, bool]]:
        """Returns (step, tokens, timed) of every step, in order."""
        last = WARM_UP + self.steps
        steps = [(WARM_UP, self.seq_len, False)]
        steps += [(step, self.seq_len, True) for step in range(WARM_UP + 1, last + 1)]
        return steps + ([(last + 1, self.second_len, False)] if self.second_len else [])


def second_length(lengths: Sequence[int], seq_len: int) -> int | None:
    """Returns the bucket below the one of `seq_len` tokens, else the one above, else None."""
    ascending = sorted(lengths)
    place = next(i for i, length in enumerate(ascending) if length >= seq_len)
    others = ascending[:place][-1:] or ascending[place + 1 :][:1]
    return others[0] if others else None


def random_examples(
    work: Workload, config: dict, classes: int, step: int, tokens: int
) -> list[Encoded]:
    """Draws the examples of a step: full rows, from the seed alone.

    Args:
      work: gives the number of examples and the seed.
      config: the architecture, Hugging Face names.
      classes: number of label words.
      step: the step's number.
      tokens: length of every example.
    """
    rng = np.random.default_rng([work.seed, work.batch_size, step, tokens])
    ids = rng.integers(0, config["vocab_size"] - 1, (work.batch_size, tokens), np.int32)
    ids += ids >= config["pad_token_id"]  # every id but padding
    positions = rng.integers(1, tokens - 1, work.batch_size)
    labels = rng.integers(0, classes, work.batch_size)
    return [
        Encoded(row, int(position), int(label), truncated=False)
        for row, position, label in zip(ids, positions, labels)
    ]
