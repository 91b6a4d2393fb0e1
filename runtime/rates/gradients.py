"""The learning rate of a run with gradients: a short range test of its own optimizer's steps.

A first step says which share of the loss a rate takes off, and so which rate takes STEP_GAIN off;
of a step along the gradient the gradient's norm says it. Steps at that rate, from the same
parameters, then show whether it holds.
"""

import math
from collections.abc import Callable
from dataclasses import fields, replace

from .. import contract
from ..data.dataset import Dataset, batches_of
from ..data.order import step_members
from ..engine.model import Model
from ..errors import InputError, LossError
from ..optim.interface import Minibatch, Optimizer, Settings
from .course import Course
from .plan import LEAST_ROWS, Plan, allowed_calls
from .predicted import length_share
from .record import Choice

STEP_GAIN = 0.04  # share of the loss that a first step takes off
LINEAR = 10 * STEP_GAIN  # up to which a first step's gain is in proportion to its rate
# Share of the loss that a step must change to say anything. On integers, steps too small to do
# anything change 8 rows' loss by up to 1.8e-3 of it (roberta-micro, LoRA on int8).
RESOLVED, RESOLVED_OF_INTEGERS = 1e-4, 3e-3
FIRST_RATE, DECADE, APART = 1e-4, 10.0, math.sqrt(10)
FALL = 0.5  # power of the steps with which the rate of a long run falls
STEP_CALLS = 3  # forward passes that a gradient counts
ONE_STEP = STEP_CALLS + 1  # of a step and the loss behind it
MOST_STEPS, TRIES = 4, 4


def plan_steps(course: Course, data: Dataset, batch_rows: int) -> Plan:
    """Returns how much is measured before a run; `probes` is the number of steps at a rate."""
    batches = course.batches(batch_rows)
    run_calls = course.steps * batches * STEP_CALLS
    rows = min(len(data.examples), course.batch_size, max(batch_rows, LEAST_ROWS))
    measured = -(-rows // batch_rows)
    first = 1 + ONE_STEP
    steps = _affordable(allowed_calls(run_calls) // measured - first, MOST_STEPS)
    return Plan(rows, 1, steps, measured * (first + STEP_CALLS * steps + 1), run_calls)


def choose_by_steps(
    optimizer: Optimizer,
    settings: Settings,
    course: Course,
    *,
    model: Model,
    data: Dataset,
    progress: Callable[[int], None] = lambda calls: None,
) -> Choice:
    """Tries rates; arguments and errors as `choose.choose`."""
    plan = plan_steps(course, data, model.bundle.batch_size)
    members = step_members(len(data.examples), plan.rows, course.seed, 1)
    trial = _Trial(optimizer, settings, model, batches_of(data, model.bundle, members), progress)
    first = _rate_of_first_step(trial)
    rate, gain = _rate_that_holds(trial, first, plan)
    lr = float(f"{rate * length_share(course.steps, fall=FALL):.1e}")
    figures = {
        "rows": plan.rows,
        "steps": trial.tried[-1]["steps"],
        "loss": trial.start,
        "rates": trial.tried,
        "calls": trial.calls,
        "run_calls": plan.run_calls,
    }
    share, after = 100 * trial.calls / plan.run_calls, trial.start * (1 - gain)
    count = figures["steps"]
    steps = "1 step takes" if count == 1 else f"{count} steps take"
    line = (
        f"lr {lr:.3g}, measured: at {rate:.2g} {steps} the loss on {plan.rows} rows from "
        f"{trial.start:.3g} to {after:.3g} ({share:.1f}% of the run's forward passes)"
    )
    return Choice({"lr": lr}, figures, line)


def _affordable(calls, most):
    """Returns the steps of a trial for which forward passes of each batch suffice, 1 to `most`."""
    return max(1, min((calls - 1) // STEP_CALLS, most))


def _rate_of_first_step(trial):
    """Returns the rate whose first step takes STEP_GAIN off the loss.

    Raises:
      InputError: no step changes the loss.
      LossError: the gradient is not finite.
    """
    if trial.slope_of:
        slope = trial.slope_of(trial.step(FIRST_RATE))
        if slope > 0:
            return STEP_GAIN * trial.start / slope
        raise InputError("--lr=auto: the gradient is 0, which no step follows; check the data")
    rate, small, large = FIRST_RATE, 0.0, math.inf  # what changes nothing, what is too far
    for _ in range(TRIES):
        gain = trial.gain(rate, 1)
        if trial.resolved < gain < LINEAR:
            return rate * STEP_GAIN / gain
        if abs(gain) <= trial.resolved:
            small = rate
        else:
            large = rate
        is_between = small > 0 and large < math.inf
        rate = math.sqrt(small * large) if is_between else small * DECADE or large / DECADE
    raise _without_rate(trial)


def _rate_that_holds(trial, first, plan):
    """Returns (the largest rate from `first` down whose steps lower the loss, their gain).

    A trial behind the first has fewer steps where the share of the run does not suffice for all.

    Raises:
      InputError: none of TRIES does.
    """
    rate, steps = first, plan.probes
    for left in reversed(range(TRIES)):
        gain = trial.gain(rate, steps)
        # Half of what one step at this rate promises, if that can be told.
        if gain >= max(STEP_GAIN / 2 * rate / first, trial.resolved):
            return rate, gain
        rate /= APART
        unspent = (allowed_calls(plan.run_calls) - trial.calls) // trial.batches
        steps = _affordable(unspent - ONE_STEP * (left - 1), plan.probes)
    raise _without_rate(trial)


def _without_rate(trial):
    rates = [tried["lr"] for tried in trial.tried]
    return InputError(
        f"--lr=auto: steps at {min(rates):.2g} to {max(rates):.2g} do not lower the loss of "
        f"{trial.start:.3g}; give --lr a number"
    )


class _Trial:
    """Steps from the bundle's parameters.

    Attributes:
      start: loss of the rows there.
      tried: {"lr", "steps", "loss"} of each trial, for JSON.
      batches: number of the rows' batches.
      calls: forward passes so far, a gradient counts STEP_CALLS.
      resolved: share of the loss below which a change says nothing.
      slope_of: (a step's line) -> what a rate of 1 would take off the loss; None where that is not
        known.
    """

    def __init__(self, optimizer, settings, model, batches, progress):
        self._optimizer, self._settings, self._model = optimizer, settings, model
        self._batches, self._progress = batches, progress
        self.batches = len(batches)
        self.calls, self.tried = 0, []
        is_fine = model.bundle.base == contract.FP32
        self.resolved = RESOLVED if is_fine else RESOLVED_OF_INTEGERS
        self.slope_of = optimizer.slope
        self.start = self._loss()
        if not (math.isfinite(self.start) and self.start > 0):
            raise LossError(
                f"the loss of the first {len(batches)} batches is {self.start:g}, which no step "
                "can lower; check the data, or give --lr a number"
            )

    def step(self, rate):
        """Returns the line of a first step at a rate."""
        line = self._taking(rate, 1)(Minibatch(1, 0, self._batches, self._loss))
        self._count(STEP_CALLS)
        return line

    def gain(self, rate, steps):
        """Returns the share of the loss that steps at a rate take off; below 0: it rose."""
        take, loss = self._taking(rate, steps), math.inf
        try:
            for number in range(1, steps + 1):
                take(Minibatch(number, 0, self._batches, self._loss))
                self._count(STEP_CALLS)
            loss = self._loss()
        except LossError:
            pass  # what went away is no rate
        if not math.isfinite(loss):
            loss = math.inf
        self.tried.append({"lr": rate, "steps": steps, "loss": loss if loss < math.inf else None})
        return (self.start - loss) / self.start

    def _taking(self, rate, steps):
        """Returns what takes steps at a rate, from the bundle's parameters."""
        self._model.initialize()
        return self._optimizer.begin(self._model, self._at(rate, steps), ())

    def _at(self, rate, steps):
        """Returns the run's settings for steps at a rate alone."""
        changes = {"lr": rate, "steps": steps, "lr_schedule": "constant", "weight_decay": 0.0}
        if "warmup_steps" in {field.name for field in fields(self._settings)}:
            changes["warmup_steps"] = 0
        return replace(self._settings, **changes)

    def _loss(self):
        loss = self._model.loss(self._batches)
        self._count(1)
        return loss

    def _count(self, calls):
        self.calls += calls * len(self._batches)
        self._progress(calls * len(self._batches))
