"""What counts as a run that cannot work: the bounds, and that nothing healthy comes near them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.runtime.health.choice import choice_warnings, dev_loss_warnings
from pocketllm.runtime.health.settings import (
    decay_warnings,
    flags_to_lower,
    settings_warnings,
    typical_size,
    update_size,
)
from pocketllm.runtime.health.steps import FIRST, Measured, StepWatch, highest_loss
from pocketllm.runtime.journal.lines import Evaluated
from pocketllm.runtime.optim.adam import AdamSettings
from pocketllm.runtime.optim.fzoo import FzooSettings
from pocketllm.runtime.optim.mezo import MezoSettings

EPS, TYPICAL = 1e-3, 0.03


def kinds(probes, lr=1e-6, eps=EPS, typical=TYPICAL):
    """Returns the kinds of warnings that (loss, half the difference) of the steps give."""
    watch = StepWatch(eps, typical)
    warnings = []
    for number, (loss, half) in enumerate(probes, 1):
        losses = (loss,) if eps is None else (loss + half, loss - half)
        warnings += watch.take(Measured(number, losses, lr))
    warnings += watch.finish()
    return {warning.kind for warning in warnings}


@steady
@given(st.data())
def test_no_run_whose_losses_a_probe_moves_and_that_stays_near_its_start_has_a_warning(data):
    start = data.draw(st.floats(0.3, 11))
    count = data.draw(st.integers(1, 60))
    loss = st.floats(1e-6, min(2 * start, start + 3))
    half = st.floats(1e-4, 0.05)  # a projected gradient of 0.1 to 50
    probes = [(start, data.draw(half)), *((data.draw(loss), data.draw(half)) for _ in range(count))]

    assert kinds(probes) == set()


def test_one_step_with_a_gradient_is_enough():
    assert kinds([(0.7, 0.0)] * FIRST) == {"no-gradient"}
    assert kinds([(0.7, 0.0)] * (FIRST - 1) + [(0.7, 1e-3)]) == set()
    assert kinds([(0.7, 1e-7)] * FIRST) == {"no-gradient"}
    assert kinds([(0.7, 1e-7)] * (FIRST - 1) + [(0.7, 1e-3)]) == set()


def test_later_steps_without_a_gradient_are_no_warning():
    assert kinds([(0.7, 1e-3)] * FIRST + [(0.7, 0.0)] * 100) == set()


@pytest.mark.parametrize(
    ("norms", "loss", "expected"),
    [
        ([1.0] + [0.0] * 5, 3.0, {"no-gradient"}),
        ([1.0] + [0.0] * 4 + [1e-9] + [0.0] * 4, 3.0, set()),
        ([0.0] * 30, 0.0, set()),  # all is learnt
        ([None] * 30, 3.0, set()),
    ],
    ids=["lost", "small", "learnt", "unknown"],
)
def test_a_gradient_that_stays_0_at_a_loss_that_is_not_is_a_warning(norms, loss, expected):
    watch, warnings = StepWatch(None, TYPICAL), []
    for number, norm in enumerate(norms, 1):
        warnings += watch.take(Measured(number, (loss,), 1e30, norm))
    assert {warning.kind for warning in warnings} == expected


@pytest.mark.parametrize("count", [2, 8])
def test_a_normalised_step_is_long_enough_whatever_its_losses_say(count):
    watch = StepWatch(EPS, TYPICAL, is_normalised=True)
    warnings = []
    for number in range(1, FIRST + 1):
        losses = tuple(0.7 + 1e-6 * i for i in range(count))
        warnings += watch.take(Measured(number, losses, 1e-10))
    assert warnings == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (MezoSettings(1e-3, EPS, 0.0, "constant", 5), None),
        (MezoSettings(1e-3, EPS, 0.0, "constant", 5, normalize=True), 1e-3),
        (FzooSettings(1e-3, EPS, 0.0, "constant", 5, directions=5, sides=1), 5e-4),
        (FzooSettings(1e-3, EPS, 0.0, "constant", 5, directions=4, sides=2), 5e-4),
        (AdamSettings(1e-3, 0.0, "constant", 5), 1e-3),
    ],
    ids=str,
)
def test_what_settings_say_of_the_size_of_an_update(settings, expected, golden_bundle):
    update = update_size(settings)
    assert update == pytest.approx(expected)
    small = [None, *settings_warnings(golden_bundle, 1e-12, EPS, TYPICAL, update and 1e-12)]
    assert [entry and entry.kind for entry in small[1:]] == ["nothing-moves"] * (update is not None)


def test_two_steps_say_nothing():
    assert kinds([(0.7, 0.0)] * 2) == set()
    assert kinds([(0.7, 0.0)] * 3) == {"no-gradient"}


@pytest.mark.parametrize(
    ("lr", "expected"), [(1e-6, set()), (1e-8, set()), (1e-10, {"nothing-moves"})]
)
def test_an_update_below_the_neighbours_of_parameters_moves_nothing(lr, expected):
    assert kinds([(0.7, 1e-3)] * FIRST, lr=lr) == expected  # a projected gradient of 1


def test_the_bound_of_movement_is_where_float32_stops_adding():
    values = np.full(1000, TYPICAL, np.float32)
    z = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    moved = {
        lr: np.mean(values + np.float32(lr) * z != values) for lr in (1e-10, 1e-8)
    }  # a projected gradient of 1

    assert moved[1e-10] == 0 and moved[1e-8] > 0.9


def test_parameters_that_are_all_zero_take_any_update():
    assert kinds([(0.7, 1e-3)] * FIRST, lr=1e-15, typical=0.0) == set()


@pytest.mark.parametrize(
    ("start", "bound"), [(0.0, 5), (0.1, 5), (0.69, 6.9), (3.0, 10), (10.8, 17.8)]
)
def test_a_loss_leaves_its_start_by_ten_times_or_seven_nats(start, bound):
    assert highest_loss(start) == pytest.approx(bound)
    steady_run = [(start, 1e-3)] * 10
    assert kinds([*steady_run, *[(bound * 0.99, 1e-3)] * 10]) == set()
    assert kinds([*steady_run, *[(bound * 1.01, 1e-3)] * 3]) == {"diverged"}
    assert kinds([*steady_run, *[(100.0, 1e-3)] * 2, *steady_run]) == set()  # outliers
    assert kinds([*steady_run, *[(bound * 1.01, 0)] * 3], eps=None) == {"diverged"}


def test_a_run_that_is_short_and_diverges_is_told_at_its_end():
    assert kinds([(0.7, 1e-3), (40.0, 1e-3), (80.0, 1e-3)]) == {"diverged"}


def test_a_dev_loss_leaves_its_start_too():
    def evaluated(*losses):
        return [Evaluated(8 * n, 0.5, loss, 10, "dev") for n, loss in enumerate(losses)]

    assert not list(dev_loss_warnings(evaluated(0.7, 2.0, 0.1)))
    (warning,) = dev_loss_warnings(evaluated(0.7, 2.0, 9.0, 12.0))
    assert warning.kind == "diverged" and "step 16: the dev loss went from 0.7 to 9" in warning.text


@pytest.mark.parametrize(
    ("last", "every", "evaluated", "count"),
    [(100, 0, [], 1), (100, 100, [0], 1), (100, 50, [], 0), (100, 0, [0, 40], 0), (1, 0, [], 0)],
)
def test_a_choice_needs_two_evaluated_steps_beside_the_untuned(last, every, evaluated, count):
    assert len(list(choice_warnings(last, every, evaluated))) == count


@pytest.mark.parametrize(
    ("lr", "eps", "base", "tune", "expected"),
    [
        (0, EPS, "fp32", "full", ["nothing-moves"]),
        (0, None, "fp32", "full", ["nothing-moves"]),
        (1e-12, None, "fp32", "full", ["nothing-moves"]),
        (1e-12, EPS, "fp32", "full", []),  # the projected gradient may be large
        (1e-6, None, "fp32", "full", []),
        (1e-6, 1e-9, "fp32", "full", ["no-gradient"]),
        (1e-6, 1e-8, "fp32", "full", []),
        (1e-6, 1e-4, "int8", "lora", ["no-gradient"]),
        (1e-6, 1e-3, "int8", "lora", []),
        (1e-6, 1e-4, "fp32", "lora", []),
        (1e-6, 1e-4, "int8", "head", []),  # its rows are no integers
    ],
)
def test_what_settings_alone_say(lr, eps, base, tune, expected, golden_bundle):
    bundle = replace(golden_bundle, base=base, tune=tune, default_eps=1e-2)
    update = lr if eps is None else None
    warnings = list(settings_warnings(bundle, lr, eps, TYPICAL, update))
    assert [warning.kind for warning in warnings] == expected


@pytest.mark.parametrize("kind", [MezoSettings, AdamSettings])
@pytest.mark.parametrize(
    ("lr", "weight_decay", "is_told"),
    [(1e-3, 999.0, False), (1e-3, 1000.0, True), (1.0, 1.0, True), (1e-6, 3e6, True),
     (0.0, 1e300, False), (1e300, 1e300, True), (1e-6, 0.1, False)],
)  # fmt: skip
def test_a_decay_that_leaves_no_parameter_its_sign(kind, lr, weight_decay, is_told):
    more = {"eps": EPS} if kind is MezoSettings else {}
    settings = kind(lr=lr, weight_decay=weight_decay, lr_schedule="linear", steps=5, **more)
    theta = np.float32(TYPICAL)
    assert not is_told or theta - np.float64(lr * weight_decay) * theta <= 0

    warnings = list(decay_warnings(settings))
    assert [warning.kind for warning in warnings] == ["decay"] * is_told
    assert all(f"--weight_decay={weight_decay:g} times" in warning.text for warning in warnings)
    lower = "--weight_decay" if is_told else "--lr or --eps" if more else "--lr"
    assert flags_to_lower(settings) == lower


def test_the_typical_parameter_is_the_bundles(golden_bundle, open_ready):
    model = open_ready(golden_bundle, "litert")
    sizes = np.concatenate([np.abs(values.ravel()) for _, values in model.read()])
    sizes = sizes[sizes > 0]

    low, high = np.quantile(sizes, [0.2, 0.8])
    assert low <= typical_size(golden_bundle) <= high
