"""Stochastic gradient descent: gradients added up over micro-batches, no moments."""

from dataclasses import dataclass

from .. import contract
from .adam import AdamSettings
from .gradients import ADDING_UP, OPTIONS, GradientStep, descend
from .interface import KEPT, Optimizer


@dataclass(frozen=True)
class SgdSettings(AdamSettings):
    """Settings of an SGD run: those of Adam's."""


@dataclass(frozen=True)
class SgdStep(GradientStep):
    """A step's log entry; not enough to do it again."""


def _begin(model, settings, _):
    return lambda minibatch: descend(SgdStep, model, minibatch, settings, model.apply_sgd)


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
    calls=lambda settings: ADDING_UP | {contract.SGD_APPLY},
    slope=lambda step: step.share * step.norm**2,
)
