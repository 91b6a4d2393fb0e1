"""Stochastic gradient descent: gradients added up over micro-batches, no moments."""

from dataclasses import dataclass

from .. import contract
from .adam import AdamSettings
from .decay import decay_factor
from .gradients import OPTIONS, GradientStep, add_up
from .interface import KEPT, Minibatch, Optimizer
from .schedule import learning_rate


@dataclass(frozen=True)
class SgdSettings(AdamSettings):
    """Settings of an SGD run: those of Adam's."""


@dataclass(frozen=True)
class SgdStep(GradientStep):
    """A step's log entry; not enough to do it again."""


def _begin(model, settings, _):
    def take(minibatch: Minibatch) -> SgdStep:
        number, lr = minibatch.number, learning_rate(settings, minibatch.number)
        gradient = add_up(model, minibatch.batches, number, settings.clip_norm)
        model.apply_sgd(lr, decay_factor(settings, number), gradient.scale)
        return SgdStep(number, gradient.loss, lr, gradient.norm, gradient.share)

    return take


OPTIMIZER = Optimizer(
    name="sgd",
    kind=KEPT,
    signatures=contract.ADAM,
    settings=SgdSettings,
    step=SgdStep,
    begin=_begin,
    options=OPTIONS,
    whole_batch=True,
    accumulates=True,
)
