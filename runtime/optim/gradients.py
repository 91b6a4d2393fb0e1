"""Gradients of a minibatch, added up over micro-batches, and how much of them a step uses."""

import math
from collections.abc import Sequence
from typing import Protocol

from ..data.batches import Batch
from ..errors import LossError
from .interface import Option

# As torch.nn.utils.clip_grad_norm_ has it, against a norm of 0.
TINY = 1e-6
OPTIONS = (
    Option("clip_norm", "largest norm of a step's gradient, 0 for any", 0.0, 0.0, math.inf),
    Option("warmup_steps", "steps in which the learning rate rises to --lr", 0, 0, 2**31 - 1),
)


class Accumulating(Protocol):
    """What adds gradients up."""

    def clear_gradients(self) -> None:
        """Sets the sums to 0."""

    def accumulate(self, batch: Batch) -> tuple[float, float]:
        """Adds a micro-batch's gradient times its weight sum; returns (loss, weight sum)."""
        ...

    def gradient_norm(self) -> float:
        """Returns the norm of the sums, all together."""
        ...


def add_up(
    model: Accumulating, batches: Sequence[Batch], step: int, clip_norm: float
) -> tuple[float, float]:
    """Adds up the gradients of a minibatch.

    Args:
      model: holds the sums.
      batches: the micro-batches.
      step: for what is said of it.
      clip_norm: largest norm of the gradient that is used; 0 for any.

    Returns:
      (mean loss, what the sums are multiplied by to be the step's gradient).

    Raises:
      LossError: the loss or the gradient is not finite; θ is as it was.
    """
    model.clear_gradients()
    total = weight = 0.0
    for batch in batches:
        loss, weight_sum = model.accumulate(batch)
        total, weight = total + loss * weight_sum, weight + weight_sum
    if not weight:  # fillers alone
        return math.nan, 0.0
    loss, norm = total / weight, model.gradient_norm() / weight
    for name, value in (("loss", loss), ("norm of the gradient", norm)):
        if not math.isfinite(value):
            raise LossError(f"step {step}: the {name} is not finite ({value:g})")
    share = min(1.0, clip_norm / (norm + TINY)) if clip_norm else 1.0
    return loss, share / weight
