"""The examples run, and do what the commands do."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import pocketllm

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.contract import PACKED_FILE
from pocketllm.runtime.journal.lines import read_steps
from pocketllm.runtime.optim.mezo import MezoStep

pytest_plugins = ["runtime_fixtures"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(example, *arguments, timeout=120):
    """Runs an example in Python; returns what it printed."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / example, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_in_one_file_takes_the_steps_of_the_train_command(
    golden_bundle, train_file, tmp_path
):
    *lines, last = run("mezo_loop.py", golden_bundle.folder, train_file).splitlines()
    command = pocketllm(
        "train", f"--bundle={golden_bundle.folder}", f"--train={train_file}",
        f"--run={tmp_path / 'run'}", "--steps=20", "--batch_size=8", "--lr=1e-4", "--seed=0",
    )  # fmt: skip
    assert command.returncode == 0, command.stderr
    steps = read_steps(tmp_path / "run", MezoStep)

    assert lines == [f"step {s.step} loss {(s.loss_plus + s.loss_minus) / 2:.4f}" for s in steps]
    assert len({step.loss_plus for step in steps}) == 20, "the losses vary"
    assert last.startswith("accuracy ")
    assert len((EXAMPLES / "mezo_loop.py").read_text().splitlines()) <= 40


@pytest.mark.desktop
def test_an_export_from_python_is_trained_by_the_loop_in_the_engine_that_fits_it(
    train_file, tmp_path
):
    out = tmp_path / "bundle"
    exported = run("export.py", out, timeout=300)
    bundle = read_bundle(out)
    losses = run("mezo_loop.py", out, train_file).splitlines()

    trained = sum(math.prod(parameter.shape) for parameter in bundle.parameters)
    assert exported.endswith(f"{out}: {trained:,} parameters are trained\n")
    assert (bundle.tune, bundle.base, bundle.lengths) == ("lora", "int8", (32, 64))
    assert len(losses) == 21
    assert (out / PACKED_FILE).exists(), "open_model took the engine that packs the frozen base"


@pytest.mark.desktop
def test_data_of_ones_own_goes_from_a_file_to_an_evaluated_model(tmp_path):
    done = subprocess.run(
        [EXAMPLES / "own_data.sh", tmp_path / "own"],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    losses = re.findall(
        r"^(?:untuned|.* at step 100): accuracy .*, loss ([.0-9]+)", done.stdout, re.M
    )

    before, after = map(float, losses)
    assert after < before
