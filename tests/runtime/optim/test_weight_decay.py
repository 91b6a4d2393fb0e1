"""Weight decay against float64: parameters shrink by lr · weight_decay a step, however little.

What a run with a decay and the same run without it differ by is the decay and roundings; over all
values the roundings average out.
"""

import math

import numpy as np
import pytest
from noise_kinds import in_graph
from small_runs import run_config, state_of

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_initial, read_noise
from pocketllm.runtime.noise import direction, perturb
from pocketllm.runtime.optim.adam import AdamSettings, adam_step
from pocketllm.runtime.optim.decay import FACTOR_SHARE, SHARE, decay_factor, decay_share
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step
from pocketllm.runtime.run.folder import read_run
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.replay import replay

pytest_plugins = ["runtime_fixtures"]

# lr and weight decay of shares that no float32 factor resolves (2e-8), and of a large one.
RATES = [(1e-6, 0.02), (1e-7, 0.2), (1e-4, 0.5)]
STEPS = 400


def shrinkage(start, decayed, bare, names):
    """Returns how much of their start the values of some variables lost by the decay."""
    first = np.concatenate([start[name].ravel() for name in names]).astype(np.float64)
    lost = np.concatenate([(bare[name] - decayed[name]).ravel() for name in names])
    return float(first @ lost / (first @ first))


def names_of(bundle, decays):
    """Returns the variables that decay, or those that do not."""
    return [v.name for p in bundle.parameters if p.decays == decays for v in p.variables]


def in_numpy(bundle, steps):
    """Returns the bytes of every variable after steps, by the formula of FORMAT.md in NumPy."""
    noise, state = read_noise(bundle), {}
    for parameter in bundle.parameters:
        for variable in parameter.variables:
            theta = read_initial(bundle, variable)
            for step in steps:
                z = direction(noise, step.passes[0].seed, variable.stream, theta.size)
                *scales, last = (scale for _, scale in step.passes)
                for scale in scales:
                    theta = perturb(theta, z, scale)
                decay = step.decay if parameter.decays else 0.0
                theta = perturb(theta, z, last, decay, np.float32(step.eps))
            state[variable.name] = theta.tobytes()
    return state


@pytest.mark.parametrize(("lr", "weight_decay"), RATES)
def test_a_run_shrinks_by_what_float64_says(
    lr, weight_decay, engine, golden_bundle, train_data, open_ready, tmp_path
):
    states, models = [], []
    for decay in (weight_decay, 0.0):
        model = open_ready(golden_bundle, engine)
        settings = {"lr": lr, "eps": 1e-3, "weight_decay": decay, "steps": STEPS, "batch_size": 2}
        config = run_config(golden_bundle, train_data, **settings)
        train(model, train_data, tmp_path / str(decay), config)
        states.append(dict(model.read()))
        models.append(model)
    start = dict(open_ready(golden_bundle, engine).read())

    expected = -math.expm1(STEPS * math.log1p(-lr * weight_decay))
    measured = shrinkage(start, *states, names_of(golden_bundle, decays=True))
    others = shrinkage(start, *states, names_of(golden_bundle, decays=False))
    print(f"expected {expected:.4g}, measured {measured:.4g}, without decay {others:.4g}")
    assert measured == pytest.approx(expected, rel=0.005)
    assert abs(others) < 0.1 * expected

    steps = read_run(tmp_path / str(weight_decay), golden_bundle).applied
    again = open_ready(golden_bundle, engine)
    replay(again, steps)
    assert state_of(again) == state_of(models[0]) == in_numpy(golden_bundle, steps)
    shares = [step.decay for step in steps]
    assert sum(shares) == pytest.approx(STEPS * lr * weight_decay, rel=1e-6)


@in_graph
@pytest.mark.parametrize("decay", [2e-8, 0.25, -0.5])
def test_a_pass_with_a_decay_rounds_as_the_numpy_reference(
    kind, decay, engine, noise_bundle, open_ready
):
    bundle = noise_bundle(kind)
    model, noise = open_ready(bundle, engine), read_noise(bundle)
    before = dict(model.read())
    model.perturb(77, -2.3e-3, decay, 1e-3)
    after = dict(model.read())
    assert names_of(bundle, True) and names_of(bundle, False)
    for decays in (True, False):
        for variable in (v for v in bundle.variables if v.name in names_of(bundle, decays)):
            theta = before[variable.name]
            z = direction(noise, 77, variable.stream, theta.size)
            expected = perturb(theta, z, -2.3e-3, decay if decays else 0.0, 1e-3)
            if kind == "gaussian":  # of another logarithm, z differs by up to 1e-6
                np.testing.assert_allclose(after[variable.name], expected, rtol=1e-6, atol=1e-8)
            else:
                np.testing.assert_array_equal(after[variable.name], expected)


@in_graph
def test_a_small_share_is_taken_off_at_every_size_of_probe(kind, engine, noise_bundle, open_ready):
    bundle = noise_bundle(kind)
    names = names_of(bundle, decays=True)
    for eps in (1e-3, 0.1):
        states = []
        for decay in (SHARE, 0.0):
            model = open_ready(bundle, engine)
            start = dict(model.read())
            settings = MezoSettings(1e-6, eps, decay / 1e-6, "constant", 8)
            losses = np.random.default_rng(5).normal(1, 1e-3, 16).tolist()
            for step in range(1, 9):
                mezo_step(model, losses.pop, step, step, settings)
            states.append(dict(model.read()))
        measured = shrinkage(start, *states, names) / (8 * SHARE)
        print(f"{kind}, eps {eps}: {measured:.4f} of the decay")
        assert measured == pytest.approx(1, abs=0.005)


@pytest.mark.desktop
@pytest.mark.parametrize(("kind", "base"), [("lora", "int8"), ("prefix", "fp32")])
def test_what_a_frozen_base_carries_decays_too(
    kind, base, make_checkpoint, make_bundle, open_ready
):
    from tuned import random_state

    bundle = make_bundle(make_checkpoint(), kind=kind, base=base)
    states = []
    for weight_decay in (0.02, 0.0):
        model = open_ready(bundle, "litert")
        random_state(model, seed=3)
        start = dict(model.read())
        settings = MezoSettings(1e-6, bundle.default_eps, weight_decay, "constant", STEPS)
        losses = np.random.default_rng(5).normal(1, 1e-3, 2 * STEPS).tolist()
        for step in range(1, STEPS + 1):
            mezo_step(model, losses.pop, step, step, settings)
        states.append(dict(model.read()))

    names = names_of(bundle, decays=True)
    assert len(names) == len(bundle.variables)
    assert shrinkage(start, *states, names) == pytest.approx(2e-8 * STEPS, rel=0.03)


@pytest.mark.parametrize(("lr", "weight_decay"), [*RATES, (1e-3, 0.1), (1e-9, 0.1)])
@pytest.mark.parametrize("schedule", ["constant", "linear"])
@pytest.mark.parametrize("length", [1, 7, STEPS])
def test_the_shares_of_a_run_add_up_to_its_decay(lr, weight_decay, schedule, length):
    settings = MezoSettings(lr, 1e-3, weight_decay, schedule, length)
    steps = np.arange(1, length + 1)
    rates = lr * ((length - steps + 1) / length if schedule == "linear" else np.ones(length))
    taken_off = np.array([decay_share(settings, step) for step in steps])

    behind = weight_decay * np.cumsum(rates) - np.cumsum(taken_off)
    assert (behind > -1e-15).all() and (behind < SHARE).all()
    assert behind[-1] == pytest.approx(0, abs=1e-15)
    if lr * weight_decay > SHARE and schedule == "constant":
        assert set(taken_off) == {lr * weight_decay}  # MeZO's own, step by step


@pytest.mark.parametrize(("lr", "weight_decay"), RATES)
@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_adams_factors_add_up_to_the_decay_of_the_schedule(lr, weight_decay, schedule):
    settings = AdamSettings(lr, weight_decay, schedule, STEPS)
    factors = [decay_factor(settings, step) for step in range(1, STEPS + 1)]

    assert all(factor == np.float32(factor) <= 1 for factor in factors)
    total = np.cumsum([1 - factor for factor in factors])
    steps = np.arange(1, STEPS + 1)
    share = (STEPS - steps + 1) / STEPS if schedule == "linear" else np.ones(STEPS)
    np.testing.assert_allclose(
        total, np.cumsum(lr * weight_decay * share), atol=0.51 * FACTOR_SHARE
    )


def test_without_a_weight_decay_adams_factor_is_1():
    settings = AdamSettings(0.3, 0.0, "linear", STEPS)
    assert {decay_factor(settings, step) for step in range(1, STEPS + 1)} == {1.0}


@pytest.mark.desktop
@pytest.mark.parametrize(("lr", "weight_decay"), RATES)
def test_adam_shrinks_by_what_float64_says(
    lr, weight_decay, engine, make_checkpoint, make_bundle, open_ready
):
    from forward import forward_inputs

    from pocketllm.runtime.data.batches import Batch

    bundle = make_bundle(make_checkpoint(num_hidden_layers=1), lengths=(8,), adam=True)
    inputs = forward_inputs(8, bundle.config["vocab_size"], seed=1)
    batch = Batch(tokens=8, inputs=inputs, rows=2, members=(0, 1))
    states = []
    for decay in (weight_decay, 0.0):
        model = open_ready(bundle, engine)
        start = dict(model.read())
        model.initialize_adam()
        settings = AdamSettings(lr, decay, "constant", STEPS)
        for step in range(1, STEPS + 1):
            adam_step(model, batch, step, settings)
        states.append(dict(model.read()))

    expected = -math.expm1(STEPS * math.log1p(-lr * weight_decay))
    # Values without a gradient only decay; the others move by the gradient as well.
    measured = shrinkage(start, *states, names_of(bundle, decays=True))
    print(f"expected {expected:.4g}, measured {measured:.4g}")
    assert measured == pytest.approx(expected, rel=0.03)
    assert contract.FACTOR in bundle.signatures[contract.adam_step_for(8)]["inputs"]
