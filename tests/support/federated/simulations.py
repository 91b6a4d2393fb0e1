"""`pocketllm federate` in this process, and its small simulation; a plugin."""

import pytest
from small_runs import rows, write_tsv

from pocketllm.runtime import cli

CLIENTS = 3
SIMULATED = ("--steps=4", "--batch_size=2", "--lr=1e-2", "--threads=1", f"--clients={CLIENTS}")


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    """The data of all clients."""
    return write_tsv(tmp_path_factory.mktemp("data") / "train.tsv", rows(24, seed=5))


@pytest.fixture(scope="module")
def simulated(golden_bundle, data_file, tmp_path_factory):
    """The server's run directory of a simulation; nobody alters it."""
    folder = tmp_path_factory.mktemp("federation") / "fed"
    assert simulate(golden_bundle, data_file, folder, f"--dev={data_file}") == cli.DONE
    return folder


def simulate(bundle, data, folder, *flags) -> int:
    """Runs `federate simulate` as SIMULATED says, and further flags; returns its exit code."""
    return federate(
        "simulate", f"--bundle={bundle.folder}", f"--data={data}", f"--run={folder}",
        *SIMULATED, *flags,
    )  # fmt: skip


def federate(*arguments) -> int:
    """Runs a command of a federation; returns its exit code."""
    return cli.main(["federate", *map(str, arguments)])
