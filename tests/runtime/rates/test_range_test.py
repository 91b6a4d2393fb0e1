"""The range test of runs with gradients: rates that take a share of the loss off, and hold."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError, LossError
from pocketllm.runtime.optim.adam import AdamSettings
from pocketllm.runtime.rates.course import Course
from pocketllm.runtime.rates.gradients import STEP_CALLS, STEP_GAIN, choose_by_steps

pytest_plugins = ["runtime_fixtures"]
SETTINGS = AdamSettings(0.0, 0.1, "linear", 900, warmup_steps=20)


class Steep:
    """A loss that a step of Adam's first kind takes lr · slope off, up to where it turns up."""

    slope_of = None

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
        optimizer = SimpleNamespace(begin=self.begin, slope=self.slope_of)
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


class Grained(Steep):
    """The same, on integers: a step changes the loss by up to 1.5e-3 of it besides, either way."""

    def loss(self, batches):
        places = (0.0, 1.0, -1.0, 0.7, -0.2, 0.9)
        grain = 1.5e-3 * places[self.calls % len(places)] * self.start if self.moved else 0.0
        return super().loss(batches) + grain


@pytest.fixture
def integers(golden_bundle):
    """The committed bundle, were its base int8."""
    return replace(golden_bundle, base=contract.INT8)


def test_rounding_of_integers_is_no_gain_of_a_first_step(integers, train_data):
    choice = Grained(integers, slope=0.5).choose(train_data)  # 2.5e-5 of the loss at 1e-4

    assert choice.chosen["lr"] == pytest.approx(STEP_GAIN * 2.0 / 0.5, rel=0.4)


def test_no_rate_is_chosen_where_rounding_alone_changes_the_loss(integers, train_data):
    with pytest.raises(InputError, match=r"^--lr=auto: steps at 0\.0001 to .* do not lower the"):
        Grained(integers, slope=0.0).choose(train_data)


def test_a_step_along_the_gradient_takes_its_rate_from_the_norm(integers, train_data):
    model = Grained(integers, slope=0.5)
    model.slope_of = lambda line: model.slope
    choice = model.choose(train_data)

    assert choice.chosen["lr"] == pytest.approx(STEP_GAIN * 2.0 / 0.5, rel=0.06)
    assert [tried["lr"] for tried in choice.measured["rates"]] == [pytest.approx(0.16)]
    assert choice.measured["calls"] == model.calls <= 0.05 * choice.measured["run_calls"]


def test_a_gradient_of_0_is_said(golden_bundle, train_data):
    model = Steep(golden_bundle, slope=1.0)
    model.slope_of = lambda line: 0.0

    with pytest.raises(InputError, match=r"^--lr=auto: the gradient is 0"):
        model.choose(train_data)


def test_the_line_says_what_the_chosen_rates_steps_did(golden_bundle, train_data):
    model = Steep(golden_bundle, slope=10.0, turns=0.001)  # a tenth of the first rate holds
    choice = model.choose(train_data)
    last = choice.measured["rates"][-1]

    assert choice.chosen["lr"] == pytest.approx(last["lr"], rel=0.06)
    assert f"measured: at {last['lr']:.2g} {last['steps']} step" in choice.line
    assert f"from 2 to {last['loss']:.3g} (" in choice.line


def test_a_rate_of_which_no_steps_hold_is_refused(golden_bundle, train_data):
    class Closed(Steep):
        """A loss that only a first step of a trial lowers."""

        def loss(self, batches):
            value = super().loss(batches)
            return value if len(self.settings) <= 1 else self.start

    with pytest.raises(InputError, match=r"^--lr=auto: steps at \S+ to \S+ do not lower the loss"):
        Closed(golden_bundle, slope=10.0).choose(train_data)


@pytest.mark.parametrize("steps", [280, 400, 1000])
@pytest.mark.parametrize(("slope", "trials"), [(10.0, 1), (1e5, 3)])
def test_rates_that_do_not_hold_take_no_more_than_a_twentieth_of_the_run(
    slope, trials, steps, golden_bundle, train_data
):
    class Deaf(Steep):
        """A loss that no step changes behind the first trials, which seek its first rate."""

        def loss(self, batches):
            value = super().loss(batches)
            return value if len(self.settings) <= trials else self.start

    model = Deaf(golden_bundle, slope=slope, turns=10 / slope)
    with pytest.raises(InputError, match=r"^--lr=auto: steps at \S+ to \S+ do not lower the loss"):
        model.choose(train_data, steps=steps)
    assert len(model.settings) > 4
    assert model.calls <= 0.05 * steps * STEP_CALLS


@pytest.mark.parametrize("start", [math.nan, 0.0])
def test_a_loss_that_is_nothing_to_lower_is_said(start, golden_bundle, train_data):
    with pytest.raises(LossError, match="which no step can lower"):
        Steep(golden_bundle, slope=1.0, start=start).choose(train_data)
