"""Adam runs that were stopped, ruined or begun with the wrong bundle or directory."""

import errno
import os
from dataclasses import replace

import pytest
from small_runs import Stop, adam_config, adam_losses, run_config, state_of

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import files
from pocketllm.runtime.journal.lines import best_step, read_evaluations
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run import kept
from pocketllm.runtime.run.listening import Listener
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import kept_steps, load_parameters
from pocketllm.runtime.run.restore import point_of

pytest_plugins = ["runtime_fixtures", "adam_stand_in"]


@pytest.fixture
def full_disk(monkeypatch):
    """Lets no more than a page reach a file that is written beside."""
    write = files.os.fsync

    def fsync(number):
        if os.fstat(number).st_size > 4096:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(number)

    monkeypatch.setattr(files.os, "fsync", fsync)


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


@pytest.mark.parametrize("ruin", [1, 4, 6])
def test_a_step_that_ruins_the_parameters_ends_the_run_before_it(
    ruin, ready, train_data, dev_data, tmp_path
):
    model, again = ready(ruin=ruin), ready()
    config = adam_config(model.bundle, train_data)

    with pytest.raises(
        RunError, match="(the|dev) loss (after it )?is not finite.*smaller --lr"
    ) as error:
        train(model, train_data, tmp_path, config, dev_data, eval_every=3)

    kept_step = ruin - 1
    assert f"; the run keeps step {kept_step}, start a new one" in str(error.value)
    assert len(adam_losses(tmp_path)) == len(read_journal(tmp_path / JOURNAL).steps) == kept_step
    sound = ready()
    config = replace(config, settings=replace(config.settings, steps=kept_step or 1))
    if kept_step:
        train(sound, train_data, tmp_path / "short", config)
        load_parameters(again, tmp_path, kept_step)
        assert state_of(again) == state_of(sound)
        assert point_of(tmp_path, again.bundle, kept_step).step == kept_step
    assert best_step(tmp_path, kept_step) in (0, *kept_steps(tmp_path))


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


def test_last_parameters_that_cannot_be_written_are_made_again(
    ready, train_data, tmp_path, full_disk, monkeypatch
):
    model, config = ready(), adam_config(ready().bundle, train_data)
    with pytest.raises(RunError, match="parameters-6.npz: cannot be written: No space") as error:
        train(ready(), train_data, tmp_path, config)

    assert str(error.value).endswith("run the same command again")
    assert (len(adam_losses(tmp_path)), kept_steps(tmp_path)) == (6, [])
    monkeypatch.undo()
    train(model, train_data, tmp_path, config)
    assert kept_steps(tmp_path) == [6]
    again = ready()
    load_parameters(again, tmp_path, 6)
    assert state_of(again) == state_of(model)


def test_a_best_step_that_cannot_be_kept_is_not_recorded_as_one(
    ready, train_data, dev_data, tmp_path, full_disk, monkeypatch
):
    monkeypatch.setattr(kept, "best_evaluation", lambda evaluations: evaluations[-1])

    with pytest.raises(RunError, match="parameters-2.npz: cannot be written: No space left"):
        config = adam_config(ready().bundle, train_data)
        train(ready(), train_data, tmp_path, config, dev_data, eval_every=2)

    assert [record.step for record in read_evaluations(tmp_path)] == [0]
    assert len(adam_losses(tmp_path)) == 2
