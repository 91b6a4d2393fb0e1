"""What a step did to the parameters: enough to do it again, or to take it back, without data.

A journal holds it of every step. Nothing here knows an optimizer.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np


class Perturbable(Protocol):
    """A model whose parameters θ can be moved along a direction z and made smaller."""

    def perturb(self, seed: int, scale: float) -> None:
        """θ ← θ + scale · z(seed)."""

    def decay(self, factor: float) -> None:
        """θ ← factor · θ for the parameters that decay."""


class Pass(NamedTuple):
    """θ ← θ + scale · z(seed); the seed is an int32, the scale a float32."""

    seed: int
    scale: float


@dataclass(frozen=True, slots=True)
class Applied:
    """One step of a journalled run: the passes in their order, then the decay.

    Attributes:
      step: 1 for the first.
      losses: what the step measured, in its order (float64).
      lr: learning rate (float64).
      eps: size of the probe, in units of z (float64).
      passes: what was added to θ.
      decay: factor of the parameters that decay (float32), 1 where nothing decays.
    """

    step: int
    losses: tuple[float, ...]
    lr: float
    eps: float
    passes: tuple[Pass, ...]
    decay: float = 1.0


def apply_step(model: Perturbable, applied: Applied) -> None:
    """Does a step again: the same passes, so the same bits.

    Args:
      model: its parameters as they were before the step.
      applied: the step.
    """
    for seed, scale in applied.passes:
        model.perturb(seed, scale)
    if applied.decay != 1:
        model.decay(applied.decay)


def undo_step(model: Perturbable, applied: Applied) -> None:
    """Takes a step back, its last pass first. θ comes back within rounding.

    Raises:
      ZeroDivisionError: the decay left nothing to go back from.
    """
    if applied.decay != 1:
        model.decay(1 / applied.decay)
    for seed, scale in reversed(applied.passes):
        model.perturb(seed, -scale)


class Recorder:
    """Perturbable: passes everything on to a model, and notes it and the time it takes.

    The model gets the float32 values that are noted, so that doing a step again gives it the same.

    Attributes:
      seconds: of all passes, until it is set back.
    """

    def __init__(self, model: Perturbable):
        """Takes the model that holds the parameters."""
        self._model = model
        self._passes: list[Pass] = []
        self._factor = 1.0
        self.seconds = 0.0

    def end_step(self) -> tuple[tuple[Pass, ...], float]:
        """Returns the passes and the decay that were noted, and begins the next step."""
        noted = tuple(self._passes), self._factor
        self._passes, self._factor = [], 1.0
        return noted

    def perturb(self, seed: int, scale: float) -> None:
        """θ ← θ + scale · z(seed)."""
        assert self._factor == 1, "a step's decay comes after its passes"
        scale = float32(scale)
        self._passes.append(Pass(seed, scale))
        with self.timed():
            self._model.perturb(seed, scale)

    def decay(self, factor: float) -> None:
        """θ ← factor · θ for the parameters that decay; nothing where the factor rounds to 1."""
        assert self._factor == 1, "a step decays once"
        self._factor = float32(factor)
        if self._factor != 1:
            with self.timed():
                self._model.decay(self._factor)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the time of what is done within to `seconds`."""
        started = time.monotonic()
        yield
        self.seconds += time.monotonic() - started


def float32(value: float) -> float:
    """Returns the float32 nearest to a number, infinite beyond the largest."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))
