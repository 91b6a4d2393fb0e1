"""Journalled runs that signals end and kills break off: none loses a step or ends differently."""

import signal
import subprocess
import sys

import pytest
from small_runs import RECORD_BYTES, pocketllm
from waiting import wait_until

from pocketllm.benchmarks.torture.killed import PHASES
from pocketllm.benchmarks.torture.kills import kill_and_resume, training
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

pytest_plugins = ["runtime_fixtures"]

KILLS, STEPS = 25, 120


@pytest.fixture
def command(golden_bundle, train_file, dev_file):
    """Returns the arguments of `pocketllm train` on the committed bundle."""

    def arguments(run, steps=STEPS):
        return [
            "train", f"--bundle={golden_bundle.folder}", f"--train={train_file}", "--lr=1e-3",
            f"--run={run}", f"--steps={steps}", "--weight_decay=0.1", "--threads=1",
            f"--dev={dev_file}", "--eval_every=10",
        ]  # fmt: skip

    return arguments


def started(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "pocketllm.runtime.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path, more_bytes, process):
    """Waits until a file has grown to more than so many bytes."""

    def has_grown():
        return path.exists() and path.stat().st_size > more_bytes

    wait_until(lambda: has_grown() or process.poll() is not None, f"{path.name} grows")
    assert has_grown(), process.communicate()[1]


def steps_of(run):
    return read_journal(run / JOURNAL).steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_ends_the_run_after_its_step_and_says_how_to_go_on(number, command, tmp_path):
    run = tmp_path / "run"
    process = started(command(run, steps=100_000))
    try:
        wait_for(run / JOURNAL, 10 * RECORD_BYTES, process)
        process.send_signal(number)
        output, complaint = process.communicate(timeout=60)
    finally:
        process.kill()

    count = len(steps_of(run))
    assert (process.returncode, complaint) == (0, "")
    assert f"stopped after step {count} of 100000; the same command goes on" in output
    assert len((run / "metrics.jsonl").read_text().splitlines()) == count
    assert pocketllm(*command(run, steps=count + 3)).returncode == 0
    assert len(steps_of(run)) == count + 3


@pytest.mark.parametrize(
    "flags", [{}, {"optimizer": "fzoo", "directions": 3}], ids=["mezo", "fzoo"]
)
def test_killed_in_each_phase_and_resumed_a_run_ends_as_if_never_touched(
    flags, golden_bundle, train_file, dev_file, tmp_path
):
    values = {"recovery_seconds": 1e9} | flags
    command = training(golden_bundle.folder, train_file, dev_file, STEPS, **values)
    done = kill_and_resume(command, tmp_path, KILLS, seed=0)

    assert done.count == KILLS
    assert set(done.phases) == set(PHASES), "all phases are hit"
    assert len(done.steps) > 5 and max(done.tails) > 20, "there are steps to replay"
    assert done.partial_files
