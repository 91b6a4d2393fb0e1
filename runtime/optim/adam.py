"""AdamW, its arithmetic in the graph: gradients of micro-batches added up, or `adam_step` alone.

A bundle that trains all parameters has `adam_step` alone: a step is one call.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from .. import contract
from ..data.batches import Batch
from ..errors import LossError
from .decay import decay_factor
from .gradients import ADDING_UP, OPTIONS, GradientStep, descend
from .interface import KEPT, Minibatch, Optimizer
from .schedule import learning_rate

CALLS = ADDING_UP | {
    contract.ADAM_STEP,
    contract.ADAM_APPLY,
    contract.ADAM_INITIALIZE,
    contract.ADAM_READ,
    contract.ADAM_WRITE,
}


class Differentiable(Protocol):
    """What a step needs of a model."""

    def adam_step(self, batch: Batch, step: int, lr: float, factor: float) -> float:
        """θ ← θ + ((factor − 1) · θ − lr · m̂ / (√v̂ + 1e-8)); returns the loss before."""
        ...


@dataclass(frozen=True)
class AdamSettings:
    """Settings of an Adam run; β 0.9 and 0.999 and ε 1e-8 are in the graph.

    Attributes:
      lr: learning rate.
      weight_decay: decoupled; θ shrinks by lr · weight_decay a step.
      lr_schedule: one of schedule.SCHEDULES.
      steps: length of the run.
      warmup_steps: in which the learning rate rises to lr.
      clip_norm: largest norm of a step's gradient, 0 for any.
    """

    lr: float
    weight_decay: float
    lr_schedule: str
    steps: int
    warmup_steps: int = 0
    clip_norm: float = 0.0


@dataclass(frozen=True)
class AdamStep(GradientStep):
    """A step's log entry; not enough to do it again."""


def adam_step(model: Differentiable, batch: Batch, step: int, settings: AdamSettings) -> AdamStep:
    """Moves the weights one step; the recorded loss is the minibatch's before it.

    Args:
      model: holds θ and its moments.
      batch: the whole minibatch.
      step: 1 for the first; sets the learning rate and the bias correction.
      settings: the run's settings.

    Raises:
      LossError: the loss is not finite; θ is lost.
    """
    lr = learning_rate(settings, step)
    loss = model.adam_step(batch, step, lr, decay_factor(settings, step))
    if not math.isfinite(loss):
        raise LossError(f"step {step}: the loss is not finite ({loss:g})")
    return AdamStep(step, loss, lr)


def _begin(model, settings, before):
    if not before:
        model.initialize_adam()

    def take(minibatch: Minibatch) -> AdamStep:
        number = minibatch.number
        if not model.bundle.adds_gradients:
            return adam_step(model, minibatch.batches[0], number, settings)
        return descend(AdamStep, model, minibatch, settings, partial(model.apply_adam, number))

    return take


OPTIMIZER = Optimizer(
    name="adam",
    kind=KEPT,
    signatures=contract.ADAM,
    settings=AdamSettings,
    step=AdamStep,
    begin=_begin,
    options=OPTIONS,
    whole_batch=True,
    has_moments=True,
    calls=lambda settings: CALLS,
)
