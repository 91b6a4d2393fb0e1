"""What weight decay takes off θ at a step whose last noise pass does it."""

from bisect import bisect_left
from typing import Protocol

from .schedule import Scheduled, learning_rate, total_rate

# 8 to 16 ulps of θ: what a pass rounds is a few percent of that for a value, nothing on average.
# A smaller share vanishes beside eps · z, which has an ulp of its own.
SHARE = 2.0**-20


class Decaying(Scheduled, Protocol):
    """What a decay needs of a run's settings."""

    @property
    def weight_decay(self) -> float: ...


def decay_share(settings: Decaying, step: int) -> float:
    """Returns the share of θ that a step takes off, float64; 0 at a step that takes nothing.

    It is lr · weight_decay. Where that is less than SHARE, it is put by and taken off together as
    often as the sum of all steps' decays passes a multiple of SHARE, and at the run's last step.
    """
    if not settings.weight_decay:
        return 0.0

    def accrued(number):
        return total_rate(settings, number) * settings.weight_decay

    def multiples(number):
        return accrued(number) // SHARE

    before = multiples(step - 1)
    if multiples(step) == before and step != settings.steps:
        return 0.0
    # The step that took off last: the first of those that passed as many multiples.
    last = bisect_left(range(step), before, key=multiples)
    if last == step - 1:
        return learning_rate(settings, step) * settings.weight_decay
    return accrued(step) - accrued(last)
