"""Several directions of one minibatch a step, and one length of steps whatever the loss's scale.

Losses on one side of θ, centred on their mean, take one forward pass a direction (FZOO, arXiv
2506.09034, with a mean in place of the loss at θ, and a normaliser that has memory and a floor).
Losses on both sides take two, and cancel the curvature, which probes of integers need.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .. import contract
from ..bundle.contents import Bundle
from ..data.order import direction_seeds
from ..errors import InputError, LossError
from .applied import Pass, Perturbable, passes_called
from .decay import decay_share
from .interface import EPS, JOURNALLED, Optimizer, Option, Pair, Probing
from .normaliser import Normaliser, normalised, recorded_losses, taking
from .schedule import learning_rate

DIRECTIONS = 8  # of a step, unless --directions says so
MOST_DIRECTIONS = 256  # a journal's record holds 1,024 passes, and a direction takes up to four


@dataclass(frozen=True)
class FzooSettings:
    """Settings of a run.

    Attributes:
      lr: learning rate: what a step adds to a parameter has the size lr / √directions.
      eps: size of the probe, in units of z.
      weight_decay: decoupled; θ shrinks by lr · weight_decay a step (decay.py says when).
      lr_schedule: one of schedule.SCHEDULES.
      steps: length of the run.
      directions: of a step.
      sides: of θ on which a direction's loss is taken, 1 or 2.

    Raises:
      InputError: one direction with one side: its loss is its own mean.
    """

    lr: float
    eps: float
    weight_decay: float
    lr_schedule: str
    steps: int
    directions: int
    sides: int

    def __post_init__(self):
        if self.directions == self.sides == 1:
            raise InputError(
                "--directions=1 with --sides=1: one loss is its own mean and shows no slope; give "
                "--directions=2 or more, or --sides=2"
            )

    @property
    def places(self) -> tuple[float, ...]:
        """Where on a direction losses are taken, in units of z, in this order."""
        return (self.eps, -self.eps)[: self.sides]

    @property
    def degrees(self) -> int:
        """By how many directions a step's sum is divided: centring takes one."""
        return self.directions - (self.sides == 1)

    @property
    def update(self) -> float:
        """About how far a step moves a parameter."""
        return self.lr / math.sqrt(self.degrees)


@dataclass(frozen=True)
class FzooStep:
    """What one step measured.

    Attributes:
      step: 1 for the first.
      seed: of the step; those of its directions follow from it.
      losses: of the directions, one after the other; at θ + eps · z, then at θ − eps · z.
      projected_grad: root mean square of the projected gradients.
      divisor: of the learning rate: their size over the last steps.
      lr: learning rate.
    """

    step: int
    seed: int
    losses: tuple[float, ...]
    projected_grad: float
    divisor: float
    lr: float

    @property
    def loss(self) -> float:
        """The minibatch loss: the mean of those around θ."""
        return math.fsum(self.losses) / len(self.losses)

    def describe(self) -> str:
        """Returns loss and projected gradient."""
        return f"loss {self.loss:.4f} projected_grad {self.projected_grad:.2f}"


def fzoo_step(
    model: Perturbable,
    loss: Callable[[], float],
    step: int,
    seed: int,
    settings: FzooSettings,
    *,
    normaliser: Normaliser,
    pair: Pair | None = None,
) -> FzooStep:
    """Moves the weights one step along the directions of a seed.

    Args:
      model: holds θ.
      loss: evaluates the step's minibatch at the present θ.
      step: 1 for the first; sets the learning rate.
      seed: of the step.
      settings: the run's settings.
      normaliser: has taken the run's steps before.
      pair: evaluates the minibatch on both sides of a direction, as `Minibatch` has it; then θ
        moves for the update alone.

    Raises:
      LossError: a loss is not finite; θ is back where it was, within rounding.
    """
    lr, seeds = learning_rate(settings, step), direction_seeds(seed, settings.directions)
    if pair and settings.sides == 2:
        losses, back = _measured_in_pairs(pair, seeds, settings.eps, step), 0.0
    else:
        losses, back = _measured(model, loss, seeds, settings, step), -settings.places[-1]
    slopes = projected_gradients(losses, settings)
    square = mean_square(slopes, settings)
    divisor = normaliser.take(square, settings.directions)
    rate = normalised(lr, divisor) / settings.degrees
    moves = [Pass(seed, -rate * slope) for seed, slope in zip(seeds, slopes)]
    _update(model, moves, back, decay_share(settings, step))
    return FzooStep(step, seed, tuple(losses), math.sqrt(square), divisor, lr)


def projected_gradients(losses: Sequence[float], settings: FzooSettings) -> list[float]:
    """Returns the slope along each direction, on one side without their mean."""
    eps = settings.eps
    if settings.sides == 2:
        return [(plus - minus) / (2 * eps) for plus, minus in zip(losses[::2], losses[1::2])]
    mean = math.fsum(losses) / len(losses)
    return [(loss - mean) / eps for loss in losses]


def mean_square(slopes: Sequence[float], settings: FzooSettings) -> float:
    """Returns an estimate of the squared norm of the minibatch's gradient."""
    return math.fsum(slope * slope for slope in slopes) / settings.degrees


def _measured(model, loss, seeds, settings, step):
    """Returns the losses of a step; θ stands at the last direction's last place then."""
    eps, places = settings.eps, settings.places
    losses: list[float] = []
    for number, seed in enumerate(seeds):
        if number:
            model.perturb(seeds[number - 1], -places[-1])
        model.perturb(seed, eps)
        for place in places:
            if place < 0:
                model.perturb(seed, -2 * eps)
            losses.append(loss())
            if not math.isfinite(losses[-1]):
                model.perturb(seed, -place)
                raise _not_finite(step, losses[-1], number, len(seeds))
    return losses


def _measured_in_pairs(pair, seeds, eps, step):
    """Returns the losses of a step on both sides of each direction; θ stays."""
    losses: list[float] = []
    for number, seed in enumerate(seeds):
        losses += pair(seed, eps)
        for loss in losses[-2:]:
            if not math.isfinite(loss):
                raise _not_finite(step, loss, number, len(seeds))
    return losses


def _not_finite(step, loss, number, directions):
    where = f"at direction {number + 1} of {directions}"
    return LossError(f"step {step}: the loss is not finite ({loss:g} {where})")


def _update(model, moves, back, decay):
    """Moves θ along all directions, from where the last one's probe stands.

    Args:
      model: stands at θ − back · z of the last direction.
      moves: a pass a direction.
      back: to θ, along the last one.
      decay: share that the last pass takes off.
    """
    *moves, (seed, scale) = moves
    for move in moves:
        model.perturb(*move)
    # What decays has the step's other directions already, which the journal's formula says
    # (docs/decisions/0031-decay-in-the-last-pass.md); that is lr² · weight_decay of it.
    model.perturb(seed, back + scale, decay, back)


def _begin(model, settings, applied):
    normaliser = Normaliser()
    for step in applied:
        losses = recorded_losses(step, settings.directions * settings.sides)
        slopes = projected_gradients(losses, settings)
        normaliser.take(mean_square(slopes, settings), settings.directions)
    return taking(fzoo_step, model, settings, normaliser)


def default_sides(bundle: Bundle) -> int:
    """Returns the sides of a run that names none, 1 or 2.

    On integers the loss is a staircase, where a probe small enough for one side has no slope.
    """
    return 1 if bundle.base == contract.FP32 else 2


OPTIMIZER = Optimizer(
    name="fzoo",
    kind=JOURNALLED,
    signatures=contract.MEZO,
    settings=FzooSettings,
    step=FzooStep,
    begin=_begin,
    probing=lambda settings: Probing(settings["directions"], settings["sides"], True),
    options=(
        EPS,
        Option("directions", "number of directions a step", DIRECTIONS, 1, MOST_DIRECTIONS),
        Option(
            "sides",
            "sides of θ on which a direction's loss is taken, 1 or 2; none: 2 where the base is "
            "int8 or int4, 1 elsewhere",
            default=None,
            lowest=1,
            highest=2,
            of_bundle=default_sides,
        ),
    ),
    calls=passes_called,
)
