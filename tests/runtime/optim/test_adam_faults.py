"""Adam runs that were interrupted, ruined or begun with the wrong bundle or directory."""

import errno
import os
from dataclasses import replace

import pytest
from small_runs import adam_config, adam_losses, run_config, state_of

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import files
from pocketllm.runtime.journal import lines
from pocketllm.runtime.journal.lines import best_step, read_evaluations
from pocketllm.runtime.run import kept
from pocketllm.runtime.run.listening import Listener
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import kept_steps
from pocketllm.runtime.run.restore import point_of

pytest_plugins = ["runtime_fixtures", "adam_stand_in"]


class Stop(Exception):
    """What ends a run in the middle."""


def stop_after(last):
    def stepped(step, seconds):
        if step.step == last:
            raise Stop

    return Listener(stepped=stepped)


@pytest.fixture
def full_disk(monkeypatch):
    """Lets no more than a page reach a file that is written beside."""
    write = files.os.fsync

    def fsync(number):
        if os.fstat(number).st_size > 4096:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(number)

    monkeypatch.setattr(files.os, "fsync", fsync)


@pytest.mark.parametrize("steps", [6, 9, 2])
def test_an_interrupted_run_is_not_continued(steps, ready, train_data, tmp_path):
    model = ready()
    with pytest.raises(Stop):
        listener = stop_after(3)
        config = adam_config(model.bundle, train_data)
        train(model, train_data, tmp_path, config, listener=listener)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(
        InputError,
        match=rf"run of 3 steps with --optimizer=adam, found --steps={steps}; it cannot be",
    ):
        train(ready(), train_data, tmp_path, replace_steps(config, steps))

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def replace_steps(config, steps):
    return replace(config, settings=replace(config.settings, steps=steps))


def test_a_finished_run_is_not_made_longer(ready, train_data, tmp_path):
    model = ready()
    config = adam_config(model.bundle, train_data)
    train(model, train_data, tmp_path, config)

    with pytest.raises(InputError, match="choose another --run"):
        train(ready(), train_data, tmp_path, replace_steps(config, 7))


@pytest.mark.parametrize("cut", [1, 40])
def test_a_run_whose_last_line_was_cut_is_interrupted(cut, ready, train_data, tmp_path):
    config = adam_config(ready().bundle, train_data)
    train(ready(), train_data, tmp_path, config)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-cut])

    with pytest.raises(InputError, match="a run of 5 steps with --optimizer=adam, found --steps=6"):
        train(ready(), train_data, tmp_path, config)


def test_a_run_that_took_no_step_begins_again(ready, train_data, dev_data, tmp_path):
    whole, second = ready(), ready()
    config = adam_config(whole.bundle, train_data)
    train(whole, train_data, tmp_path / "whole", config, dev_data)

    def stop(step, evaluation):
        raise Stop

    with pytest.raises(Stop):
        listener = Listener(evaluated=stop)
        train(ready(), train_data, tmp_path / "run", config, dev_data, listener=listener)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    train(second, train_data, tmp_path / "run", config, dev_data)

    assert state_of(second) == state_of(whole)
    assert adam_losses(tmp_path / "run") == adam_losses(tmp_path / "whole")


def test_a_ruined_step_ends_the_run_and_names_what_is_kept(ready, train_data, dev_data, tmp_path):
    model = ready(ruin=4)
    config = adam_config(model.bundle, train_data)

    with pytest.raises(RunError, match="step 5: the loss is not finite.*smaller --lr") as error:
        train(model, train_data, tmp_path, config, dev_data, eval_every=3)

    assert len(adam_losses(tmp_path)) == 4
    kept = [step for step in [best_step(tmp_path, 4)] if step]
    assert kept_steps(tmp_path) == kept
    assert f"keeps: {kept[0] if kept else 'none'})" in str(error.value)


def test_an_update_that_ruins_the_last_step_does_not_finish_the_run(ready, train_data, tmp_path):
    model = ready(ruin=6)

    with pytest.raises(RunError, match="step 6: the loss after it is not finite.*keeps: none"):
        train(model, train_data, tmp_path, adam_config(model.bundle, train_data))

    assert (len(adam_losses(tmp_path)), kept_steps(tmp_path)) == (5, [])


def test_a_run_of_the_other_optimizer_is_refused(ready, golden_bundle, train_data, tmp_path):
    train(ready(), train_data, tmp_path / "mezo", run_config(golden_bundle, train_data))
    train(ready(), train_data, tmp_path / "adam", adam_config(golden_bundle, train_data))

    with pytest.raises(InputError, match="a run with --optimizer=mezo, this one is adam; choose"):
        train(ready(), train_data, tmp_path / "mezo", adam_config(golden_bundle, train_data))
    with pytest.raises(InputError, match="a run with --optimizer=adam, this one is mezo; choose"):
        train(ready(), train_data, tmp_path / "adam", run_config(golden_bundle, train_data))


def test_a_bundle_without_adam_or_with_too_few_rows_says_how_to_export(
    ready, golden_bundle, train_data, open_ready, tmp_path
):
    bare, model = open_ready(golden_bundle, "litert"), ready()

    with pytest.raises(InputError, match="are mezo, expected adam.*--optimizers=mezo,adam$"):
        train(bare, train_data, tmp_path, adam_config(golden_bundle, train_data))
    with pytest.raises(InputError, match="has 3 rows; .*--optimizers=mezo,adam --batch_size=4$"):
        config = adam_config(golden_bundle, train_data, batch_size=4)
        train(model, train_data, tmp_path, config)

    assert list(tmp_path.iterdir()) == [] and model.calls == []


def test_parameters_that_cannot_be_written_leave_the_run_unfinished(
    ready, train_data, tmp_path, full_disk
):
    with pytest.raises(RunError, match="parameters-6.npz: cannot be written: No space") as error:
        train(ready(), train_data, tmp_path, adam_config(ready().bundle, train_data))

    remedy = str(error.value).split("; ", 1)[1]
    assert "this run ends at step 5 and cannot be continued" in remedy
    assert "reads: none. Free some space and start again with another --run" in remedy
    assert "same command" not in str(error.value)

    assert (len(adam_losses(tmp_path)), kept_steps(tmp_path)) == (5, [])


@pytest.mark.parametrize("last", [0, 1, 3, 5])
def test_a_line_without_space_ends_a_kept_run_and_says_what_can_be_read(
    last, ready, train_data, dev_data, tmp_path, monkeypatch
):
    write = lines._append

    def append(path, line):
        if path.name == "metrics.jsonl" and f'"step": {last + 1},' in line:
            full = OSError(errno.ENOSPC, "No space left on device")
            raise RunError(f"{path}: cannot be written: {full.strerror}; run it again") from full
        write(path, line)

    monkeypatch.setattr(lines, "_append", append)
    config = adam_config(ready().bundle, train_data)
    with pytest.raises(RunError, match="metrics.jsonl: cannot be written: No space") as error:
        train(ready(), train_data, tmp_path, config, dev_data, eval_every=2)

    text = str(error.value)
    assert text.count("No space") == 1 and "run it again" not in text
    if not last:  # such a run begins again
        assert text.endswith("; 0 steps are kept: free some space and run the same command again")
        monkeypatch.undo()
        assert train(ready(), train_data, tmp_path, config, dev_data).last_step == 6
        return
    steps = [step for step in kept_steps(tmp_path) if step <= last]
    assert f"this run ends at step {last} and cannot be continued" in text
    assert f"reads: {', '.join(map(str, steps)) or 'none'}. Free some space" in text
    for step in steps:
        assert point_of(tmp_path, ready().bundle, step).step == step


def test_a_best_step_that_cannot_be_kept_is_not_recorded_as_one(
    ready, train_data, dev_data, tmp_path, full_disk, monkeypatch
):
    monkeypatch.setattr(kept, "best_evaluation", lambda evaluations: evaluations[-1])

    with pytest.raises(RunError, match="parameters-2.npz: cannot be written: No space left"):
        config = adam_config(ready().bundle, train_data)
        train(ready(), train_data, tmp_path, config, dev_data, eval_every=2)

    assert [record.step for record in read_evaluations(tmp_path)] == [0]
    assert len(adam_losses(tmp_path)) == 2
