"""`train --optimizer=adam` and `sgd` without --lr: a range test, and then the run of its rate."""

import json
import re

import numpy as np
import pytest
from small_runs import complaint, pocketllm, rows, write_tsv

pytestmark = pytest.mark.desktop

TUNINGS = {"lora": {"kind": "lora"}, "full": {}}


@pytest.fixture
def command(request, make_checkpoint, make_bundle, tmp_path):
    """Runs `pocketllm train` on a bundle with gradients: (**flags) -> the finished process."""
    bundle = make_bundle(make_checkpoint(), adam=True, **TUNINGS[request.param])
    data = write_tsv(tmp_path / "train.tsv", rows(14, seed=1))

    def run(**changes):
        values = {
            "bundle": bundle.folder, "train": data, "run": tmp_path / "run", "optimizer": "adam",
            "steps": 12, "batch_size": 3, "threads": 1, "json": tmp_path / "result.json",
        } | changes  # fmt: skip
        return pocketllm("train", *(f"--{name}={value}" for name, value in values.items()))

    return run


def parameters(folder, step):
    with np.load(folder / f"parameters-{step}.npz") as archive:
        return {name: archive[name].tobytes() for name in archive.files}


@pytest.mark.parametrize(
    ("command", "optimizer"),
    [("lora", "adam"), ("lora", "sgd"), ("full", "adam")],
    indirect=["command"],
)
def test_the_measured_rates_run_has_the_bytes_of_the_same_rate_given(command, optimizer, tmp_path):
    done = command(optimizer=optimizer)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "measured:" in line]
    rate = re.match(r"lr (\S+), measured: at \S+ \d steps? takes? the loss on 3 rows from", line)[1]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["lr"] == float(rate) == result["measured"]["chosen"]["lr"] > 0

    done = command(optimizer=optimizer, lr=rate, run=tmp_path / "given")

    assert done.returncode == 0 and "measured:" not in done.stdout, done.stderr
    assert parameters(tmp_path / "run", 12) == parameters(tmp_path / "given", 12)
    again = command(optimizer=optimizer)
    assert again.returncode == 0 and "measured:" not in again.stdout


@pytest.mark.parametrize("command", ["lora"], indirect=True)
def test_too_few_examples_are_refused_as_of_any_optimizer(command, tmp_path):
    data = write_tsv(tmp_path / "few.tsv", rows(5, seed=1))

    complaint(command(train=data), 2, "5 examples are fewer than the 8 that --lr=auto measures")
