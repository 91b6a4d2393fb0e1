"""Adam runs of real gradients: through the command line, against PyTorch."""

import json

import numpy as np
import pytest
from forward import relative_error
from small_runs import adam_config, adam_losses, pocketllm, rows, write_tsv

from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.data.order import step_members
from pocketllm.runtime.journal.lines import read_evaluations
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import kept_steps, load_parameters

pytestmark = pytest.mark.desktop

# Measured: losses 6e-7, parameters 3e-6; these move by 1.4e-3 of their size or more.
TOLERANCE = 2e-5


@pytest.fixture(scope="module", params=["roberta", "opt"])
def bundle(request, make_checkpoint, make_opt_checkpoint, make_bundle):
    """A tiny model of each architecture with Adam: 3 rows, buckets of 16 and 32 tokens."""
    make = make_checkpoint if request.param == "roberta" else make_opt_checkpoint
    return make_bundle(make(), adam=True, lengths=(16, 32), slice_bytes=8192)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Training and dev data."""
    folder = tmp_path_factory.mktemp("data")
    return [
        write_tsv(folder / f"{n}.tsv", rows(17, seed)) for n, seed in (("train", 1), ("dev", 2))
    ]


@pytest.fixture
def command(bundle, files, tmp_path):
    """Returns the arguments of a run of 8 steps, some of them replaced."""

    def arguments(**changes):
        values = {
            "bundle": bundle.folder, "train": files[0], "dev": files[1], "run": tmp_path / "run",
            "steps": 8, "batch_size": 2, "lr": 3e-3, "eval_every": 3, "weight_decay": 0.1,
            "optimizer": "adam", "threads": 1,
        } | changes  # fmt: skip
        return ["train", *(f"--{name}={value}" for name, value in values.items())]

    return arguments


def result(tmp_path, *arguments):
    done = pocketllm(*arguments, f"--json={tmp_path / 'result.json'}")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads((tmp_path / "result.json").read_text())


def test_train_eval_and_report(engine, bundle, files, command, tmp_path):
    run = tmp_path / "run"

    trained = result(tmp_path, *command(engine=engine))

    losses = adam_losses(run)
    assert (trained["last_step"], len(losses)) == (8, 8)
    assert all(np.isfinite(losses)) and len(set(losses)) == 8
    seen = {record.step: record for record in read_evaluations(run)}
    assert list(seen) == [0, 3, 6, 8]
    best = trained["best_step"]
    assert kept_steps(run) == sorted({best, 8} - {0})
    evaluate = ["eval", f"--bundle={bundle.folder}", f"--data={files[1]}", f"--run={run}"]
    for flags, step in ([], best), (["--at_step=8"], 8), (["--at_step=0"], 0):
        evaluated = result(tmp_path, *evaluate, "--threads=1", f"--engine={engine}", *flags)
        assert (evaluated["step"], evaluated["loss"]) == (step, seen[step].loss)
        assert evaluated["accuracy"] == seen[step].accuracy
    assert len({record.loss for record in seen.values()}) == 4
    reported = result(tmp_path, "report", run, f"--out={tmp_path / 'report'}")
    assert reported["runs"][0]["optimizer"] == "adam"
    assert (reported["runs"][0]["steps"], reported["runs"][0]["last_loss"]) == (8, losses[-1])


def test_the_same_command_again_takes_no_step(command, tmp_path):
    first = result(tmp_path, *command())
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}

    again = result(tmp_path, *command())

    assert {**again, "step_seconds": 0, "peak_anon_bytes": 0, "peak_rss_bytes": 0} == {
        **first, "step_seconds": 0, "peak_anon_bytes": 0, "peak_rss_bytes": 0,
    }  # fmt: skip
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_run_of_one_engine_is_evaluated_in_the_other(bundle, files, command, engine, tmp_path):
    result(tmp_path, *command(engine=engine))
    (last,) = [record for record in read_evaluations(tmp_path / "run") if record.step == 8]

    evaluated = result(
        tmp_path, "eval", f"--bundle={bundle.folder}", f"--data={files[1]}",
        f"--run={tmp_path / 'run'}", "--at_step=8", "--engine=litert",
    )  # fmt: skip

    assert evaluated["loss"] == pytest.approx(last.loss, rel=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_run_follows_pytorch(schedule, engine, bundle, files, open_ready, request, tmp_path):
    import torch
    from adam_reference import INVARIANT, TorchAdam

    from pocketllm.export.results.trained_tensors import in_checkpoint_layout

    roberta = bundle.architecture == "roberta"
    make = request.getfixturevalue("make_checkpoint" if roberta else "make_opt_checkpoint")
    model, data = open_ready(bundle, engine), load_dataset(files[0], bundle)
    config = adam_config(bundle, data, lr=1e-3, lr_schedule=schedule, steps=12)
    start = dict(model.read())
    train(model, data, tmp_path, config)

    reference, losses = TorchAdam(make(), bundle, torch.float64), []
    for number in range(1, 13):
        members = step_members(len(data.examples), 2, config.seed, number)
        (batch,) = batches_of(data, bundle, members)
        lr = 1e-3 * ((13 - number) / 12 if schedule == "linear" else 1)
        losses.append(reference.step(batch.inputs, lr, 0.1))

    error = relative_error(np.array(adam_losses(tmp_path)), np.array(losses))
    print(f"losses {min(losses):.3f} to {max(losses):.3f}, relative error {error:.1e}")
    assert error <= TOLERANCE
    again = open_ready(bundle, engine)
    load_parameters(again, tmp_path, 12)
    kept = dict(again.read())
    errors, moved = {}, {}
    for parameter in bundle.parameters:
        if parameter.name.endswith(INVARIANT):
            continue
        expected = reference.tensors[parameter.name].detach().numpy()
        before, after = (
            in_checkpoint_layout(parameter, [values[v.name] for v in parameter.variables])
            for values in (start, kept)
        )
        errors[parameter.name] = relative_error(after, expected)
        moved[parameter.name] = relative_error(before, expected)
    print(f"parameters {max(errors.values()):.1e}, moved by {min(moved.values()):.1e} or more")
    assert max(errors.values()) <= TOLERANCE, max(errors, key=errors.get)
    assert min(moved.values()) > 50 * TOLERANCE, min(moved, key=moved.get)
