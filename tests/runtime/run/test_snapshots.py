"""Snapshots: when they are due, that they save replaying, and that a bad one costs nothing else."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import RECORD_BYTES, Stop, pocketllm, run_config, state_of, stop_after

from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.run import snapshots
from pocketllm.runtime.run.listening import SILENT, Listener
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import kept_steps
from pocketllm.runtime.run.snapshots import snapshot_due

pytest_plugins = ["runtime_fixtures"]

MOVING = {"weight_decay": 0.1, "steps": 9}


@pytest.mark.parametrize(
    ("tail_seconds", "run_seconds", "due"),
    [
        (119, 1_000, False),  # two minutes may be lost in any case
        (121, 1_000, True),
        (121, 10_000, False),  # then a twentieth of the run
        (499, 10_000, False),
        (501, 10_000, True),
    ],
)
def test_a_snapshot_is_due_when_recovery_would_take_longer_than_promised(
    tail_seconds, run_seconds, due
):
    assert snapshot_due(tail_seconds, run_seconds) == due


def test_a_long_run_writes_few_snapshots():
    count, tail, seconds = 0, 0.0, 0.0
    while seconds < 24 * 3600:
        tail, seconds = tail + 1.2, seconds + 6.0  # RoBERTa-large, some phone
        if snapshot_due(tail, seconds):
            count, tail = count + 1, 0.0

    assert 10 < count <= 20


@pytest.fixture
def often(monkeypatch):
    """Makes a snapshot due after every third step.

    The clock advances one second a reading: a pass takes a second, a step as many as its passes
    and more, however busy the machine is.
    """
    calls = []
    clock = SimpleNamespace(monotonic=map(float, itertools.count()).__next__)
    monkeypatch.setattr("pocketllm.runtime.run.loop.time", clock)
    monkeypatch.setattr("pocketllm.runtime.optim.applied.time", clock)

    def due(tail_seconds, run_seconds, recovery_seconds):
        assert 0 < tail_seconds <= run_seconds
        calls.append(tail_seconds)
        return len(calls) % 3 == 0

    monkeypatch.setattr("pocketllm.runtime.run.journalled.snapshot_due", due)


@pytest.fixture
def trained(golden_bundle, train_data, dev_data, open_ready):
    """Trains in a fresh engine: (folder, listener) -> the parameters' bytes."""

    def run(folder, listener=SILENT, dev=None, eval_every=0, **changes):
        model = open_ready(golden_bundle, "litert")
        config = run_config(golden_bundle, train_data, **MOVING | changes)
        train(model, train_data, folder, config, dev, eval_every=eval_every, listener=listener)
        return state_of(model)

    return run


@pytest.fixture
def stopped(trained, often, tmp_path):
    """A run that was stopped after step 8, with snapshots of steps 3 and 6."""
    with pytest.raises(Stop):
        trained(tmp_path / "run", stop_after(8))
    assert kept_steps(tmp_path / "run") == [3, 6]
    return tmp_path / "run"


def resumed(trained, folder):
    """Goes on with a run; returns (parameters, how its steps came back, what was said)."""
    replayed, messages = [], []
    state = trained(folder, Listener(replayed=replayed.append, say=messages.append))
    return state, replayed, messages


def test_going_on_begins_at_the_newest_snapshot_and_ends_with_the_same_bits(
    trained, stopped, tmp_path
):
    whole = trained(tmp_path / "whole")
    state, replayed, messages = resumed(trained, stopped)

    assert (replayed[0], sum(replayed)) == (6, 8) and messages == []
    assert state == whole
    assert (stopped / JOURNAL).read_bytes() == (tmp_path / "whole" / JOURNAL).read_bytes()


def test_the_newest_two_are_kept(trained, often, tmp_path):
    trained(tmp_path / "run", steps=12)

    assert kept_steps(tmp_path / "run") == [9, 12]


@pytest.mark.parametrize("cut", [1, 400, 10**9])
def test_a_cut_snapshot_is_passed_over_for_the_one_before(cut, trained, stopped, tmp_path):
    whole, path = trained(tmp_path / "whole"), stopped / "parameters-6.npz"
    path.write_bytes(path.read_bytes()[:-cut])

    state, replayed, messages = resumed(trained, stopped)

    assert (replayed[0], sum(replayed)) == (3, 8) and state == whole
    assert len(messages) == 1 and "step 6 is damaged or of another run, passed over" in messages[0]


def test_a_flipped_bit_anywhere_in_both_leads_back_to_the_start(trained, stopped, tmp_path):
    whole = trained(tmp_path / "whole")
    for number, place in ((3, 0.9), (6, 0.5)):  # of values: headers are looked at before
        path = stopped / f"parameters-{number}.npz"
        data = bytearray(path.read_bytes())
        data[int(len(data) * place)] ^= 16
        path.write_bytes(data)

    state, replayed, messages = resumed(trained, stopped)

    assert (replayed[0], sum(replayed)) == (0, 8) and state == whole
    assert len(messages) == 2 and all("passed over" in line for line in messages)


def test_the_snapshot_of_another_run_is_passed_over(trained, stopped, tmp_path):
    with pytest.raises(Stop):
        trained(tmp_path / "other", stop_after(8), seed=5)
    newest = kept_steps(tmp_path / "other")[-1]
    (tmp_path / "other" / f"parameters-{newest}.npz").replace(stopped / "parameters-6.npz")

    _, replayed, messages = resumed(trained, stopped)

    assert replayed[0] == 3 and "step 6 is damaged or of another run" in messages[0]


def test_a_snapshot_beyond_the_journal_is_not_used(trained, stopped, tmp_path):
    whole, journal = trained(tmp_path / "whole"), stopped / JOURNAL
    journal.write_bytes(journal.read_bytes()[: -3 * RECORD_BYTES])  # steps 1 to 5 are left

    state, replayed, _ = resumed(trained, stopped)

    assert (replayed[0], sum(replayed)) == (3, 5) and state == whole


def test_evaluations_that_are_missing_are_made_up_for(trained, stopped, dev_data, tmp_path):
    trained(tmp_path / "whole", dev=dev_data, eval_every=2)
    seen = []
    listener = Listener(evaluated=lambda step, evaluation: seen.append(step))

    trained(stopped, listener, dev=dev_data, eval_every=2)

    assert seen == [0, 2, 4, 6, 8, 9]
    lines = [
        (folder / "evaluations.jsonl").read_bytes() for folder in (stopped, tmp_path / "whole")
    ]
    assert lines[0] == lines[1]


def test_eval_goes_on_from_a_snapshot_too(trained, stopped, golden_bundle, dev_file, tmp_path):
    trained(tmp_path / "whole")
    flags = [f"--bundle={golden_bundle.folder}", f"--data={dev_file}", "--at_step=7"]
    done = [
        pocketllm("eval", *flags, f"--run={run}", f"--json={tmp_path / 'told.json'}").stdout
        for run in (stopped, tmp_path / "whole")
    ]

    assert "at step 7" in done[0]
    assert done[0].replace(str(stopped), "") == done[1].replace(str(tmp_path / "whole"), "")


def test_a_full_disk_ends_the_run_with_its_steps_kept(trained, often, monkeypatch, tmp_path):
    from pocketllm.runtime.errors import RunError

    def full(*_, **part):
        raise RunError("parameters-3.npz: cannot be written: No space left on device")

    whole = trained(tmp_path / "whole")
    with monkeypatch.context() as during:
        during.setattr(snapshots, "save_parameters", full)
        with pytest.raises(RunError, match="No space left"):
            trained(tmp_path / "run")

    state, replayed, _ = resumed(trained, tmp_path / "run")
    assert sum(replayed) >= 3 and state == whole
    assert np.all(np.diff(kept_steps(tmp_path / "run")) > 0)
