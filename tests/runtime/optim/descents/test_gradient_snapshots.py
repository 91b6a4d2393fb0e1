"""Snapshots of runs with gradients: damaged, without space, of another run, flushed too late."""

import errno
from dataclasses import replace

import pytest
from small_runs import Stop, adam_config, stop_after
from stand_in_runs import ended, stopped_run

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.journal.flushed import flushed_bytes
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.run import kept
from pocketllm.runtime.run import snapshots as snapshot_files
from pocketllm.runtime.run.listening import Listener
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import MOMENTS, kept_steps

pytest_plugins = ["runtime_fixtures", "adam_stand_in", "stand_in_runs"]


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


def test_a_damaged_snapshot_does_not_push_a_sound_one_out(
    ready, train_data, tmp_path, whole, monkeypatch, snapshots
):
    run, model = tmp_path / "run", ready()
    config = stopped_run(ready, train_data, run)
    path = run / "moments-4.npz"
    path.write_bytes(path.read_bytes()[:-100])
    seen = iter(range(100))
    monkeypatch.setattr(kept, "snapshot_due", lambda *_: next(seen) == 3)  # after step 6

    with pytest.raises(Stop):
        train(ready(), train_data, run, config, listener=stop_after(7))
    assert kept_steps(run, MOMENTS) == kept_steps(run) == [2, 6]
    (run / "parameters-6.npz").write_bytes(b"torn")
    train(model, train_data, run, config)

    assert ended(run, model) == whole
    assert model.calls[1][1] == 3, "it went on from step 2"


def test_without_a_sound_snapshot_the_steps_are_taken_again_from_the_first(
    ready, train_data, tmp_path, whole, snapshots
):
    run, model = tmp_path / "run", ready()
    config = stopped_run(ready, train_data, run)
    for path in run.glob("moments-*"):
        path.write_bytes(path.read_bytes()[:-30])

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


def test_the_best_steps_parameters_that_are_damaged_are_made_again(
    ready, train_data, tmp_path, monkeypatch, snapshots
):
    run, model = tmp_path / "run", ready()
    train(ready(), train_data, run, adam_config(model.bundle, train_data, steps=6))
    monkeypatch.setattr(kept, "best_step", lambda folder, last: 6)
    monkeypatch.setattr(kept, "snapshot_due", lambda *_: False)
    path = run / "parameters-6.npz"
    data = path.read_bytes()
    path.write_bytes(data[:-400] + bytes(200) + data[-200:])

    train(model, train_data, run, adam_config(model.bundle, train_data, steps=9))

    assert path.read_bytes() == data


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
