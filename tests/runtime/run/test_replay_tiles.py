"""Steps done again in tiles: to the bit what the graph makes of them, wherever it is cut."""

import threading

import numpy as np
import pytest
from noise_kinds import in_graph
from small_runs import state_of

from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.engine.packed_weights import open_packed
from pocketllm.runtime.optim.applied import Applied, Pass, apply_step, undo_step
from pocketllm.runtime.run import replay as module
from pocketllm.runtime.run.replay import replay

EPS = 1e-2


def mezo_steps(eps=EPS, decay=0.0):
    """Steps as MeZO makes them: not a multiple of what is hashed together, pairs have one seed."""
    steps = []
    for n in range(1, 2 * module.STEPS_AT_ONCE + 4):
        seed, last = (77777777 * (n // 2)) % 2**32 - 2**31, eps * (1 - 0.2 * (-1) ** n * n)
        scales = [float(np.float32(scale)) for scale in (eps, -2 * eps, last)]
        passes = tuple(Pass(seed, scale) for scale in scales)
        steps.append(Applied(n, (0.7, 0.7), 0.1, eps, passes, float(np.float32(decay))))
    return steps


STEPS = mezo_steps()
with_and_without_decay = pytest.mark.parametrize("decay", [0.0, 2e-8, 0.01])


def in_the_graph(model, steps, take=apply_step):
    """Returns the bits that the signatures make, one call after the other; θ is as before."""
    before = dict(model.read())
    for step in steps:
        take(model, step)
    expected = state_of(model)
    model.write(before)
    return expected


@in_graph
@with_and_without_decay
@pytest.mark.parametrize("tile_values", [100, 3000, module.TILE_VALUES])
def test_steps_have_the_bits_of_the_graph(
    kind, engine, decay, tile_values, noise_bundle, open_ready, monkeypatch
):
    monkeypatch.setattr(module, "TILE_VALUES", tile_values)
    monkeypatch.setattr(module, "MOST_STEPS", 20)
    model = open_ready(noise_bundle(kind), engine)
    steps = mezo_steps(decay=decay)
    expected, begun, progress = in_the_graph(model, steps), state_of(model), []

    replay(model, steps, progress.append)

    assert state_of(model) == expected
    assert all(expected[name] != begun[name] for name in expected)
    assert sum(progress) == len(STEPS) and min(progress) > 0


@with_and_without_decay
def test_steps_taken_back_have_the_bits_of_the_graph(engine, decay, golden_bundle, open_ready):
    model = open_ready(golden_bundle, engine)
    steps = mezo_steps(decay=decay)[::-1]
    model.perturb(5, 0.1)
    expected = in_the_graph(model, steps, undo_step)

    replay(model, steps, take=undo_step)

    assert state_of(model) == expected


@pytest.mark.desktop
@pytest.mark.parametrize("kind", ["lora", "prefix", "head"])
def test_little_on_a_packed_base_has_the_bits_of_the_graph(kind, make_checkpoint, make_bundle):
    bundle = make_bundle(make_checkpoint(), kind=kind, base="int8")
    model = Model(bundle, open_packed(bundle, 2))
    model.initialize()
    expected = in_the_graph(model, STEPS)

    replay(model, STEPS)

    assert state_of(model) == expected


@pytest.mark.parametrize("eps", [module.MIN_SCALE, 1e-38])
def test_the_smallest_eps_has_the_bits_of_the_graph(eps, golden_bundle, open_ready):
    """Kernels take the smallest numbers for 0: below MIN_SCALE the graph does it."""
    model = open_ready(golden_bundle, "litert")
    zeros = {name: 0 * values for name, values in model.read()}
    model.write(zeros)
    steps = mezo_steps(eps, decay=0.01)
    expected = in_the_graph(model, steps)

    replay(model, steps)

    assert state_of(model) == expected


def test_a_signal_ends_it_and_no_thread_is_left(golden_bundle, open_ready, monkeypatch):
    monkeypatch.setattr(module, "TILE_VALUES", 100)
    model, threads = open_ready(golden_bundle, "litert"), threading.active_count()

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(model, STEPS, stop)

    assert threading.active_count() == threads


def test_a_few_steps_have_the_same_bits(golden_bundle, open_ready, monkeypatch):
    model = open_ready(golden_bundle, "litert")
    begun = dict(model.read())
    states = []
    for few in (0, 3):
        monkeypatch.setattr(module, "FEW_STEPS", few)
        model.write(begun)
        replay(model, STEPS[:3])
        states.append(state_of(model))

    assert states[0] == states[1]


def test_steps_of_any_number_of_passes_have_the_bits_of_the_graph(golden_bundle, open_ready):
    """As of an optimizer with many directions, none, or one that is met again."""
    model = open_ready(golden_bundle, "litert")
    steps = []
    for n in range(1, 12):
        passes = tuple(Pass(seed % 5 - 2, 0.01 * (seed - 9)) for seed in range(2 * n))
        steps.append(Applied(n, (0.7,) * n, 0.1, EPS, passes, 0.0 if n % 3 else 0.25))
    steps.append(Applied(12, (), 0.1, EPS, ()))
    steps.append(Applied(13, (0.7,), 0.1, EPS, (Pass(3, 0.0),), 0.5))  # a decay alone
    expected = in_the_graph(model, steps)

    replay(model, steps)

    assert state_of(model) == expected
