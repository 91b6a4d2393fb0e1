"""The range test of runs with gradients: rates that take a share of the loss off, and hold."""

import math
from types import SimpleNamespace

import pytest

from pocketllm.runtime.errors import InputError, LossError
from pocketllm.runtime.optim.adam import AdamSettings
from pocketllm.runtime.rates.course import Course
from pocketllm.runtime.rates.gradients import STEP_CALLS, STEP_GAIN, choose_by_steps

pytest_plugins = ["runtime_fixtures"]
SETTINGS = AdamSettings(0.0, 0.1, "linear", 900, warmup_steps=20)


class Steep:
    """A loss that a step of Adam's first kind takes lr · slope off, up to where it turns up."""

    def __init__(self, bundle, *, slope, turns=math.inf, start=2.0):
        self.bundle, self.slope, self.turns, self.start = bundle, slope, turns, start
        self.settings, self.calls = [], 0
        self.initialize()

    def initialize(self):
        self.moved = 0.0

    def loss(self, batches):
        self.calls += len(batches)
        if self.moved > self.turns:
            return math.nan
        return self.start - self.slope * self.moved

    def begin(self, model, settings, before):
        assert before == () and self.moved == 0
        self.settings.append(settings)

        def take(minibatch):
            self.calls += STEP_CALLS * len(minibatch.batches)
            self.moved += settings.lr

        return take

    def choose(self, data, steps=100, batch_size=3):
        optimizer = SimpleNamespace(begin=self.begin)
        course = Course(batch_size, steps, 0, None, None)
        return choose_by_steps(optimizer, SETTINGS, course, model=self, data=data)


@pytest.mark.parametrize("slope", [0.3, 10.0, 300.0])
def test_the_rates_first_step_takes_its_share_off_the_loss(slope, golden_bundle, train_data):
    model = Steep(golden_bundle, slope=slope)
    choice = model.choose(train_data)

    assert choice.chosen["lr"] == pytest.approx(STEP_GAIN * model.start / slope, rel=0.06)
    assert choice.line.startswith(f"lr {choice.chosen['lr']:.3g}, measured: ")
    assert choice.measured["calls"] == model.calls
    plain = {(s.lr_schedule, s.weight_decay, s.warmup_steps) for s in model.settings}
    assert plain == {("constant", 0.0, 0)}


def test_a_longer_run_takes_a_smaller_rate_and_tries_more_steps(golden_bundle, train_data):
    short, long = (
        Steep(golden_bundle, slope=10.0).choose(train_data, steps) for steps in (100, 1000)
    )

    assert long.chosen["lr"] == pytest.approx(short.chosen["lr"] / 10**0.5, rel=0.06)
    assert long.measured["steps"] == 4 > short.measured["steps"]


def test_a_rate_that_does_not_hold_gives_way_to_a_smaller_one(golden_bundle, train_data):
    model = Steep(golden_bundle, slope=10.0, turns=0.01)  # two steps of 0.008 are too far
    choice = model.choose(train_data, steps=1000)

    assert choice.chosen["lr"] < 0.008 / 3
    assert None in [trial["loss"] for trial in choice.measured["rates"]]


def test_a_first_rate_that_is_far_too_large_gives_way(golden_bundle, train_data):
    model = Steep(golden_bundle, slope=1e5, turns=1e-5)

    assert model.choose(train_data).chosen["lr"] == pytest.approx(8e-7, rel=0.1)


def test_a_loss_that_no_step_changes_is_refused(golden_bundle, train_data):
    with pytest.raises(InputError, match=r"^--lr=auto: steps .* do not lower the loss of 2; give"):
        Steep(golden_bundle, slope=0.0).choose(train_data)


@pytest.mark.parametrize("start", [math.nan, 0.0])
def test_a_loss_that_is_nothing_to_lower_is_said(start, golden_bundle, train_data):
    with pytest.raises(LossError, match="which no step can lower"):
        Steep(golden_bundle, slope=1.0, start=start).choose(train_data)
