"""Steps along several directions, and normalised ones: done again, taken back, continued."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_function import Function, fzoo_settings
from small_runs import steady

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal.records import MOST_LOSSES, MOST_PASSES
from pocketllm.runtime.optim.applied import Applied, Recorder, apply_step, undo_step
from pocketllm.runtime.optim.fzoo import MOST_DIRECTIONS
from pocketllm.runtime.optim.interface import Minibatch
from pocketllm.runtime.optim.mezo import MezoSettings
from pocketllm.runtime.optim.table import optimizer_of

SEED = 7


def applied_steps(model, chosen, count=3):
    """Takes steps on a model; returns what they applied."""
    recorder, applied = Recorder(model), []
    take = optimizer_of(chosen).begin(recorder, chosen, ())
    for number in range(1, count + 1):
        result = take(Minibatch(number, SEED * number, (), model.loss))
        passes, decay = recorder.end_step()
        applied.append(Applied(number, result.losses, result.lr, chosen.eps, passes, decay))
    return applied


# Below 10, where the decay of 0.1 takes all of θ: nothing takes such a step back.
rates = st.floats(0, 9.875, width=32)
many = st.builds(
    fzoo_settings,
    lr=rates,
    eps=st.floats(1e-3, 1),
    weight_decay=st.sampled_from([0.0, 1e-6, 0.1]),
    lr_schedule=st.sampled_from(["constant", "linear"]),
    directions=st.integers(2, 9),
    sides=st.sampled_from([1, 2]),
)
normalised_mezo = st.builds(
    MezoSettings,
    lr=rates,
    eps=st.floats(1e-3, 1),
    weight_decay=st.sampled_from([0.0, 1e-6, 0.1]),
    lr_schedule=st.sampled_from(["constant", "linear"]),
    steps=st.just(4),
    normalize=st.just(True),
)
thetas = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=6)


@steady
@given(thetas, many | normalised_mezo)
def test_replaying_makes_the_same_passes_and_the_same_bits(theta, chosen):
    trained, replayed = (Function(theta, dtype=np.float32) for _ in range(2))

    for applied in applied_steps(trained, chosen):
        apply_step(replayed, applied)

    assert replayed.passes == trained.passes
    assert replayed.theta.tobytes() == trained.theta.tobytes()


@steady
@given(thetas, many | normalised_mezo)
def test_undoing_makes_the_passes_the_other_way_round(theta, chosen):
    model = Function(theta)
    start = model.theta.copy()
    applied = applied_steps(model, chosen)
    passes, model.passes = model.passes, []

    for result in reversed(applied):
        undo_step(model, result)

    assert [move[:2] for move in model.passes] == [(s, -scale) for s, scale, *_ in passes[::-1]]
    size = 1 + np.abs(start).max() + sum(abs(scale) for _, scale, *_ in passes)
    np.testing.assert_allclose(model.theta, start, atol=1e-9 * size)


@steady
@given(thetas, many | normalised_mezo, st.integers(0, 3))
def test_a_run_that_goes_on_from_its_journal_takes_the_same_steps(theta, chosen, done):
    whole, halves = (Function(theta, dtype=np.float32) for _ in range(2))
    expected = applied_steps(whole, chosen, 3)
    applied = applied_steps(halves, chosen, done)

    recorder = Recorder(halves)
    take = optimizer_of(chosen).begin(recorder, chosen, applied)
    for number in range(done + 1, 4):
        result = take(Minibatch(number, SEED * number, (), halves.loss))
        passes, decay = recorder.end_step()
        applied.append(Applied(number, result.losses, result.lr, chosen.eps, passes, decay))

    assert applied == expected
    assert halves.theta.tobytes() == whole.theta.tobytes()


@pytest.mark.parametrize("losses", [(), (1.0,), (1.0,) * 5, (1.0, 2.0, 1e300, 1.0), (0.0, np.nan)])
@pytest.mark.parametrize(
    "chosen",
    [fzoo_settings(), MezoSettings(0.1, 1e-3, 0.0, "constant", 4, normalize=True)],
    ids=["fzoo", "normalized"],
)
def test_a_journal_whose_losses_are_not_the_runs_is_refused(chosen, losses):
    applied = Applied(1, losses, 0.1, 1e-3, ())

    with pytest.raises(
        InputError, match=r"^step 1 of the journal holds \d losses, expected \d fin"
    ):
        optimizer_of(chosen).begin(Function([1.0]), chosen, [applied])


def test_a_record_holds_the_most_directions_on_both_sides():
    model = Function([1.0, 2.0])
    chosen = fzoo_settings(directions=MOST_DIRECTIONS, sides=2, weight_decay=0.1)

    (applied,) = applied_steps(model, chosen, 1)

    assert len(applied.passes) <= MOST_PASSES and len(applied.losses) <= MOST_LOSSES
