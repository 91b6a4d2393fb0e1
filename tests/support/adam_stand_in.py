"""A model whose Adam steps are stood in for by steps along the noise.

The committed bundle has no gradients. A test module that wants the fixture says
`pytest_plugins = ["adam_stand_in"]`.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from pocketllm.runtime.engine.model import Model

MOMENTS = {"adam/m/all": ["float32", [2]]}  # (mean of the last losses, number of steps)


class StandIn(Model):
    """Takes a step along z(step), as long as its moments say; a step of `ruin` leads to where no
    loss is finite."""

    def __init__(self, model, ruin=None):
        transfers = {
            "adam_read_0": {"inputs": {}, "outputs": MOMENTS},
            "adam_write_0": {"inputs": MOMENTS, "outputs": {}},
        }
        bundle = model.bundle
        super().__init__(
            replace(bundle, optimizers=("mezo", "adam"), signatures=bundle.signatures | transfers),
            model.engine,
        )
        self.calls, self._ruin = [], ruin

    def initialize_adam(self):
        self.calls.append("initialize")
        self._moments = np.zeros(2, np.float32)

    def read_moments(self):
        yield "adam/m/all", self._moments.copy()

    def write_moments(self, values):
        self._moments = values["adam/m/all"].copy()

    def adam_step(self, batch, step, lr, factor):
        self.calls.append((batch, step, lr, factor))
        loss = self.loss([batch])
        self._moments[:] = (self._moments[0] + loss) / 2, self._moments[1] + 1
        assert self._moments[1] == step, "the moments are those of the step before"
        self.perturb(step, math.inf if step == self._ruin else lr * float(self._moments[0]))
        self.decay(factor)
        return loss


@pytest.fixture
def ready(golden_bundle, open_ready):
    """Opens a fresh stand-in: ready(engine, ruin=None)."""
    return lambda engine="litert", ruin=None: StandIn(open_ready(golden_bundle, engine), ruin)
