"""Runs with gradients that go on: from a snapshot, the steps behind it again, to the same bytes."""

import errno
from dataclasses import replace

import pytest
from small_runs import Stop, adam_config, state_of
from stand_in_runs import ended, stopped_run

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.journal import lines
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.optim.adam import AdamStep
from pocketllm.runtime.run import kept
from pocketllm.runtime.run.listening import Listener
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import MOMENTS, kept_steps

pytest_plugins = ["runtime_fixtures", "adam_stand_in", "stand_in_runs"]


@pytest.mark.parametrize("last", [1, 2, 5, 8])
def test_a_killed_run_goes_on_to_the_same_bytes(
    last, ready, train_data, tmp_path, whole, snapshots
):
    run, model, replayed = tmp_path / "run", ready(), []
    config = stopped_run(ready, train_data, run, last)

    listener = Listener(replayed=replayed.append)
    done = train(model, train_data, run, config, listener=listener)

    assert ended(run, model) == whole
    assert (done.last_step, done.stopped) == (9, False)
    # the snapshot, and the steps behind it again
    assert replayed == [(last - 1) // 2 * 2] + [1] * (last - (last - 1) // 2 * 2)
    assert kept_steps(run, MOMENTS)[-1] == 9 and len(kept_steps(run, MOMENTS)) == 2


def test_a_finished_run_is_made_longer(ready, train_data, tmp_path, whole):
    run, model = tmp_path / "run", ready()
    config = adam_config(model.bundle, train_data, steps=6)
    train(ready(), train_data, run, config)

    train(model, train_data, run, replace(config, settings=replace(config.settings, steps=9)))

    assert ended(run, model) == whole
    assert [step for _, step, _, _ in model.calls[1:]] == [7, 8, 9], "none is taken again"


def test_a_run_with_a_schedule_is_not_made_longer_nor_one_shorter(ready, train_data, tmp_path):
    model = ready()
    for name, changes, message in (
        (
            "linear",
            {"lr_schedule": "linear", "steps": 9},
            "started with --steps=6, found --steps=9",
        ),
        ("constant", {"steps": 5}, "holds 6 steps, more than --steps=5"),
    ):
        schedule = {"lr_schedule": changes.get("lr_schedule", "constant")}
        config = adam_config(model.bundle, train_data, **schedule)
        train(ready(), train_data, tmp_path / name, config)
        with pytest.raises(InputError, match=message):
            other = adam_config(model.bundle, train_data, **changes)
            train(ready(), train_data, tmp_path / name, other)


def test_a_run_that_is_killed_while_it_takes_steps_again_comes_to_its_end(
    ready, train_data, tmp_path, whole, monkeypatch
):
    run, model, begun = tmp_path / "run", ready(), []
    config = stopped_run(ready, train_data, run, last=8)
    monkeypatch.setattr(kept, "snapshot_due", lambda tail, *_: tail > 0)

    def session():
        steps = []

        def replayed(count):
            steps.append(count)
            if len(steps) == 4:  # where it goes on from, and three steps again
                raise Stop

        train(model, train_data, run, config, listener=Listener(replayed=replayed))

    for _ in range(3):
        model = ready()
        with pytest.raises(Stop):
            session()
        begun.append(model.calls[1][1])
    model = ready()
    session()

    assert begun == [1, 3, 5]
    assert ended(run, model) == whole


@pytest.mark.parametrize("cut", [1, 20, 43])
def test_a_record_that_was_cut_is_taken_again(cut, ready, train_data, tmp_path, whole, snapshots):
    run, model = tmp_path / "run", ready()
    config = stopped_run(ready, train_data, run)
    path = run / JOURNAL
    path.write_bytes(path.read_bytes()[:-cut])
    assert len(read_journal(path).steps) == 4

    train(model, train_data, run, config)

    assert ended(run, model) == whole


def test_an_altered_record_is_refused(ready, train_data, tmp_path):
    run = tmp_path / "run"
    config = stopped_run(ready, train_data, run)
    data = bytearray((run / JOURNAL).read_bytes())
    data[-3 * 44 + 10] ^= 1
    (run / JOURNAL).write_bytes(data)

    with pytest.raises(InputError, match=r"record 3 is damaged \(its checksum does not fit\)"):
        train(ready(), train_data, run, config)


def test_a_step_that_comes_out_otherwise_is_refused(ready, train_data, tmp_path, snapshots):
    run, model = tmp_path / "run", ready()
    config = stopped_run(ready, train_data, run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    step = model.adam_step
    model.adam_step = lambda batch, number, lr, factor: step(batch, number, lr * 1.5, factor)

    with pytest.raises(InputError, match="step 5, taken again, has the loss .*--threads and the"):
        train(model, train_data, run, config)

    after = {path.name: path.read_bytes() for path in run.iterdir()}
    assert after == before
    again = ready()
    train(again, train_data, run, config)  # nothing was lost


def test_a_line_without_space_is_left_out(ready, train_data, tmp_path, monkeypatch, whole):
    write, model, notes = lines._append, ready(), []

    def append(path, line):
        if path.name == "metrics.jsonl" and '"step": 4,' in line:
            full = OSError(errno.ENOSPC, "No space left on device")
            raise RunError(f"{path}: cannot be written: {full.strerror}; run it again") from full
        write(path, line)

    monkeypatch.setattr(lines, "_append", append)
    config = adam_config(model.bundle, train_data, steps=9)
    train(model, train_data, tmp_path / "run", config, listener=Listener(say=notes.append))

    assert [line.step for line in lines.read_steps(tmp_path / "run", AdamStep, gaps=True)] == [
        1, 2, 3, 5, 6, 7, 8, 9,
    ]  # fmt: skip
    assert ((tmp_path / "run" / JOURNAL).read_bytes(), state_of(model)) == (whole[0], whole[2])
    assert len(notes) == 1 and "the run goes on without lines" in notes[0]
