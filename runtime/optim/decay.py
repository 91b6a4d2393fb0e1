"""What weight decay takes off θ at each step: lr · weight_decay, small ones added up.

float32 does not resolve a small share of θ, so it is put by until the sum of all steps' does. That
follows from the settings and the step's number alone, so a run that goes on needs nothing kept.
"""

from bisect import bisect_left
from typing import Protocol

import numpy as np

from .schedule import Scheduled, learning_rate, total_rate

# 8 to 16 ulps of θ: what a pass rounds is a few percent of that for a value, nothing on average.
# A smaller share vanishes beside eps · z, which has an ulp of its own.
SHARE = 2.0**-20
# 1 minus a multiple of it is exact in float32, which cannot tell 1 - 2e-8 from 1.
FACTOR_SHARE = 2.0**-22


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

    def multiples(number):
        return _total_decay(settings, number) // SHARE

    before = multiples(step - 1)
    if multiples(step) == before and step != settings.steps:
        return 0.0
    # The step that took off last: the first of those that passed as many multiples.
    last = bisect_left(range(step), before, key=multiples)
    if last == step - 1:
        return learning_rate(settings, step) * settings.weight_decay
    return _total_decay(settings, step) - _total_decay(settings, last)


def decay_factor(settings: Decaying, step: int) -> float:
    """Returns what a step multiplies the parameters that decay by, exact in float32.

    All decay up to a step is rounded to a multiple of FACTOR_SHARE, and the step takes what the
    steps before have not.
    """

    def multiples(number):
        return float(np.rint(_total_decay(settings, number) / FACTOR_SHARE))  # may be infinite

    return 1 - (multiples(step) - multiples(step - 1)) * FACTOR_SHARE


def _total_decay(settings, step):
    """Returns the sum of lr · weight_decay over steps 1 to `step`."""
    return total_rate(settings, step) * settings.weight_decay
