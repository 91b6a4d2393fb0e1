"""Gradients of a minibatch, added up over micro-batches, and how much of them a step uses."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from .. import contract
from ..data.batches import Batch
from ..errors import LossError
from .decay import decay_factor
from .interface import Minibatch, Option
from .schedule import learning_rate

# As torch.nn.utils.clip_grad_norm_ has it, against a norm of 0.
TINY = 1e-6
# Stems of the signatures that `add_up` calls.
ADDING_UP = frozenset(
    {contract.GRADIENTS_INITIALIZE, contract.ADAM_ACCUMULATE, contract.GRADIENT_NORM}
)
OPTIONS = (
    Option("clip_norm", "largest norm of a step's gradient, 0 for any", 0.0, 0.0, math.inf),
    Option("warmup_steps", "steps in which the learning rate rises to --lr", 0, 0, 2**31 - 1),
)


@dataclass(frozen=True, slots=True)
class Descent:
    """One step with gradients as the journal holds it: enough to tell whether it came out again.

    Attributes:
      step: 1 for the first.
      state: CRC-32 of some of the parameters after the step (run/kept.py).
      loss: of the minibatch before the step (float64, as what follows).
      lr: learning rate.
      norm: of the gradient before clipping; 0 of a step that is one graph, which tells none.
      share: of the gradient that was used; less than 1 where it was clipped.
    """

    step: int
    state: int
    loss: float
    lr: float
    norm: float
    share: float

    @property
    def losses(self) -> tuple[float, ...]:
        """The minibatch loss before the step."""
        return (self.loss,)


@dataclass(frozen=True)
class GradientStep:
    """What a step with gradients measured: a line of `metrics.jsonl`.

    Attributes:
      step: 1 for the first.
      loss: of the minibatch before the step.
      lr: learning rate.
      norm: of the gradient before clipping; None of a step that is one graph.
      share: of the gradient that was used; likewise.
    """

    step: int
    loss: float
    lr: float
    norm: float | None = None
    share: float | None = None

    @property
    def losses(self) -> tuple[float, ...]:
        """The minibatch loss before the step."""
        return (self.loss,)

    def describe(self) -> str:
        """Returns the loss, and the norm of the gradient where it is known."""
        norm = "" if self.norm is None else f" norm {self.norm:.3g}"
        return f"loss {self.loss:.4f}{norm}"


Kind = TypeVar("Kind", bound=GradientStep)


@dataclass(frozen=True)
class Gradient:
    """Of a minibatch, in a model's sums.

    Attributes:
      loss: mean over the minibatch.
      norm: of the gradient, before clipping.
      share: of it that a step uses.
      scale: what the sums are multiplied by to be what a step uses.
    """

    loss: float
    norm: float
    share: float
    scale: float


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


def add_up(model: Accumulating, batches: Sequence[Batch], step: int, clip_norm: float) -> Gradient:
    """Adds up the gradients of a minibatch, in the model's sums.

    Args:
      model: holds the sums.
      batches: the micro-batches.
      step: for what is said of it.
      clip_norm: largest norm of the gradient that is used; 0 for any.

    Raises:
      LossError: the loss or the gradient is not finite; θ is as it was.
    """
    model.clear_gradients()
    total = weight = 0.0
    for batch in batches:
        loss, weight_sum = model.accumulate(batch)
        total, weight = total + loss * weight_sum, weight + weight_sum
    if not weight:  # fillers alone
        return Gradient(math.nan, 0.0, 1.0, 0.0)
    loss, norm = total / weight, model.gradient_norm() / weight
    for name, value in (("loss", loss), ("norm of the gradient", norm)):
        if not math.isfinite(value):
            raise LossError(f"step {step}: the {name} is not finite ({value:g})")
    share = min(1.0, clip_norm / (norm + TINY)) if clip_norm else 1.0
    return Gradient(loss, norm, share, share / weight)


def descend(
    kind: type[Kind], model: Accumulating, minibatch: Minibatch, settings, apply: Callable
) -> Kind:
    """Takes a step on a minibatch's gradient.

    Args:
      kind: of the step, which is returned.
      model: holds the sums.
      minibatch: of the step.
      settings: of the run.
      apply: (learning rate, factor of what decays, what the sums are multiplied by) moves θ.

    Raises:
      LossError: as `add_up`.
    """
    number, lr = minibatch.number, learning_rate(settings, minibatch.number)
    gradient = add_up(model, minibatch.batches, number, settings.clip_norm)
    apply(lr, decay_factor(settings, number), gradient.scale)
    return kind(number, gradient.loss, lr, gradient.norm, gradient.share)
