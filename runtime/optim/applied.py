"""What a step did to the parameters: enough to do it again, or to take it back, without data.

A journal holds it of every step. Nothing here knows an optimizer.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from .. import contract
from .interface import Settings


class Perturbable(Protocol):
    """A model whose parameters θ can be moved along a direction z, and made smaller meanwhile."""

    def perturb(self, seed: int, scale: float, decay: float = 0.0, probe: float = 0.0) -> None:
        """θ ← θ + (scale · z − decay · (θ + probe · z)), z = z(seed).

        Biases and layer norms do not decay.
        """


class Pass(NamedTuple):
    """θ ← θ + scale · z(seed); the seed is an int32, the scale a float32."""

    seed: int
    scale: float


@dataclass(frozen=True, slots=True)
class Applied:
    """One step of a journalled run: its passes, in their order.

    Attributes:
      step: 1 for the first.
      losses: what the step measured, in its order (float64).
      lr: learning rate (float64).
      eps: size of the probe, in units of z (float64).
      passes: what was added to θ.
      decay: share that the last pass takes off the parameters that decay (float32), 0 where
        nothing decays. It is a share of θ as it was before the passes of that seed.
    """

    step: int
    losses: tuple[float, ...]
    lr: float
    eps: float
    passes: tuple[Pass, ...]
    decay: float = 0.0


def passes_called(settings: Settings) -> frozenset[str]:
    """Returns the signatures of the passes that steps with a run's settings make one by one."""
    decaying = {contract.PERTURB_AND_DECAY} if settings.weight_decay else set()
    return frozenset({contract.PERTURB_AND_UPDATE} | decaying)


def apply_step(model: Perturbable, applied: Applied) -> None:
    """Does a step again: the same passes, so the same bits.

    Args:
      model: its parameters as they were before the step.
      applied: the step.
    """
    if not applied.passes:
        return
    *passes, last = applied.passes
    for seed, scale in passes:
        model.perturb(seed, scale)
    _perturb(model, last, applied.decay, _probe(passes, last.seed))


def undo_step(model: Perturbable, applied: Applied) -> None:
    """Takes a step back, its last pass first. θ comes back within rounding.

    The last pass went from θ to (1 − decay) · θ + (scale − decay · probe) · z.

    Raises:
      ZeroDivisionError: the decay left nothing to go back from.
    """
    if not applied.passes:
        return
    *passes, (seed, scale) = applied.passes
    grown = -applied.decay / (1 - applied.decay)
    _perturb(model, Pass(seed, -scale), grown, _probe(passes, seed) - scale)
    for seed, scale in reversed(passes):
        model.perturb(seed, -scale)


def _perturb(model, last, decay, probe):
    """Makes a step's last pass; without a decay it is one like the others."""
    if decay:
        model.perturb(*last, decay, probe)
    else:
        model.perturb(*last)


def _probe(passes, seed):
    """Returns how far, in units of z(seed), θ before the passes lies from θ after them."""
    return -sum(scale for other, scale in passes if other == seed)


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
        self._decay = 0.0
        self.seconds = 0.0

    def end_step(self) -> tuple[tuple[Pass, ...], float]:
        """Returns the passes and the last one's decay, and begins the next step."""
        noted = tuple(self._passes), self._decay
        self._passes, self._decay = [], 0.0
        return noted

    def perturb(self, seed: int, scale: float, decay: float = 0.0, probe: float = 0.0) -> None:
        """θ ← θ + (scale · z − decay · (θ + probe · z)), z = z(seed).

        Only the last pass of a step may decay, and only θ as it was before the passes of its seed.
        """
        assert self._decay == 0, "the pass that decays is the last of a step"
        last, self._decay, probe = Pass(seed, float32(scale)), float32(decay), float32(probe)
        assert not self._decay or probe == _probe(self._passes, seed), "what decays is θ before"
        self._passes.append(last)
        with self.timed():
            _perturb(self._model, last, self._decay, probe)

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
