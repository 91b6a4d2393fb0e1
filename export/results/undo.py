"""Runs a journalled run backwards: how many digits of its values rounding has taken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime.bundle.manifest import read_initial
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.optim.applied import Applied, undo_step
from pocketllm.runtime.run.replay import replay


@dataclass(frozen=True)
class Undone:
    """Largest distances of a parameter's value from its initial one.

    Attributes:
      moved: after the run.
      left: after the run and back.
      largest_value: the largest of the initial values.
    """

    moved: float
    left: float
    largest_value: float


def undo(
    model: Model,
    steps: Sequence[Applied],
    progress: Callable[[int], None] = lambda done: None,
) -> Undone:
    """Takes back the steps that brought a model here, the last first.

    Raises:
      InputError: the weight decay of a step left nothing.
    """
    if any(step.decay == 1 for step in steps):
        raise InputError("--undo: a step's weight decay left nothing of the values to go back to")
    moved, largest = _distance(model)
    replay(model, steps[::-1], progress, take=undo_step)
    return Undone(moved, _distance(model)[0], largest)


def _distance(model):
    """Returns (largest change since the start, largest value at the start)."""
    variables = {v.name: v for v in model.bundle.variables}
    changed = largest = 0.0
    for name, values in model.read():
        initial = read_initial(model.bundle, variables[name])
        changed = max(changed, float(np.abs(values - initial).max()))
        largest = max(largest, float(np.abs(initial).max()))
    return changed, largest
