"""A model whose Adam steps are stood in for by steps along the noise.

The committed bundle has no gradients. A test module that wants the fixture says
`pytest_plugins = ["adam_stand_in"]`.
"""

import math
from dataclasses import replace

import pytest

from pocketllm.runtime.engine.model import Model


class StandIn(Model):
    """Takes a step of `lr` along z(step); a step of `ruin` leads to where no loss is finite."""

    def __init__(self, model, ruin=None):
        super().__init__(replace(model.bundle, optimizers=("mezo", "adam")), model.engine)
        self.calls, self._ruin = [], ruin

    def initialize_adam(self):
        self.calls.append("initialize")

    def adam_step(self, batch, step, lr, factor):
        self.calls.append((batch, step, lr, factor))
        loss = self.loss([batch])
        self.perturb(step, math.inf if step == self._ruin else lr)
        self.decay(factor)
        return loss


@pytest.fixture
def ready(golden_bundle, open_ready):
    """Opens a fresh stand-in: ready(engine, ruin=None)."""
    return lambda engine="litert", ruin=None: StandIn(open_ready(golden_bundle, engine), ruin)
