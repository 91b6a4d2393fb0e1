"""A loss of few parameters, in NumPy, that stands in for a model; settings of steps on it."""

from collections import Counter

import numpy as np

from pocketllm.runtime.optim.fzoo import FzooSettings


class Function:
    """A loss of θ; the first value decays, the others do not. Counts what is asked of it."""

    def __init__(self, theta, loss=lambda theta: theta @ theta / 2, dtype=np.float64):
        self.theta = np.array(theta, dtype)
        self._loss = loss
        self.calls = Counter()
        self.passes = []

    def z(self, seed):
        z = np.random.default_rng(seed % 2**32).standard_normal(self.theta.size)
        return z.astype(self.theta.dtype)

    def perturb(self, seed, scale, decay=0.0, probe=0.0):
        self.passes.append((seed, scale, decay, probe))
        scale, decay, probe = map(self.theta.dtype.type, (scale, decay, probe))
        z = self.z(seed)
        moved = scale * z
        moved[0] -= decay * (self.theta[0] + probe * z[0])
        self.theta += moved

    def loss(self):
        self.calls["loss"] += 1
        return float(self._loss(self.theta))


def fzoo_settings(**changes) -> FzooSettings:
    """Returns settings of a short run of four directions on one side."""
    values = {
        "lr": 0.1, "eps": 1e-4, "weight_decay": 0.0, "lr_schedule": "constant", "steps": 4,
        "directions": 4, "sides": 1,
    }  # fmt: skip
    return FzooSettings(**values | changes)
