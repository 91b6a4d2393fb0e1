"""Adam runs as directories: lines, the parameters they keep, and what a finished one gives."""

import json
from dataclasses import asdict, replace

import pytest
from small_runs import adam_config, adam_losses, state_of

from pocketllm.benchmarks.report.data import read_runs, summarise
from pocketllm.runtime.data.dataset import batches_of
from pocketllm.runtime.data.order import step_members
from pocketllm.runtime.journal.lines import best_step, read_evaluations
from pocketllm.runtime.optim.decay import FACTOR_SHARE
from pocketllm.runtime.optim.interface import KEPT
from pocketllm.runtime.run import kept, listening
from pocketllm.runtime.run.evaluate import evaluate
from pocketllm.runtime.run.folder import read_run
from pocketllm.runtime.run.listening import Listener
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import (
    MOMENTS,
    kept_steps,
    load_parameters,
    save_parameters,
)

pytest_plugins = ["runtime_fixtures", "adam_stand_in"]


def test_a_step_sees_the_batch_of_the_runs_seed_in_one_call(ready, train_data, tmp_path):
    model = ready()
    config = adam_config(model.bundle, train_data, seed=5, lr_schedule="linear")

    train(model, train_data, tmp_path, config)

    assert model.calls[0] == "initialize" and model.calls.count("initialize") == 1
    assert [step for _, step, _, _ in model.calls[1:]] == [1, 2, 3, 4, 5, 6]
    for batch, step, lr, factor in model.calls[1:]:
        members = step_members(len(train_data.examples), 2, seed=5, step=step)
        (expected,) = batches_of(train_data, model.bundle, members)
        assert batch.inputs.keys() == expected.inputs.keys()
        for name, values in batch.inputs.items():
            assert values.tobytes() == expected.inputs[name].tobytes()
        assert sorted(batch.inputs["weight"]) == [0, 1, 1]  # the bundle has three rows
        assert lr == pytest.approx(1e-2 * (7 - step) / 6)
        assert factor == pytest.approx(1 - lr * 0.1, abs=FACTOR_SHARE)


def test_the_lines_are_those_that_a_report_reads(engine, ready, train_data, dev_data, tmp_path):
    model = ready(engine)
    config = adam_config(model.bundle, train_data)

    done = train(model, train_data, tmp_path / "run", config, dev_data, eval_every=2)

    (run,) = read_runs([tmp_path / "run"])
    figures = summarise(run)
    assert (figures["optimizer"], figures["steps"], figures["task"]) == ("adam", 6, "sst2")
    assert figures["last_loss"] == adam_losses(tmp_path / "run")[-1]
    assert [record.step for record in run.evaluations] == [0, 2, 4, 6]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    for line in lines:
        assert set(line) == {
            "step", "loss", "lr", "seconds", "peak_anon_bytes", "peak_rss_bytes",
        }  # fmt: skip
        assert 0 < line["peak_anon_bytes"] <= line["peak_rss_bytes"]
    assert len({line["loss"] for line in lines}) == 6
    assert (done.last_step, done.best_step) == (6, figures["best_dev_step"])
    stored_config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored_config["optimizer"] == "adam" and "eps" not in stored_config
    assert figures["config"] == stored_config
    assert figures["step_seconds"] == pytest.approx(done.step_seconds, abs=1e-6)  # as rounded
    stored = read_run(tmp_path / "run", model.bundle)
    assert (stored.kind, stored.count) == (KEPT, 6)
    assert stored.description.items() - {("format_version", 2)} == {
        entry for entry in stored_config.items() if entry[0] != "steps"
    }
    later = {"warmup_steps", "clip_norm"}  # settings that a run without them does not store
    settings = {name: v for name, v in asdict(config.settings).items() if name not in later}
    assert stored_config.items() >= settings.items() and not later & stored_config.keys()


def test_without_a_dev_set_the_last_parameters_are_kept(engine, ready, train_data, tmp_path):
    model, again = ready(engine), ready(engine)

    train(model, train_data, tmp_path, adam_config(model.bundle, train_data))

    assert kept_steps(tmp_path) == [6]
    load_parameters(again, tmp_path, 6)
    assert state_of(again) == state_of(model)


@pytest.mark.parametrize("best", [0, 2, 4, 6])
def test_the_best_dev_step_and_the_last_are_kept_and_no_others(
    best, ready, train_data, dev_data, tmp_path, monkeypatch
):
    states, model, again = {}, ready(), ready()
    config = adam_config(model.bundle, train_data)
    evaluations = iter(sorted({0, 2, 4, 6}))

    def judged(model, data):  # better at every evaluation, up to the best
        step = next(evaluations)
        states[step] = state_of(model)
        accuracy = step / 10 if step <= best else 0.0
        return replace(evaluation, accuracy=accuracy, loss=1.0)

    evaluation = evaluate(again, dev_data)
    monkeypatch.setattr(listening, "evaluate", judged)
    saved = []

    def save(model, folder, step, checksum):
        saved.append(step)
        save_parameters(model, folder, step, checksum)

    monkeypatch.setattr(kept, "save_parameters", save)
    train(model, train_data, tmp_path, config, dev_data, eval_every=2)

    assert kept_steps(tmp_path) == sorted({best, 6} - {0})
    assert best_step(tmp_path, 6) == best
    assert saved == [step for step in (2, 4, 6) if step <= best]  # the last with its moments
    assert kept_steps(tmp_path, MOMENTS) == [6]
    for step in kept_steps(tmp_path):
        load_parameters(again, tmp_path, step)
        assert state_of(again) == states[step]
    assert len({json.dumps(sorted(map(str, s.values()))) for s in states.values()}) == 4


def test_a_finished_run_takes_no_step_and_changes_nothing(ready, train_data, dev_data, tmp_path):
    first, again = ready(), ready()
    config, replayed = adam_config(first.bundle, train_data), []
    train(first, train_data, tmp_path, config, dev_data)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    listener = Listener(replayed=replayed.append)
    done = train(again, train_data, tmp_path, config, dev_data, listener=listener)

    assert again.calls == [] and replayed == [6]
    assert (done.last_step, done.step_seconds) == (6, 0.0)
    assert state_of(again) == state_of(first)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_finished_run_is_evaluated_on_a_new_dev_set(ready, train_data, dev_data, tmp_path):
    first = ready()
    config = adam_config(first.bundle, train_data)
    train(first, train_data, tmp_path, config)

    train(ready(), train_data, tmp_path, config, dev_data)

    records = read_evaluations(tmp_path, dev_data.sha256)
    assert [record.step for record in records] == [0, 6]
    assert kept_steps(tmp_path) == [6]
    assert records[1].loss != records[0].loss
    assert records[1].loss == evaluate(first, dev_data).loss
