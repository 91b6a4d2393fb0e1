"""The learning rate over the steps of a run, the same for every optimizer."""

from typing import Protocol

SCHEDULES = ("constant", "linear")


class Scheduled(Protocol):
    """What a schedule needs of a run's settings."""

    @property
    def lr(self) -> float: ...

    @property
    def lr_schedule(self) -> str: ...

    @property
    def steps(self) -> int: ...


def learning_rate(settings: Scheduled, step: int) -> float:
    """Returns the learning rate of step 1, 2, …: constant, or falling to 0 after the last."""
    if settings.lr_schedule == "linear":
        return settings.lr * max(0.0, 1 - (step - 1) / settings.steps)
    return settings.lr


def total_rate(settings: Scheduled, step: int) -> float:
    """Returns the sum of the learning rates of steps 1 to `step`, 0 for none."""
    if settings.lr_schedule == "linear":
        counted = min(step, settings.steps)
        return settings.lr * (counted - counted * (counted - 1) / (2 * settings.steps))
    return settings.lr * step
