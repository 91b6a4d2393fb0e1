"""Kills a training run at random moments, and compares it with one that was never touched.

Each time `pocketllm train` is started anew on the same run directory. At the end the journals, the
evaluations and the parameters of the last snapshot must be the same bytes. Snapshots are taken as
often as can be, so that kills meet them too, or with --recovery_seconds more rarely, so that there
is something to replay.

example:
  python -m pocketllm.benchmarks.torture.kills --bundle=BUNDLE --train=train.tsv --dev=dev.tsv --kills=200
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

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.files import PARTIAL
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.run.journal import JOURNAL, read_journal
from pocketllm.runtime.run.parameters import kept_steps

COMPARED = (JOURNAL, "evaluations.jsonl", "config.json")

FLAGS = flags.FlagValues()
flags.DEFINE_string("bundle", None, "bundle folder", flag_values=FLAGS)
flags.DEFINE_string("train", None, "training data", flag_values=FLAGS)
flags.DEFINE_string("dev", None, "dev data", flag_values=FLAGS)
flags.DEFINE_integer("steps", 200, "of every run", 1, flag_values=FLAGS)
flags.DEFINE_integer("kills", 200, "kill -9 so many times", 1, flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "of the moments", 0, flag_values=FLAGS)
flags.DEFINE_float("recovery_seconds", 0.0, "of `train`", 0.0, flag_values=FLAGS)
flags.mark_flags_as_required(["bundle", "train", "dev"], flag_values=FLAGS)


@dataclass
class Kills:
    """What was done: kills, the steps that runs held at one, snapshots met half-written."""

    count: int = 0
    steps: Counter = field(default_factory=Counter)
    partial_files: int = 0


def training(bundle: Path, train: Path, dev: Path, steps: int, **changes: float) -> list[str]:
    """Returns the command of a run, but for its --run; `changes` are of flags."""
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
    whole, number, done = folder / "whole", 0, Kills()
    started = time.monotonic()
    subprocess.run([*command, f"--run={whole}"], check=True, capture_output=True)
    seconds = time.monotonic() - started
    rng = np.random.default_rng(seed)
    while done.count < kills:
        number += 1
        run = folder / f"killed-{number}"
        while not _killed(command, run, seconds * rng.uniform(0.2, 1.1), done):
            progress(1)
            if done.count == kills:
                _run(command, run)
                break
        _compare(whole, run)
    return done


def _killed(command, run, seconds, done):
    """Lets a run go on for some seconds; returns whether it came to its end."""
    process = subprocess.Popen(
        [*command, f"--run={run}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        done.count += 1
        done.partial_files += any(run.glob(f".*{PARTIAL}*"))
        if (run / JOURNAL).exists():
            done.steps[len(read_journal(run / JOURNAL).steps)] += 1
        return False
    if process.returncode:
        raise RunError(f"{run}: after {done.count} kills: {said.strip()}")
    return True


def _run(command, run):
    done = subprocess.run([*command, f"--run={run}"], capture_output=True, text=True)
    if done.returncode:
        raise RunError(f"{run}: {done.stderr.strip()}")


def _compare(whole, run):
    if any(run.glob(f".*{PARTIAL}*")):
        raise RunError(f"{run}: files that kills left half-written are still there")
    for name in COMPARED:
        if (run / name).read_bytes() != (whole / name).read_bytes():
            raise RunError(f"{run / name}: differs from the undisturbed run's")
    for step in set(kept_steps(run)) & set(kept_steps(whole)):
        one, other = (np.load(held / f"parameters-{step}.npz") for held in (run, whole))
        for name in one.files:
            if one[name].tobytes() != other[name].tobytes():
                raise RunError(f"{run}: {name} at step {step} differs from the undisturbed run's")


def main() -> None:
    """Kills, and says what was met."""
    given = (Path(FLAGS.bundle), Path(FLAGS.train), Path(FLAGS.dev), FLAGS.steps)
    command = training(*given, recovery_seconds=FLAGS.recovery_seconds)
    with tempfile.TemporaryDirectory() as folder, Progress("killing", FLAGS.kills, "kill") as bar:
        done = kill_and_resume(command, Path(folder), FLAGS.kills, FLAGS.seed, bar.advance)
    reached = sorted(done.steps)
    print(
        f"{done.count} kills, at {len(reached)} different steps from {reached[0]} to "
        f"{reached[-1]}, {done.partial_files} of them with a file half-written: every run ended "
        "with the same bytes"
    )


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
