"""Runs with gradients of the stand-in model, stopped as a kill stops them.

A test module that wants the fixtures says `pytest_plugins = ["stand_in_runs"]`, beside those of
`runtime_fixtures` and `adam_stand_in`.
"""

import pytest
from small_runs import Stop, adam_config, adam_losses, state_of, stop_after

from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.run import kept
from pocketllm.runtime.run.loop import train


@pytest.fixture
def whole(ready, train_data, tmp_path):
    """An uninterrupted run of 9 steps: (journal, losses, parameters)."""
    model, folder = ready(), tmp_path / "whole"
    train(model, train_data, folder, adam_config(model.bundle, train_data, steps=9))
    return (folder / JOURNAL).read_bytes(), adam_losses(folder), state_of(model)


def ended(folder, model):
    """Returns what `whole` gives, of another run."""
    return (folder / JOURNAL).read_bytes(), adam_losses(folder), state_of(model)


def stopped_run(ready, train_data, folder, last=5, **changes):
    """Begins a run of 9 steps and stops it behind one, with a snapshot after every second."""
    model = ready()
    config = adam_config(model.bundle, train_data, steps=9, **changes)
    with pytest.raises(Stop):
        train(model, train_data, folder, config, listener=stop_after(last))
    return config


@pytest.fixture
def snapshots(monkeypatch):
    """Makes a snapshot due after every second step of a process."""
    steps = iter(range(1000))
    monkeypatch.setattr(kept, "snapshot_due", lambda *_: next(steps) % 2 == 1)
