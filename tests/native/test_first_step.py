"""The benchmark of the time to a first step: it measures both programs, or says what is wrong."""

import re
import subprocess
import sys

import pytest
from native_program import with_rows
from small_runs import rows
from spoilt_rows import CONFORMANCE

pytestmark = pytest.mark.desktop


@pytest.fixture
def measure(tmp_path):
    """Measures one process of each program."""
    folder = with_rows(tmp_path, rows(7, seed=1), CONFORMANCE / "masked")

    def run(**changes):
        flags = {
            "bundle": folder / "bundle", "train": folder / "train.tsv",
            "encoded": folder / "train.rows", "repeats": 1,
        } | changes  # fmt: skip
        command = [sys.executable, "-m", "pocketllm.benchmarks.first_step"]
        command += [f"--{name}={value}" for name, value in flags.items()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    return run


def test_it_prints_the_seconds_of_either_program(measure):
    done = measure()

    assert done.returncode == 0, done.stderr
    seconds = r"\d+\.\d{3}"
    form = rf": {seconds} s from start to first step \({seconds} to {seconds}, 1 processes\)"
    python, native = done.stdout.splitlines()
    assert re.fullmatch(f"python{form}", python) and re.fullmatch(f"native{form}", native)


def test_a_program_that_takes_no_step_says_why(measure, tmp_path):
    done = measure(encoded=tmp_path / "none.rows")

    assert done.returncode == 1 and "none.rows" in done.stderr
    assert done.stderr.count("\n") == 1
