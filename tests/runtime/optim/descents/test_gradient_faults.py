"""Runs with gradients that meet other settings, other files, signals and infinite numbers."""

import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from gradient_runs import finished, lines_of
from small_runs import complaint, pocketllm
from waiting import wait_until

from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run.parameters import MOMENTS, kept_steps

pytest_plugins = ["gradient_runs"]
pytestmark = pytest.mark.desktop


@pytest.mark.parametrize(
    ("before", "changed", "text"),
    [
        ({}, {"lr": 0.02}, "another config (lr 0.01 -> 0.02)"),
        ({}, {"clip_norm": 1}, "another config (clip_norm None -> 1.0)"),
        ({"warmup_steps": 2}, {}, "another config (warmup_steps 2 -> None)"),
        ({}, {"seed": 1}, "another config (seed 0 -> 1)"),
        ({}, {"batch_size": 4}, "another config (batch_size 5 -> 4)"),
        ({}, {"optimizer": "sgd"}, "a run with --optimizer=adam, this one is sgd; choose"),
        (
            {"lr_schedule": "cosine"},
            {"lr_schedule": "cosine", "steps": 9},
            "started with --steps=6, found --steps=9",
        ),
        ({}, {"steps": 5}, "holds 6 steps, more than --steps=5; raise --steps"),
    ],
    ids=str,
)
def test_changed_settings_are_refused_by_name(before, changed, text, arguments, finished_run):
    run = finished_run(**before)
    files = {path.name: path.read_bytes() for path in run.iterdir()}

    complaint(pocketllm(*arguments(run=run, **changed)), 2, text)

    assert {path.name: path.read_bytes() for path in run.iterdir()} == files


def test_a_run_of_another_bundle_is_refused(arguments, bundles, files, finished_run, tmp_path):
    run = finished_run()
    other = shutil.copytree(finished_run(batch_size=2, bundle="full"), tmp_path / "other")

    complaint(
        pocketllm(*arguments(run=other, batch_size=2)), 2, "config.json: the run belongs to bundle"
    )
    shutil.copy(run / "config.json", other / "config.json")
    complaint(
        pocketllm(*arguments(run=other)), 2,
        "journal: belongs to another run than config.json beside it (batch_size, bundle_checksum)",
    )  # fmt: skip
    complaint(
        pocketllm("eval", f"--bundle={bundles['lora']}", f"--data={files[1]}", f"--run={other}"),
        2,
        "journal: the run belongs to bundle",
    )


def test_a_journal_of_the_other_kind_is_refused(arguments, finished_run, tmp_path):
    run = shutil.copytree(finished_run(), tmp_path / "other")
    mezo = finished_run(optimizer="mezo")
    shutil.copy(mezo / JOURNAL, run / JOURNAL)

    done = pocketllm(*arguments(run=run))

    complaint(done, 2, "journal: belongs to another run than config.json", "its first bytes")


def test_undo_and_steps_that_were_not_kept_say_why(arguments, bundles, files, finished_run):
    run = finished_run()
    bundle = f"--bundle={bundles['lora']}"

    done = pocketllm("replay", bundle, f"--run={run}", "--undo")
    complaint(done, 2, "--undo needs a run whose journal says what each step applied")
    done = pocketllm("replay", bundle, f"--run={run}", "--at_step=3", f"--out={run / 'no'}")
    complaint(done, 2, "the parameters of step 3 were not kept", "--at_step takes 0, 6")
    done = pocketllm("eval", bundle, f"--run={run}", f"--data={files[1]}", "--at_step=7")
    complaint(done, 2, "--at_step=7: the run holds steps 0 to 6")


def test_damaged_parameters_are_named(arguments, bundles, files, finished_run, tmp_path):
    run = shutil.copytree(finished_run(), tmp_path / "damaged")
    path = run / "parameters-6.npz"
    path.write_bytes(path.read_bytes()[:-100])

    command = ["eval", f"--bundle={bundles['lora']}", f"--data={files[1]}", f"--run={run}"]
    complaint(pocketllm(*command), 2, "parameters-6.npz: damaged")
    finished(*arguments(run=run))  # takes the steps again, and writes them anew
    assert "at step 6" in finished(*command)
    assert path.read_bytes() == (finished_run() / path.name).read_bytes()


@pytest.mark.parametrize(
    ("bundle", "flags"),
    [
        ("lora", {"optimizer": "adam"}),
        ("lora", {"optimizer": "sgd"}),
        ("full", {"optimizer": "adam", "batch_size": 2}),
    ],
    ids=["adam", "sgd", "adam-full"],
)
def test_what_is_not_finite_ends_a_run_whose_last_good_step_can_be_used(
    bundle, flags, arguments, bundles, files, tmp_path
):
    """The decay multiplies what is trained by -1e5 a step, until it is beyond float32."""
    run = tmp_path / "run"

    done = pocketllm(*arguments(bundle, steps=30, weight_decay=1e7, **flags))

    count = len(read_journal(run / JOURNAL).steps)
    complaint(done, 1, "is not finite", f"the run keeps step {count}", "smaller --weight_decay")
    assert count > 2 and len(lines_of(run)) == count and kept_steps(run) == [count]
    for values in np.load(run / f"parameters-{count}.npz").values():
        assert np.isfinite(values).all()
    data, at = f"--data={files[1]}", f"at step {count}"
    assert at in finished("eval", f"--bundle={bundles[bundle]}", data, f"--run={run}")
    out = f"--out={tmp_path / 'result'}"
    assert at in finished("replay", f"--bundle={bundles[bundle]}", f"--run={run}", out)


def test_a_first_step_that_ruins_the_parameters_leaves_the_bundle(
    arguments, bundles, files, tmp_path
):
    run = tmp_path / "run"

    done = pocketllm(*arguments(lr=1e38))

    complaint(done, 1, "step 2: the loss is not finite", "the run keeps step 0", "smaller --lr")
    assert len(read_journal(run / JOURNAL).steps) == 0 and kept_steps(run) == []
    data = f"--data={files[1]}"
    shown = finished("eval", f"--bundle={bundles['lora']}", data, f"--run={run}")
    assert "at step 0" in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_ends_the_run_with_a_snapshot(number, arguments, bundles, files, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "pocketllm.runtime.cli", *arguments(steps=1_000_000)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = run / "metrics.jsonl"
        wait_until(
            lambda: (lines.exists() and len(lines_of(run)) > 3) or process.poll() is not None,
            "some steps",
        )
        process.send_signal(number)
        output, error = process.communicate(timeout=60)
    finally:
        process.kill()

    count = len(read_journal(run / JOURNAL).steps)
    assert (process.returncode, error) == (0, "")
    assert f"stopped after step {count} of 1000000; the same command goes on from there" in output
    assert kept_steps(run) == kept_steps(run, MOMENTS) == [count]
    evaluated = finished(
        "eval", f"--bundle={bundles['lora']}", f"--data={files[1]}", f"--run={run}"
    )
    assert f"at step {count}" in evaluated
    finished(*arguments(steps=count + 3))
    assert len(read_journal(run / JOURNAL).steps) == count + 3
