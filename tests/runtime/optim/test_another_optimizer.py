"""An optimizer that only a table knows: one file and one line are all that a new one takes.

It steps along several directions, by one-sided losses of one minibatch, and divides by a running
norm: many passes of several seeds a step, and a state that goes on from the journal.
"""

import math
from dataclasses import dataclass, replace

import pytest
from small_runs import Stop, run_config, state_of, stop_after

from pocketllm.benchmarks.report.data import read_runs, summarise
from pocketllm.runtime import contract
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.optim.applied import apply_step, undo_step
from pocketllm.runtime.optim.interface import JOURNALLED, Optimizer, Option
from pocketllm.runtime.optim.schedule import learning_rate
from pocketllm.runtime.optim.table import OPTIMIZERS
from pocketllm.runtime.run.folder import read_run
from pocketllm.runtime.run.listening import SILENT
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.replay import replay
from pocketllm.runtime.run.restore import bring_to, point_of

pytest_plugins = ["runtime_fixtures"]

BETA = 0.5


@dataclass(frozen=True)
class ManySettings:
    lr: float
    eps: float
    weight_decay: float
    lr_schedule: str
    steps: int
    directions: int


@dataclass(frozen=True)
class ManyStep:
    step: int
    seed: int
    losses: tuple[float, ...]
    norm: float
    lr: float

    @property
    def loss(self):
        return self.losses[0]

    def describe(self):
        return f"loss {self.loss:.4f}"


def square(losses, eps):
    """Returns an estimate of the gradient's squared norm."""
    return sum((loss - losses[0]) ** 2 for loss in losses[1:]) / (eps**2 * (len(losses) - 1))


def begin(model, settings, applied):
    running = 0.0
    for step in applied:
        running = BETA * running + (1 - BETA) * square(step.losses, step.eps)

    def take(minibatch):
        nonlocal running
        eps, lr = settings.eps, learning_rate(settings, minibatch.number)
        seeds = [(minibatch.seed ^ number) for number in range(settings.directions)]
        losses = [minibatch.loss()]
        for seed in seeds:
            model.perturb(seed, eps)
            losses.append(minibatch.loss())
            model.perturb(seed, -eps)
        running = BETA * running + (1 - BETA) * square(losses, eps)
        norm = math.sqrt(running)
        for seed, loss in zip(seeds, losses[1:]):
            decay = lr * settings.weight_decay if seed == seeds[-1] else 0.0
            model.perturb(seed, -lr * (loss - losses[0]) / eps / (norm * len(seeds)), decay)
        return ManyStep(minibatch.number, minibatch.seed, tuple(losses), norm, lr)

    return take


@pytest.fixture(autouse=True)
def many(monkeypatch):
    """The table's further line."""
    option = Option("directions", "number of directions a step", 3, 1, 1000)
    optimizer = Optimizer(
        "many", JOURNALLED, contract.MEZO, ManySettings, ManyStep, begin, (option,)
    )
    monkeypatch.setitem(OPTIMIZERS, "many", optimizer)


@pytest.fixture
def trained(golden_bundle, train_data, open_ready):
    """Trains in a fresh engine: (folder, listener) -> the parameters' bytes."""
    settings = ManySettings(1e-2, 1e-2, 0.1, "linear", 9, directions=3)

    def run(folder, listener=SILENT):
        model = open_ready(golden_bundle, "litert")
        config = replace(run_config(golden_bundle, train_data), settings=settings)
        train(model, train_data, folder, config, listener=listener)
        return state_of(model)

    return run


def test_its_run_is_stopped_and_goes_on_as_if_never_stopped(trained, tmp_path):
    whole = trained(tmp_path / "whole")
    with pytest.raises(Stop):
        trained(tmp_path / "run", stop_after(5))

    assert trained(tmp_path / "run") == whole
    for name in (JOURNAL, "config.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_its_steps_are_done_again_by_graph_and_by_tiles_and_taken_back(
    trained, golden_bundle, open_ready, tmp_path
):
    expected = trained(tmp_path)
    steps = read_run(tmp_path, golden_bundle).applied
    graph, tiles, restored = (open_ready(golden_bundle, "litert") for _ in range(3))
    begun = state_of(graph)

    for step in steps:
        apply_step(graph, step)
    replay(tiles, steps)
    bring_to(restored, point_of(tmp_path, golden_bundle))

    assert state_of(graph) == state_of(tiles) == state_of(restored) == expected != begun
    assert {len(step.passes) for step in steps} == {9}
    start = dict(open_ready(golden_bundle, "litert").read())
    moved = max(abs(values - start[name]).max() for name, values in tiles.read())
    replay(tiles, steps[::-1], take=undo_step)
    left = max(abs(values - start[name]).max() for name, values in tiles.read())
    assert left < 1e-3 * moved


def test_a_report_reads_its_run(trained, tmp_path):
    trained(tmp_path)

    (run,) = read_runs([tmp_path])

    figures = summarise(run)
    assert (figures["optimizer"], figures["steps"]) == ("many", 9)
    assert figures["last_loss"] == run.steps[-1].losses[0]
    assert all(step.norm > 0 for step in run.steps)
