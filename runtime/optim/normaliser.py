"""What a normalised step divides its learning rate by: how large the gradients have been lately.

Directions share one scale, so one number is all the adaptivity that a measured slope allows
(MEAZO, arXiv 2605.03869). It follows from the journal's losses, and nothing else needs to be kept
(docs/decisions/0043-one-number-normalises-a-step.md).
"""

import math
from collections.abc import Callable
from statistics import median

import numpy as np

from ..errors import InputError
from .applied import Applied
from .interface import Minibatch

KEPT = 0.99  # of the mean, at each direction: it is over about the last hundred of them
# A step that measures next to nothing must not make the following ones long: published code without
# a floor lost its weights in the first steps.
FLOOR_SHARE, FIRST = 0.1, 20

LARGEST = float(np.finfo(np.float32).max)


class Normaliser:
    """The smoothed root mean square of projected gradients, and its floor."""

    def __init__(self):
        """Begins before the first step."""
        self._sum = self._weight = 0.0
        self._first: list[float] = []

    def take(self, square: float, directions: int) -> float:
        """Takes a step's measurement; returns the number to divide by, 0 if all were 0.

        It is √(Σ w·square / Σ w) over the steps so far, w falling by KEPT a direction, and at least
        FLOOR_SHARE of the median √square of the first FIRST steps.

        Args:
          square: mean square of the projected gradients along the step's directions.
          directions: their number.
        """
        kept = math.prod([KEPT] * directions)  # the same bits everywhere, a library's power is not
        self._sum = kept * self._sum + (1 - kept) * square
        self._weight = kept * self._weight + (1 - kept)
        if len(self._first) < FIRST:
            self._first.append(math.sqrt(square))
        floor = FLOOR_SHARE * median(self._first)
        return max(math.sqrt(self._sum / self._weight), floor)


def recorded_losses(step: Applied, count: int) -> tuple[float, ...]:
    """Returns the losses of a step that a run goes on from.

    Raises:
      InputError: not so many, or no float32: the journal was written by another program.
    """
    if len(step.losses) != count or not all(abs(loss) <= LARGEST for loss in step.losses):
        raise InputError(
            f"step {step.step} of the journal holds {len(step.losses)} losses, expected {count} "
            "finite ones; it was altered: restore it from a copy, or choose another --run"
        )
    return step.losses


def taking(step: Callable, model, settings, normaliser: Normaliser | None) -> Callable:
    """Returns what takes the next step: a Minibatch -> mezo_step's or fzoo_step's result."""

    def take(minibatch: Minibatch):
        loss, number, seed = minibatch.loss, minibatch.number, minibatch.seed
        others = {"normaliser": normaliser, "pair": minibatch.pair}
        return step(model, loss, number, seed, settings, **others)

    return take


def normalised(lr: float, divisor: float) -> float:
    """Returns a learning rate over what Normaliser.take gave, 0 where nothing was ever measured."""
    return lr / divisor if divisor else 0.0
