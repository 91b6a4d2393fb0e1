"""Runs with gradients that go on: from a snapshot, the steps behind it again, to the same bytes."""

import errno
from dataclasses import replace

import pytest
from small_runs import adam_config, adam_losses, state_of

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.journal import lines
from pocketllm.runtime.journal.flushed import flushed_bytes
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.optim.adam import AdamStep
from pocketllm.runtime.run import kept
from pocketllm.runtime.run import snapshots as snapshot_files
from pocketllm.runtime.run.listening import Listener
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import MOMENTS, kept_steps

pytest_plugins = ["runtime_fixtures", "adam_stand_in"]


class Stop(Exception):
    """What ends a run in the middle, as a kill does: nothing more is written."""


def stop_after(last):
    def stepped(step, seconds):
        if step.step == last:
            raise Stop

    return Listener(stepped=stepped)


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
        ("linear", {"lr_schedule": "linear", "steps": 9}, "another config .steps 6 -> 9."),
        ("constant", {"steps": 5}, "holds 6 steps, more than --steps=5"),
    ):
        schedule = {"lr_schedule": changes.get("lr_schedule", "constant")}
        config = adam_config(model.bundle, train_data, **schedule)
        train(ready(), train_data, tmp_path / name, config)
        with pytest.raises(InputError, match=message):
            other = adam_config(model.bundle, train_data, **changes)
            train(ready(), train_data, tmp_path / name, other)


@pytest.mark.parametrize("name", ["parameters-4.npz", "moments-4.npz"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "of another run"])
def test_a_damaged_snapshot_is_passed_over_for_the_one_before(
    damage, name, ready, train_data, tmp_path, whole, snapshots
):
    run, model, notes = tmp_path / "run", ready(), []
    config = stopped_run(ready, train_data, run)
    assert kept_steps(run) == kept_steps(run, MOMENTS) == [2, 4]
    path, data = run / name, bytearray((run / name).read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "of another run":
        stopped_run(ready, train_data, tmp_path / "other", seed=8)
        path.write_bytes((tmp_path / "other" / name).read_bytes())
    else:
        place = data.index(b"\x93NUMPY", 200) + 128  # values of the first variable
        data[place] ^= 1
        path.write_bytes(data if damage == "flipped" else data[: len(data) // 2])

    train(model, train_data, run, config, listener=Listener(say=notes.append))

    assert ended(run, model) == whole
    assert [step for _, step, _, _ in model.calls[1:]] == [3, 4, 5, 6, 7, 8, 9]
    assert len(notes) == (damage != "gone") and all("passed over" in line for line in notes)


def test_without_a_sound_snapshot_the_steps_are_taken_again_from_the_first(
    ready, train_data, tmp_path, whole, snapshots
):
    run, model = tmp_path / "run", ready()
    config = stopped_run(ready, train_data, run)
    for path in run.glob("moments-*"):
        path.write_bytes(path.read_bytes()[:-30])

    train(model, train_data, run, config)

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


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_finished_run_whose_last_parameters_are_damaged_makes_them_again(
    damage, ready, train_data, dev_data, tmp_path, snapshots
):
    run, model = tmp_path / "run", ready()
    config = adam_config(model.bundle, train_data, steps=9)
    train(ready(), train_data, run, config, dev_data, eval_every=3)
    path = run / "parameters-9.npz"
    data = path.read_bytes()
    for moments in run.glob("moments-*"):
        moments.unlink()  # so that an older file of parameters is none to go on from
    path.unlink()
    if damage == "flipped":
        path.write_bytes(data[:-400] + bytes(200) + data[-200:])

    train(model, train_data, run, config, dev_data, eval_every=3)

    assert path.read_bytes() == data
    assert [step for _, step, _, _ in model.calls[1:]] == list(range(1, 10))


def test_a_snapshot_is_begun_when_its_record_is_on_the_disk(
    ready, train_data, dev_data, tmp_path, monkeypatch, snapshots
):
    model, seen = ready(), []
    for module in (kept, snapshot_files):
        save = module.save_parameters

        def saved(model, folder, step, *rest, save=save, **part):
            flushed = flushed_bytes(folder, JOURNAL)
            seen.append(flushed == (folder / JOURNAL).stat().st_size)
            save(model, folder, step, *rest, **part)

        monkeypatch.setattr(module, "save_parameters", saved)

    config = adam_config(model.bundle, train_data, steps=9)
    train(model, train_data, tmp_path / "run", config, dev_data, eval_every=3)

    assert len(seen) > 8 and all(seen)


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


def test_a_snapshot_without_space_is_left_out_and_the_one_before_stays(
    ready, train_data, tmp_path, monkeypatch, whole, snapshots
):
    save, model, notes = snapshot_files.save_parameters, ready(), []

    def save_where_there_is_space(model, folder, step, *rest, **part):
        if step == 6:
            full = OSError(errno.ENOSPC, "No space left on device")
            raise RunError(f"{folder}: cannot be written: {full.strerror}; free some") from full
        save(model, folder, step, *rest, **part)

    monkeypatch.setattr(snapshot_files, "save_parameters", save_where_there_is_space)
    config, run = adam_config(model.bundle, train_data, steps=9), tmp_path / "run"
    with pytest.raises(Stop):
        listener = replace(stop_after(7), say=notes.append)
        train(ready(), train_data, run, config, listener=listener)
    assert kept_steps(run) == kept_steps(run, MOMENTS) == [4]
    assert len(notes) == 1 and "the run goes on without snapshots" in notes[0]

    train(model, train_data, run, config)

    assert ended(run, model) == whole
