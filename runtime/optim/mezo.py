"""MeZO (arXiv 2305.17333, algorithm 1) in three noise passes a step; pure arithmetic."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import LossError
from .schedule import learning_rate


class Perturbable(Protocol):
    """What a step needs of a model."""

    def perturb(self, seed: int, scale: float) -> None:
        """θ ← θ + scale · z(seed)."""

    def decay(self, factor: float) -> None:
        """θ ← factor · θ for the parameters that decay."""


@dataclass(frozen=True)
class MezoSettings:
    """Settings of a MeZO run.

    Attributes:
      lr: learning rate.
      eps: size of the probe, in units of z.
      weight_decay: decoupled; θ shrinks by lr · weight_decay a step.
      lr_schedule: "constant", or "linear" down to 0 after `steps`.
      steps: length of the run.
    """

    lr: float
    eps: float
    weight_decay: float
    lr_schedule: str
    steps: int


@dataclass(frozen=True)
class MezoStep:
    """What one step did; with its eps, enough to do it again without data."""

    step: int
    seed: int
    loss_plus: float
    loss_minus: float
    projected_grad: float
    lr: float


def mezo_step(
    model: Perturbable,
    loss: Callable[[], float],
    step: int,
    seed: int,
    settings: MezoSettings,
) -> MezoStep:
    """Moves the weights one step along z(seed).

    Args:
      model: holds θ.
      loss: evaluates the step's minibatch at the present θ.
      step: 1 for the first; sets the learning rate.
      seed: of the direction.
      settings: the run's hyperparameters.

    Raises:
      LossError: a loss is not finite; θ is back where it was, within rounding.
    """
    eps, lr = settings.eps, learning_rate(settings, step)
    model.perturb(seed, eps)
    loss_plus = loss()
    model.perturb(seed, -2 * eps)
    loss_minus = loss()
    projected_grad = (loss_plus - loss_minus) / (2 * eps)
    if not math.isfinite(projected_grad):
        model.perturb(seed, eps)
        raise LossError(
            f"step {step}: the loss is not finite (loss_plus {loss_plus:g}, loss_minus "
            f"{loss_minus:g})"
        )
    taken = MezoStep(step, seed, loss_plus, loss_minus, projected_grad, lr)
    _update(model, taken, settings)
    return taken


def last_scale(taken: MezoStep, eps: float) -> float:
    """Returns the scale of a step's third pass, as float32 has it: back by eps and down."""
    with np.errstate(over="ignore"):
        return float(np.float32(eps - taken.lr * taken.projected_grad))


def replay_step(model: Perturbable, taken: MezoStep, settings: MezoSettings) -> None:
    """Does a step again without data: the same passes, so the same bits."""
    model.perturb(taken.seed, settings.eps)
    model.perturb(taken.seed, -2 * settings.eps)
    _update(model, taken, settings)


def undo_step(model: Perturbable, taken: MezoStep, settings: MezoSettings) -> None:
    """Takes a step back: its passes the other way round. θ comes back within rounding."""
    if settings.weight_decay:
        model.decay(1 / (1 - taken.lr * settings.weight_decay))
    model.perturb(taken.seed, taken.lr * taken.projected_grad - settings.eps)
    model.perturb(taken.seed, 2 * settings.eps)
    model.perturb(taken.seed, -settings.eps)


def _update(model, taken, settings):
    # From θ - eps·z: back to θ and down the slope in one pass.
    model.perturb(taken.seed, last_scale(taken, settings.eps))
    if settings.weight_decay:
        model.decay(1 - taken.lr * settings.weight_decay)
