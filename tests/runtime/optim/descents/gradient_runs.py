"""Runs with gradients through the command line, on tiny bundles.

A test module that wants the fixtures says `pytest_plugins = ["gradient_runs"]`.
"""

import json

import pytest
from small_runs import pocketllm, rows, write_tsv


@pytest.fixture(scope="module")
def bundles(make_checkpoint, make_bundle):
    """Tiny bundles of one checkpoint: LoRA with gradients, all with gradients, without any."""
    checkpoint = make_checkpoint()
    return {
        "lora": make_bundle(checkpoint, lengths=(16,), kind="lora", adam=True).folder,
        "full": make_bundle(checkpoint, lengths=(16,), adam=True).folder,
        "bare": make_bundle(checkpoint, lengths=(16,)).folder,
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Training and dev data."""
    folder = tmp_path_factory.mktemp("data")
    return [write_tsv(folder / f"{n}.tsv", rows(17, n)) for n in (1, 2)]


@pytest.fixture
def arguments(bundles, files, tmp_path):
    """Returns the arguments of a run of 6 steps on the LoRA bundle, some of them replaced."""

    def make(bundle="lora", **changes):
        values = {
            "bundle": bundles[bundle], "train": files[0], "run": tmp_path / "run", "steps": 6,
            "batch_size": 5, "lr": 1e-2, "optimizer": "adam", "threads": 1,
        } | changes  # fmt: skip
        return ["train", *(f"--{name}={value}" for name, value in values.items())]

    return make


def finished(*command):
    """Runs a command to its end; returns what it prints."""
    done = pocketllm(*command)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def lines_of(run):
    """Returns the lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").open()]


@pytest.fixture(scope="module")
def _runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs"), {}


@pytest.fixture
def finished_run(_runs, arguments):
    """Trains once for each set of flags: (**flags) -> its folder."""
    folder, runs = _runs

    def make(**flags):
        key = str(flags)
        if key not in runs:
            runs[key] = folder / str(len(runs))
            finished(*arguments(run=runs[key], **flags))
        return runs[key]

    return make
