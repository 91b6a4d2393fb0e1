"""Choosing the settings that a run leaves to measurement, whichever optimizer it has."""

from collections.abc import Callable
from dataclasses import asdict

from ..data.dataset import Dataset
from ..engine.model import Model
from ..optim.interface import Optimizer, Settings
from .course import Course
from .gradients import choose_by_steps, plan_steps
from .plan import Plan
from .record import Choice
from .slopes import choose_by_slopes, plan_slopes


def plan_for(
    optimizer: Optimizer, settings: Settings, course: Course, data: Dataset, batch_rows: int
) -> Plan:
    """Returns what is measured before a run; arguments as `choose`, B of a forward signature."""
    if optimizer.probing is None:
        return plan_steps(course, data, batch_rows)
    return plan_slopes(course, data, batch_rows, optimizer.probing(asdict(settings)))


def choose(
    optimizer: Optimizer,
    settings: Settings,
    course: Course,
    *,
    model: Model,
    data: Dataset,
    progress: Callable[[int], None] = lambda calls: None,
) -> Choice:
    """Measures, and chooses what the course leaves open.

    Args:
      optimizer: of the run.
      settings: of the run; those that are open have any value.
      course: the run.
      model: at its initial values, which are to be set again behind this.
      data: of the run.
      progress: told the calls of a signature done.

    Raises:
      InputError: nothing can be measured with these settings.
      LossError: a loss is not finite.
    """
    if optimizer.probing is None:
        return choose_by_steps(
            optimizer, settings, course, model=model, data=data, progress=progress
        )
    probing = optimizer.probing(asdict(settings))
    return choose_by_slopes(model, data, course, probing, progress=progress)
