"""The workload of the measured processes: its settings, its steps and its random inputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.data.batches import Row, bucket_of
from pocketllm.runtime.data.encoded import Encoded
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.optim import fzoo

LR = 1e-6
FZOO = fzoo.OPTIMIZER.name
OPTIMIZERS = contract.MEZO, FZOO, contract.ADAM
# Step 0 gives the inputs of the first loss, before any perturbation; step 1 warms up, untimed.
FIRST, WARM_UP = 0, 1


@dataclass(frozen=True)
class Workload:
    """The request to a worker, litert or pytorch.

    Attributes:
      bundle: folder of the bundle.
      engine: "litert" or "tflite".
      threads: kernel threads.
      batch_size: examples a step.
      seq_len: tokens of every example.
      steps: number of timed steps.
      seed: random seed of inputs and directions.
      second_len: tokens of one more untimed step, in another bucket; None: no such step.
      full_head: whether PyTorch's LM head runs on every token; ours runs on the scored row.
      eps: size of the probe, in units of z.
      packed: whether our side keeps a frozen base, packed for the kernels, in a file.
      weights: folder of the bundle that gives PyTorch its weights; None: `bundle`.
      lora: whether PyTorch trains the bundle's LoRA parameters instead of all parameters.
      optimizer: whose steps are measured, of OPTIMIZERS.
      pairs: whether both probes of a MeZO step are one forward pass.
    """

    bundle: str
    engine: str
    threads: int
    batch_size: int
    seq_len: int
    steps: int
    seed: int
    second_len: int | None
    full_head: bool = False
    eps: float = 1e-3
    packed: bool = False
    weights: str | None = None
    lora: bool = False
    optimizer: str = contract.MEZO
    pairs: bool = False

    @property
    def schedule(self) -> list[tuple[int, int, bool]]:
        """Returns (step, tokens, timed) of every step, in order."""
        last = WARM_UP + self.steps
        steps = [(WARM_UP, self.seq_len, False)]
        steps += [(step, self.seq_len, True) for step in range(WARM_UP + 1, last + 1)]
        return steps + ([(last + 1, self.second_len, False)] if self.second_len else [])


def count_parameters(bundle: Bundle) -> int:
    """Returns the number of values that a noise pass changes."""
    return sum(math.prod(parameter.shape) for parameter in bundle.parameters)


def second_length(lengths: Sequence[int], seq_len: int) -> int | None:
    """Returns the bucket below that of `seq_len` tokens, else the bucket above, else None.

    Args:
      lengths: the bundle's buckets, in tokens.
      seq_len: tokens of a row, at most the longest bucket.
    """
    ascending = sorted(lengths)
    place = ascending.index(bucket_of(seq_len, ascending))
    others = ascending[:place][-1:] or ascending[place + 1 :][:1]
    return others[0] if others else None


def check_scoring(bundle: Bundle) -> None:
    """Raises InputError for a bundle whose task scores whole options."""
    if bundle.scoring not in (contract.WORDS, contract.TOKEN_LOSS):
        raise InputError(
            f"{bundle.folder}: task {bundle.task.name} scores whole options, the bench measures "
            "label words, or all tokens; use a bundle exported with --task=sst2, or --task=lm"
        )


def random_rows(work: Workload, bundle: Bundle, step: int, tokens: int) -> list[Row]:
    """Draws the rows of a step, without padding; they depend on the seed alone.

    Args:
      work: gives the number of examples and the seed.
      bundle: gives the vocabulary, the label words and the style: masked rows have their mask
        anywhere but at the ends, causal rows are scored at the last token; of a text every token
        but the first is learnt.
      step: the step's number.
      tokens: length of every example.
    """
    check_scoring(bundle)
    rng = np.random.default_rng([work.seed, work.batch_size, step, tokens])
    shape = work.batch_size, tokens
    ids = rng.integers(0, bundle.config["vocab_size"] - 1, shape, np.int32)
    ids += ids >= bundle.special_tokens.pad  # every id but padding
    if bundle.scoring == contract.TOKEN_LOSS:
        learnt = np.minimum(np.arange(tokens, dtype=np.int32), 1)
        return [Row((Encoded(row, {}, truncated=False, loss_mask=learnt),), None) for row in ids]
    if bundle.style == contract.MASKED:
        name, positions = contract.MASK_POSITION, rng.integers(1, tokens - 1, work.batch_size)
    else:
        name, positions = contract.LAST_POSITION, [tokens - 1] * work.batch_size
    labels = rng.integers(0, len(bundle.word_ids), work.batch_size)
    return [
        Row((Encoded(row, {name: int(position)}, truncated=False),), int(label))
        for row, position, label in zip(ids, positions, labels)
    ]
