"""Snapshots without space: the older one makes room, the run goes on without, and tries again."""

import errno
import itertools
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_runs import run_config, state_of

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run import snapshots
from pocketllm.runtime.run.listening import Listener
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import kept_steps

pytest_plugins = ["runtime_fixtures"]

STEPS = 12


@pytest.fixture
def trained(golden_bundle, train_data, open_ready, monkeypatch, tmp_path):
    """Trains with a snapshot due after every step, where so many files of parameters have space.

    trained(name, space, number of the error) -> (steps at which one was tried, lines said, steps
    kept, journal, parameters); `space` is called with the step.
    """
    monkeypatch.setattr("pocketllm.runtime.run.journalled.snapshot_due", lambda *_: True)
    seconds = SimpleNamespace(monotonic=itertools.count().__next__)  # each pass takes one
    monkeypatch.setattr("pocketllm.runtime.optim.applied.time", seconds)
    save = snapshots.save_parameters

    def run(name, space=lambda step: 3, number=errno.ENOSPC):
        folder, tried, lines = tmp_path / name, [], []

        def save_where_there_is_space(model, folder, step, checksum, **part):
            tried.append(step)
            if len(kept_steps(folder)) >= space(step):
                full = OSError(number, os.strerror(number))
                raise RunError(f"{Path(folder)}: cannot be written: {full}; free some") from full
            save(model, folder, step, checksum, **part)

        monkeypatch.setattr(snapshots, "save_parameters", save_where_there_is_space)
        model = open_ready(golden_bundle, "litert")
        config = run_config(golden_bundle, train_data, steps=STEPS)
        train(model, train_data, folder, config, listener=Listener(say=lines.append))
        journal = (folder / JOURNAL).read_bytes()
        assert len(read_journal(folder / JOURNAL).steps) == STEPS
        lines = [line for line in lines if "snapshots" in line]
        return tried, lines, kept_steps(folder), journal, state_of(model)

    return run


def test_the_older_snapshot_makes_room_for_the_new_one(trained):
    *_, journal, parameters = trained("whole")
    _, lines, kept, *same = trained("run", lambda step: 2)

    assert (lines, kept) == ([], [STEPS - 1, STEPS])
    assert same == [journal, parameters]


def test_the_only_snapshot_makes_room_where_two_have_none(trained):
    *_, journal, parameters = trained("whole")
    _, lines, kept, *same = trained("run", lambda step: 1)

    assert (lines, kept) == ([], [STEPS]), "the newest, not the first"
    assert same == [journal, parameters]


def test_where_the_space_is_gone_the_run_goes_on_without_any(trained):
    *_, journal, parameters = trained("whole")
    _, lines, kept, *same = trained("run", lambda step: 3 if step < 5 else 0)

    assert len(lines) == 1 and "goes on without snapshots" in lines[0]
    assert (kept, same) == ([], [journal, parameters])


def test_a_disk_that_fails_otherwise_costs_no_snapshot(trained):
    tried, lines, kept, *_ = trained("run", lambda step: 3 if step < 3 else 0, errno.EIO)

    assert len(lines) == 1 and kept == [1, 2] and len(tried) < STEPS


def test_without_space_the_run_says_so_once_goes_on_and_tries_again_later(trained):
    *_, journal, parameters = trained("whole")
    tried, lines, kept, *same = trained("run", lambda step: 0)

    assert len(lines) == 1 and "No space left" in lines[0] and "goes on without" in lines[0]
    assert tried[0] == 1 and 1 < len(tried) < STEPS, "later, not at every step"
    assert (kept, same) == ([], [journal, parameters])


def test_when_there_is_space_again_snapshots_are_taken_again(trained):
    _, lines, kept, *_ = trained("run", lambda step: 0 if step < 3 else 3)

    assert len(lines) == 1 and kept == [STEPS - 1, STEPS]
