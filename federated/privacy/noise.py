"""Bounds, noise and the grid. Nothing random here follows from a seed: the system gives it."""

import math
import random
from collections.abc import Sequence

import numpy as np

from .plan import GRID

# os.urandom behind it: the run's own seed is public
RANDOM = random.SystemRandom()


def bounded(slopes: np.ndarray, clip: float) -> np.ndarray:
    """Returns projected gradients of examples within ±clip; 0 for what is no number."""
    return np.clip(np.nan_to_num(slopes, nan=0.0), -clip, clip)


def bounded_vector(slopes: Sequence[float], clip: float) -> tuple[float, ...]:
    """Returns projected gradients with an L2 norm of at most `clip`, on the grid; 0 for no number.

    They are rounded towards 0, so that the norm stays below the bound.
    """
    values = np.nan_to_num(np.asarray(slopes, np.float64), nan=0.0, posinf=1e300, neginf=-1e300)
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0:
        return (0.0,) * len(slopes)
    shape = values / largest  # its square does not overflow
    norm = float(np.linalg.norm(shape))
    scale = min(largest, clip / norm)
    return tuple((np.trunc(shape * (scale / clip) * GRID) * (clip / GRID)).tolist())


def noised(value: float, std: float, clip: float) -> float:
    """Returns a number with Gaussian noise, rounded to the grid of `clip` / GRID.

    The low bits of a float of noise would tell of the number under it; the grid takes them.

    Args:
      value: to hide.
      std: standard deviation of the noise.
      clip: of the plan.
    """
    step = clip / GRID
    return round((value + RANDOM.normalvariate(0.0, std)) / step) * step


def sampled(count: int, rate: float) -> list[int]:
    """Returns those of `count` positions that are drawn, each by itself, with chance `rate`."""
    return [place for place in range(count) if RANDOM.random() < rate]


def mean_with_noise(values: Sequence[float], members: float, std: float, clip: float) -> float:
    """Returns Σ values / members with noise of a standard deviation on the sum, on the grid."""
    return noised(math.fsum(values) / members, std / members, clip)
