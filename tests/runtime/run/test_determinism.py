"""The same command gives the same bits, stopped and continued or not, in either engine."""

import numpy as np
import pytest
from conftest import ENGINES
from small_runs import (
    RECORD_BYTES,
    ZEROTH_ORDER,
    Stop,
    mezo_steps,
    run_config,
    state_of,
    stop_after,
    zeroth_order_config,
)

from pocketllm.runtime.bundle.manifest import read_noise
from pocketllm.runtime.data.dataset import batches_of
from pocketllm.runtime.data.order import step_members, step_seed
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.journal.lines import read_evaluations, read_steps
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.noise import direction, perturb
from pocketllm.runtime.optim.applied import apply_step, undo_step
from pocketllm.runtime.run.folder import CONFIG, read_run
from pocketllm.runtime.run.listening import SILENT
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.replay import replay

pytest_plugins = ["runtime_fixtures"]

MOVING = {"weight_decay": 0.1}


@pytest.fixture
def trained(golden_bundle, train_data, dev_data, open_ready):
    """Trains in a fresh engine: trained(engine, folder, **changes) -> (steps, parameters)."""

    def run(engine, folder, listener=SILENT, kind="mezo", **changes):
        model = open_ready(golden_bundle, engine)
        config = zeroth_order_config(kind, golden_bundle, train_data, **MOVING | changes)
        train(model, train_data, folder, config, dev_data, eval_every=2, listener=listener)
        return read_steps(folder, config.optimizer.step), state_of(model)

    return run


of_every_kind = pytest.mark.parametrize("kind", ZEROTH_ORDER)


@of_every_kind
def test_the_same_seed_gives_the_same_bytes(
    kind, engine, trained, golden_bundle, open_ready, tmp_path
):
    first, second = (trained(engine, tmp_path / name, kind=kind) for name in ("a", "b"))

    assert first == second
    untouched = state_of(open_ready(golden_bundle, engine))
    changed = [name for name in untouched if first[1][name] != untouched[name]]
    assert len(changed) == len(untouched), "every variable must have moved"


def test_another_seed_gives_other_steps(engine, trained, tmp_path):
    (first, state), (second, other) = (
        trained(engine, tmp_path / str(seed), seed=seed) for seed in (0, 1)
    )

    for name in ("seed", "loss_plus", "projected_grad"):
        assert all(getattr(a, name) != getattr(b, name) for a, b in zip(first, second))
    assert not any(state[name] == other[name] for name in state)


def test_a_step_uses_the_batch_and_the_direction_of_the_runs_seed(
    engine, golden_bundle, train_data, open_ready, tmp_path
):
    model, other = (open_ready(golden_bundle, engine) for _ in range(2))
    state, noise = dict(model.read()), read_noise(golden_bundle)
    train(model, train_data, tmp_path, run_config(golden_bundle, train_data, steps=1, seed=5))
    (step,) = mezo_steps(tmp_path)

    members = step_members(len(train_data.examples), 5, seed=5, step=1)
    other.perturb(step_seed(5, 1), 1e-2)
    assert other.loss(batches_of(train_data, golden_bundle, members)) == step.loss_plus
    for variable in golden_bundle.variables:
        values = state[variable.name]
        z = direction(noise, step_seed(5, 1), variable.stream, values.size)
        for scale in (1e-2, -2e-2, 1e-2 - 1e-2 * step.projected_grad):
            values = perturb(values, z, scale)
        state[variable.name] = values.tobytes()
    assert state_of(model) == state


@pytest.mark.parametrize("other", [name for name in ENGINES if name != "litert"])
def test_the_engines_agree_at_every_step(other, trained, tmp_path):
    ours, theirs = (
        trained(name, tmp_path / name, steps=20, lr=1e-3)[0] for name in ("litert", other)
    )

    losses = np.array([[s.loss_plus, s.loss_minus] for s in ours])
    other_losses = np.array([[s.loss_plus, s.loss_minus] for s in theirs])
    assert np.ptp(losses) > 0.1
    assert [s.seed for s in ours] == [s.seed for s in theirs]
    worst = np.max(np.abs(other_losses - losses) / np.abs(losses))
    print(f"worst relative difference of a loss: {worst:.1e}")
    assert worst <= 1e-5


@of_every_kind
@pytest.mark.parametrize("stopped_after", [1, 4])
def test_a_stopped_run_goes_on_as_if_never_stopped(stopped_after, kind, engine, trained, tmp_path):
    whole = trained(engine, tmp_path / "whole", kind=kind)
    with pytest.raises(Stop):
        trained(engine, tmp_path / "halves", stop_after(stopped_after), kind=kind)
    assert len(read_journal(tmp_path / "halves" / JOURNAL).steps) == stopped_after

    continued = trained(engine, tmp_path / "halves", kind=kind)

    assert continued == whole
    for name in (JOURNAL, CONFIG):
        written = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "halves" / name).read_bytes() == written
    assert read_evaluations(tmp_path / "halves") == read_evaluations(tmp_path / "whole")


@of_every_kind
@pytest.mark.parametrize("cut", [1, RECORD_BYTES - 1])
def test_a_run_whose_last_record_was_cut_takes_that_step_again(
    cut, kind, engine, trained, tmp_path
):
    whole = trained(engine, tmp_path / "whole", kind=kind)
    with pytest.raises(Stop):
        trained(engine, tmp_path / "cut", stop_after(4), kind=kind)
    journal = tmp_path / "cut" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert len(read_journal(journal).steps) == 3

    assert trained(engine, tmp_path / "cut", kind=kind) == whole
    assert journal.read_bytes() == (tmp_path / "whole" / JOURNAL).read_bytes()
    assert len(whole[0]) == 6


@of_every_kind
def test_raising_the_steps_equals_the_longer_run(kind, engine, trained, tmp_path):
    whole = trained(engine, tmp_path / "whole", kind=kind, steps=9)
    trained(engine, tmp_path / "raised", kind=kind, steps=4)

    assert trained(engine, tmp_path / "raised", kind=kind, steps=9) == whole


def test_a_finished_run_is_left_as_it_is(engine, trained, tmp_path):
    whole = trained(engine, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}

    assert trained(engine, tmp_path / "run") == whole
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@of_every_kind
def test_replaying_gives_the_trained_bits_without_data(
    kind, engine, trained, golden_bundle, open_ready, tmp_path
):
    _, state = trained(engine, tmp_path / "run", kind=kind, lr_schedule="linear")
    steps = read_run(tmp_path / "run", golden_bundle).applied
    model, tiles = (open_ready(golden_bundle, engine) for _ in range(2))
    start = dict(model.read())

    for step in steps:
        apply_step(model, step)
    replay(tiles, steps)

    assert state_of(model) == state_of(tiles) == state
    moved = max(abs(values - start[name]).max() for name, values in tiles.read())
    replay(tiles, steps[::-1], take=undo_step)
    left = max(abs(values - start[name]).max() for name, values in tiles.read())
    assert left < 1e-3 * moved


@of_every_kind
def test_threads_change_no_bit(kind, engine, golden_bundle, train_data, tmp_path):
    ends = []
    for threads in (1, 2, 4):
        model = open_model(golden_bundle, engine=engine, threads=threads)
        model.initialize()
        folder = tmp_path / str(threads)
        config = zeroth_order_config(kind, golden_bundle, train_data)
        train(model, train_data, folder, config)
        ends.append((read_steps(folder, config.optimizer.step), state_of(model)))

    assert ends[1] == ends[0]
    assert ends[2] == ends[0]
