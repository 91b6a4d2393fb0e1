"""Steps whose probes are evaluated together: θ moves once, along what two forwards would say."""

import math

import numpy as np
import pytest
from measured_function import Function, fzoo_settings

from pocketllm.runtime.data.order import direction_seeds
from pocketllm.runtime.errors import InputError, LossError
from pocketllm.runtime.optim.applied import Applied, Pass, Recorder, undo_step
from pocketllm.runtime.optim.fzoo import fzoo_step
from pocketllm.runtime.optim.interface import takes_pairs
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step
from pocketllm.runtime.optim.normaliser import Normaliser
from pocketllm.runtime.optim.table import OPTIMIZERS

SEED = 7
DECAYS = pytest.mark.parametrize("weight_decay", [0.0, 0.5])


def settings(**changes):
    values = {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.0, "lr_schedule": "constant", "steps": 4}
    return MezoSettings(**values | changes)


def pair_of(model):
    """Evaluates both probes without moving the model's θ."""

    def pair(seed, eps):
        model.calls["pair"] += 1
        z = model.z(seed)
        plus, minus = model._loss(model.theta + eps * z), model._loss(model.theta - eps * z)
        return float(plus), float(minus)

    return pair


def recorded(take, model, eps):
    """Takes a step against a recorder; returns what the journal would hold."""
    recorder = Recorder(model)
    step = take(recorder)
    passes, decay = recorder.end_step()
    return Applied(1, step.losses, step.lr, eps, passes, decay)


@DECAYS
def test_a_mezo_step_moves_once_and_ends_where_one_with_two_forwards_ends(weight_decay):
    together, apart = Function([3.0, -1.0, 2.0]), Function([3.0, -1.0, 2.0])
    chosen, pair = settings(weight_decay=weight_decay), pair_of(together)

    step = mezo_step(together, together.loss, 1, SEED, chosen, pair=pair)
    expected = mezo_step(apart, apart.loss, 1, SEED, chosen)

    assert dict(together.calls) == {"pair": 1} and len(together.passes) == 1
    np.testing.assert_allclose(step.losses, expected.losses, rtol=1e-12)
    assert step.projected_grad == pytest.approx(expected.projected_grad, rel=1e-9)
    np.testing.assert_allclose(together.theta, apart.theta, rtol=1e-9)
    assert np.abs(together.theta - [3.0, -1.0, 2.0]).max() > 0.01


@DECAYS
def test_its_record_is_one_pass_which_takes_it_back(weight_decay):
    model, start = Function([3.0, -1.0, 2.0]), np.array([3.0, -1.0, 2.0])
    chosen = settings(weight_decay=weight_decay)

    def take(recorder):
        return mezo_step(recorder, model.loss, 1, SEED, chosen, pair=pair_of(model))

    applied = recorded(take, model, chosen.eps)

    slope = (applied.losses[0] - applied.losses[1]) / (2 * chosen.eps)
    assert applied.passes == (Pass(SEED, float(np.float32(-0.1 * slope))),)
    assert applied.decay == pytest.approx(0.1 * weight_decay, rel=1e-7)
    assert np.abs(model.theta - start).max() > 0.01
    undo_step(model, applied)
    np.testing.assert_allclose(model.theta, start, rtol=1e-12)


@DECAYS
@pytest.mark.parametrize("directions", [1, 2, 5])
def test_an_fzoo_step_on_two_sides_moves_for_its_update_alone(directions, weight_decay):
    together, apart = Function([1.0, 2.0, -1.0]), Function([1.0, 2.0, -1.0])
    chosen = fzoo_settings(directions=directions, sides=2, weight_decay=weight_decay)
    seeds = direction_seeds(SEED, directions)

    def take(recorder):
        pair = pair_of(together)
        return fzoo_step(
            recorder, together.loss, 1, SEED, chosen, normaliser=Normaliser(), pair=pair
        )

    applied = recorded(take, together, chosen.eps)
    expected = fzoo_step(apart, apart.loss, 1, SEED, chosen, normaliser=Normaliser())

    assert together.calls["pair"] == directions and together.calls["loss"] == 0
    assert [entry.seed for entry in applied.passes] == list(seeds), "one pass a direction"
    assert bool(applied.decay) == bool(weight_decay)
    np.testing.assert_allclose(applied.losses, expected.losses, rtol=1e-12)
    np.testing.assert_allclose(together.theta, apart.theta, rtol=1e-5)
    assert np.abs(together.theta - [1.0, 2.0, -1.0]).max() > 1e-3


def test_an_fzoo_step_on_one_side_takes_no_pairs():
    model = Function([1.0, 2.0, -1.0])
    chosen = fzoo_settings(directions=3, sides=1)

    fzoo_step(model, model.loss, 1, SEED, chosen, normaliser=Normaliser(), pair=pair_of(model))

    assert (model.calls["pair"], model.calls["loss"]) == (0, 3)


@pytest.mark.parametrize("losses", [(math.nan, 1.0), (1.0, math.inf), (math.inf, math.inf)])
def test_a_loss_that_is_not_finite_ends_the_step_and_nothing_has_moved(losses):
    model = Function([3.0, -1.0, 2.0])
    fzoo = fzoo_settings(directions=2, sides=2)

    with pytest.raises(LossError, match=r"step 1: the loss is not finite"):
        mezo_step(model, model.loss, 1, SEED, settings(), pair=lambda seed, eps: losses)
    with pytest.raises(LossError, match=r"not finite .* at direction 1 of 2"):
        others = {"normaliser": Normaliser(), "pair": lambda seed, eps: losses}
        fzoo_step(model, model.loss, 1, SEED, fzoo, **others)

    assert not model.passes and model.theta.tolist() == [3.0, -1.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "sides", "expected"), [("mezo", 2, True), ("fzoo", 2, True), ("fzoo", 1, False)]
)
def test_steps_with_both_sides_take_pairs_where_the_bundle_has_them(
    kind, sides, expected, golden_bundle
):
    optimizer = OPTIMIZERS[kind]
    of_run = settings() if kind == "mezo" else fzoo_settings(sides=sides)

    class WithPairs:
        folder, has_pairs = golden_bundle.folder, True

    assert takes_pairs(optimizer, WithPairs, of_run, None) is expected
    assert takes_pairs(optimizer, WithPairs, of_run, False) is False
    assert takes_pairs(optimizer, golden_bundle, of_run, None) is False
    if expected:
        assert takes_pairs(optimizer, WithPairs, of_run, True)
        with pytest.raises(InputError, match="no signature forward_pair, which --pairs needs"):
            takes_pairs(optimizer, golden_bundle, of_run, True)
    else:
        with pytest.raises(InputError, match="--pairs goes with --optimizer=mezo"):
            takes_pairs(optimizer, WithPairs, of_run, True)
