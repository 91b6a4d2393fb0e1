"""`pocketllm federate` in this process, and its small simulation."""

from pocketllm.runtime import cli

CLIENTS = 3
SIMULATED = ("--steps=4", "--batch_size=2", "--lr=1e-2", "--threads=1", f"--clients={CLIENTS}")


def simulate(bundle, data, folder, *flags) -> int:
    """Runs `federate simulate` as SIMULATED says, and further flags; returns its exit code."""
    return federate(
        "simulate", f"--bundle={bundle.folder}", f"--data={data}", f"--run={folder}",
        *SIMULATED, *flags,
    )  # fmt: skip


def federate(*arguments) -> int:
    """Runs a command of a federation; returns its exit code."""
    return cli.main(["federate", *map(str, arguments)])
