"""MeZO (arXiv 2305.17333, algorithm 1) in three noise passes a step, or one; pure arithmetic."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .. import contract
from ..errors import LossError
from .applied import Perturbable, passes_called
from .decay import decay_share
from .interface import EPS, JOURNALLED, Optimizer, Option, Pair, Probing
from .normaliser import Normaliser, normalised, recorded_losses, taking
from .schedule import learning_rate


@dataclass(frozen=True)
class MezoSettings:
    """Settings of a MeZO run.

    Attributes:
      lr: learning rate.
      eps: size of the probe, in units of z.
      weight_decay: decoupled; θ shrinks by lr · weight_decay a step (decay.py says when).
      lr_schedule: one of schedule.SCHEDULES.
      steps: length of the run.
      normalize: whether lr is divided by the size of the last projected gradients (normaliser.py).
    """

    lr: float
    eps: float
    weight_decay: float
    lr_schedule: str
    steps: int
    normalize: bool = False

    @property
    def update(self) -> float | None:
        """About how far a step moves a parameter; None where the projected gradient says it."""
        return self.lr if self.normalize else None


@dataclass(frozen=True)
class MezoStep:
    """What one step measured; `divisor` is what a normalised one divided lr by."""

    step: int
    seed: int
    loss_plus: float
    loss_minus: float
    projected_grad: float
    lr: float
    divisor: float | None = None

    @property
    def losses(self) -> tuple[float, ...]:
        """The losses at θ + eps·z and θ - eps·z."""
        return self.loss_plus, self.loss_minus

    @property
    def loss(self) -> float:
        """The minibatch loss: the mean of those on both sides of θ."""
        return (self.loss_plus + self.loss_minus) / 2

    def describe(self) -> str:
        """Returns loss and projected gradient."""
        return f"loss {self.loss:.4f} projected_grad {self.projected_grad:+.2f}"


def mezo_step(
    model: Perturbable,
    loss: Callable[[], float],
    step: int,
    seed: int,
    settings: MezoSettings,
    *,
    normaliser: Normaliser | None = None,
    pair: Pair | None = None,
) -> MezoStep:
    """Moves the weights one step along z(seed).

    Args:
      model: holds θ.
      loss: evaluates the step's minibatch at the present θ.
      step: 1 for the first; sets the learning rate.
      seed: of the direction.
      settings: the run's settings.
      normaliser: has taken the run's steps before, with `normalize`.
      pair: evaluates the minibatch at both probes, as `Minibatch` has it; then θ moves once.

    Raises:
      LossError: a loss is not finite; θ is back where it was, within rounding.
    """
    eps, lr = settings.eps, learning_rate(settings, step)
    loss_plus, loss_minus = pair(seed, eps) if pair else _probed(model, loss, seed, eps)
    back = 0.0 if pair else eps  # to θ, along z
    projected_grad = (loss_plus - loss_minus) / (2 * eps)
    if not math.isfinite(projected_grad):
        if back:
            model.perturb(seed, back)
        raise LossError(
            f"step {step}: the loss is not finite (loss_plus {loss_plus:g}, loss_minus "
            f"{loss_minus:g})"
        )
    divisor = normaliser.take(projected_grad * projected_grad, 1) if normaliser else None
    rate = lr if divisor is None else normalised(lr, divisor)
    # From θ - back·z: back to θ, down the slope, and a share of θ off, in one pass
    # (docs/decisions/0031-decay-in-the-last-pass.md).
    model.perturb(seed, back - rate * projected_grad, decay_share(settings, step), back)
    return MezoStep(step, seed, loss_plus, loss_minus, projected_grad, lr, divisor)


def _probed(model, loss, seed, eps):
    """Returns the losses at θ + eps·z and θ - eps·z, where θ then stands."""
    model.perturb(seed, eps)
    loss_plus = loss()
    model.perturb(seed, -2 * eps)
    return loss_plus, loss()


def _normaliser_after(applied, eps):
    normaliser = Normaliser()
    for step in applied:
        loss_plus, loss_minus = recorded_losses(step, 2)
        projected_grad = (loss_plus - loss_minus) / (2 * eps)
        normaliser.take(projected_grad * projected_grad, 1)
    return normaliser


def _begin(model, settings, applied):
    normaliser = _normaliser_after(applied, settings.eps) if settings.normalize else None
    return taking(mezo_step, model, settings, normaliser)


OPTIMIZER = Optimizer(
    name="mezo",
    kind=JOURNALLED,
    signatures=contract.MEZO,
    settings=MezoSettings,
    step=MezoStep,
    begin=_begin,
    probing=lambda settings: Probing(is_normalised=settings["normalize"]),
    options=(
        EPS,
        Option(
            "normalize",
            "whether the learning rate is divided by the size of the last projected gradients",
            default=False,
        ),
    ),
    calls=passes_called,
)
