"""One Adam step: what it asks of the model, and what it records."""

import math

import pytest

from pocketllm.runtime.errors import LossError
from pocketllm.runtime.optim.adam import AdamSettings, AdamStep, adam_step
from pocketllm.runtime.optim.decay import FACTOR_SHARE


class Canned:
    """A model that answers with a loss and notes what it was asked."""

    def __init__(self, loss):
        self.loss, self.calls = loss, []

    def adam_step(self, batch, step, lr, factor):
        self.calls.append((batch, step, lr, factor))
        return self.loss


def hyperparameters(**changes):
    values = {"lr": 0.8, "weight_decay": 0.0, "lr_schedule": "constant", "steps": 4}
    return AdamSettings(**values | changes)


def test_a_step_is_one_call_and_its_record_holds_the_loss_before():
    model = Canned(0.625)

    step = adam_step(model, "batch", 3, hyperparameters())

    assert model.calls == [("batch", 3, 0.8, 1.0)]
    assert step == AdamStep(step=3, loss=0.625, lr=0.8)


def test_decay_and_recorded_rate_follow_the_schedule():
    model, settings = Canned(0.5), hyperparameters(lr_schedule="linear", weight_decay=0.5)

    rates = [adam_step(model, "batch", step, settings).lr for step in (1, 2, 3, 4)]

    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2], abs=1e-15)
    assert [lr for _, _, lr, _ in model.calls] == rates
    factors = [factor for *_, factor in model.calls]
    assert factors == pytest.approx([0.6, 0.7, 0.8, 0.9], abs=FACTOR_SHARE)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_named_with_its_step(loss):
    with pytest.raises(LossError, match=rf"^step 12: the loss is not finite \({loss:g}\)$"):
        adam_step(Canned(loss), "batch", 12, hyperparameters())
