"""Kills a training run at random moments, and compares it with one that was never touched.

Each time `pocketllm train` is started anew on the same run directory. At the end the journals, the
evaluations and the parameters of the last snapshot must be the same bytes. Snapshots are taken as
often as can be, so that kills meet them too, or with --recovery_seconds more rarely, so that there
is something to replay.

example:
  pocketllm torture kills --bundle=BUNDLE --train=train.tsv --dev=dev.tsv --kills=200
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.partials import PARTIAL
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.run.parameters import kept_steps

COMPARED = (JOURNAL, "evaluations.jsonl", "config.json")

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle folder")
define.string("train", None, "training data")
define.string("dev", None, "dev data")
define.integer("steps", 200, "steps per run", 1)
define.integer("kills", 200, "number of kills (kill -9)", 1)
define.integer("seed", 0, "random seed of the moments", 0)
define.float("recovery_seconds", 0.0, "longest time to replay, as in `train`", 0.0)
flags.mark_flags_as_required(["bundle", "train", "dev"], flag_values=FLAGS)


@dataclass
class Kills:
    """Kills so far, the steps that runs held at a kill, and kills that met a half-written file."""

    count: int = 0
    steps: Counter = field(default_factory=Counter)
    partial_files: int = 0


def training(bundle: Path, train: Path, dev: Path, steps: int, **changes: float) -> list[str]:
    """Returns the command of a run without its --run; `changes` are values of flags."""
    values = {
        "bundle": bundle, "train": train, "dev": dev, "steps": steps, "lr": 1e-3,
        "weight_decay": 0.1, "eval_every": 10, "threads": 1, "recovery_seconds": 0,
    } | changes  # fmt: skip
    command = [sys.executable, "-m", "pocketllm.runtime.cli", "train"]
    return [*command, *(f"--{name}={value}" for name, value in values.items())]


def kill_and_resume(
    command: Sequence[str],
    folder: Path,
    kills: int,
    seed: int,
    progress: Callable[[int], None] = lambda kills: None,
) -> Kills:
    """Runs a command to its end undisturbed, and then again and again with kills.

    Args:
      command: from `training`.
      folder: for the run directories, empty.
      kills: kill -9 so many times, over as many runs as come to their ends in between.
      seed: of the moments.
      progress: told of each kill.

    Raises:
      RunError: a run that was killed failed, or came out different.
    """
    whole, number, kills_so_far = folder / "whole", 0, Kills()
    started = time.monotonic()
    subprocess.run([*command, f"--run={whole}"], check=True, capture_output=True)
    seconds = time.monotonic() - started
    rng = np.random.default_rng(seed)
    while kills_so_far.count < kills:
        number += 1
        run = folder / f"killed-{number}"
        while not _finishes(command, run, seconds * rng.uniform(0.2, 1.1), kills_so_far):
            progress(1)
            if kills_so_far.count == kills:
                _run(command, run)
                break
        _compare(whole, run)
    return kills_so_far


def _finishes(command, run, seconds, kills):
    """Lets a run go on for some seconds, then kills it; returns whether it ended before."""
    process = subprocess.Popen(
        [*command, f"--run={run}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, complaint = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        kills.count += 1
        kills.partial_files += any(run.glob(f".*{PARTIAL}*"))
        if (run / JOURNAL).exists():
            kills.steps[len(read_journal(run / JOURNAL).steps)] += 1
        return False
    if process.returncode:
        raise RunError(f"{run}: after {kills.count} kills: {complaint.strip()}")
    return True


def _run(command, run):
    process = subprocess.run([*command, f"--run={run}"], capture_output=True, text=True)
    if process.returncode:
        raise RunError(f"{run}: {process.stderr.strip()}")


def _compare(whole, run):
    if any(run.glob(f".*{PARTIAL}*")):
        raise RunError(f"{run}: files that kills left half-written are still there")
    for name in COMPARED:
        if (run / name).read_bytes() != (whole / name).read_bytes():
            raise RunError(f"{run / name}: differs from the undisturbed run's")
    for step in set(kept_steps(run)) & set(kept_steps(whole)):
        killed, undisturbed = (
            np.load(side / f"parameters-{step}.npz", allow_pickle=False) for side in (run, whole)
        )
        for name in killed.files:
            if killed[name].tobytes() != undisturbed[name].tobytes():
                raise RunError(f"{run}: {name} at step {step} differs from the undisturbed run's")


def run(values) -> dict:
    """Kills and compares; see the module's docstring."""
    places = Path(values.bundle), Path(values.train), Path(values.dev)
    command = training(*places, values.steps, recovery_seconds=values.recovery_seconds)
    with tempfile.TemporaryDirectory() as folder, Progress("killing", values.kills, "kill") as bar:
        kills = kill_and_resume(command, Path(folder), values.kills, values.seed, bar.advance)
    steps = sorted(kills.steps)
    print(
        f"{kills.count} kills, at {len(steps)} different steps from {steps[0]} to {steps[-1]}, "
        f"{kills.partial_files} of them with a file half-written: every run ended with the same "
        "bytes"
    )
    return {"kills": kills.count, "steps": steps, "partial_files": kills.partial_files}
