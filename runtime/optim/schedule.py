"""The learning rate over the steps of a run, the same for every optimizer."""

import math
from typing import Protocol

SCHEDULES = ("constant", "linear", "cosine")


class Scheduled(Protocol):
    """What a schedule needs of a run's settings; some have `warmup_steps` too."""

    @property
    def lr(self) -> float: ...

    @property
    def lr_schedule(self) -> str: ...

    @property
    def steps(self) -> int: ...


def learning_rate(settings: Scheduled, step: int) -> float:
    """Returns the learning rate of step 1, 2, …: rising in the warm-up, then as the schedule says.

    That is constant, or falls to 0 after the last step, along a line or half a cosine's wave.
    """
    warmup = _warmup(settings)
    if step <= warmup:
        return settings.lr * (step / warmup)
    falling, before = _falling(settings), step - 1 - warmup
    if settings.lr_schedule == "linear":
        return settings.lr * max(0.0, 1 - before / falling)
    if settings.lr_schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, before / falling)))
    return settings.lr


def total_rate(settings: Scheduled, step: int) -> float:
    """Returns the sum of the learning rates of steps 1 to `step`, 0 for none."""
    warmup = _warmup(settings)
    rising = min(step, warmup)
    risen = settings.lr * rising * (rising + 1) / (2 * warmup) if warmup else 0.0
    later, falling = max(0, step - warmup), _falling(settings)
    counted = min(later, falling)
    if settings.lr_schedule == "linear":
        return risen + settings.lr * (counted - counted * (counted - 1) / (2 * falling))
    if settings.lr_schedule == "cosine":
        # Of cos(k a), k from 0 to n - 1: sin(n a / 2) cos((n - 1) a / 2) / sin(a / 2).
        half = math.pi / (2 * falling)
        waves = math.sin(counted * half) * math.cos((counted - 1) * half) / math.sin(half)
        return risen + settings.lr * 0.5 * (counted + waves)
    return risen + settings.lr * later


def _warmup(settings):
    return getattr(settings, "warmup_steps", 0)


def _falling(settings):
    """Returns the number of steps behind the warm-up, at least 1."""
    return max(1, settings.steps - _warmup(settings))
