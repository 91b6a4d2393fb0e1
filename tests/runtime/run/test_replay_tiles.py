"""Steps done again in tiles: to the bit what the graph makes of them, wherever it is cut."""

import threading
from dataclasses import replace

import pytest
from noise_kinds import in_graph
from small_runs import state_of

from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.engine.packed_weights import open_packed
from pocketllm.runtime.optim.mezo import MezoSettings, MezoStep, replay_step, undo_step
from pocketllm.runtime.run import replay as module
from pocketllm.runtime.run.replay import replay

# Not a multiple of what is hashed together; pairs of neighbours have one seed.
STEPS = [
    MezoStep(n, (77777777 * (n // 2)) % 2**32 - 2**31, 0.7, 0.7, 0.02 * (-1) ** n * n, 0.1)
    for n in range(1, 2 * module.STEPS_AT_ONCE + 4)
]
SETTINGS = MezoSettings(0.1, 1e-2, 0.0, "constant", len(STEPS))
with_and_without_decay = pytest.mark.parametrize("weight_decay", [0.0, 0.1])


def in_the_graph(model, steps, settings, take=replay_step):
    """Returns the bits that the signatures make, one call after the other; θ is as before."""
    before = dict(model.read())
    for step in steps:
        take(model, step, settings)
    expected = state_of(model)
    model.write(before)
    return expected


@in_graph
@with_and_without_decay
@pytest.mark.parametrize("tile_values", [100, 3000, module.TILE_VALUES])
def test_steps_have_the_bits_of_the_graph(
    kind, engine, weight_decay, tile_values, noise_bundle, open_ready, monkeypatch
):
    monkeypatch.setattr(module, "TILE_VALUES", tile_values)
    monkeypatch.setattr(module, "MOST_STEPS", 20)
    model = open_ready(noise_bundle(kind), engine)
    settings = replace(SETTINGS, weight_decay=weight_decay)
    expected, begun, told = in_the_graph(model, STEPS, settings), state_of(model), []

    replay(model, STEPS, settings, told.append)

    assert state_of(model) == expected
    assert all(expected[name] != begun[name] for name in expected)
    assert sum(told) == len(STEPS) and min(told) > 0


@with_and_without_decay
def test_steps_taken_back_have_the_bits_of_the_graph(
    engine, weight_decay, golden_bundle, open_ready
):
    model = open_ready(golden_bundle, engine)
    settings = replace(SETTINGS, weight_decay=weight_decay)
    model.perturb(5, 0.1)
    expected = in_the_graph(model, STEPS[::-1], settings, undo_step)

    replay(model, STEPS[::-1], settings, take=undo_step)

    assert state_of(model) == expected


@pytest.mark.desktop
@pytest.mark.parametrize("kind", ["lora", "prefix", "head"])
def test_little_on_a_packed_base_has_the_bits_of_the_graph(kind, make_checkpoint, make_bundle):
    bundle = make_bundle(make_checkpoint(), kind=kind, base="int8")
    model = Model(bundle, open_packed(bundle, 2))
    model.initialize()
    expected = in_the_graph(model, STEPS, SETTINGS)

    replay(model, STEPS, SETTINGS)

    assert state_of(model) == expected


@pytest.mark.parametrize("eps", [module.MIN_EPS, 1e-38])
def test_the_smallest_eps_has_the_bits_of_the_graph(eps, golden_bundle, open_ready):
    """Kernels take the smallest numbers for 0: below MIN_EPS the graph does it."""
    model = open_ready(golden_bundle, "litert")
    settings = replace(SETTINGS, eps=eps, weight_decay=0.1)
    zeros = {name: 0 * values for name, values in model.read()}
    model.write(zeros)
    steps = [replace(step, projected_grad=eps * step.projected_grad) for step in STEPS]
    expected = in_the_graph(model, steps, settings)

    replay(model, steps, settings)

    assert state_of(model) == expected


def test_a_signal_ends_it_and_no_thread_is_left(golden_bundle, open_ready, monkeypatch):
    monkeypatch.setattr(module, "TILE_VALUES", 100)
    model, threads = open_ready(golden_bundle, "litert"), threading.active_count()

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(model, STEPS, SETTINGS, stop)

    assert threading.active_count() == threads


def test_a_few_steps_have_the_same_bits(golden_bundle, open_ready, monkeypatch):
    model = open_ready(golden_bundle, "litert")
    begun = dict(model.read())
    found = []
    for few in (0, 3):
        monkeypatch.setattr(module, "FEW_STEPS", few)
        model.write(begun)
        replay(model, STEPS[:3], SETTINGS)
        found.append(state_of(model))

    assert found[0] == found[1]
